using Transcribe.Cluster.State;

namespace Transcribe.Cluster.InProcess;

/// <summary>The claims of the all-in-one process.</summary>
public sealed class InProcessLeaseStore(TimeProvider time) : ILeaseStore
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, Lease> _leases = new(StringComparer.Ordinal);

    // One counter for all names: it grows for each of them, and nothing stays behind of a released one.
    private long _fencingToken;

    public ValueTask<Lease?> TryAcquireAsync(
        string name, string owner, TimeSpan timeToLive, CancellationToken cancellationToken = default)
    {
        lock (_lock)
        {
            Lease? held = Find(name);
            if (held is not null && held.Owner != owner)
                return ValueTask.FromResult<Lease?>(null);

            long token = held?.FencingToken ?? ++_fencingToken;
            return ValueTask.FromResult<Lease?>(_leases[name] = new Lease(name, owner, token, time.GetUtcNow() + timeToLive));
        }
    }

    public ValueTask<Lease?> TryRenewAsync(Lease lease, TimeSpan timeToLive, CancellationToken cancellationToken = default)
    {
        lock (_lock)
        {
            Lease? held = Find(lease.Name);
            if (held is null || held.FencingToken != lease.FencingToken)
                return ValueTask.FromResult<Lease?>(null);

            return ValueTask.FromResult<Lease?>(_leases[lease.Name] = held with { ExpiresAt = time.GetUtcNow() + timeToLive });
        }
    }

    public ValueTask ReleaseAsync(Lease lease, CancellationToken cancellationToken = default)
    {
        lock (_lock)
        {
            if (Find(lease.Name)?.FencingToken == lease.FencingToken)
                _leases.Remove(lease.Name);
        }

        return ValueTask.CompletedTask;
    }

    public ValueTask<IReadOnlyList<Lease>> ListAsync(string prefix, CancellationToken cancellationToken = default)
    {
        lock (_lock)
        {
            DateTimeOffset now = time.GetUtcNow();
            return ValueTask.FromResult<IReadOnlyList<Lease>>(
                [.. _leases.Values.Where(lease => lease.ExpiresAt > now && lease.Name.StartsWith(prefix, StringComparison.Ordinal))]);
        }
    }

    private Lease? Find(string name)
    {
        if (!_leases.TryGetValue(name, out Lease? lease))
            return null;

        if (lease.ExpiresAt > time.GetUtcNow())
            return lease;

        _leases.Remove(name);
        return null;
    }
}
