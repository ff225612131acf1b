using Transcribe.Cluster.State;

namespace Transcribe.Cluster.Nodes;

/// <summary><see cref="INodeDirectory"/> over the state store.</summary>
public sealed class NodeDirectory(IStateStore state) : INodeDirectory
{
    public static TimeSpan TimeToLive { get; } = TimeSpan.FromSeconds(15);

    public async ValueTask AnnounceAsync(NodeInfo node, CancellationToken cancellationToken = default) =>
        await state.SetAsync(Key(node.Role, node.Id), ClusterJson.Serialize(node), TimeToLive, cancellationToken).ConfigureAwait(false);

    public async ValueTask RemoveAsync(NodeRole role, string id, CancellationToken cancellationToken = default) =>
        await state.DeleteAsync(Key(role, id), cancellationToken).ConfigureAwait(false);

    public async ValueTask<IReadOnlyList<NodeInfo>> ListAsync(NodeRole role, CancellationToken cancellationToken = default)
    {
        IReadOnlyList<StateEntry> entries = await state.ListAsync(Key(role, ""), cancellationToken).ConfigureAwait(false);
        return [.. entries.Select(entry => ClusterJson.Deserialize<NodeInfo>(entry.Value))];
    }

    private static string Key(NodeRole role, string id) => $"nodes/{role}/{id}";
}
