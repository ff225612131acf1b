using System.Collections.Concurrent;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Cluster.State;
using Transcribe.Signaling.Rooms;
using Transcribe.Signaling.Sessions;

namespace Transcribe.Signaling;

/// <summary>
/// The signalling role of a process: hears the cluster's orders, looks after what failures left, and repairs rooms after the store was away.
/// </summary>
internal sealed partial class SignalingNode(
    SignalingOptions options, IMessageBus bus, IRoomDirectory rooms, IClusterConnection connection, SessionManager sessions, SessionStore store,
    SessionSweeper sweeper, SignalingDrain drain, RoomFeeds feeds, SfuWatch watch, TimeProvider time, IHostApplicationLifetime lifetime, ILogger<SignalingNode> logger)
    : IHostedService, IDisposable
{
    private static readonly TimeSpan Tick = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(6);

    /// <summary>Every so many ticks rooms are looked at for events that the bus lost.</summary>
    private const int TicksPerCheck = 5;

    /// <summary>After the state was lost, every node gets this long to write what it knows, before clients are told the result.</summary>
    private static readonly TimeSpan Settling = TimeSpan.FromSeconds(1);

    private readonly ConcurrentDictionary<string, byte> _repairing = new(StringComparer.Ordinal);
    private readonly List<IAsyncDisposable> _subscriptions = [];
    private readonly CancellationTokenSource _stopping = new();
    private readonly ILogger _logger = logger;
    private Task _loop = Task.CompletedTask;
    private int _stopped;

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        // Before the web server cuts the connections over which clients are told.
        lifetime.ApplicationStopping.Register(() => StopSessionsAsync(CancellationToken.None).Wait(StopTimeout));
        feeds.Regressed = room => _ = Task.Run(() => RepairAsync(room));
        connection.Reconnected += OnReconnected;
        _subscriptions.Add(await bus.SubscribeAsync<MoveSessions>(SignalingSubjects.Move, (order, _) => Do(() => sessions.Move(order)), cancellationToken).ConfigureAwait(false));
        _subscriptions.Add(await bus.SubscribeAsync<RemoveParticipant>(SignalingSubjects.Remove, (order, _) => Do(() => sessions.Remove(order)), cancellationToken).ConfigureAwait(false));
        _subscriptions.Add(await bus.SubscribeAsync<SessionTaken>(
            SignalingSubjects.Taken(options.NodeId), async (taken, _) => await sessions.OnTakenAsync(taken).ConfigureAwait(false), cancellationToken).ConfigureAwait(false));
        _subscriptions.Add(await bus.RespondAsync<TakeSession, Ack>(SignalingSubjects.Take(options.NodeId), TakeAsync, cancellationToken).ConfigureAwait(false));
        _subscriptions.Add(await bus.RespondAsync<Ping, Pong>(
            SignalingSubjects.Alive(options.NodeId), (_, _) => ValueTask.FromResult(new Pong(options.NodeId, NodeState.Active)), cancellationToken).ConfigureAwait(false));
        _loop = Task.Run(RunAsync, CancellationToken.None);
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        await StopSessionsAsync(cancellationToken).ConfigureAwait(false);
        connection.Reconnected -= OnReconnected;
        await _stopping.CancelAsync().ConfigureAwait(false);
        await _loop.ConfigureAwait(false);
        foreach (IAsyncDisposable subscription in _subscriptions)
            await subscription.DisposeAsync().ConfigureAwait(false);
    }

    public void Dispose()
    {
        connection.Reconnected -= OnReconnected;
        _stopping.Cancel();
    }

    private static ValueTask Do(Action act)
    {
        act();
        return ValueTask.CompletedTask;
    }

    private async ValueTask<Ack> TakeAsync(TakeSession request, CancellationToken cancellationToken) =>
        await sessions.FindHttpAsync(request.SessionId, cancellationToken).ConfigureAwait(false) is not null
            ? new Ack()
            : throw new BusException(SessionException.NotFound, "There is no such session over HTTP.");

    private Task StopSessionsAsync(CancellationToken cancellationToken) =>
        Interlocked.Exchange(ref _stopped, 1) == 0 ? sessions.StopAsync(cancellationToken) : Task.CompletedTask;

    private async Task RunAsync()
    {
        using var timer = new PeriodicTimer(Tick, time);
        bool isKnown = false;
        for (int tick = 0; !_stopping.IsCancellationRequested; tick++)
        {
            try
            {
                if (!connection.IsConnected)
                {
                    sweeper.Restart();
                    drain.Suspend();
                }
                else
                {
                    if (!isKnown)
                        await store.AddSelfAsync(_stopping.Token).ConfigureAwait(false);

                    isKnown = true;
                    await sessions.FinishEndsAsync().ConfigureAwait(false);
                    await sessions.RefreshAsync(_stopping.Token).ConfigureAwait(false);
                    await sweeper.SweepAsync(_stopping.Token).ConfigureAwait(false);
                    await drain.RunOnceAsync(_stopping.Token).ConfigureAwait(false);
                    if (tick % TicksPerCheck == TicksPerCheck - 1)
                        await feeds.CheckAsync(_stopping.Token).ConfigureAwait(false);

                    watch.Keep(sessions.All.Select(session => session.Node).ToHashSet(StringComparer.Ordinal));
                }

                await timer.WaitForNextTickAsync(_stopping.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (_stopping.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e)
            {
                if (IsAway(e))
                    LogAway(e.Message);
                else
                    LogFailed(e);

                await Task.Delay(Tick, time, _stopping.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    private static bool IsAway(Exception e) => e is ClusterUnavailableException or BusException { Code: BusException.Unavailable };

    private void OnReconnected(ClusterReconnected reconnected) => _ = Task.Run(() => RecoverAsync(reconnected.StateWasLost));

    private async Task RecoverAsync(bool stateWasLost)
    {
        try
        {
            sweeper.Restart();
            sessions.MarkStale();
            await store.AddSelfAsync(_stopping.Token).ConfigureAwait(false);
            await sessions.CheckOwnersAsync(_stopping.Token).ConfigureAwait(false);
            await feeds.ForgetSpeakersAsync(null).ConfigureAwait(false);
            if (stateWasLost)
                await Task.WhenAll(sessions.All.Select(session => session.Room).Distinct(StringComparer.Ordinal).Select(RepairAsync)).ConfigureAwait(false);
            else
                await feeds.CheckAsync(_stopping.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (IsAway(e) || e is OperationCanceledException)
        {
            // It went away again; there will be another reconnect.
            LogAway(e.Message);
        }
        catch (Exception e)
        {
            LogFailed(e);
        }
    }

    /// <summary>
    /// The store has less of a room than its listeners heard. Writes what it lost of our sessions, then tells the listeners how the room is.
    /// Where nothing of ours was lost, the room ended, and with the snapshot the sessions learn that.
    /// </summary>
    private async Task RepairAsync(string room)
    {
        if (!_repairing.TryAdd(room, 0))
            return;

        try
        {
            await feeds.SuspendAsync(room).ConfigureAwait(false);
            while (!_stopping.IsCancellationRequested)
            {
                try
                {
                    if (await RestoreAsync(room).ConfigureAwait(false))
                        await Task.Delay(Settling, time, _stopping.Token).ConfigureAwait(false);

                    await feeds.ResetAsync(room, _stopping.Token).ConfigureAwait(false);
                    return;
                }
                catch (Exception e) when (IsAway(e) || e is InvalidOperationException)
                {
                    LogAway(e.Message);
                    await Task.Delay(Tick, time, _stopping.Token).ConfigureAwait(false);
                }
            }
        }
        catch (OperationCanceledException)
        {
            // Stopping.
        }
        catch (Exception e)
        {
            LogFailed(e);
        }
        finally
        {
            _repairing.TryRemove(room, out _);
        }
    }

    /// <returns>Whether something had been lost.</returns>
    private async Task<bool> RestoreAsync(string room)
    {
        RoomSnapshot? known = await feeds.GetKnownAsync(room).ConfigureAwait(false);
        bool lost = false;
        foreach (ClientSession session in sessions.All.Where(session => session.Room == room && session.ShownAt is not null && !session.Ended))
        {
            if (await store.FindAsync(session.Id, _stopping.Token).ConfigureAwait(false) is not null)
                continue;

            lost = true;
            switch (session.Presence)
            {
                case Presence.Visible:
                    ParticipantInfo participant = known?.Participants.FirstOrDefault(info => info.Id == session.Participant)
                        ?? new ParticipantInfo(session.Participant, session.Record.Name, session.Grants.Publish, time.GetUtcNow(), []);
                    if (!await rooms.RestoreAsync(room, session.Id, participant, _stopping.Token).ConfigureAwait(false))
                    {
                        session.End("duplicateIdentity");
                        continue;
                    }

                    break;
                case Presence.Viewer:
                    await rooms.AddViewerAsync(room, session.Id, _stopping.Token).ConfigureAwait(false);
                    break;
            }

            await store.RestoreAsync(session.Record, _stopping.Token).ConfigureAwait(false);
        }

        if (lost)
        {
            await store.AddSelfAsync(_stopping.Token).ConfigureAwait(false);
            LogRestored(room);
        }

        return lost;
    }

    [LoggerMessage(2501, LogLevel.Debug, "The cluster's store is away: {Reason}")]
    private partial void LogAway(string reason);

    [LoggerMessage(2502, LogLevel.Error, "Looking after sessions failed; it is done again")]
    private partial void LogFailed(Exception exception);

    [LoggerMessage(2503, LogLevel.Warning, "The cluster's state was lost; this node's sessions of room {Room} were written again")]
    private partial void LogRestored(string room);
}
