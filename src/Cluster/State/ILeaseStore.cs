namespace Transcribe.Cluster.State;

/// <summary>A claim that ends by itself. <paramref name="FencingToken"/> grows with every new holder, so that a late write of an old one can be told.</summary>
public sealed record Lease(string Name, string Owner, long FencingToken, DateTimeOffset ExpiresAt);

/// <summary>Exclusive claims with time-to-live ("gateway:room-1").</summary>
public interface ILeaseStore
{
    /// <summary>Claims the name; null while somebody else holds it. The holder itself gets its lease renewed.</summary>
    ValueTask<Lease?> TryAcquireAsync(string name, string owner, TimeSpan timeToLive, CancellationToken cancellationToken = default);

    /// <summary>Extends the claim; null if it was lost.</summary>
    ValueTask<Lease?> TryRenewAsync(Lease lease, TimeSpan timeToLive, CancellationToken cancellationToken = default);

    /// <summary>
    /// The claims in force whose name starts with the prefix. A store that cannot list them cheaply gives none: who looks for free
    /// names then has to try them.
    /// </summary>
    ValueTask<IReadOnlyList<Lease>> ListAsync(string prefix, CancellationToken cancellationToken = default) =>
        ValueTask.FromResult<IReadOnlyList<Lease>>([]);

    /// <summary>Gives the claim back, if it is still this one.</summary>
    ValueTask ReleaseAsync(Lease lease, CancellationToken cancellationToken = default);
}
