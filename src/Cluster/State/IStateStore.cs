namespace Transcribe.Cluster.State;

/// <summary>A stored value. <paramref name="Version"/> changes with every write of the key.</summary>
public readonly record struct StateEntry(string Key, string Value, long Version);

/// <summary>
/// Keys to small JSON values with versions and time-to-live: the shared memory of the cluster. In process in the
/// all-in-one default, Redis in a cluster, with the same contract tests.
/// </summary>
public interface IStateStore
{
    ValueTask<StateEntry?> GetAsync(string key, CancellationToken cancellationToken = default);

    /// <summary>Writes unconditionally. Without <paramref name="timeToLive"/> the key lives until deleted.</summary>
    ValueTask<StateEntry> SetAsync(string key, string value, TimeSpan? timeToLive = null, CancellationToken cancellationToken = default);

    /// <summary>Writes only where the key is absent; null if it was present.</summary>
    ValueTask<StateEntry?> TryAddAsync(string key, string value, TimeSpan? timeToLive = null, CancellationToken cancellationToken = default);

    /// <summary>Writes only where the key still has this version; null if it does not.</summary>
    ValueTask<StateEntry?> TryReplaceAsync(string key, long version, string value, TimeSpan? timeToLive = null, CancellationToken cancellationToken = default);

    /// <summary>Deletes only where the key still has this version.</summary>
    ValueTask<bool> TryDeleteAsync(string key, long version, CancellationToken cancellationToken = default);

    ValueTask<bool> DeleteAsync(string key, CancellationToken cancellationToken = default);

    /// <summary>All live entries whose key starts with the prefix, ordered by key.</summary>
    ValueTask<IReadOnlyList<StateEntry>> ListAsync(string prefix, CancellationToken cancellationToken = default);
}
