using Transcribe.Cluster.Nodes;

namespace Transcribe.Cluster.Placement;

/// <summary>Which signalling nodes a client is told of.</summary>
public interface ISignalingSelector
{
    /// <summary>
    /// The living signalling nodes, the one for this client first: its region before others, then the least loaded, recent choices counted.
    /// Draining ones only where there is no other. Empty where none announces itself.
    /// </summary>
    /// <param name="region">Region that the client is near to; null where unknown.</param>
    ValueTask<IReadOnlyList<NodeInfo>> ListAsync(string? region = null, CancellationToken cancellationToken = default);
}

/// <inheritdoc cref="ISignalingSelector"/>
public sealed class SignalingSelector(INodeDirectory nodes, PlacementOptions options, TimeProvider time) : ISignalingSelector
{
    private readonly Lock _lock = new();
    private readonly RecentPlacements _recent = new(options.RecentLifetime);
    private readonly Random _random = options.Seed is { } seed ? new Random(seed) : new Random();

    public async ValueTask<IReadOnlyList<NodeInfo>> ListAsync(string? region = null, CancellationToken cancellationToken = default)
    {
        long reading = _recent.BeginReading();
        IReadOnlyList<NodeInfo> all = await nodes.ListAsync(NodeRole.Signaling, cancellationToken).ConfigureAwait(false);
        if (all.Count == 0)
            return [];

        NodeInfo[] living = [.. all.Where(node => node.State == NodeState.Active)];
        if (living.Length == 0)
            living = [.. all];

        lock (_lock)
        {
            DateTimeOffset now = time.GetUtcNow();
            _recent.Observe(reading, all, now);
            _random.Shuffle(living);
            NodeInfo[] ordered =
            [
                .. living.OrderBy(node => node.Region == region ? 0 : 1)
                    .ThenBy(node => (double)(node.Load + _recent.On(node.Id)) / Math.Max(1, node.Capacity))
            ];
            _recent.Add(ordered[0], now);
            return ordered;
        }
    }
}
