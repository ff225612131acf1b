using System.Collections.Concurrent;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Transcribe.AiGateway.Captions;
using Transcribe.AiGateway.Models;
using Transcribe.AiGateway.Recognition;
using Transcribe.AiGateway.Subscriber;
using Transcribe.AiGateway.Takeover;
using Transcribe.Cluster;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Captions;
using Transcribe.Cluster.InProcess;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Cluster.State;
using Transcribe.Cluster.Transcripts;
using Transcribe.Rtc;

namespace Transcribe.AiGateway.Tests.Support;

/// <summary>
/// Several gateways over the same services, an SFU that speaks a script, on a virtual clock: 20 ms of it pass for one
/// packet of every voice.
/// </summary>
internal sealed class Studio : IAsyncDisposable
{
    private static readonly TimeSpan Step = TimeSpan.FromMilliseconds(20);

    private readonly InProcessStateStore _state;
    private readonly InProcessLeaseStore _leases;
    private readonly TranscriptStore _transcripts;
    private readonly NodeDirectory _nodes;
    private readonly HttpClient _http = new();
    private readonly List<Voice> _voices = [];

    public Studio()
    {
        Bus = new(NullLogger<InProcessMessageBus>.Instance, Clock);
        var log = new InProcessEventLog(Clock);
        _state = new(Clock);
        _leases = new(Clock);
        _transcripts = new(log, _state);
        _nodes = new(_state);
        Rooms = new(_state, log, Bus, Clock);
    }

    /// <summary>Four utterances, for <see cref="Script"/>.</summary>
    public static (int Value, double Seconds)[] Speech =>
    [
        (0, 1), (1, 0.5), (2, 0.5), (0, 1), (3, 0.6), (4, 0.4), (5, 0.7), (6, 0.5), (7, 0.6), (8, 0.4), (0, 1), (9, 0.5), (10, 0.5), (0, 0.8), (11, 1), (0, 2),
    ];

    /// <summary>The finals of <see cref="Speech"/>.</summary>
    public static string[] Words => ["w1 w2", "w3 w4 w5 w6 w7 w8", "w9 w10", "w11"];

    public FakeTimeProvider Clock { get; } = new() { AutoAdvanceAmount = TimeSpan.Zero };

    public InProcessMessageBus Bus { get; }

    public RoomDirectory Rooms { get; }

    public InProcessLeaseStore Leases => _leases;

    public NodeDirectory Nodes => _nodes;

    public List<Gateway> Gateways { get; } = [];

    /// <summary>What every viewer of any room got, in order.</summary>
    public ConcurrentQueue<CaptionMessage> Sent { get; } = new();

    /// <summary>Whether the SFU keeps sound.</summary>
    public bool KeepsHistory { get; set; } = true;

    /// <summary>The finals that a viewer shows: each revision of a segment once.</summary>
    public IEnumerable<CaptionMessage> Shown => Sent.Where(caption => caption.Final).DistinctBy(caption => (caption.Segment, caption.Rev));

    public async Task<Gateway> StartAsync(string name, int capacity = 100)
    {
        var gateway = new Gateway(this, name, capacity);
        Gateways.Add(gateway);
        await gateway.Service.StartAsync(CancellationToken.None);
        return gateway;
    }

    /// <summary>"g1", which has the room "demo" with the track "TR_1", and "g2".</summary>
    public async Task<(Gateway First, Gateway Second)> StartPairAsync()
    {
        Gateway first = await StartAsync("g1");
        await OpenRoomAsync("demo", "TR_1");
        await RunUntilAsync(() => first.Seats.ContainsKey("demo"));
        return (first, await StartAsync("g2"));
    }

    public async Task OpenRoomAsync(string room, params string[] tracks)
    {
        await Rooms.JoinAsync(room, $"S_{room}", "alice", null, true);
        foreach (string track in tracks)
        {
            var info = new TrackInfo(track, "alice", TrackKind.Audio, TrackSource.Microphone, null, false, 42, "sfu");
            await Rooms.PublishTrackAsync(room, $"S_{room}", info);
            _voices.Add(new(room, info));
        }

        if (_voices.Count == tracks.Length)
        {
            await Bus.RespondAsync<ReadHistory, TrackHistory>(SfuSubjects.History("sfu"), (request, _) =>
                ValueTask.FromResult(KeepsHistory
                    ? _voices.Single(voice => voice.Info.Id == request.TrackId).Read(request.FromTimestamp)
                    : throw new BusException("track_not_found", "nothing is kept")));
        }

        await Rooms.SetTranscriptionAsync(room, true, "fake", "en");
    }

    /// <summary>What the voice of a track says next: (word, seconds), 0 for silence.</summary>
    public void Script(string track, params (int Value, double Seconds)[] parts) =>
        _voices.Single(voice => voice.Info.Id == track).Script(parts);

    /// <summary>Time passes, the voices speak.</summary>
    public async Task RunAsync(double seconds)
    {
        for (int i = 0; i < Math.Round(seconds / 0.02); i++)
        {
            Clock.Advance(Step);
            foreach (Voice voice in _voices)
                voice.Speak(Instant.Of(Clock));
            await Task.Delay(i % 5 == 0 ? 5 : 1);
        }
    }

    public async Task RunUntilAsync(Func<bool> condition, double seconds = 30)
    {
        for (double passed = 0; !condition(); passed += 0.1)
        {
            Assert.True(passed < seconds, $"did not happen within {seconds} s of virtual time");
            await RunAsync(0.1);
        }
    }

    /// <summary>The store loses the room's setting, and who is in it.</summary>
    public async Task ForgetAsync(string room) =>
        Assert.True(await _state.DeleteAsync($"transcription/{room}") && await _state.DeleteAsync($"rooms/{room}"));

    public async Task<List<CaptionMessage>> TranscriptAsync(string room) => [.. (await _transcripts.ReadAsync(room)).Select(segment => segment.Caption)];

    public async ValueTask DisposeAsync()
    {
        foreach (Gateway gateway in Gateways)
            gateway.Kill();
        foreach (Gateway gateway in Gateways)
        {
            Task stopping = gateway.Service.StopAsync(CancellationToken.None);
            while (!stopping.IsCompleted)
            {
                Clock.Advance(TimeSpan.FromMilliseconds(200));
                await Task.Delay(2);
            }

            await gateway.DisposeAsync();
        }

        _http.Dispose();
        await Bus.DisposeAsync();
    }

    /// <summary>A gateway, and the lines that tie it to the world: cut, it is as dead as its process could be.</summary>
    internal sealed class Gateway : IRoomConnector, ILeaseStore, ITranscriptStore, IAsyncDisposable
    {
        private readonly Studio _studio;
        private readonly GatewayMetrics _metrics = new();
        private readonly CaptionWorkers _workers;
        private readonly RecognizerProvider _recognizers;
        private readonly TranscriptBacklog _backlog;
        private readonly StudioBus _bus;
        private volatile bool _dead;

        public Gateway(Studio studio, string name, int capacity)
        {
            _studio = studio;
            Name = name;
            _bus = new(studio.Bus);
            _workers = new(1, studio.Clock);
            _recognizers = new(new(), new ModelManager(studio._http, new() { Directory = Path.GetTempPath() }, studio.Clock), NullLogger<RecognizerProvider>.Instance);
            _recognizers.Register("fake", () => new FakeRecognizer());
            _backlog = new(this, _metrics, studio.Clock, NullLogger.Instance);
            var services = new TranscriberServices(
                this, _workers, new FakeVad(), () => new FakeDecoder(), this, _backlog, new TrackHistories(studio.Bus, NullLogger<TrackHistories>.Instance),
                _metrics, studio.Clock, NullLogger.Instance);
            Service = new(
                new() { Node = name, Capacity = capacity }, services, _recognizers,
                new(studio.Rooms, _bus, this, studio._nodes, Connection, NodeHeartbeat.Cluster,
                    new(studio.Bus, Connection, studio.Clock, NullLogger<NodeWatcher>.Instance)),
                NullLogger<GatewayService>.Instance);
        }

        public string Name { get; }

        public GatewayService Service { get; }

        public Line Connection { get; } = new();

        /// <summary>The store does not answer.</summary>
        public bool StoreAway { get; set; }

        /// <summary>Renewals do not get through, as where the process stands still.</summary>
        public bool Stalls { get; set; }

        public ConcurrentDictionary<string, Seat> Seats { get; } = new();

        /// <summary>Its process is there no more.</summary>
        public void Kill()
        {
            Isolate();
            FallSilent();
        }

        /// <summary>It answers nobody on the bus; all else goes on.</summary>
        public void FallSilent() => _bus.Cut();

        /// <summary>Nothing of it reaches the store or a viewer, but it answers.</summary>
        public void Isolate() => _dead = true;

        public Task<IRoomConnection> ConnectAsync(string room, IRoomObserver observer, CancellationToken cancellationToken)
        {
            Hang(false);
            var seat = new Seat(this, room, observer);
            Seats[room] = seat;
            foreach (Voice voice in _studio._voices.Where(voice => voice.Room == room))
                observer.OnTrackStarted(voice.Info);
            foreach (Voice voice in _studio._voices.Where(voice => voice.Room == room))
                voice.Add(seat);
            return Task.FromResult<IRoomConnection>(seat);
        }

        public ValueTask<Lease?> TryAcquireAsync(string name, string owner, TimeSpan timeToLive, CancellationToken cancellationToken = default)
        {
            Hang(false);
            return _studio._leases.TryAcquireAsync(name, owner, timeToLive, cancellationToken);
        }

        public async ValueTask<Lease?> TryRenewAsync(Lease lease, TimeSpan timeToLive, CancellationToken cancellationToken = default)
        {
            Hang(false);
            while (Stalls)
                await Task.Delay(Step, _studio.Clock, cancellationToken);
            return await _studio._leases.TryRenewAsync(lease, timeToLive, cancellationToken);
        }

        public ValueTask<IReadOnlyList<Lease>> ListAsync(string prefix, CancellationToken cancellationToken = default)
        {
            Hang(false);
            return _studio._leases.ListAsync(prefix, cancellationToken);
        }

        public ValueTask ReleaseAsync(Lease lease, CancellationToken cancellationToken = default) =>
            _dead ? ValueTask.CompletedTask : _studio._leases.ReleaseAsync(lease, cancellationToken);

        public ValueTask<long> AppendAsync(CaptionMessage final, string? speakerName, CancellationToken cancellationToken = default) =>
            throw new NotSupportedException();

        public ValueTask OpenAsync(string room, string writer, CancellationToken cancellationToken = default)
        {
            Hang(true);
            return _studio._transcripts.OpenAsync(room, writer, cancellationToken);
        }

        public ValueTask<string?> GetWriterAsync(string room, CancellationToken cancellationToken = default)
        {
            Hang(true);
            return _studio._transcripts.GetWriterAsync(room, cancellationToken);
        }

        public ValueTask<bool> TryAppendAsync(CaptionMessage final, string? speakerName, string writer, CancellationToken cancellationToken = default)
        {
            Hang(true);
            return _studio._transcripts.TryAppendAsync(final, speakerName, writer, cancellationToken);
        }

        public ValueTask<IReadOnlyList<TranscriptSegment>> ReadAsync(
            string room, long afterSequence = 0, int max = int.MaxValue, CancellationToken cancellationToken = default) =>
            _studio._transcripts.ReadAsync(room, afterSequence, max, cancellationToken);

        public ValueTask<IReadOnlyList<TranscriptSegment>> ReadLastAsync(string room, int max, CancellationToken cancellationToken = default)
        {
            Hang(true);
            return _studio._transcripts.ReadLastAsync(room, max, cancellationToken);
        }

        public ValueTask DeleteAsync(string room, CancellationToken cancellationToken = default) => throw new NotSupportedException();

        public async ValueTask DisposeAsync()
        {
            Service.Dispose();
            _backlog.Dispose();
            await Task.Yield();
            _workers.Dispose();
            _recognizers.Dispose();
            _metrics.Dispose();
        }

        /// <summary>Whether a caption reaches anybody.</summary>
        public bool Deliver(Seat from, CaptionMessage caption)
        {
            if (_dead)
                return true;
            _studio.Sent.Enqueue(caption);
            foreach (Gateway other in _studio.Gateways)
            {
                if (other != this && other.Seats.TryGetValue(from.Room, out Seat? seat) && !seat.Left)
                    seat.Observer.OnForeignCaption();
            }

            return true;
        }

        private void Hang(bool transcript)
        {
            if (_dead || (transcript && StoreAway))
                throw new BusException("unavailable", "the store is away");
        }
    }

    /// <summary>A gateway's end of the bus: cut, nobody answers there any more.</summary>
    private sealed class StudioBus(IMessageBus bus) : IMessageBus
    {
        private readonly ConcurrentBag<IAsyncDisposable> _responders = [];

        public void Cut()
        {
            foreach (IAsyncDisposable responder in _responders)
                _ = responder.DisposeAsync().AsTask();
        }

        public ValueTask PublishAsync<T>(string subject, T message, CancellationToken cancellationToken = default) =>
            bus.PublishAsync(subject, message, cancellationToken);

        public ValueTask<IAsyncDisposable> SubscribeAsync<T>(
            string subject, Func<T, CancellationToken, ValueTask> handler, CancellationToken cancellationToken = default) =>
            bus.SubscribeAsync(subject, handler, cancellationToken);

        public ValueTask<TReply> RequestAsync<TRequest, TReply>(
            string subject, TRequest request, TimeSpan timeout, CancellationToken cancellationToken = default) =>
            bus.RequestAsync<TRequest, TReply>(subject, request, timeout, cancellationToken);

        public async ValueTask<IAsyncDisposable> RespondAsync<TRequest, TReply>(
            string subject, Func<TRequest, CancellationToken, ValueTask<TReply>> handler, CancellationToken cancellationToken = default)
        {
            IAsyncDisposable responder = await bus.RespondAsync(subject, handler, cancellationToken);
            _responders.Add(responder);
            return responder;
        }
    }

    /// <summary>The gateway's place in a room: packets come with its own SSRC and numbers.</summary>
    internal sealed class Seat(Gateway gateway, string room, IRoomObserver observer) : IRoomConnection
    {
        public string Room { get; } = room;

        public IRoomObserver Observer { get; } = observer;

        public bool Left { get; private set; }

        public bool TrySend(string label, ReadOnlySpan<byte> utf8) =>
            gateway.Deliver(this, ClusterJson.Deserialize<CaptionMessage>(Encoding.UTF8.GetString(utf8)));

        public string? DisplayName(string participant) => participant.ToUpperInvariant();

        public ValueTask DisposeAsync()
        {
            Left = true;
            Observer.OnClosed("left");
            return ValueTask.CompletedTask;
        }
    }

    /// <summary>A track as its SFU has it.</summary>
    internal sealed class Voice(string room, TrackInfo info)
    {
        private readonly Lock _lock = new();
        private readonly Queue<int> _script = new();
        private readonly List<HistoryPacket> _kept = [];
        private readonly List<(Seat Seat, int Shift, uint Ssrc)> _seats = [];
        private int _sequence = 65000;
        private uint _timestamp = uint.MaxValue - (48000 * 8);

        public string Room { get; } = room;

        public TrackInfo Info { get; } = info;

        public void Script(IEnumerable<(int Value, double Seconds)> parts)
        {
            foreach ((int value, double seconds) in parts)
            {
                for (int i = 0; i < Math.Round(seconds / 0.02); i++)
                    _script.Enqueue(value);
            }
        }

        public void Add(Seat seat)
        {
            lock (_lock)
                _seats.Add((seat, 1000 * (_seats.Count + 1), (uint)(900 + _seats.Count)));
        }

        public void Speak(Instant now)
        {
            lock (_lock)
            {
                byte[] payload = FakeDecoder.Packet(_script.TryDequeue(out int value) ? value : 0);
                ushort sequence = unchecked((ushort)_sequence++);
                _kept.Add(new(sequence, _timestamp, 111, false, payload));
                if (_kept.Count > 750)
                    _kept.RemoveAt(0);
                foreach ((Seat seat, int shift, uint ssrc) in _seats)
                {
                    if (!seat.Left)
                        seat.Observer.OnRtp(Info.Id, ssrc, unchecked((ushort)(sequence + shift)), _timestamp, payload, now);
                }

                unchecked
                {
                    _timestamp += 960;
                }
            }
        }

        public TrackHistory Read(uint? from)
        {
            lock (_lock)
                return new(Info.Id, "opus", 48000, [.. _kept.Where(packet => from is not { } start || (int)(packet.Timestamp - start) >= 0)]);
        }
    }

    /// <summary>The line to the store, as the gateway is told of it.</summary>
    internal sealed class Line : IClusterConnection
    {
        public event Action<ClusterReconnected>? Reconnected;

        public bool IsConnected => true;

        public void Return(bool stateWasLost) => Reconnected?.Invoke(new(stateWasLost));
    }
}
