using Transcribe.Cluster.Nodes;

namespace Transcribe.Cluster.Placement;

/// <summary>
/// Counts what this process placed and no announcement shows yet, so that a burst of joins between two heartbeats does not end on the node
/// that looked the emptiest before it. Not thread-safe but for <see cref="BeginReading"/>.
/// </summary>
/// <remarks>
/// A placement is settled when the node's announced number of sessions grows (one by one, the oldest first), and forgotten after a while: its client never came.
/// </remarks>
internal sealed class RecentPlacements(TimeSpan lifetime)
{
    private readonly Dictionary<string, Recent> _nodes = new(StringComparer.Ordinal);
    private long _observed;
    private long _readings;

    /// <summary>To be called before the announcements are read. From any thread.</summary>
    /// <returns>For <see cref="Observe"/>: of two readings under way at once the one begun later counts, whichever arrives last.</returns>
    public long BeginReading() => Interlocked.Increment(ref _readings);

    /// <summary>Takes in what the nodes announced.</summary>
    public void Observe(long reading, IReadOnlyList<NodeInfo> nodes, DateTimeOffset now)
    {
        if (reading <= _observed)
            return;

        _observed = reading;
        foreach (NodeInfo node in nodes)
        {
            if (!_nodes.TryGetValue(node.Id, out Recent? recent))
                continue;

            for (int settled = node.Load - recent.Load; settled > 0 && recent.Until.Count > 0; settled--)
                recent.Until.Dequeue();

            recent.Load = node.Load;
        }

        foreach ((string id, Recent recent) in _nodes)
        {
            while (recent.Until.TryPeek(out DateTimeOffset until) && until <= now)
                recent.Until.Dequeue();

            if (recent.Until.Count == 0)
                _nodes.Remove(id);
        }
    }

    public int On(string node) => _nodes.TryGetValue(node, out Recent? recent) ? recent.Until.Count : 0;

    public void Add(NodeInfo node, DateTimeOffset now)
    {
        if (!_nodes.TryGetValue(node.Id, out Recent? recent))
            _nodes[node.Id] = recent = new Recent { Load = node.Load };

        recent.Until.Enqueue(now + lifetime);
    }

    /// <summary>It was not to be.</summary>
    public void Withdraw(NodeInfo node)
    {
        if (_nodes.TryGetValue(node.Id, out Recent? recent))
            recent.Until.TryDequeue(out _);
    }

    private sealed class Recent
    {
        public Queue<DateTimeOffset> Until { get; } = new();

        /// <summary>As announced when last looked.</summary>
        public int Load { get; set; }
    }
}
