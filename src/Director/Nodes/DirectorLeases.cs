using System.Collections.Concurrent;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.State;

namespace Transcribe.Director.Nodes;

/// <summary>What only one Director does at a time. One that is being drained leaves it to the others, where there are any.</summary>
internal sealed class DirectorLeases(ILeaseStore leases, INodeDirectory nodes, DirectorOptions options, NodeStandings standings)
{
    private readonly ConcurrentDictionary<string, Lease> _held = new(StringComparer.Ordinal);

    /// <returns>The lease, taken or renewed; null where another Director has it, or should.</returns>
    public async ValueTask<Lease?> TryAcquireAsync(string name, TimeSpan lifetime, CancellationToken cancellationToken = default)
    {
        if (standings[NodeRole.Director].IsDraining && await HasOthersAsync(cancellationToken))
        {
            // The others need not wait until it runs out.
            if (_held.TryRemove(name, out Lease? held))
                await leases.ReleaseAsync(held, cancellationToken);

            return null;
        }

        Lease? lease = await leases.TryAcquireAsync(name, options.NodeId, lifetime, cancellationToken);
        if (lease is not null)
            _held[name] = lease;

        return lease;
    }

    /// <summary>For work that takes longer than the lease.</summary>
    /// <returns>Null where it was lost.</returns>
    public async ValueTask<Lease?> TryRenewAsync(Lease lease, TimeSpan lifetime, CancellationToken cancellationToken = default)
    {
        Lease? renewed = await leases.TryRenewAsync(lease, lifetime, cancellationToken);
        if (renewed is not null)
            _held[lease.Name] = renewed;

        return renewed;
    }

    public ValueTask ReleaseAsync(Lease lease, CancellationToken cancellationToken = default) => leases.ReleaseAsync(lease, cancellationToken);

    private async ValueTask<bool> HasOthersAsync(CancellationToken cancellationToken) =>
        (await nodes.ListAsync(NodeRole.Director, cancellationToken)).Any(node => node.Id != options.NodeId && node.State == NodeState.Active);
}
