using System.Collections.Concurrent;
using System.Net;
using System.Threading.Channels;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Redis;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Cluster.State;
using Transcribe.Rtc;
using Transcribe.Rtc.Dtls;
using Transcribe.Sfu.Net;
using Transcribe.Sfu.Relay;
using Transcribe.Sfu.Routing;
using Transcribe.Sfu.Workers;

namespace Transcribe.Sfu.Control;

/// <summary>
/// The SFU role of a process: starts the workers, answers <see cref="SfuSubjects"/> on the bus, and tells the cluster
/// what happens on the workers.
/// </summary>
public sealed partial class SfuNode : IHostedService, IDisposable
{
    private readonly SfuOptions _options;
    private readonly IMessageBus _bus;
    private readonly IRoomDirectory _rooms;
    private readonly INodeDirectory _nodes;
    private readonly NodeAnnouncer _announcer;
    private readonly TimeProvider _clock;
    private readonly ILogger<SfuNode> _log;
    private readonly ConcurrentDictionary<string, SfuWorker> _sessions = new(StringComparer.Ordinal);

    /// <summary>Those of the sessions that are links of other nodes.</summary>
    private readonly ConcurrentDictionary<string, byte> _linkSessions = new(StringComparer.Ordinal);

    private readonly NodeSpeakers _speakers;
    private readonly List<SfuWorker> _workers = [];
    private IReadOnlyList<WorkerLink> _links = [];
    private WorkerAllocator _allocator = null!;
    private readonly List<ChannelWriter<SfuEvent>> _eventWriters = [];
    private readonly List<Task> _pumps = [];
    private readonly List<IAsyncDisposable> _responders = [];
    private readonly CancellationTokenSource _stopping = new();
    private DtlsCertificate? _certificate;
    private int _disposed;
    private DtlsPoolExecutor? _executor;
    private SfuMetrics? _metrics;
    private NodeLoadMeter? _load;

    public SfuNode(
        SfuOptions options, IMessageBus bus, IRoomDirectory rooms, INodeDirectory nodes, TimeProvider clock, ILogger<SfuNode> log,
        IClusterConnection? connection = null, NodeHeartbeat? heartbeat = null, IStateStore? state = null, RedisClusterOptions? redis = null,
        NodeStandings? standings = null)
    {
        (_state, _clusterKey, _connection) = (state, options.Relay.ClusterKey ?? redis?.ClusterKey, connection ?? new InProcessClusterConnection());
        (_options, _bus, _rooms, _nodes, _clock, _log) = (options, bus, rooms, nodes, clock, log);
        _announcer = new NodeAnnouncer(
            Describe, nodes, bus, _connection, heartbeat ?? NodeHeartbeat.Default, clock, log, standings?[NodeRole.Sfu]);
        _speakers = new NodeSpeakers(options.NodeId);
    }

    /// <summary>The node's name on the bus.</summary>
    public string NodeId => _options.NodeId;

    /// <summary>The UDP ports in use, one per worker; empty before the start.</summary>
    public IReadOnlyList<int> UdpPorts => [.. _workers.Select(w => (int)w.LocalAddress.Port)];

    /// <summary>Sessions of participants on the node now.</summary>
    public int SessionCount => Math.Max(0, _sessions.Count - _linkSessions.Count);

    /// <summary>Links of other nodes to this one now.</summary>
    public int LinkCount => _linkSessions.Count;

    internal IReadOnlyList<SfuWorker> Workers => _workers;

    /// <exception cref="InvalidOperationException">An option cannot work.</exception>
    /// <exception cref="IOException">A port cannot be bound.</exception>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        _options.Validate();
        _certificate = DtlsCertificate.Generate(_clock.GetUtcNow(), TimeSpan.FromDays(365));
        _executor = new DtlsPoolExecutor();
        Task warmup = Task.Run(() => RtcWarmup.Run(cancellationToken: cancellationToken), cancellationToken);
        RtcSessionOptions session = MakeSessionOptions();
        IReadOnlyList<IPAddress> local = AdvertisedCandidates.LocalAddresses();
        for (int i = 0; i < _options.EffectiveWorkers; i++)
            _workers.Add(MakeWorker(i, _options.UdpPort == 0 ? 0 : _options.UdpPort + i, session, local));
        MakeRelay(session, local);
        var cpu = new WorkerCpu(_workers, _clock);
        _allocator = new WorkerAllocator(
            _workers, new RoomFirstPlacement(_options.SessionsOfRoomPerWorker), _options.Limits.MaxSessionsPerRoom, cpu);
        _metrics = new SfuMetrics(_relayWorker is null ? _workers : [.. _workers, _relayWorker], _relay);
        _load = new NodeLoadMeter(_workers, cpu, _options.Limits, _clock);

        string node = _options.NodeId;
        await RespondAsync<OpenSession, Ack>(SfuSubjects.Open(node), OpenAsync, cancellationToken).ConfigureAwait(false);
        await RespondAsync<NegotiateSession, SessionNegotiated>(SfuSubjects.Negotiate(node), NegotiateAsync, cancellationToken).ConfigureAwait(false);
        await RespondAsync<AddSessionCandidate, Ack>(SfuSubjects.AddCandidate(node), AddCandidateAsync, cancellationToken).ConfigureAwait(false);
        await RespondAsync<SetSubscription, Ack>(SfuSubjects.Subscribe(node), SubscribeAsync, cancellationToken).ConfigureAwait(false);
        await RespondAsync<SetTrackMuted, Ack>(SfuSubjects.SetMuted(node), SetMutedAsync, cancellationToken).ConfigureAwait(false);
        await RespondAsync<CloseSession, Ack>(SfuSubjects.Close(node), CloseAsync, cancellationToken).ConfigureAwait(false);
        await RespondAsync<DescribeSession, SessionDescription>(SfuSubjects.Describe(node), DescribeAsync, cancellationToken).ConfigureAwait(false);
        await StartStatisticsAsync(node, cancellationToken).ConfigureAwait(false);
        await StartHistoryAsync(node, cancellationToken).ConfigureAwait(false);
        await StartRelayAsync(node, cancellationToken).ConfigureAwait(false);
        foreach (SfuWorker worker in _workers)
            worker.Start();
        await warmup.ConfigureAwait(false);
        RtcWarmup.RunInBackground(_stopping.Token);
        await _announcer.StartAsync(cancellationToken).ConfigureAwait(false);
        _connection.Reconnected += OnReconnected;
        LogStarted(node, string.Join(", ", UdpPorts));
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        _connection.Reconnected -= OnReconnected;
        await _announcer.WithdrawAsync().ConfigureAwait(false);
        await _stopping.CancelAsync().ConfigureAwait(false);
        foreach (IAsyncDisposable responder in _responders)
            await responder.DisposeAsync().ConfigureAwait(false);
        _responders.Clear();
        await StopRelayAsync().ConfigureAwait(false);
        await _comparing.ConfigureAwait(false);
        foreach (SfuWorker worker in _workers)
            await Task.Run(worker.Stop, CancellationToken.None).ConfigureAwait(false);

        // The workers' last words: every session ended.
        foreach (ChannelWriter<SfuEvent> writer in _eventWriters)
            writer.TryComplete();
        await Task.WhenAll(_pumps).WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await _announcer.StopAsync(cancellationToken).ConfigureAwait(false);
    }

    public void Dispose()
    {
        // A container that knows the node as itself and as a hosted service disposes it twice.
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
            return;
        _announcer.Dispose();
        _stopping.Cancel();
        _metrics?.Dispose();
        foreach (SfuWorker worker in _workers)
            worker.Dispose();
        _relayWorker?.Dispose();
        foreach (WorkerLink link in _links)
            link.Dispose();
        _workers.Clear();
        _executor?.Dispose();
        _certificate?.Dispose();
        _stopping.Dispose();
    }

    private RtcSessionOptions MakeSessionOptions()
    {
        var session = new RtcSessionOptions { Certificate = _certificate!, DtlsExecutor = _executor!, IceLite = true };
        TimeSpan disconnected = _options.PeerTimeout < session.Ice.DisconnectedAfter * 2 ? _options.PeerTimeout / 2 : session.Ice.DisconnectedAfter;
        return session with { Ice = session.Ice with { FailedAfter = _options.PeerTimeout, DisconnectedAfter = disconnected } };
    }

    private SfuWorker MakeWorker(int index, int port, RtcSessionOptions session, IReadOnlyList<IPAddress> local)
    {
        IDatagramSocket socket = DatagramSockets.Bind(new DatagramSocketOptions
        {
            BindAddress = IPAddress.Parse(_options.BindAddress),
            Port = port,
            BufferSize = _options.SocketBuffer,
            SegmentationOffload = _options.Offload,
            ReceiveOffload = _options.Offload,
            ForcePortable = _options.PortableSockets,
        });
        Channel<SfuEvent> events = Channel.CreateBounded<SfuEvent>(
            new BoundedChannelOptions(_options.Limits.MaxEvents) { SingleReader = true, AllowSynchronousContinuations = false });
        var worker = new SfuWorker(
            new SfuWorkerOptions
            {
                Index = index,
                NodeId = _options.NodeId,
                Clock = _clock,
                Session = session,
                Candidates = AdvertisedCandidates.For(_options, socket.LocalAddress.Port, local),
                Events = events.Writer,
                Limits = _options.Limits,
                IsTranscribed = IsTranscribed,
                Pin = _options.PinWorkers,
            },
            socket);
        _eventWriters.Add(events.Writer);
        _pumps.Add(Task.Run(() => PumpAsync(index, events.Reader)));
        return worker;
    }

    private async Task RespondAsync<TRequest, TReply>(
        string subject, Func<TRequest, CancellationToken, ValueTask<TReply>> handler, CancellationToken cancellationToken) =>
        _responders.Add(await _bus.RespondAsync(subject, handler, cancellationToken).ConfigureAwait(false));

    private async ValueTask<Ack> OpenAsync(OpenSession request, CancellationToken cancellationToken)
    {
        if (_sessions.ContainsKey(request.SessionId))
            return new Ack();
        bool isLink = request.Relay is not null;
        if (!isLink)
            RequireRoomForOne();
        SfuWorker worker = Place(request.Room, isLink);
        if (!_sessions.TryAdd(request.SessionId, worker))
        {
            _allocator.Release(request.Room, worker, isLink);
            return new Ack();
        }

        if (isLink)
            _linkSessions[request.SessionId] = 0;

        try
        {
            SfuSessionSettings settings = SfuSessionSettings.Of(request);
            if (request.Relay is not null)
                settings = settings with { Relay = (_relay ?? throw RelayTickets.NotEnabled()).Accept(request, worker) };
            else if (request.Moved && _relay is not null)
                await _relay.AssistAsync(request.Room).ConfigureAwait(false);
            await AskAsync(worker, _ => worker.OpenSession(settings)).ConfigureAwait(false);
            return new Ack();
        }
        catch
        {
            Forget(request.SessionId, request.Room);
            throw;
        }
    }

    /// <summary>Other nodes' links are let in all the same: who is here is heard there, also while the node drains.</summary>
    private void RequireRoomForOne()
    {
        if (_announcer.Standing.IsDraining)
            throw new BusException(OpenSession.NodeDraining, "The node is being drained and takes no new sessions; another one does.");
        if (SessionCount >= _options.Limits.MaxSessions)
            throw new BusException("room_full", $"The node has its {_options.Limits.MaxSessions} sessions already.");
    }

    private void Forget(string sessionId, string room)
    {
        bool isLink = _linkSessions.TryRemove(sessionId, out _);
        if (_sessions.TryRemove(sessionId, out SfuWorker? home))
            _allocator.Release(room, home, isLink);
    }

    private SfuWorker Place(string room, bool isLink)
    {
        try
        {
            return _allocator.Place(room, isLink);
        }
        catch (RoomFullException e)
        {
            throw new BusException("room_full", e.Message);
        }
    }

    private async ValueTask<SessionNegotiated> NegotiateAsync(NegotiateSession request, CancellationToken cancellationToken) =>
        await WithSessionAsync(request.SessionId, (session, now) => session.Negotiate(now, request)).ConfigureAwait(false);

    private async ValueTask<Ack> AddCandidateAsync(AddSessionCandidate request, CancellationToken cancellationToken) =>
        await WithSessionAsync(request.SessionId, (session, now) =>
        {
            session.AddCandidate(now, request.Candidate);
            return new Ack();
        }).ConfigureAwait(false);

    private async ValueTask<Ack> SubscribeAsync(SetSubscription request, CancellationToken cancellationToken) =>
        await WithSessionAsync(request.SessionId, (session, _) => session.Subscribe(request.TrackId, request.Enabled)
            ? new Ack()
            : throw new BusException("bad_request", "The session has too many explicit subscriptions.")).ConfigureAwait(false);

    private async ValueTask<Ack> SetMutedAsync(SetTrackMuted request, CancellationToken cancellationToken) =>
        await WithSessionAsync(request.SessionId, (session, _) => session.SetMuted(request.TrackId, request.Muted)
            ? new Ack()
            : throw new BusException("bad_request", $"The session publishes no track \"{request.TrackId}\".")).ConfigureAwait(false);

    private async ValueTask<SessionDescription> DescribeAsync(DescribeSession request, CancellationToken cancellationToken) =>
        await WithSessionAsync(request.SessionId, (session, _) => session.Describe()).ConfigureAwait(false);

    private async ValueTask<Ack> CloseAsync(CloseSession request, CancellationToken cancellationToken)
    {
        // Closing what is gone already is done.
        if (!_sessions.TryGetValue(request.SessionId, out SfuWorker? worker))
            return new Ack();
        return await AskAsync(worker, _ =>
        {
            if (worker.FindSession(request.SessionId) is SfuSession session)
                worker.CloseSession(session, request.Reason);
            return new Ack();
        }).ConfigureAwait(false);
    }

    private async Task<T> WithSessionAsync<T>(string sessionId, Func<SfuSession, Instant, T> act)
    {
        if (!_sessions.TryGetValue(sessionId, out SfuWorker? worker))
            throw SessionNotFound(sessionId);
        return await AskAsync(worker, now =>
        {
            if (worker.FindSession(sessionId) is not SfuSession session)
                throw SessionNotFound(sessionId);
            try
            {
                return act(session, now);
            }
            catch (Exception e) when (e is not BusException)
            {
                // A description that breaks the session breaks it alone.
                worker.Fault(session, e);
                throw new BusException(BusException.Internal, "The session was closed because of an internal error; join again.");
            }
        }).ConfigureAwait(false);
    }

    private static async Task<T> AskAsync<T>(SfuWorker worker, Func<Instant, T> function)
    {
        try
        {
            return await worker.InvokeAsync(function).ConfigureAwait(false);
        }
        catch (RoomFullException e)
        {
            throw new BusException("room_full", e.Message);
        }
        catch (InvalidOperationException e)
        {
            throw new BusException("unavailable", e.Message);
        }
    }

    private static BusException SessionNotFound(string sessionId) =>
        new("session_not_found", $"There is no session \"{sessionId}\" on this node; join again.");
}
