using System.Collections.Concurrent;

namespace Transcribe.Cluster.Nodes;

/// <summary>Whether a role of this process takes new work, as the cluster ordered it. Written by its <see cref="NodeAnnouncer"/>.</summary>
public sealed class NodeStanding
{
    private readonly Lock _lock = new();
    private volatile Order _order = new(NodeState.Active, null);

    /// <summary>Told after every change, on the thread that made it; keep it short.</summary>
    public event Action? Changed;

    public NodeState State => _order.State;

    public bool IsDraining => _order.State == NodeState.Draining;

    /// <summary>By when a draining node is to be empty; null for an active one, or where nobody said.</summary>
    public DateTimeOffset? Deadline => _order.Deadline;

    /// <summary>False where it is so already.</summary>
    public bool Set(NodeState state, DateTimeOffset? deadline = null)
    {
        var order = new Order(state, state == NodeState.Draining ? deadline : null);
        lock (_lock)
        {
            if (_order == order)
                return false;

            _order = order;
        }

        Changed?.Invoke();
        return true;
    }

    private sealed record Order(NodeState State, DateTimeOffset? Deadline);
}

/// <summary>The standings of the roles of this process.</summary>
public sealed class NodeStandings
{
    private readonly ConcurrentDictionary<NodeRole, NodeStanding> _standings = new();

    public NodeStanding this[NodeRole role] => _standings.GetOrAdd(role, _ => new NodeStanding());
}
