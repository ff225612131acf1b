using Microsoft.Extensions.Logging.Abstractions;
using Transcribe.AiGateway.Captions;
using Transcribe.AiGateway.Models;
using Transcribe.AiGateway.Recognition;
using Transcribe.AiGateway.Subscriber;
using Transcribe.AiGateway.Takeover;
using Transcribe.AiGateway.Tests.Support;
using Transcribe.Cluster.Captions;
using Transcribe.Cluster.InProcess;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.State;
using Transcribe.Cluster.Transcripts;

namespace Transcribe.AiGateway.Tests.Subscriber;

/// <summary>The gateway role over the in-process cluster services, with rooms that need no network.</summary>
public sealed class GatewayServiceTests : IAsyncLifetime
{
    private readonly InProcessMessageBus _bus = new(NullLogger<InProcessMessageBus>.Instance, TimeProvider.System);
    private readonly InProcessLeaseStore _leases = new(TimeProvider.System);
    private readonly RoomDirectory _directory;
    private readonly TranscriptStore _transcripts;
    private readonly TranscriptBacklog _backlog;
    private readonly NodeDirectory _nodes;
    private readonly FakeRooms _rooms = new();
    private readonly FakeRecognizer _recognizer = new();
    private readonly CaptionWorkers _workers = new(2, TimeProvider.System);
    private readonly GatewayMetrics _metrics = new();
    private readonly HttpClient _http = new();
    private readonly RecognizerProvider _recognizers;
    private readonly AiGatewayOptions _options;
    private readonly GatewayService _service;

    public GatewayServiceTests()
    {
        var log = new InProcessEventLog(TimeProvider.System);
        var state = new InProcessStateStore(TimeProvider.System);
        _directory = new RoomDirectory(state, log, _bus, TimeProvider.System);
        _transcripts = new TranscriptStore(log, state);
        _nodes = new NodeDirectory(state);
        _backlog = new TranscriptBacklog(_transcripts, _metrics, TimeProvider.System, NullLogger.Instance);
        _recognizers = new RecognizerProvider(
            new(), new ModelManager(_http, new() { Directory = Path.GetTempPath() }, TimeProvider.System), NullLogger<RecognizerProvider>.Instance);
        _recognizers.Register("fake", () => _recognizer);
        _options = new();
        _service = MakeService(_options, _rooms);
    }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync() => new(_service.StartAsync(Token));

    public async ValueTask DisposeAsync()
    {
        await _service.StopAsync(CancellationToken.None);
        _service.Dispose();
        await _backlog.DisposeAsync();
        _workers.Dispose();
        _recognizers.Dispose();
        _metrics.Dispose();
        _http.Dispose();
        await _bus.DisposeAsync();
    }

    [Fact]
    public async Task Captions_a_room_that_has_transcription_on_and_somebody_in_it()
    {
        await _directory.SetTranscriptionAsync("demo", true, "fake", "en", Token);
        await Task.Delay(200, Token);
        Assert.Empty(_rooms.Joined);
        await JoinAsync("demo", "alice");
        FakeRoom room = await _rooms.NextAsync();
        Assert.Equal("demo", room.Room);
        await Eventually.TrueAsync(() => State("demo").ActiveEngine == "fake/one");

        room.Publish("TR_1");
        room.Speak("TR_1", (0, 0.3), (3, 0.5), (4, 0.5), (0, 1));

        await Eventually.TrueAsync(() => room.Captions.Any(caption => caption.Final));
        CaptionRules.Check(room.Captions);
        CaptionMessage final = room.Captions.Single(caption => caption.Final);
        Assert.Equal(("w3 w4", "alice", "TR_1", 42u, "fake/one"), (final.Text, final.Participant, final.Track, final.Rtp.Ssrc, final.Engine));
        TranscriptSegment stored = await Eventually.GetAsync(() => _transcripts.ReadAsync("demo").AsTask().Result.SingleOrDefault());
        Assert.Equal(("ALICE", "w3 w4"), (stored.SpeakerName, stored.Caption.Text));
    }

    [Fact]
    public async Task Leaves_with_the_last_words_when_transcription_is_switched_off()
    {
        FakeRoom room = await CaptionedRoomAsync();
        room.Publish("TR_1");
        room.Speak("TR_1", (3, 0.5));
        await _directory.SetTranscriptionAsync("demo", false, "fake", "en", Token);

        await Eventually.TrueAsync(() => room.Left);
        Assert.Equal("w3", room.Captions.Single(caption => caption.Final).Text);
        await Eventually.TrueAsync(() => State("demo").ActiveEngine is null);
        Assert.NotNull(await _leases.TryAcquireAsync("gateway:demo", "another", TimeSpan.FromSeconds(1), Token));
        Assert.Equal(0, _workers.Count);
        Assert.Equal(0, _recognizer.Open);
    }

    [Fact]
    public async Task Leaves_when_the_last_participant_does()
    {
        FakeRoom room = await CaptionedRoomAsync();
        await _directory.LeaveAsync("demo", "S_alice", "alice", "left", Token);

        await Eventually.TrueAsync(() => room.Left);
    }

    [Fact]
    public async Task Comes_back_when_it_was_thrown_out_or_could_not_join()
    {
        FakeRoom room = await CaptionedRoomAsync();
        _rooms.FailNext("the server is busy");
        room.Close("nodeShutdown");

        FakeRoom again = await _rooms.NextAsync(1);
        Assert.False(again.Left);
        await Eventually.TrueAsync(() => State("demo").ActiveEngine == "fake/one");
    }

    [Fact]
    public async Task Starts_again_with_the_new_settings_after_it_has_left_with_the_old()
    {
        _recognizers.Register("other", () => new FakeRecognizer { Name = "fake/two" });
        FakeRoom room = await CaptionedRoomAsync();
        await _directory.SetTranscriptionAsync("demo", true, "other", "en", Token);

        await _rooms.NextAsync(1);
        Assert.True(room.Left);
        await Eventually.TrueAsync(() => State("demo").ActiveEngine == "fake/two");
    }

    [Fact]
    public async Task Tells_people_why_there_are_no_captions()
    {
        await JoinAsync("demo", "alice");
        await _directory.SetTranscriptionAsync("demo", true, "parrot", "en", Token);

        await Eventually.TrueAsync(() => State("demo").Notice?.Contains("no engine \"parrot\"", StringComparison.Ordinal) == true);
        Assert.Empty(_rooms.Joined);
    }

    [Fact]
    public async Task Leaves_a_room_to_the_gateway_that_has_it_and_takes_it_over()
    {
        Lease? foreign = await _leases.TryAcquireAsync("gateway:demo", "another", TimeSpan.FromSeconds(60), Token);
        await JoinAsync("demo", "alice");
        await _directory.SetTranscriptionAsync("demo", true, "fake", "en", Token);
        await Task.Delay(300, Token);
        Assert.Empty(_rooms.Joined);

        await _leases.ReleaseAsync(foreign!, Token);
        await _rooms.NextAsync();
    }

    [Fact]
    public async Task An_error_of_the_engine_costs_one_utterance()
    {
        FakeRoom room = await CaptionedRoomAsync();
        room.Publish("TR_1");
        _recognizer.Failure = new InvalidOperationException("the engine hiccups");
        room.Speak("TR_1", (3, 0.5), (0, 1));
        room.Publish("TR_2", "bob");
        room.Speak("TR_2", (0, 0.1));
        await Task.Delay(300, Token);
        Assert.Empty(room.Captions);
        _recognizer.Failure = null;
        room.Speak("TR_1", (4, 0.5), (0, 1));

        await Eventually.TrueAsync(() => room.Captions.Any(caption => caption.Final));
        Assert.Equal("w4", room.Captions.Last().Text);
        Assert.Equal(2, _workers.Count);
    }

    [Fact]
    public async Task Listens_to_voices_and_not_to_shared_screens()
    {
        FakeRoom room = await CaptionedRoomAsync();
        room.Publish("TR_1", source: TrackSource.ScreenAudio);
        room.Publish("TR_2", source: TrackSource.Unknown);

        await Eventually.TrueAsync(() => _workers.Count == 1);
        room.Unpublish("TR_2");
        await Eventually.TrueAsync(() => _workers.Count == 0);
    }

    [Fact]
    public async Task Keeps_finals_while_the_channel_is_full()
    {
        FakeRoom room = await CaptionedRoomAsync();
        room.Full = true;
        room.Publish("TR_1");
        room.Speak("TR_1", (3, 0.5), (0, 1), (4, 0.5), (0, 1));
        await Eventually.TrueAsync(() => _transcripts.ReadAsync("demo").AsTask().Result.Count == 2);
        room.Full = false;

        await Eventually.TrueAsync(() => room.Captions.Count(caption => caption.Final) == 2);
    }

    [Fact]
    public void Options_are_checked_in_sentences()
    {
        Assert.Empty(new AiGatewayOptions().Validate());
        var wrong = new AiGatewayOptions
        {
            Node = " ",
            SignalingUrl = new Uri("ftp://x"),
            Workers = 0,
            LeaseTime = TimeSpan.Zero,
            PollInterval = TimeSpan.Zero,
            Capacity = 0,
            Vad = VadKind.Silero,
            SileroModelPath = "/nowhere.onnx",
        };
        Assert.Equal(7, wrong.Validate().Count());
        Assert.Contains(wrong.Validate(), sentence => sentence.Contains("Gateway:Workers is 0; it must be 1 to 256", StringComparison.Ordinal));
    }

    private async Task<FakeRoom> CaptionedRoomAsync()
    {
        await JoinAsync("demo", "alice");
        await _directory.SetTranscriptionAsync("demo", true, "fake", "en", Token);
        FakeRoom room = await _rooms.NextAsync();
        await Eventually.TrueAsync(() => State("demo").ActiveEngine is not null);
        return room;
    }

    private async Task JoinAsync(string room, string participant) =>
        await _directory.JoinAsync(room, $"S_{participant}", participant, null, true, Token);

    private TranscriptionState State(string room) => _directory.GetTranscriptionAsync(room).AsTask().Result;

    private GatewayService MakeService(AiGatewayOptions options, IRoomConnector connector) => new(
        options,
        new TranscriberServices(connector, _workers, new FakeVad(), () => new FakeDecoder(), _transcripts, _backlog,
            new TrackHistories(_bus, NullLogger<TrackHistories>.Instance), _metrics, TimeProvider.System, NullLogger.Instance),
        _recognizers, new GatewayCluster(_directory, _bus, _leases, _nodes, new InProcessClusterConnection(), NodeHeartbeat.Default, new NodeWatcher(_bus, new InProcessClusterConnection(), TimeProvider.System, NullLogger<NodeWatcher>.Instance)),
        NullLogger<GatewayService>.Instance);
}
