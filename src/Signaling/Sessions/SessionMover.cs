using Microsoft.Extensions.Logging;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Placement;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Cluster.State;

namespace Transcribe.Signaling.Sessions;

/// <summary>
/// Moves sessions to other SFU nodes: opens them there under the same id, takes their old tracks off the room, and tells their clients to
/// negotiate anew. Who waits for a node with room tries again, ever more slowly, and is ended as "nodeLost" after a while.
/// </summary>
internal sealed partial class SessionMover(
    SignalingOptions options, IMessageBus bus, IRoomDirectory rooms, INodeSelector selector, INodeDirectory nodes, NodeWatcher watcher,
    IClusterConnection connection, SessionStore store, SessionRemoval removal, TimeProvider time, ILogger<SessionMover> logger) : IDisposable
{
    /// <summary>A node that hangs must not hold a move up.</summary>
    private static readonly TimeSpan OpenTimeout = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan FirstWait = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(2);

    /// <summary>The former node keeps sending while the client connects to the new one.</summary>
    private static readonly TimeSpan Overlap = TimeSpan.FromSeconds(1);

    private readonly SemaphoreSlim _slots = new(options.MaxConcurrentMoves);
    private readonly ILogger _logger = logger;

    /// <summary>Called with a node that has a session now.</summary>
    public Action<string>? MovedTo { get; set; }

    /// <summary>Called where the session turned out to be another signalling node's.</summary>
    public Action<ClientSession>? NotOurs { get; set; }

    /// <param name="reason">Told to the client: "nodeLost", "drain", "moved".</param>
    /// <param name="exclude">The node to leave; null where any will do, the same one too.</param>
    /// <param name="to">Where to; null lets placement choose.</param>
    public void MoveLater(ClientSession session, string reason, string? exclude, string? to = null)
    {
        if (session.Record.Http)
        {
            // Nobody could be told to negotiate anew.
            session.End("nodeLost");
            return;
        }

        if (session.TryBeginMove())
            _ = Task.Run(() => RunAsync(session, reason, exclude, to));
    }

    public void Dispose() => _slots.Dispose();

    private async Task RunAsync(ClientSession session, string reason, string? exclude, string? to)
    {
        try
        {
            await MoveAsync(session, reason, exclude, to).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            LogFailed(session.Id, e);
            session.End("nodeLost");
        }
        finally
        {
            session.EndMove();
        }

        // The new node may have died meanwhile, when nobody could begin another move.
        if (!session.Ended && !watcher.IsAlive(NodeRole.Sfu, session.Node))
            MoveLater(session, "nodeLost", session.Node);
    }

    private async Task MoveAsync(ClientSession session, string reason, string? exclude, string? to)
    {
        long began = time.GetTimestamp();
        TimeSpan wait = FirstWait;
        while (!session.Ended)
        {
            await _slots.WaitAsync().ConfigureAwait(false);
            bool moved;
            try
            {
                moved = await TryMoveAsync(session, reason, exclude, to).ConfigureAwait(false);
            }
            finally
            {
                _slots.Release();
            }

            if (moved)
                return;

            if (reason != "nodeLost")
            {
                // It is well where it is; a drain asks again.
                LogNoRoom(session.Id);
                return;
            }

            if (!connection.IsConnected)
                began = time.GetTimestamp();
            else if (time.GetElapsedTime(began) >= options.MoveTimeout)
            {
                LogGivenUp(session.Id);
                session.End("nodeLost");
                return;
            }

            await Task.Delay(wait, time).ConfigureAwait(false);
            wait = wait * 2 < LongestWait ? wait * 2 : LongestWait;

            // It may be back, and be the only one.
            exclude = null;
            to = null;
        }
    }

    /// <summary>One round: every node that placement offers. False where none took the session.</summary>
    private async Task<bool> TryMoveAsync(ClientSession session, string reason, string? exclude, string? to)
    {
        var excluded = new HashSet<string>(StringComparer.Ordinal);
        if (exclude is not null)
            excluded.Add(exclude);

        try
        {
            while (!session.Ended)
            {
                string? node = to ?? (await selector.SelectSfuAsync(
                    new PlacementRequest(session.Room, session.Record.PlacementRole, null, options.Region, excluded)).ConfigureAwait(false))?.Id;
                if (node is null || excluded.Contains(node) || (node == session.Node && reason != "nodeLost"))
                    return false;

                if (to is not null && (await nodes.ListAsync(NodeRole.Sfu).ConfigureAwait(false)).All(other => other.Id != to))
                    return false;

                if (await TryOpenAsync(session, node).ConfigureAwait(false))
                {
                    await FinishAsync(session, node, reason).ConfigureAwait(false);
                    return true;
                }

                excluded.Add(node);
                to = null;
            }
        }
        catch (Exception e) when (e is ClusterUnavailableException or BusException { Code: BusException.Unavailable } or SessionException)
        {
            LogAway(session.Id, e.Message);
        }

        return false;
    }

    private async Task<bool> TryOpenAsync(ClientSession session, string node)
    {
        try
        {
            await bus.RequestAsync<OpenSession, Ack>(SfuSubjects.Open(node), session.Record.ToOpen() with { Moved = true }, OpenTimeout).ConfigureAwait(false);
            return true;
        }
        catch (BusException e) when (e.Code != BusException.Unavailable)
        {
            LogRefused(session.Id, node, e.Code);
            return false;
        }
    }

    private async Task FinishAsync(ClientSession session, string node, string reason)
    {
        string before = session.Node;
        StoreOutcome outcome = await store.UpdateAsync(session.Id, record => record with { Node = node, Moved = reason }).ConfigureAwait(false);
        if (outcome == StoreOutcome.NotOurs)
        {
            // Its client is at another signalling node by now, which finds out for itself.
            NotOurs?.Invoke(session);
            await removal.CloseAsync(session.Id, node, "moved").ConfigureAwait(false);
            return;
        }

        if (session.Presence == Presence.Visible)
            await rooms.UnpublishTracksAsync(session.Room, session.Id, session.Participant, before).ConfigureAwait(false);

        session.MoveTo(node, reason);
        MovedTo?.Invoke(node);
        LogMoved(session.Id, before, node, reason);
        if (session.Ended)
            await removal.CloseAsync(session.Id, node, "left").ConfigureAwait(false);

        if (before != node && watcher.IsAlive(NodeRole.Sfu, before))
            _ = Task.Run(() => LeaveAsync(session.Id, before));
    }

    private async Task LeaveAsync(string sessionId, string node)
    {
        try
        {
            await Task.Delay(Overlap, time).ConfigureAwait(false);
            await removal.CloseAsync(sessionId, node, "moved").ConfigureAwait(false);
        }
        catch (Exception e)
        {
            // Its client has left it, so the node ends it by itself.
            LogAway(sessionId, e.Message);
        }
    }

    [LoggerMessage(2301, LogLevel.Information, "Session {Session} moved from node {Before} to {Node}: {Reason}")]
    private partial void LogMoved(string session, string before, string node, string reason);

    [LoggerMessage(2302, LogLevel.Debug, "Session {Session} was not taken by node {Node}: {Code}")]
    private partial void LogRefused(string session, string node, string code);

    [LoggerMessage(2303, LogLevel.Warning, "Session {Session} found no other node with room in time")]
    private partial void LogGivenUp(string session);

    [LoggerMessage(2304, LogLevel.Debug, "Session {Session} cannot be moved now: {Reason}")]
    private partial void LogAway(string session, string reason);

    [LoggerMessage(2305, LogLevel.Warning, "Session {Session} stays where it is: no other node has room")]
    private partial void LogNoRoom(string session);

    [LoggerMessage(2306, LogLevel.Error, "Session {Session} could not be moved")]
    private partial void LogFailed(string session, Exception exception);
}
