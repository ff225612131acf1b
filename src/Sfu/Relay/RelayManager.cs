using Microsoft.Extensions.Logging;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Cluster.State;
using Transcribe.Rtc;
using Transcribe.Sfu.Routing;
using Transcribe.Sfu.Workers;

namespace Transcribe.Sfu.Relay;

/// <summary>
/// This node's side of the cascade: which tracks of other nodes are needed here, from which node each is taken, the links
/// to those nodes, and the data of rooms that several nodes share. Everything here runs on one scheduler, never two things
/// at a time; media itself runs on the relay worker, which has its own socket: the links of two nodes to one another
/// must not share an address pair.
/// </summary>
internal sealed partial class RelayManager : IRelaySessionObserver, IRelayDataOutput, IAsyncDisposable
{
    private const int MaxQueued = 65_536;

    private static readonly TimeSpan RequestTimeout = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan SweepInterval = TimeSpan.FromSeconds(3);

    /// <summary>A session is hardly longer between two nodes.</summary>
    private static readonly TimeSpan RepeatWindow = TimeSpan.FromSeconds(15);

    /// <summary>How long a node that could not be reached, or is gone, is passed over.</summary>
    private static readonly TimeSpan Avoidance = TimeSpan.FromSeconds(10);

    private readonly string _nodeId;
    private readonly string _region;
    private readonly RelayOptions _options;
    private readonly IMessageBus _bus;
    private readonly IRoomDirectory _directory;
    private readonly INodeDirectory _nodes;
    private readonly RelayTree _tree;
    private readonly RelayTickets _tickets;
    private readonly TimeProvider _time;
    private readonly SfuWorker _worker;
    private readonly RelayFormats _formats;
    private readonly ILogger _log;
    private readonly IClusterConnection _connection;
    private readonly RelayData _data;
    private readonly TaskFactory _run;
    private readonly CancellationTokenSource _stopping = new();
    private readonly Dictionary<string, RemoteRoom> _rooms = new(StringComparer.Ordinal);
    private readonly Dictionary<string, RelayLink> _links = new(StringComparer.Ordinal);
    private readonly Dictionary<string, RelayLink> _linksBySession = new(StringComparer.Ordinal);
    private readonly Dictionary<string, (string Peer, SfuWorker Worker)> _inbound = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Instant> _unreachable = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Instant> _dead = new(StringComparer.Ordinal);
    private Task _sweeping = Task.CompletedTask;
    private Instant _trustBusFrom = Instant.Zero;
    private int _queued;

    public RelayManager(
        string nodeId, string region, RelayOptions options, string clusterKey, IMessageBus bus, IRoomDirectory directory, IStateStore state,
        INodeDirectory nodes, TimeProvider time, SfuWorker worker, RtcSessionOptions session, IClusterConnection connection, ILogger log)
    {
        _nodes = nodes;
        (_nodeId, _region, _options, _bus, _directory, _time, _worker, _log) = (nodeId, region, options, bus, directory, time, worker, log);
        _connection = connection;
        _tree = new RelayTree(state, time, options.MaxRelaysPerTrack, options.MaxDepth);
        _tickets = new RelayTickets(clusterKey, time);
        _formats = RelayFormats.Of(session);
        _data = new RelayData(nodeId, options, this, static () => BitConverter.ToUInt64(System.Security.Cryptography.RandomNumberGenerator.GetBytes(8)));
        _run = new TaskFactory(
            CancellationToken.None, TaskCreationOptions.None, TaskContinuationOptions.None, new ConcurrentExclusiveSchedulerPair().ExclusiveScheduler);
    }

    public RelayCounters Counters { get; } = new();

    public RelayDataCounters Data => _data.Counters;

    private Instant Now => Instant.Of(_time);

    public void Start() => _sweeping = Post(SweepAsync);

    /// <summary>The first session of a room came to this node, or the last one left. From any thread, in order.</summary>
    public void OnRoom(string room, bool isHere)
    {
        // The rooms of links themselves have names that no other room can have.
        if (!room.Contains(':', StringComparison.Ordinal))
            Post(() => isHere ? EnterRoomAsync(room) : LeaveRoomAsync(room));
    }

    /// <summary>What was said in a room under a label in the last seconds, on any node, as far as it is kept here. From any thread.</summary>
    public async Task<IReadOnlyList<RelayEnvelope>> ReadLastAsync(string room, string label)
    {
        IReadOnlyList<RelayEnvelope> last = [];
        await Post(() =>
        {
            last = _data.ReadLast(Now, room, label, RepeatWindow);
            return Task.CompletedTask;
        }).ConfigureAwait(false);
        return last;
    }

    /// <summary>The store is back, perhaps without its data: everybody confirms its place. From any thread.</summary>
    public void OnReconnected() => Post(async () =>
    {
        _trustBusFrom = Now + NodeWatcher.Grace;
        foreach (RemoteRoom room in _rooms.Values.ToArray())
        {
            room.Changed.Set();
            foreach (RemoteTrack track in room.Tracks.Values)
                track.Changed.Set();
            await CatchUpAsync(room);
        }
    });

    /// <summary>Checks another node's request for a session.</summary>
    /// <returns>What makes it a link.</returns>
    /// <exception cref="BusException"><see cref="RelayTickets.Refused"/>.</exception>
    public RelaySession Accept(OpenSession request, SfuWorker worker)
    {
        string peer;
        try
        {
            peer = _tickets.Check(request.Relay!, _nodeId, request.SessionId);
        }
        catch (BusException e)
        {
            Interlocked.Increment(ref Counters.Refused);
            LogRefused(e.Message);
            throw;
        }

        Post(() =>
        {
            // One link of each node: it opens another when it has given the former up.
            foreach ((string former, (string _, SfuWorker home)) in _inbound.Where(pair => pair.Value.Peer == peer).ToArray())
                CloseSession(home, former, "replaced");
            _dead.Remove(peer);
            _inbound[request.SessionId] = (peer, worker);
            Counters.LinksIn = _inbound.Count;
            return Task.CompletedTask;
        });
        return new RelaySession(IsClient: false, peer, _options.CutAfter, this) { Loses = _options.Loses };
    }

    public async ValueTask DisposeAsync()
    {
        if (_stopping.IsCancellationRequested)
            return;
        await _stopping.CancelAsync();
        await _sweeping.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

        // Who takes a track from here looks for another node at once, and nobody is sent here any more. A store that is away
        // is not waited for: the places end by themselves.
        await Post(() => Task.WhenAll(
        [
            .. _rooms.Values.SelectMany(room => room.Tracks.Values).Where(track => track.IsServed)
                .Select(track => LeaveTreeAsync(RelayTree.TrackKey(track.Info.Id))),
            .. _rooms.Keys.ToArray().Select(CloseRoomAsync),
        ])).WaitAsync(RequestTimeout, _time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    void IRelaySessionObserver.OnReady(string sessionId) => Post(() =>
    {
        if (_linksBySession.TryGetValue(sessionId, out RelayLink? link))
            link.Ready.TrySetResult();
        return Task.CompletedTask;
    });

    void IRelaySessionObserver.OnSilent(string sessionId) => Post(() =>
    {
        if (_linksBySession.TryGetValue(sessionId, out RelayLink? link))
            Lose(link, "the other node is silent");
        return Task.CompletedTask;
    });

    void IRelaySessionObserver.OnClosed(string sessionId) => Post(() =>
    {
        if (_linksBySession.TryGetValue(sessionId, out RelayLink? link))
            Lose(link, "closed");
        if (_inbound.Remove(sessionId))
        {
            Counters.LinksIn = _inbound.Count;
            _data.OnLinkDown(sessionId);
        }

        return Task.CompletedTask;
    });

    // What is missing after an overrun is sent again over the next link.
    void IRelaySessionObserver.OnEnvelope(string sessionId, byte[] envelope) => PostData(() => _data.OnEnvelope(Now, sessionId, envelope));

    /// <summary>Handles a message, or drops it (counted) where too many wait.</summary>
    private void PostData(Action handle)
    {
        if (Interlocked.Increment(ref _queued) > MaxQueued)
        {
            Interlocked.Decrement(ref _queued);
            Interlocked.Increment(ref Counters.Overruns);
            return;
        }

        Post(() =>
        {
            Interlocked.Decrement(ref _queued);
            handle();
            return Task.CompletedTask;
        });
    }

    void IRelayDataOutput.Send(string link, byte[] envelope)
    {
        SfuWorker? worker = _linksBySession.ContainsKey(link) ? _worker : _inbound.TryGetValue(link, out var inbound) ? inbound.Worker : null;
        if (worker is not null && !worker.TryPost((_, _) => worker.FindSession(link)?.SendEnvelope(envelope), null))
            CloseSession(worker, link, "overrun");
    }

    void IRelayDataOutput.Deliver(string room, RelayEnvelope message) =>
        _worker.TryPost((_, _) => _worker.FindRoom(room)?.FanOutRelayed(message.Message, message.Payload.Span), null);

    void IRelayDataOutput.UplinkLost(string room, string link)
    {
        if (!_rooms.TryGetValue(room, out RemoteRoom? known))
            return;
        if (known.Uplink is { IsLost: false } refusing)
            known.Refused.Add(refusing.Peer);
        known.Uplink?.Rooms.Remove(room);
        known.Uplink = null;
        known.Changed.Set();
    }

    /// <summary>Does something on the scheduler; what throws is logged.</summary>
    private Task Post(Func<Task> action) => _run.StartNew(async () =>
    {
        try
        {
            await action();
        }
        catch (OperationCanceledException) when (_stopping.IsCancellationRequested)
        {
            // The node stops.
        }
        catch (Exception e)
        {
            LogFault(e);
        }
    }).Unwrap();

    private static void CloseSession(SfuWorker worker, string sessionId, string reason) => worker.TryPost(
        (_, _) =>
        {
            if (worker.FindSession(sessionId) is SfuSession session)
                worker.CloseSession(session, reason);
        },
        null);

    private async Task SweepAsync()
    {
        while (!_stopping.IsCancellationRequested)
        {
            await Task.Delay(SweepInterval, _time, _stopping.Token);
            _data.Sweep(Now);
            foreach (RelayLink link in _links.Values.ToArray())
            {
                await CleanAsync(link);
                if (!link.IsIdle || !link.Opening.IsCompleted)
                    link.UsedAt = Now;
                else if (Now - link.UsedAt > _options.LinkLinger)
                    Forget(link);
            }

            foreach (RemoteRoom room in _rooms.Values.ToArray())
            {
                if (!room.IsHere && room.AssistedUntil <= Now)
                    await CloseRoomAsync(room.Name);
                else
                    await CatchUpAsync(room);
            }
        }
    }

    /// <summary>Nobody answers for this node: it is gone, unless our own bus was away and others are not back yet.</summary>
    private void NoteFailure(string node, BusException failure)
    {
        if (failure.Code == BusException.NoResponder && _connection.IsConnected && Now >= _trustBusFrom)
            _dead[node] = Now + Avoidance;
    }

    private string[] Current(Dictionary<string, Instant> nodes)
    {
        foreach (string over in nodes.Where(pair => pair.Value <= Now).Select(pair => pair.Key).ToArray())
            nodes.Remove(over);
        return [.. nodes.Keys];
    }
}

/// <summary>Counters of the links; read by metrics from elsewhere.</summary>
internal sealed class RelayCounters
{
    /// <summary>Links of this node to others now.</summary>
    public int LinksOut;

    /// <summary>Links of other nodes to this one now.</summary>
    public int LinksIn;

    /// <summary>Tracks taken from other nodes now.</summary>
    public int Tracks;

    /// <summary>Links that were given up: cut, or never up.</summary>
    public long LinksLost;

    /// <summary>Tickets and requests refused.</summary>
    public long Refused;

    /// <summary>Data messages dropped because too many waited.</summary>
    public long Overruns;
}
