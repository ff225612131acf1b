using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Transcribe.Cluster;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Tokens;
using Transcribe.Hosting;
using Transcribe.Peer;
using Transcribe.Sfu.Control;

namespace Transcribe.Transcribe.Tests.Hosting;

public sealed class ServeHostTests : IDisposable
{
    private readonly string _page = Directory.CreateTempSubdirectory("transcribe-page").FullName;

    public ServeHostTests()
    {
        Directory.CreateDirectory(Path.Combine(_page, "assets"));
        File.WriteAllText(Path.Combine(_page, "index.html"), "<!doctype html><title>page</title>");
        File.WriteAllText(Path.Combine(_page, "assets", "main-1a2b.js"), "export {};");
    }

    public void Dispose() => Directory.Delete(_page, recursive: true);

    [Fact]
    public async Task The_page_is_served_with_headers_that_keep_it_to_itself()
    {
        await using WebApplication app = await StartAsync();
        using var http = new HttpClient { BaseAddress = ServeHost.Url(app) };
        HttpResponseMessage index = await http.GetAsync("/");
        Assert.Contains("<title>page</title>", await index.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        Assert.Equal("no-cache", index.Headers.CacheControl?.ToString());
        Assert.Equal("nosniff", index.Headers.GetValues("X-Content-Type-Options").Single());
        Assert.Contains("frame-ancestors 'none'", index.Headers.GetValues("Content-Security-Policy").Single(), StringComparison.Ordinal);
        Assert.Empty(index.Headers.Server);
        HttpResponseMessage asset = await http.GetAsync("/assets/main-1a2b.js");
        Assert.Equal("text/javascript", asset.Content.Headers.ContentType?.MediaType);
        Assert.Contains("immutable", asset.Headers.CacheControl!.ToString(), StringComparison.Ordinal);
        HttpResponseMessage outside = await http.GetAsync("/..%2f..%2fetc/passwd");
        Assert.Equal(HttpStatusCode.NotFound, outside.StatusCode);
        Assert.Equal("application/problem+json", outside.Content.Headers.ContentType?.MediaType);
    }

    [Fact]
    public async Task A_participant_joins_over_the_hub_with_media_over_udp_and_leaves_nothing_behind()
    {
        await using WebApplication app = await StartAsync();
        using var http = new HttpClient { BaseAddress = ServeHost.Url(app) };
        HttpResponseMessage made = await http.PostAsJsonAsync("/v1/dev/tokens", new { room = "demo", name = "Alice" });
        TokenResponse token = ClusterJson.Deserialize<TokenResponse>(await made.Content.ReadAsStringAsync());
        RoomClient client = await RoomClient.JoinAsync(new PeerOptions { ServerUrl = http.BaseAddress!, Token = token.Token }, new RoomHandlers());
        await client.PublishAudioAsync();
        IRoomDirectory rooms = app.Services.GetRequiredService<IRoomDirectory>();
        ParticipantInfo alice = Assert.Single((await rooms.GetSnapshotAsync("demo")).Participants);
        await UntilAsync(async () => (await rooms.GetSummaryAsync("demo"))?.Tracks == 1);
        Assert.Equal(("Alice", token.Participant), (alice.Name, alice.Id));
        await client.LeaveAsync();
        await UntilAsync(async () => (await rooms.ListAsync()).Count == 0);
        await UntilAsync(() => Task.FromResult(app.Services.GetRequiredService<SfuNode>().SessionCount == 0));
    }

    [Fact]
    public async Task Stopping_with_somebody_in_a_room_is_quick_and_clean()
    {
        WebApplication app = await StartAsync();
        var ended = new TaskCompletionSource<string>();
        string token = app.Services.GetRequiredService<IAccessTokenMinter>().Mint("demo", "alice", new Grants { Subscribe = true });
        await using RoomClient client = await RoomClient.JoinAsync(
            new PeerOptions { ServerUrl = ServeHost.Url(app), Token = token, ReconnectTimeout = TimeSpan.Zero }, new RoomHandlers { Closed = reason => ended.TrySetResult(reason) });
        await app.StopAsync().WaitAsync(TimeSpan.FromSeconds(9));
        await app.DisposeAsync();
        await ended.Task.WaitAsync(TimeSpan.FromSeconds(5));
    }

    [Fact]
    public async Task A_taken_port_stops_the_start_with_its_name()
    {
        using var taken = new Socket(AddressFamily.InterNetworkV6, SocketType.Dgram, ProtocolType.Udp) { DualMode = true };
        taken.Bind(new IPEndPoint(IPAddress.IPv6Any, 0));
        int port = ((IPEndPoint)taken.LocalEndPoint!).Port;
        ConfigurationException e = await Assert.ThrowsAsync<ConfigurationException>(
            () => ServeHost.RunAsync(Options() with { UdpPort = port }, TextWriter.Null, TextWriter.Null));
        Assert.StartsWith($"TRANSCRIBE_UDP_PORT is {port}", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_banner_says_where_it_is_and_shows_a_key_only_if_it_was_made_up()
    {
        Assert.Contains("TRANSCRIBE_API_SECRET=", await BannerAsync(Options()), StringComparison.Ordinal);
        string own = await BannerAsync(Options() with { Keys = new ApiKeyRing([new ApiKey("k", "0123456789abcdef0123456789abcdef")]), HttpAddress = "127.0.0.1" });
        Assert.Contains("http://127.0.0.1:", own, StringComparison.Ordinal);
        Assert.DoesNotContain("0123456789abcdef", own, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("0123456789abcdef0123456789abcdef", false)]
    [InlineData("correct-horse", true)]
    public async Task A_short_secret_is_warned_of_in_one_line_that_does_not_show_it(string secret, bool warned)
    {
        var warnings = new StringWriter();
        ApiKeyRing keys = new([new ApiKey("k", secret)]);
        Assert.DoesNotContain(secret, await BannerAsync(Options() with { Keys = keys, HttpAddress = "127.0.0.1" }, warnings), StringComparison.Ordinal);
        string[] lines = warnings.ToString().Split(Environment.NewLine, StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(warned ? 1 : 0, lines.Length);
        Assert.All(lines, line => Assert.Contains("\"k\" (TRANSCRIBE_API_SECRET)", line, StringComparison.Ordinal));
        Assert.All(lines, line => Assert.DoesNotContain(secret, line, StringComparison.Ordinal));
    }

    private static async Task<string> BannerAsync(ServeOptions options, TextWriter? warnings = null)
    {
        using var stop = new CancellationTokenSource();
        await using var output = new StopAtFlush(stop);
        await ServeHost.RunAsync(options, output, warnings ?? TextWriter.Null, stop.Token).WaitAsync(TimeSpan.FromSeconds(30));
        return output.ToString();
    }

    private static ServeOptions Options() =>
        new() { HttpPort = 0, UdpPort = 0, Keys = ApiKeyRing.CreateDevelopment(), LogLevel = LogLevel.Warning };

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        for (int i = 0; i < 500 && !await condition(); i++)
            await Task.Delay(20);

        Assert.True(await condition());
    }

    private async Task<WebApplication> StartAsync()
    {
        WebApplication app = ServeHost.Build(Options() with { PagePath = _page });
        await app.StartAsync();
        return app;
    }

    /// <summary>Stops the host once it has said what it has to say.</summary>
    private sealed class StopAtFlush(CancellationTokenSource stop) : StringWriter
    {
        public override Task FlushAsync() => stop.CancelAsync();
    }
}
