using System.Collections.Concurrent;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.State;

namespace Transcribe.AiGateway.Takeover;

/// <summary>
/// Watches the gateways that have rooms. Where the process of one is gone, its claims are given back in its stead: sooner than
/// they run out. Should it live after all, it loses its rooms as it would by a lease that ran out: renewing fails, and the
/// transcript takes nothing from it once another gateway writes it.
/// </summary>
/// <param name="wake">Called when there is something to give back.</param>
internal sealed class HolderWatch(string self, NodeWatcher watcher, ILeaseStore leases, Action wake) : IDisposable
{
    private readonly Dictionary<string, IDisposable> _watches = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, bool> _gone = new(StringComparer.Ordinal);

    /// <summary>A gateway died that had rooms.</summary>
    public bool HasNews => !_gone.IsEmpty;

    /// <summary>Gives back what dead gateways hold, and watches who else holds something.</summary>
    /// <param name="announced">Gateways that announce themselves. Of another nothing is known but its lease: it is not watched.</param>
    /// <returns>What is still held.</returns>
    public async Task<IReadOnlyList<Lease>> ReleaseAsync(IReadOnlyList<Lease> held, IEnumerable<string> announced, CancellationToken cancellationToken)
    {
        HashSet<string> owners = [.. held.Select(lease => lease.Owner).Where(owner => owner != self)];
        foreach (string owner in _watches.Keys.Where(owner => !owners.Contains(owner)).ToArray())
        {
            _watches.Remove(owner, out IDisposable? watch);
            watch!.Dispose();
            _gone.TryRemove(owner, out _);
        }

        foreach (string owner in owners.Intersect(announced).Where(owner => !_watches.ContainsKey(owner)))
            _watches[owner] = watcher.Watch(NodeRole.Gateway, owner, OnLost, () => _gone.TryRemove(owner, out _));

        Lease[] orphans = [.. held.Where(lease => _gone.ContainsKey(lease.Owner))];
        foreach (Lease orphan in orphans)
            await leases.ReleaseAsync(orphan, cancellationToken).ConfigureAwait(false);
        return orphans.Length == 0 ? held : [.. held.Except(orphans)];
    }

    public void Dispose()
    {
        foreach (IDisposable watch in _watches.Values)
            watch.Dispose();
        _watches.Clear();
    }

    private void OnLost(NodeLost lost)
    {
        // One that is only slow may be on its way to its store: its lease decides.
        if (lost.Reason != BusException.NoResponder)
            return;
        _gone[lost.Id] = true;
        wake();
    }
}
