using Transcribe.Cluster.State;

namespace Transcribe.Director.Tests.Support;

/// <summary>A state store that is out of reach.</summary>
internal sealed class AbsentStore : IStateStore
{
    public ValueTask<StateEntry?> GetAsync(string key, CancellationToken cancellationToken = default) => throw Away();

    public ValueTask<StateEntry> SetAsync(string key, string value, TimeSpan? timeToLive = null, CancellationToken cancellationToken = default) => throw Away();

    public ValueTask<StateEntry?> TryAddAsync(string key, string value, TimeSpan? timeToLive = null, CancellationToken cancellationToken = default) => throw Away();

    public ValueTask<StateEntry?> TryReplaceAsync(
        string key, long version, string value, TimeSpan? timeToLive = null, CancellationToken cancellationToken = default) => throw Away();

    public ValueTask<bool> TryDeleteAsync(string key, long version, CancellationToken cancellationToken = default) => throw Away();

    public ValueTask<bool> DeleteAsync(string key, CancellationToken cancellationToken = default) => throw Away();

    public ValueTask<IReadOnlyList<StateEntry>> ListAsync(string prefix, CancellationToken cancellationToken = default) => throw Away();

    private static ClusterUnavailableException Away() => new("Redis at 10.0.0.1 does not answer.");
}
