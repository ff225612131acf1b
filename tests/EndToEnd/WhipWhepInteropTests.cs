using System.Diagnostics;
using System.Text.Json;
using Transcribe.Cluster.Tokens;
using Transcribe.EndToEnd.Tests.Support;

namespace Transcribe.EndToEnd.Tests;

/// <summary>Publisher and viewer are libwebrtc (@roamhq/wrtc), driven over plain HTTP.</summary>
public sealed class WhipWhepInteropTests
{
    [Theory]
    [InlineData("camera")]
    [InlineData(null)]
    public async Task Libwebrtc_publishes_by_WHIP_and_watches_by_WHEP(string? participant)
    {
        await using TranscribeServer server = await TranscribeServer.StartAsync();
        string room = participant is null ? "first" : "named";
        var result = await RunAsync(new
        {
            url = server.Url.ToString().TrimEnd('/'),
            room,
            participant,
            publisherToken = server.Token(room, "camera", new Grants { Publish = true }),
            viewerToken = server.Token(room, "viewer", new Grants { Subscribe = true }),
            seconds = 5,
        });

        Assert.True(result.AudioFrames > 200, $"{result.AudioFrames} blocks of 10 ms of sound in 5 s");
        Assert.True(result.AudioPeak > 3000, $"The tone came with a peak of {result.AudioPeak}");
        Assert.True(result.VideoFrames > 30, $"{result.VideoFrames} pictures in 5 s");
        Assert.Equal((320, 240), (result.Width, result.Height));
        Assert.Equal(200, result.WhepDelete);
        Assert.Equal(200, result.WhipDelete);
        Assert.Equal(404, result.WhepGone);
    }

    private static async Task<Result> RunAsync(object options)
    {
        string folder = Path.Combine(Repository.Root, "tests", "EndToEnd", "wrtc");
        Assert.True(Directory.Exists(Path.Combine(folder, "node_modules", "@roamhq")), "@roamhq/wrtc is missing: run npm ci in tests/EndToEnd/wrtc (./test does it).");
        var start = new ProcessStartInfo("node", ["whip-whep.mjs", JsonSerializer.Serialize(options)])
        {
            WorkingDirectory = folder,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using Process node = Process.Start(start)!;
        Task<string> errors = node.StandardError.ReadToEndAsync();
        string output = await node.StandardOutput.ReadToEndAsync();
        await node.WaitForExitAsync();
        Assert.True(node.ExitCode == 0, $"node ended with {node.ExitCode}: {await errors}{output}");
        return JsonSerializer.Deserialize<Result>(output.Trim().Split('\n')[^1], JsonSerializerOptions.Web)!;
    }

    private sealed record Result(int AudioFrames, int AudioPeak, int VideoFrames, int Width, int Height, int WhepDelete, int WhipDelete, int WhepGone);
}
