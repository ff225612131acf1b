using System.Threading.Channels;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Transcribe.AiGateway.Claims;
using Transcribe.AiGateway.Recognition;
using Transcribe.AiGateway.Takeover;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.State;
using Transcribe.Rtc;

namespace Transcribe.AiGateway.Subscriber;

/// <summary>What the gateway shares with the cluster.</summary>
internal sealed record GatewayCluster(
    IRoomDirectory Rooms, IMessageBus Bus, ILeaseStore Leases, INodeDirectory Nodes, IClusterConnection Connection, NodeHeartbeat Heartbeat,
    NodeWatcher Watcher, NodeStanding? Standing = null);

/// <summary>
/// The gateway role: sees to it, with the other gateways, that every room is captioned that has transcription switched on
/// and somebody in it. Told by the bus, and by looking again and again: a dead gateway says nothing.
/// </summary>
internal sealed partial class GatewayService(
    AiGatewayOptions options, TranscriberServices services, RecognizerProvider recognizers, GatewayCluster cluster, ILogger<GatewayService> log)
    : BackgroundService
{
    private const int MaxPending = 4096;

    /// <summary>Engines with languages that are loaded for rooms of others.</summary>
    private const int MaxWarmed = 8;

    /// <summary>A room that is not listed any more is left after this: the message that it ended may have been lost, or the list may lag.</summary>
    private static readonly TimeSpan AbsencePatience = TimeSpan.FromSeconds(3);

    /// <summary>After the store lost its data: until everybody has written again what they know.</summary>
    private static readonly TimeSpan RestorePatience = TimeSpan.FromSeconds(20);

    /// <summary>A room that could not be joined from here is left to others for this long.</summary>
    private static readonly TimeSpan GiveUpTime = TimeSpan.FromSeconds(10);

    /// <summary>While it is drained, a gateway takes only rooms that nobody else took in this time.</summary>
    private static readonly TimeSpan Reluctance = TimeSpan.FromSeconds(3);

    private readonly Dictionary<string, TranscriptionState> _wanted = new(StringComparer.Ordinal);
    private readonly Dictionary<string, RoomWorker> _workers = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Task> _leaving = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Instant> _absent = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Instant> _givenUp = new(StringComparer.Ordinal);
    private readonly HashSet<(string Engine, string Language)> _warmed = [];
    private readonly ClaimPlan _plan = new(Random.Shared.NextDouble);
    private readonly RoomHandOvers _handOvers = new();
    private readonly Channel<ClusterReconnected> _returns = Channel.CreateUnbounded<ClusterReconnected>();
    private volatile TaskCompletionSource _woken = NewSignal();
    private NodeAnnouncer? _announcer;
    private HolderWatch? _holders;
    private int[] _roomsLeftElsewhere = [];
    private TimeSpan _untilNextLook;
    private Instant _claimFrom = Instant.Zero;
    private Instant _restoredBy = Instant.Zero;
    private int _load;
    private bool _wasFull;
    private bool _failing;

    private Instant Now => Instant.Of(services.Clock);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        // A full queue loses a message; the next look at the directory finds what it said.
        var activities = Channel.CreateBounded<RoomActivity>(new BoundedChannelOptions(MaxPending) { FullMode = BoundedChannelFullMode.DropOldest });
        _announcer = new NodeAnnouncer(
            Describe, cluster.Nodes, cluster.Bus, cluster.Connection, cluster.Heartbeat, services.Clock, log, cluster.Standing);
        var released = Channel.CreateBounded<string>(new BoundedChannelOptions(MaxPending) { FullMode = BoundedChannelFullMode.DropOldest });
        using var holders = new HolderWatch(options.Node, cluster.Watcher, cluster.Leases, Wake);
        _holders = holders;
        _announcer.Standing.Changed += Wake;
        cluster.Connection.Reconnected += OnReconnected;
        try
        {
            await _announcer.StartAsync(stoppingToken).ConfigureAwait(false);
            await using IAsyncDisposable subscription = await cluster.Bus.SubscribeAsync<RoomActivity>(
                RoomSubjects.Transcription,
                (activity, _) =>
                {
                    activities.Writer.TryWrite(activity);
                    Wake();
                    return ValueTask.CompletedTask;
                },
                stoppingToken).ConfigureAwait(false);
            await using IAsyncDisposable releases = await cluster.Bus.SubscribeAsync<RoomReleased>(
                ClaimSubjects.Released,
                (told, _) =>
                {
                    released.Writer.TryWrite(told.Room);
                    Wake();
                    return ValueTask.CompletedTask;
                },
                stoppingToken).ConfigureAwait(false);
            Instant nextLook = Now;
            while (!stoppingToken.IsCancellationRequested)
            {
                _woken = NewSignal();
                while (_returns.Reader.TryRead(out ClusterReconnected? reconnected))
                    await ReturnAsync(reconnected, stoppingToken).ConfigureAwait(false);
                if (Now >= nextLook || holders.HasNews)
                {
                    await LookAsync(stoppingToken).ConfigureAwait(false);
                    nextLook = Now + _untilNextLook;
                }

                // After the look: what was told since it began is newer than what it saw.
                while (activities.Reader.TryRead(out RoomActivity? activity))
                    Apply(activity);
                while (released.Reader.TryRead(out string? room))
                {
                    if (_wanted.ContainsKey(room) && IsFree(room))
                        _plan.Add(Now, room);
                }

                Reap();
                HandOver();
                await ClaimAsync(stoppingToken).ConfigureAwait(false);
                await SleepAsync(Instant.Min(nextLook, _plan.Next) - Now, stoppingToken).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // The host stops: leave all rooms.
        }
        finally
        {
            cluster.Connection.Reconnected -= OnReconnected;
            await _announcer.WithdrawAsync().ConfigureAwait(false);
            foreach (string room in _workers.Keys.ToArray())
                Leave(room);
            await Task.WhenAll(_leaving.Values).ConfigureAwait(false);
            await _announcer.DisposeAsync().ConfigureAwait(false);
        }
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private void Wake() => _woken.TrySetResult();

    private NodeInfo Describe() => new(
        options.Node, NodeRole.Gateway, "", options.Region, options.Capacity, Volatile.Read(ref _load),
        typeof(GatewayService).Assembly.GetName().Version?.ToString(3) ?? "", Rooms: Volatile.Read(ref _load));

    private void OnReconnected(ClusterReconnected reconnected)
    {
        _returns.Writer.TryWrite(reconnected);
        Wake();
    }

    private async Task SleepAsync(TimeSpan pause, CancellationToken cancellationToken)
    {
        if (pause <= TimeSpan.Zero)
            return;
        using var wait = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        await Task.WhenAny(_woken.Task, Task.Delay(pause, services.Clock, wait.Token)).ConfigureAwait(false);
        await wait.CancelAsync().ConfigureAwait(false);
        cancellationToken.ThrowIfCancellationRequested();
    }

    /// <summary>The store is back: who had a room renews its lease first, and a setting that was lost is written again.</summary>
    private async Task ReturnAsync(ClusterReconnected reconnected, CancellationToken cancellationToken)
    {
        _claimFrom = Now + options.LeaseTime;
        if (!reconnected.StateWasLost)
            return;
        _restoredBy = Now + RestorePatience;
        foreach ((string room, RoomWorker worker) in _workers)
        {
            try
            {
                if (await cluster.Rooms.RestoreTranscriptionAsync(room, worker.Settings, cancellationToken).ConfigureAwait(false))
                    LogRestored(log, room);
            }
            catch (Exception e) when (e is not OperationCanceledException)
            {
                LogNotRestored(log, room, e);
            }
        }
    }

    /// <summary>Which rooms want captions, who has them, and how much room the other gateways have.</summary>
    private async Task LookAsync(CancellationToken cancellationToken)
    {
        _untilNextLook = options.PollInterval;
        IReadOnlyList<RoomActivity> wanted;
        IReadOnlyList<Lease> held;
        try
        {
            wanted = await cluster.Rooms.ListTranscribedAsync(cancellationToken).AsTask().WaitAsync(options.LeaseTime, services.Clock, cancellationToken).ConfigureAwait(false);
            held = await cluster.Leases.ListAsync(RoomLease.Prefix, cancellationToken).AsTask().WaitAsync(options.LeaseTime, services.Clock, cancellationToken).ConfigureAwait(false);
            IReadOnlyList<NodeInfo> gateways =
                await cluster.Nodes.ListAsync(NodeRole.Gateway, cancellationToken).AsTask().WaitAsync(options.LeaseTime, services.Clock, cancellationToken).ConfigureAwait(false);
            _roomsLeftElsewhere =
                [.. gateways.Where(node => node.Id != options.Node && node.State == NodeState.Active).Select(node => node.Capacity - node.Load)];
            held = await _holders!.ReleaseAsync(held, gateways.Select(node => node.Id), cancellationToken)
                .WaitAsync(options.LeaseTime, services.Clock, cancellationToken).ConfigureAwait(false);
            _failing = false;
        }
        catch (Exception e) when (e is not OperationCanceledException || !cancellationToken.IsCancellationRequested)
        {
            // Running rooms keep their captions while the directory is away.
            if (!_failing)
                LogNoDirectory(log, e);
            _failing = true;
            return;
        }

        Instant now = Now;
        var present = wanted.ToDictionary(activity => activity.Room, StringComparer.Ordinal);
        foreach (RoomActivity activity in wanted)
        {
            _absent.Remove(activity.Room);
            Apply(activity);
        }

        foreach (string room in _wanted.Keys.Where(room => !present.ContainsKey(room)).ToArray())
        {
            _absent.TryAdd(room, now);
            if (!_workers.ContainsKey(room) || (now - _absent[room] >= AbsencePatience && now >= _restoredBy))
                Forget(room);
        }

        DateTimeOffset wall = services.Clock.GetUtcNow();
        foreach (Lease lease in held)
        {
            if (lease.Owner == options.Node || !_wanted.TryGetValue(lease.Name[RoomLease.Prefix.Length..], out TranscriptionState? settings))
                continue;
            Warm(settings);

            // One that nobody renews is looked at as it ends; the others are far from it.
            TimeSpan left = lease.ExpiresAt - wall + TimeSpan.FromMilliseconds(10);
            if (left > TimeSpan.Zero && left < _untilNextLook)
                _untilNextLook = left;
        }

        HashSet<string> taken = [.. held.Where(lease => lease.Owner != options.Node).Select(lease => lease.Name[RoomLease.Prefix.Length..])];
        _handOvers.OnTaken(taken);
        _plan.Update(now, _wanted.Keys.Where(room => !taken.Contains(room) && IsFree(room)).ToHashSet(StringComparer.Ordinal));
    }

    /// <summary>Loads the engine of a room that another gateway has: there is no time for it when that one dies.</summary>
    private void Warm(TranscriptionState settings)
    {
        if (_warmed.Count >= MaxWarmed || !_warmed.Add((settings.Engine, settings.Language)))
            return;
        _ = Task.Run(() =>
        {
            try
            {
                recognizers.Get(settings.Engine, settings.Language);
            }
            catch (Exception e)
            {
                // Who has the room tells people; we look again when it is ours.
                LogNotWarmed(log, settings.Engine, e.Message);
            }
        });
    }

    private bool IsFree(string room) => !_workers.ContainsKey(room) && !_leaving.ContainsKey(room) && !_givenUp.ContainsKey(room);

    private void Apply(RoomActivity activity)
    {
        // A store that lost its data shows the room empty until its participants are written again.
        if (!activity.Occupied && activity.Transcription.Enabled && Now < _restoredBy && _workers.ContainsKey(activity.Room))
            return;
        if (!activity.Occupied || !activity.Transcription.Enabled)
        {
            Forget(activity.Room);
            return;
        }

        bool known = _wanted.ContainsKey(activity.Room);
        _wanted[activity.Room] = activity.Transcription;
        if (_workers.TryGetValue(activity.Room, out RoomWorker? running))
            running.Change(activity.Transcription);
        else if (!known && IsFree(activity.Room))
            _plan.Add(Now, activity.Room);
    }

    private void Forget(string room)
    {
        _wanted.Remove(room);
        _absent.Remove(room);
        _givenUp.Remove(room);
        _plan.Remove(room);
        _handOvers.Remove(room);
        Leave(room);
    }

    private void Leave(string room)
    {
        if (!_workers.Remove(room, out RoomWorker? worker))
            return;
        _leaving[room] = worker.DisposeAsync().AsTask().ContinueWith(_ => Wake(), TaskScheduler.Default);
        CountLoad();
    }

    /// <summary>Rooms that were left, lost, or given up.</summary>
    private void Reap()
    {
        foreach (string done in _leaving.Where(pair => pair.Value.IsCompleted).Select(pair => pair.Key).ToArray())
        {
            _leaving.Remove(done);
            CountLoad();
        }

        foreach (string over in _givenUp.Where(pair => pair.Value <= Now).Select(pair => pair.Key).ToArray())
            _givenUp.Remove(over);
        foreach ((string room, RoomWorker worker) in _workers.Where(pair => pair.Value.Completion.IsCompleted).ToArray())
        {
            Leave(room);
            if (!worker.GaveUp)
                continue;
            _givenUp[room] = Now + GiveUpTime;
            LogGaveUp(log, room);
        }
    }

    /// <summary>Gives rooms away while this gateway is drained, as far as others have room.</summary>
    private void HandOver()
    {
        if (_announcer is not { Standing: { IsDraining: true } standing })
        {
            _handOvers.Clear();
            return;
        }

        if (_failing || !cluster.Connection.IsConnected)
            return;
        TimeSpan? left = standing.Deadline - services.Clock.GetUtcNow();
        foreach (string room in _handOvers.Choose(Now, _workers.Keys, _roomsLeftElsewhere.Sum(rooms => Math.Max(0, rooms)), left))
            _workers[room].HandOver(RoomHandOvers.Patience(left));
    }

    private async Task TellReleasedAsync(string room)
    {
        try
        {
            await cluster.Bus.PublishAsync(ClaimSubjects.Released, new RoomReleased(room)).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            // Others find it at their next look.
            LogNotTold(log, room, e.Message);
        }
    }

    private async Task ClaimAsync(CancellationToken cancellationToken)
    {
        if (Now < _claimFrom)
            return;
        _plan.Reluctance = _announcer?.State == NodeState.Draining ? Reluctance : TimeSpan.Zero;
        Rank();
        while (_plan.TryTake(Now, out string room))
        {
            if (!_wanted.TryGetValue(room, out TranscriptionState? settings) || !IsFree(room))
                continue;
            if (_workers.Count + _leaving.Count >= options.Capacity)
            {
                if (!_wasFull)
                    LogFull(log, options.Capacity, room);
                _wasFull = true;
                return;
            }

            _wasFull = false;
            try
            {
                RoomLease? lease = await RoomLease.TryClaimAsync(
                    room, cluster.Leases, services.Transcripts, options, services.Clock, services.Log, cancellationToken).ConfigureAwait(false);
                if (lease is null)
                    continue;
                var worker = new RoomWorker(lease, settings, options, services, recognizers, cluster.Rooms, released => _ = TellReleasedAsync(released));
                _ = worker.Completion.ContinueWith(_ => Wake(), TaskScheduler.Default);
                _workers[room] = worker;
                if (_handOvers.Remove(room))
                {
                    // There was less room elsewhere than it seemed.
                    _handOvers.Rest(Now);
                    LogTakenBack(log, room);
                }

                services.Metrics.RoomsClaimed.Add(1);
                CountLoad();
                Rank();
            }
            catch (Exception e) when (e is not OperationCanceledException || !cancellationToken.IsCancellationRequested)
            {
                LogNotClaimed(log, room, e);
                return;
            }
        }
    }

    private void Rank() => _plan.Rank(_workers.Count, options.Capacity, _roomsLeftElsewhere);

    private void CountLoad()
    {
        Volatile.Write(ref _load, _workers.Count + _leaving.Count);
        _announcer?.Changed();
    }

    [LoggerMessage(6401, LogLevel.Warning, "The room directory does not answer; captioned rooms go on")]
    private static partial void LogNoDirectory(ILogger logger, Exception error);

    [LoggerMessage(6408, LogLevel.Warning, "No other gateway took room {Room} that was to be handed over: it stays here for a while")]
    private static partial void LogTakenBack(ILogger logger, string room);

    [LoggerMessage(6409, LogLevel.Debug, "The other gateways were not told that room {Room} is free: {Reason}")]
    private static partial void LogNotTold(ILogger logger, string room, string reason);

    [LoggerMessage(6407, LogLevel.Debug, "Engine {Engine} was not loaded ahead: {Reason}")]
    private static partial void LogNotWarmed(ILogger logger, string engine, string reason);

    [LoggerMessage(6402, LogLevel.Warning, "Room {Room} could not be claimed; it is tried again")]
    private static partial void LogNotClaimed(ILogger logger, string room, Exception error);

    [LoggerMessage(6403, LogLevel.Warning, "This gateway captions {Capacity} rooms, as many as it may (Gateway:Capacity); room {Room} and others are left to other gateways")]
    private static partial void LogFull(ILogger logger, int capacity, string room);

    [LoggerMessage(6404, LogLevel.Warning, "Room {Room} cannot be joined from here; it is left to other gateways for a while")]
    private static partial void LogGaveUp(ILogger logger, string room);

    [LoggerMessage(6405, LogLevel.Information, "The store lost its data: transcription of room {Room} is switched on again")]
    private static partial void LogRestored(ILogger logger, string room);

    [LoggerMessage(6406, LogLevel.Warning, "The transcription setting of room {Room} could not be written again")]
    private static partial void LogNotRestored(ILogger logger, string room, Exception error);
}
