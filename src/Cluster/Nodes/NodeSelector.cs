using Transcribe.Cluster.Placement;
using Transcribe.Cluster.State;

namespace Transcribe.Cluster.Nodes;

/// <summary>Which SFU node a new session goes to.</summary>
public interface INodeSelector
{
    /// <summary>The node for one more session; null where there is no capacity.</summary>
    ValueTask<NodeInfo?> SelectSfuAsync(PlacementRequest request, CancellationToken cancellationToken = default);

    /// <summary>The node for one more participant in this room; null where there is no capacity.</summary>
    ValueTask<NodeInfo?> SelectSfuAsync(string room, CancellationToken cancellationToken = default) =>
        SelectSfuAsync(new PlacementRequest(room), cancellationToken);
}

/// <summary>Keeps a room on its node while there is capacity, else takes the node with the most of it left.</summary>
public sealed class NodeSelector(INodeDirectory nodes, IStateStore state) : INodeSelector
{
    private static readonly TimeSpan Remembered = TimeSpan.FromHours(1);

    public async ValueTask<NodeInfo?> SelectSfuAsync(PlacementRequest request, CancellationToken cancellationToken = default)
    {
        NodeInfo[] candidates =
        [
            .. (await nodes.ListAsync(NodeRole.Sfu, cancellationToken).ConfigureAwait(false))
                .Where(node => node.State == NodeState.Active && node.Load < node.Capacity && request.ExcludedNodes?.Contains(node.Id) != true)
        ];
        if (candidates.Length == 0)
            return null;

        string key = $"placement/{request.Room}";
        string? home = (await state.GetAsync(key, cancellationToken).ConfigureAwait(false))?.Value;
        NodeInfo chosen = Array.Find(candidates, node => node.Id == home)
            ?? candidates.MaxBy(node => (double)(node.Capacity - node.Load) / node.Capacity)!;
        await state.SetAsync(key, chosen.Id, Remembered, cancellationToken).ConfigureAwait(false);
        return chosen;
    }
}
