using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.Logging;
using Transcribe.Cluster.Tokens;
using Transcribe.Hosting;
using Transcribe.Peer;
using Transcribe.Publishing;
using Transcribe.Rtc;
using Transcribe.Rtc.Rtp;
using Transcribe.Transcribe.Tests.Support;

namespace Transcribe.Transcribe.Tests;

/// <summary>With a server in this process.</summary>
public sealed class PublishingTests
{
    private static readonly ApiKeyRing Keys = new([new ApiKey("app", "0123456789abcdef0123456789abcdef")]);

    [Fact]
    public async Task Packets_leave_when_they_were_spoken_with_the_recordings_timestamps()
    {
        await using WebApplication app = await StartAsync();
        var minter = new AccessTokenMinter(Keys, TimeProvider.System);
        PeerOptions Peer(string name) => new()
        {
            ServerUrl = ServeHost.Url(app),
            Token = minter.Mint("demo", name, new Grants { Publish = true, Subscribe = true }),
        };
        var heard = new ConcurrentQueue<(uint Timestamp, bool Marker, long At)>();
        var started = new TaskCompletionSource();
        await using RoomClient viewer = await RoomClient.JoinAsync(Peer("viewer"), new RoomHandlers
        {
            TrackStarted = _ => started.TrySetResult(),
            Rtp = (RemoteTrack _, in RtpPacket packet, Instant _) => heard.Enqueue((packet.Timestamp, packet.Marker, Stopwatch.GetTimestamp())),
        }, cancellationToken: TestContext.Current.CancellationToken);
        await using RoomClient speaker = await RoomClient.JoinAsync(Peer("speaker"), new RoomHandlers(), cancellationToken: TestContext.Current.CancellationToken);
        LocalAudioTrack track = await speaker.PublishAudioAsync(cancellationToken: TestContext.Current.CancellationToken);
        await started.Task.WaitAsync(TimeSpan.FromSeconds(10), TestContext.Current.CancellationToken);

        // 20 ms packets, one of 60 ms, and one after a pause.
        OpusFrame[] frames = [.. Enumerable.Range(0, 10).Select(i => new OpusFrame(new byte[] { 0x78, (byte)i }, (uint)i * 960, 960, 30)),
            new OpusFrame(new byte[] { 0x18, 1 }, 9600, 2880, null), new OpusFrame(new byte[] { 0x78, 1 }, 12480 + 9600, 960, null)];
        var publisher = new PacedPublisher(track, frames);
        await publisher.RunAsync(TestContext.Current.CancellationToken);
        for (int i = 0; i < 500 && heard.Count < frames.Length; i++)
            await Task.Delay(10, TestContext.Current.CancellationToken);

        var packets = heard.ToArray();
        Assert.Equal(frames.Select(f => publisher.RtpOrigin + f.Timestamp), packets.Select(p => p.Timestamp));
        Assert.Equal(frames.Select((_, i) => i == 0), packets.Select(p => p.Marker));

        // Never before its last sample would have been spoken. (Late is the machine's business.)
        for (int i = 0; i < frames.Length; i++)
        {
            double due = (frames[i].Timestamp + frames[i].Duration) / 48000.0;
            Assert.True(Stopwatch.GetElapsedTime(publisher.StartedAt, packets[i].At).TotalSeconds > due - 0.005, $"Packet {i} came too early.");
        }

        // The next pass goes on where the clock of the first one ended.
        var next = new PacedPublisher(track, frames[..1], publisher.NextRtpOrigin);
        Assert.Equal(publisher.RtpOrigin + 12480 + 9600 + 960, next.RtpOrigin);
    }

    [Fact]
    public async Task The_commands_publish_and_listen_work_with_a_server()
    {
        await using WebApplication app = await StartAsync();
        (string, string)[] environment = [("TRANSCRIBE_URL", ServeHost.Url(app).ToString()), ("TRANSCRIBE_API_KEY", "app"), ("TRANSCRIBE_API_SECRET", Keys.Signing.Secret)];
        string wav = Path.Combine(AppContext.BaseDirectory, "demo", "short.wav");
        await File.WriteAllBytesAsync(wav, File.ReadAllBytes(Path.Combine(AppContext.BaseDirectory, "demo", "meeting.wav")).AsMemory(0, 32_000), TestContext.Current.CancellationToken);
        Cli.Result[] results = await Task.WhenAll(
            Cli.RunAsync(environment, "listen", "demo", "--seconds", "1.5"), Cli.RunAsync(environment, "publish", "demo", wav, "--json"));
        Assert.Equal((0, ""), (results[0].Status, results[0].Output));
        Assert.Contains("Transcription is off.", results[0].Error, StringComparison.Ordinal);
        Assert.Equal((0, ""), (results[1].Status, results[1].Error));
        using JsonDocument published = JsonDocument.Parse(results[1].Output);
        Assert.StartsWith("TR_", published.RootElement.GetProperty("track").GetString(), StringComparison.Ordinal);
        Assert.True(published.RootElement.GetProperty("packets").GetInt32() > 5);
        Assert.Equal(1, published.RootElement.GetProperty("passes").GetInt32());
    }

    private static async Task<WebApplication> StartAsync()
    {
        WebApplication app = ServeHost.Build(new ServeOptions
        {
            Keys = Keys,
            HttpAddress = "127.0.0.1",
            HttpPort = 0,
            UdpPort = 0,
            LogLevel = LogLevel.Warning,
        });
        await app.StartAsync(TestContext.Current.CancellationToken);
        return app;
    }
}
