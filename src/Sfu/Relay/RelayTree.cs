using Transcribe.Cluster;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.State;

namespace Transcribe.Sfu.Relay;

/// <summary>
/// The trees of all tracks and rooms in the state store, changed by compare-and-swap: concurrent joins of many nodes each
/// get a place, and the bounds hold whatever they see.
/// </summary>
internal sealed class RelayTree(IStateStore state, TimeProvider time, int maxChildren, int maxDepth)
{
    /// <summary>The refusal of a tree that has no place left.</summary>
    public const string Full = "relay_tree_full";

    /// <summary>A member says again that it is there this often, with <see cref="JoinAsync"/>.</summary>
    public static readonly TimeSpan RefreshInterval = TimeSpan.FromSeconds(10);

    private const int Attempts = 64;

    public static string TrackKey(string trackId) => $"relays/track/{trackId}";

    public static string RoomKey(string room) => $"relays/room/{room}";

    /// <summary>Takes a place in the tree, or confirms the one there is.</summary>
    /// <exception cref="BusException"><see cref="Full"/>, or "contention".</exception>
    public async ValueTask<RelayPlace> JoinAsync(string key, RelayJoin join, CancellationToken cancellationToken = default)
    {
        for (int attempt = 0; attempt < Attempts; attempt++)
        {
            StateEntry? entry = await state.GetAsync(key, cancellationToken).ConfigureAwait(false);
            RelayTreeState tree = Read(entry);
            long now = time.GetUtcNow().ToUnixTimeSeconds();
            if (IsFresh(tree, join, now) && tree.FindPlace(join) is { } present)
                return present;
            if (tree.Join(join, now) is not RelayPlace place)
            {
                throw new BusException(
                    Full, $"The relay tree \"{key}\" has no place left at depth {maxDepth} with {maxChildren} relays a node; raise Sfu:Relay:MaxRelaysPerTrack.");
            }

            if (await WriteAsync(key, entry, tree, cancellationToken).ConfigureAwait(false))
                return place;
            await BackOffAsync(attempt, cancellationToken).ConfigureAwait(false);
        }

        throw Contention(key);
    }

    /// <summary>Gives the place up; children find new parents. Without a place nothing happens.</summary>
    public async ValueTask LeaveAsync(string key, string node, CancellationToken cancellationToken = default)
    {
        for (int attempt = 0; attempt < Attempts; attempt++)
        {
            if (await state.GetAsync(key, cancellationToken).ConfigureAwait(false) is not { } entry)
                return;
            RelayTreeState tree = Read(entry);
            if (!tree.Leave(node))
                return;

            // A root alone relays to nobody.
            bool done = tree.Nodes.All(n => n.Parent is null)
                && (key.StartsWith("relays/track/", StringComparison.Ordinal) || tree.Nodes.Count == 0)
                ? await state.TryDeleteAsync(key, entry.Version, cancellationToken).ConfigureAwait(false)
                : await WriteAsync(key, entry, tree, cancellationToken).ConfigureAwait(false);
            if (done)
                return;
            await BackOffAsync(attempt, cancellationToken).ConfigureAwait(false);
        }

        throw Contention(key);
    }

    /// <summary>The tree as it is; for tests and diagnosis.</summary>
    public async ValueTask<RelayTreeState> ReadAsync(string key, CancellationToken cancellationToken = default) =>
        Read(await state.GetAsync(key, cancellationToken).ConfigureAwait(false));

    /// <summary>A place that was confirmed a moment ago needs no write.</summary>
    private static bool IsFresh(RelayTreeState tree, RelayJoin join, long now) =>
        tree.Nodes.FirstOrDefault(n => n.Id == join.Node) is { } self && now - self.SeenAt <= (long)(RelayTreeState.Forgotten.TotalSeconds / 3)
        && (join.Root is null || tree.Nodes.FirstOrDefault(n => n.Parent is null)?.Id == join.Root)
        && !tree.Nodes.Any(n => join.Dead.Contains(n.Id));

    private RelayTreeState Read(StateEntry? entry) =>
        new(entry is { } present ? ClusterJson.Deserialize<RelayTreeNode[]>(present.Value) : [], maxChildren, maxDepth);

    private async ValueTask<bool> WriteAsync(string key, StateEntry? entry, RelayTreeState tree, CancellationToken cancellationToken)
    {
        string value = ClusterJson.Serialize(tree.Nodes.ToArray());
        TimeSpan timeToLive = RelayTreeState.Forgotten * 2;
        return (entry is { } present
            ? await state.TryReplaceAsync(key, present.Version, value, timeToLive, cancellationToken).ConfigureAwait(false)
            : await state.TryAddAsync(key, value, timeToLive, cancellationToken).ConfigureAwait(false)) is not null;
    }

    private Task BackOffAsync(int attempt, CancellationToken cancellationToken) =>
        attempt < 4 ? Task.CompletedTask : Task.Delay(TimeSpan.FromMilliseconds(Random.Shared.Next(1, 4 + attempt)), time, cancellationToken);

    private static BusException Contention(string key) =>
        new("contention", $"The relay tree \"{key}\" changed {Attempts} times while one change was tried; try again.");
}
