using System.Collections.Concurrent;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Sfu;
using Transcribe.Cluster.State;

namespace Transcribe.Signaling.Sessions;

// How sessions end, or are left to other signalling nodes.
internal sealed partial class SessionManager
{
    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan LastWords = TimeSpan.FromMilliseconds(100);

    private readonly ConcurrentDictionary<Task, byte> _ending = new();

    /// <summary>Ended here while the store was away: the cluster is still to be told.</summary>
    private readonly ConcurrentQueue<(SessionRecord Record, string Reason)> _unfinished = new();

    /// <summary>Ends the session: at the client, in the room, on the SFU node. A second call does nothing.</summary>
    public async Task EndAsync(ClientSession session, string reason)
    {
        if (session.Ended)
            return;

        try
        {
            if (await _store.MarkEndingAsync(session.Id, _store.Self, reason).ConfigureAwait(false) == StoreOutcome.NotOurs)
            {
                await ForgetAsync(session).ConfigureAwait(false);
                return;
            }
        }
        catch (Exception e) when (e is ClusterUnavailableException or SessionException)
        {
            LogStoreAway(session.Id, e.Message);

            // Its client may be at another node by now, or come back when it can.
            if (reason == "timeout" && !_stopping)
            {
                session.StartGrace(_time, _options.GracePeriod);
                return;
            }
        }

        if (!session.TryEnd())
            return;

        Drop(session);
        session.Outbox?.Post(ClientSession.Message(new SessionClosed(reason)));
        Task told = session.Outbox?.CompleteAsync() ?? Task.CompletedTask;
        await UnsubscribeAsync(session).ConfigureAwait(false);
        await FinishAsync(session.Record, reason).ConfigureAwait(false);

        // The last word must be out before a stopping host cuts the connection.
        if (_stopping)
            await told.ConfigureAwait(false);

        LogEnded(session.Id, session.Room, reason);
    }

    /// <summary>Tells the cluster of ends that it could not be told of.</summary>
    public async Task FinishEndsAsync()
    {
        for (int left = _unfinished.Count; left > 0 && _unfinished.TryDequeue(out (SessionRecord Record, string Reason) end); left--)
            await FinishAsync(end.Record, end.Reason).ConfigureAwait(false);
    }

    /// <summary>
    /// Leaves the sessions to other signalling nodes, where there are any: their clients resume there. Else ends them.
    /// </summary>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        _stopping = true;
        bool others = await HasOthersAsync(cancellationToken).ConfigureAwait(false);
        bool anybody = !_sessions.IsEmpty;
        foreach (ClientSession session in _sessions.Values)
        {
            if (others)
                await ForgetAsync(session).ConfigureAwait(false);
            else
                EndLater(session, "nodeShutdown");
        }

        try
        {
            await Task.WhenAll(_ending.Keys).WaitAsync(StopTimeout, cancellationToken).ConfigureAwait(false);

            // SignalR says "sent" when a message is in its pipe; cut now, the connection would lose it.
            if (anybody && !others)
                await Task.Delay(LastWords, cancellationToken).ConfigureAwait(false);

            if (!others)
                await _store.RemoveNodeAsync(_store.Self, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception e) when (e is TimeoutException or OperationCanceledException or ClusterUnavailableException)
        {
            LogStopIncomplete(_sessions.Count);
        }
    }

    /// <summary>Ends the session without waiting for it: for callers inside an event handler.</summary>
    private void EndLater(ClientSession session, string reason)
    {
        Task end = Task.Run(async () =>
        {
            try
            {
                await EndAsync(session, reason).ConfigureAwait(false);
            }
            catch (Exception e)
            {
                LogEndFailed(session.Id, e);
            }
        });
        _ending[end] = 0;
        _ = end.ContinueWith(done => _ending.TryRemove(done, out byte _), TaskScheduler.Default);
    }

    /// <summary>Forgets a session that is another node's, or will be.</summary>
    private async Task ForgetAsync(ClientSession session)
    {
        session.IsForgotten = true;
        if (!session.TryEnd())
            return;

        Drop(session);
        session.Outbox?.Abort();
        await UnsubscribeAsync(session).ConfigureAwait(false);
        LogForgotten(session.Id, session.Room);
    }

    private void Drop(ClientSession session)
    {
        _sessions.TryRemove(KeyValuePair.Create(session.Id, session));
        session.StopGrace();
    }

    private static async Task UnsubscribeAsync(ClientSession session)
    {
        foreach (IAsyncDisposable subscription in session.Subscriptions)
            await subscription.DisposeAsync().ConfigureAwait(false);
    }

    private async Task FinishAsync(SessionRecord record, string reason)
    {
        try
        {
            await _removal.FinishAsync(record, reason).ConfigureAwait(false);
        }
        catch (Exception e) when (e is ClusterUnavailableException or BusException { Code: BusException.Unavailable } or InvalidOperationException)
        {
            LogStoreAway(record.Id, e.Message);
            _unfinished.Enqueue((record, reason));
        }
    }

    /// <summary>The same identity has joined again: the older session ends, whichever node has it, and be that node dead.</summary>
    private async Task ReplaceAsync(string sessionId)
    {
        await _bus.PublishAsync<SfuSessionEvent>(SfuSubjects.SessionEvents(sessionId), new SessionClosed("duplicateIdentity")).ConfigureAwait(false);
        if (await _store.FindAsync(sessionId).ConfigureAwait(false) is { } older && older.Owner != _store.Self)
            await _removal.CloseAsync(sessionId, older.Node, "duplicateIdentity").ConfigureAwait(false);
    }

    private async Task<bool> HasOthersAsync(CancellationToken cancellationToken)
    {
        try
        {
            IReadOnlyList<NodeInfo> living = await _directory.ListAsync(NodeRole.Signaling, cancellationToken).ConfigureAwait(false);
            return living.Any(node => node.Id != _store.Self);
        }
        catch (ClusterUnavailableException)
        {
            // Whoever is there finds the sessions when the store is back.
            return true;
        }
    }
}
