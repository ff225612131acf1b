namespace Transcribe.Sfu.Workers;

/// <summary>
/// Which workers of the node have a part of which room. Asked when a worker's part of a room begins or ends, never for a
/// packet.
/// </summary>
/// <param name="aside">A worker whose part does not count for <paramref name="changed"/>; null for none.</param>
/// <param name="changed">The first worker got a part of a room, or the last one's ended; in order, and under a lock: be brief.</param>
internal sealed class RoomShards(SfuWorker? aside = null, Action<string, bool>? changed = null)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, List<SfuWorker>> _workers = new(StringComparer.Ordinal);

    /// <summary>The worker has a part of the room now; returns the others that have one.</summary>
    public IReadOnlyList<SfuWorker> Join(string room, SfuWorker worker)
    {
        lock (_lock)
        {
            if (!_workers.TryGetValue(room, out List<SfuWorker>? all))
                _workers.Add(room, all = []);
            SfuWorker[] others = [.. all];
            all.Add(worker);
            if (!ReferenceEquals(worker, aside) && others.All(w => ReferenceEquals(w, aside)))
                changed?.Invoke(room, true);
            return others;
        }
    }

    /// <summary>The worker's part of the room ended; returns the others that have one.</summary>
    public IReadOnlyList<SfuWorker> Leave(string room, SfuWorker worker)
    {
        lock (_lock)
        {
            if (!_workers.TryGetValue(room, out List<SfuWorker>? all))
                return [];
            all.Remove(worker);
            if (!ReferenceEquals(worker, aside) && all.All(w => ReferenceEquals(w, aside)))
                changed?.Invoke(room, false);
            if (all.Count == 0)
                _workers.Remove(room);
            return [.. all];
        }
    }
}
