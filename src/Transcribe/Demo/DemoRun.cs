using System.Net.Http.Json;
using System.Text.Json;
using Transcribe.AiGateway.Evaluation;
using Transcribe.Cluster;
using Transcribe.Cluster.Captions;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Tokens;
using Transcribe.Commands;
using Transcribe.Hosting;
using Transcribe.Peer;
using Transcribe.Publishing;

namespace Transcribe.Demo;

/// <summary>
/// The product in one minute without a browser: a server, a speaker who publishes the fixture, a viewer who receives
/// captions over its data channel. Everything goes over the loopback network, as it would between machines.
/// </summary>
internal sealed class DemoRun(string engine, Action<string> say)
{
    private const string Room = "demo";

    /// <summary>The recording that is copied beside the program.</summary>
    public static string DefaultRecording => Path.Combine(AppContext.BaseDirectory, "demo", "meeting.wav");

    /// <summary>Runs once and scores what the viewer got.</summary>
    /// <param name="caption">Called for every caption the viewer receives.</param>
    public async Task<(CaptionScore Score, string? Notice)> RunAsync(string recording, Action<CaptionMessage> caption, CancellationToken cancellationToken)
    {
        SpeechFixture fixture = SpeechFixture.Parse(await File.ReadAllTextAsync(Path.ChangeExtension(recording, ".json"), cancellationToken));
        IReadOnlyList<OpusFrame> frames = OpusSource.Load(recording);
        ApiKeyRing keys = ApiKeyRing.CreateDevelopment();
        ServeOptions options = ServeOptions.FromEnvironment() with
        {
            Keys = keys,
            HttpPort = 0,
            UdpPort = 0,
            LogLevel = LogLevel.Warning,
        };
        await using WebApplication server = ServeHost.Build(options);
        await server.StartAsync(cancellationToken);
        Uri url = ServeHost.Url(server);
        say($"Server on {url}, media on UDP {string.Join(", ", ServeHost.UdpPorts(server))}");

        var ready = new TaskCompletionSource<TranscriptionState>(TaskCreationOptions.RunContinuationsAsynchronously);
        var received = new List<(CaptionMessage Caption, long At)>();
        void Watch(TranscriptionState state)
        {
            if (state is { Enabled: true, ActiveEngine: not null })
                ready.TrySetResult(state);
        }

        await using RoomClient viewer = await RoomClient.JoinAsync(
            new PeerOptions { ServerUrl = url, Token = ServerAccess.Mint(keys, Room, "viewer", new Grants { Subscribe = true }) },
            new RoomHandlers
            {
                RoomEvent = change =>
                {
                    if (change is TranscriptionChanged { Transcription: var state })
                        Watch(state);
                },
                Data = (label, utf8) =>
                {
                    if (label != CaptionMessage.ChannelLabel || JsonSerializer.Deserialize<CaptionMessage>(utf8, ClusterJson.Options) is not { } message)
                        return;
                    lock (received)
                        received.Add((message, System.Diagnostics.Stopwatch.GetTimestamp()));
                    caption(message);
                },
            },
            cancellationToken: cancellationToken);
        await using RoomClient speaker = await RoomClient.JoinAsync(
            new PeerOptions { ServerUrl = url, Token = ServerAccess.Mint(keys, Room, "speaker", new Grants { Publish = true }), AutoSubscribe = false, InitialSlots = 0 },
            new RoomHandlers(),
            cancellationToken: cancellationToken);
        LocalAudioTrack track = await speaker.PublishAudioAsync(cancellationToken: cancellationToken);

        await SwitchOnAsync(url, keys, cancellationToken);
        Watch(viewer.Transcription);
        TranscriptionState state;
        try
        {
            state = await ready.Task.WaitAsync(TimeSpan.FromSeconds(60), cancellationToken);
        }
        catch (TimeoutException)
        {
            throw new CommandException($"No gateway took the room within 60 s. {viewer.Transcription.Notice} Run \"transcribe doctor\" to see what is missing.", ExitStatus.Failed);
        }

        say($"Transcription is on: {state.ActiveEngine}. {state.Notice}");
        say($"{fixture.Sentences.Count} sentences, {fixture.Seconds:0} s, voice {fixture.Voice}");
        var publisher = new PacedPublisher(track, frames);
        await publisher.RunAsync(cancellationToken);

        // The last final is due within seconds; then the room is quiet.
        await QuietAsync(received, cancellationToken);
        await speaker.LeaveAsync();
        await viewer.LeaveAsync();
        await server.StopAsync(cancellationToken);
        lock (received)
        {
            ReceivedCaption[] captions =
                [.. received.Select(r => new ReceivedCaption(r.Caption, System.Diagnostics.Stopwatch.GetElapsedTime(publisher.StartedAt, r.At).TotalSeconds))];
            return (CaptionScore.Of(fixture, publisher.RtpOrigin, captions), state.Notice);
        }
    }

    private async Task SwitchOnAsync(Uri url, ApiKeyRing keys, CancellationToken cancellationToken)
    {
        using var http = new HttpClient { BaseAddress = url };
        http.DefaultRequestHeaders.Authorization = new("Bearer", ServerAccess.Mint(keys, Room, "admin", new Grants { Admin = true }));
        using HttpResponseMessage response = await http.PutAsJsonAsync(
            $"/v1/rooms/{Room}/transcription", new { enabled = true, engine, language = "en" }, ClusterJson.Options, cancellationToken);
        if (!response.IsSuccessStatusCode)
            throw new CommandException($"Transcription could not be switched on: {await response.Content.ReadAsStringAsync(cancellationToken)}");
    }

    /// <summary>Waits until no caption came for a second and a half, 10 s at most.</summary>
    private static async Task QuietAsync(List<(CaptionMessage Caption, long At)> received, CancellationToken cancellationToken)
    {
        for (int i = 0; i < 100; i++)
        {
            await Task.Delay(100, cancellationToken);
            lock (received)
            {
                if (i >= 15 && (received.Count == 0 || (received[^1].Caption.Final && System.Diagnostics.Stopwatch.GetElapsedTime(received[^1].At).TotalSeconds > 1.5)))
                    return;
            }
        }
    }
}
