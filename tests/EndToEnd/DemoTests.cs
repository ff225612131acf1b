using System.Diagnostics;
using System.Text.Json;
using Transcribe.EndToEnd.Tests.Support;

namespace Transcribe.EndToEnd.Tests;

/// <summary>`transcribe demo --json`, as a user runs it.</summary>
public sealed class DemoTests
{
    [Fact]
    public async Task The_demo_ends_with_its_figures_and_every_sentence_got_one_final()
    {
        var start = new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, "transcribe"), ["demo", "--json", "--engine", "pocketsphinx"])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = Repository.Root,
        };
        using Process demo = Process.Start(start)!;
        Task<string> errors = demo.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        string output = await demo.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await demo.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.True(demo.ExitCode == 0, $"exit status {demo.ExitCode}\n{await errors}\n{output}");

        string last = output.TrimEnd().Split('\n')[^1];
        Console.WriteLine(last);
        using JsonDocument document = JsonDocument.Parse(last);
        JsonElement figures = document.RootElement;
        Assert.Equal("pocketsphinx/en-us", figures.GetProperty("engine").GetString());
        Assert.Equal(10, figures.GetProperty("segments_final").GetInt32());
        Assert.Equal(0, figures.GetProperty("duplicates").GetInt32());
        Assert.Equal(0, figures.GetProperty("missing").GetInt32());
        Assert.InRange(figures.GetProperty("wer").GetDouble(), 0, 0.10);
        Assert.InRange(figures.GetProperty("rtp_error_ms").GetProperty("p50").GetDouble(), 0, 100);
        foreach (string latency in (string[])["interim_latency_ms", "final_latency_ms"])
            Assert.True(figures.GetProperty(latency).TryGetProperty("p95", out _));
    }
}
