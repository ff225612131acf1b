using Transcribe.Cluster.State;

namespace Transcribe.Cluster.InProcess;

/// <summary>The state of the all-in-one process. Gone with it.</summary>
public sealed class InProcessStateStore(TimeProvider time) : IStateStore
{
    private static readonly TimeSpan SweepInterval = TimeSpan.FromSeconds(10);

    private readonly Lock _lock = new();
    private readonly Dictionary<string, Item> _items = new(StringComparer.Ordinal);
    private DateTimeOffset _nextSweep = time.GetUtcNow() + SweepInterval;
    private long _version;

    public ValueTask<StateEntry?> GetAsync(string key, CancellationToken cancellationToken = default)
    {
        lock (_lock)
            return ValueTask.FromResult(Find(key, out Item item) ? item.Entry(key) : default(StateEntry?));
    }

    public ValueTask<StateEntry> SetAsync(
        string key, string value, TimeSpan? timeToLive = null, CancellationToken cancellationToken = default)
    {
        lock (_lock)
            return ValueTask.FromResult(Write(key, value, timeToLive));
    }

    public ValueTask<StateEntry?> TryAddAsync(
        string key, string value, TimeSpan? timeToLive = null, CancellationToken cancellationToken = default)
    {
        lock (_lock)
            return ValueTask.FromResult(Find(key, out _) ? default(StateEntry?) : Write(key, value, timeToLive));
    }

    public ValueTask<StateEntry?> TryReplaceAsync(
        string key, long version, string value, TimeSpan? timeToLive = null, CancellationToken cancellationToken = default)
    {
        lock (_lock)
        {
            bool same = Find(key, out Item item) && item.Version == version;
            return ValueTask.FromResult(same ? Write(key, value, timeToLive) : default(StateEntry?));
        }
    }

    public ValueTask<bool> TryDeleteAsync(string key, long version, CancellationToken cancellationToken = default)
    {
        lock (_lock)
            return ValueTask.FromResult(Find(key, out Item item) && item.Version == version && _items.Remove(key));
    }

    public ValueTask<bool> DeleteAsync(string key, CancellationToken cancellationToken = default)
    {
        lock (_lock)
            return ValueTask.FromResult(Find(key, out _) && _items.Remove(key));
    }

    public ValueTask<IReadOnlyList<StateEntry>> ListAsync(string prefix, CancellationToken cancellationToken = default)
    {
        var found = new List<StateEntry>();
        lock (_lock)
        {
            DateTimeOffset now = time.GetUtcNow();
            foreach ((string key, Item item) in _items)
            {
                if (item.ExpiresAt > now && key.StartsWith(prefix, StringComparison.Ordinal))
                    found.Add(item.Entry(key));
            }
        }

        found.Sort(static (a, b) => string.CompareOrdinal(a.Key, b.Key));
        return ValueTask.FromResult<IReadOnlyList<StateEntry>>(found);
    }

    private bool Find(string key, out Item item)
    {
        if (!_items.TryGetValue(key, out item))
            return false;

        if (item.ExpiresAt > time.GetUtcNow())
            return true;

        _items.Remove(key);
        return false;
    }

    private StateEntry Write(string key, string value, TimeSpan? timeToLive)
    {
        DateTimeOffset now = time.GetUtcNow();
        if (now >= _nextSweep)
        {
            foreach (string expired in _items.Where(pair => pair.Value.ExpiresAt <= now).Select(pair => pair.Key).ToList())
                _items.Remove(expired);

            _nextSweep = now + SweepInterval;
        }

        var item = new Item(value, ++_version, timeToLive is { } ttl ? now + ttl : DateTimeOffset.MaxValue);
        _items[key] = item;
        return item.Entry(key);
    }

    private readonly record struct Item(string Value, long Version, DateTimeOffset ExpiresAt)
    {
        public StateEntry Entry(string key) => new(key, Value, Version);
    }
}
