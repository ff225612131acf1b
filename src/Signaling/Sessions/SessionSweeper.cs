using Microsoft.Extensions.Logging;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.State;

namespace Transcribe.Signaling.Sessions;

/// <summary>
/// Looks after the sessions of signalling nodes that died: those over HTTP are taken over, those whose clients do not come back within the
/// grace period are ended.
/// </summary>
internal sealed partial class SessionSweeper(
    SignalingOptions options, IMessageBus bus, SessionStore store, SessionManager sessions, SessionRemoval removal, INodeDirectory nodes, ILeaseStore leases,
    TimeProvider time, ILogger<SessionSweeper> logger)
{
    /// <summary>A node is dead when it is missing this often in a row: one late announcement is none.</summary>
    private const int Sightings = 3;

    private static readonly TimeSpan LeaseTime = TimeSpan.FromSeconds(15);

    private readonly Dictionary<string, (long Since, int Times)> _missing = new(StringComparer.Ordinal);
    private readonly ILogger _logger = logger;

    /// <summary>Sessions of this node's name that an earlier process left, and since when; null before the first look.</summary>
    private (IReadOnlyList<string> Ids, long Since)? _leftovers;

    /// <summary>The store was away: what was missing then says nothing.</summary>
    public void Restart() => _missing.Clear();

    public async Task SweepAsync(CancellationToken cancellationToken)
    {
        await SweepLeftoversAsync(cancellationToken).ConfigureAwait(false);
        IReadOnlyList<string> known = await store.ListNodesAsync(cancellationToken).ConfigureAwait(false);
        HashSet<string> living = [.. (await nodes.ListAsync(NodeRole.Signaling, cancellationToken).ConfigureAwait(false)).Select(node => node.Id), store.Self];
        foreach (string back in _missing.Keys.Where(living.Contains).ToList())
            _missing.Remove(back);

        foreach (string node in known.Where(node => !living.Contains(node)))
        {
            long now = time.GetTimestamp();
            (long since, int times) = _missing.GetValueOrDefault(node, (now, 0));
            _missing[node] = (since, ++times);
            if (times < Sightings)
                continue;

            bool over = time.GetElapsedTime(since, now) >= options.GracePeriod;
            if (times > Sightings && !over)
                continue;

            if (await AnswersAsync(node, cancellationToken).ConfigureAwait(false))
            {
                _missing.Remove(node);
                continue;
            }

            // One node does it; another one goes on if that dies over it.
            if (await leases.TryAcquireAsync($"signaling:{node}", store.Self, LeaseTime, cancellationToken).ConfigureAwait(false) is not { } lease)
                continue;

            int ended = await EndAsync(node, await store.ListOfAsync(node, cancellationToken).ConfigureAwait(false), over, cancellationToken).ConfigureAwait(false);
            if (over)
            {
                await store.RemoveNodeAsync(node, cancellationToken).ConfigureAwait(false);
                _missing.Remove(node);
                LogSwept(node, ended);
            }

            await leases.ReleaseAsync(lease, cancellationToken).ConfigureAwait(false);
        }
    }

    private async Task<bool> AnswersAsync(string node, CancellationToken cancellationToken)
    {
        try
        {
            await bus.RequestAsync<Ping, Pong>(SignalingSubjects.Alive(node), new Ping(), NodeWatcher.Timeout, cancellationToken).ConfigureAwait(false);
            return true;
        }
        catch (BusException e) when (e.Code is BusException.NoResponder or BusException.Timeout)
        {
            return false;
        }
    }

    private async Task SweepLeftoversAsync(CancellationToken cancellationToken)
    {
        _leftovers ??= (await store.ListOfAsync(store.Self, cancellationToken).ConfigureAwait(false), time.GetTimestamp());
        if (_leftovers.Value.Ids.Count == 0 || time.GetElapsedTime(_leftovers.Value.Since) < options.GracePeriod)
            return;

        await EndAsync(store.Self, _leftovers.Value.Ids, over: true, cancellationToken).ConfigureAwait(false);
        _leftovers = ([], 0);
    }

    /// <param name="over">Whether the grace period is; else only sessions that need no client are looked after.</param>
    private async Task<int> EndAsync(string owner, IReadOnlyList<string> ids, bool over, CancellationToken cancellationToken)
    {
        int ended = 0;
        foreach (string id in ids)
        {
            if (sessions.TryGet(id, out _))
                continue;

            if (await store.FindAsync(id, cancellationToken).ConfigureAwait(false) is not { } record || record.Owner != owner)
            {
                await store.RemoveFromIndexAsync(id, owner, cancellationToken).ConfigureAwait(false);
                continue;
            }

            if (record is { Http: true, Ending: null })
            {
                await sessions.FindHttpAsync(id, cancellationToken).ConfigureAwait(false);
                continue;
            }

            string reason = record.Ending ?? "timeout";
            if (!over || await store.MarkEndingAsync(id, owner, reason, cancellationToken).ConfigureAwait(false) != StoreOutcome.Done)
                continue;

            // Marked, it cannot be taken over any more; its media may have been moved until then.
            SessionRecord final = await store.FindAsync(id, cancellationToken).ConfigureAwait(false) ?? record;
            await removal.FinishAsync(final, reason, cancellationToken).ConfigureAwait(false);
            ended++;
        }

        return ended;
    }

    [LoggerMessage(2401, LogLevel.Warning, "Signalling node {Node} is gone; {Ended} sessions that nobody came back to were ended")]
    private partial void LogSwept(string node, int ended);
}
