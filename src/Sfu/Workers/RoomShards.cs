namespace Transcribe.Sfu.Workers;

/// <summary>
/// Which workers of the node have a part of which room. Asked when a worker's part of a room begins or ends, never for a
/// packet.
/// </summary>
internal sealed class RoomShards
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
            if (all.Count == 0)
                _workers.Remove(room);
            return [.. all];
        }
    }
}
