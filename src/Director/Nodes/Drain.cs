using Transcribe.Cluster;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.State;

namespace Transcribe.Director.Nodes;

/// <summary>An order to empty a node. It lives in the state store: any Director goes on with it.</summary>
/// <param name="Deadline">By when the node is to be empty; sessions that are still on an SFU node then are moved to others.</param>
/// <param name="Sessions">Sessions it had when the order was given.</param>
/// <param name="By">"admin", or "scaling".</param>
/// <param name="Moving">The deadline has passed and sessions are being moved.</param>
/// <param name="GoneSince">Since when the node is not announced any more.</param>
/// <param name="Withdrawn">The order is no more, but the node has not heard of that yet.</param>
internal sealed record Drain(
    NodeRole Role, string Id, DateTimeOffset RequestedAt, DateTimeOffset Deadline, int Sessions, string By, bool Moving = false, DateTimeOffset? GoneSince = null,
    bool Withdrawn = false)
{
    public const string ByAdmin = "admin";
    public const string ByScaling = "scaling";
}

/// <summary>The orders to empty nodes.</summary>
internal sealed class DrainStore(IStateStore state)
{
    /// <summary>An order nobody looks after ends some time.</summary>
    private static readonly TimeSpan Remembered = TimeSpan.FromDays(2);

    public async ValueTask SetAsync(Drain drain, CancellationToken cancellationToken = default) =>
        await state.SetAsync(Key(drain.Role, drain.Id), ClusterJson.Serialize(drain), Remembered, cancellationToken);

    /// <summary>False where the order was changed or withdrawn meanwhile.</summary>
    public async ValueTask<bool> TryReplaceAsync(StateEntry before, Drain drain, CancellationToken cancellationToken = default) =>
        await state.TryReplaceAsync(before.Key, before.Version, ClusterJson.Serialize(drain), Remembered, cancellationToken) is not null;

    public async ValueTask<bool> TryDeleteAsync(StateEntry entry, CancellationToken cancellationToken = default) =>
        await state.TryDeleteAsync(entry.Key, entry.Version, cancellationToken);

    public async ValueTask<bool> DeleteAsync(NodeRole role, string id, CancellationToken cancellationToken = default) =>
        await state.DeleteAsync(Key(role, id), cancellationToken);

    /// <summary>Takes an order back; null where there is none.</summary>
    public async ValueTask<StateEntry?> TryWithdrawAsync(NodeRole role, string id, CancellationToken cancellationToken = default)
    {
        while (await state.GetAsync(Key(role, id), cancellationToken) is { } entry)
        {
            Drain drain = ClusterJson.Deserialize<Drain>(entry.Value);
            if (drain.Withdrawn)
                return null;

            string value = ClusterJson.Serialize(drain with { Withdrawn = true });
            if (await state.TryReplaceAsync(entry.Key, entry.Version, value, Remembered, cancellationToken) is { } withdrawn)
                return withdrawn;
        }

        return null;
    }

    /// <summary>The orders that stand.</summary>
    public async ValueTask<IReadOnlyList<(StateEntry Entry, Drain Drain)>> ListAsync(CancellationToken cancellationToken = default) =>
        [.. (await ListAllAsync(cancellationToken)).Where(order => !order.Drain.Withdrawn)];

    /// <summary>The orders that stand, and those taken back that nodes have not heard of yet.</summary>
    public async ValueTask<IReadOnlyList<(StateEntry Entry, Drain Drain)>> ListAllAsync(CancellationToken cancellationToken = default) =>
        [.. (await state.ListAsync("drains/", cancellationToken)).Select(entry => (entry, ClusterJson.Deserialize<Drain>(entry.Value)))];

    private static string Key(NodeRole role, string id) => $"drains/{role}/{id}";
}
