using Transcribe.Cluster.State;

namespace Transcribe.Cluster.Placement;

/// <summary>The SFU nodes a room is on.</summary>
/// <param name="Home">Where it goes as long as there is room.</param>
/// <param name="Edges">Nodes that took what the home could not, the oldest first.</param>
/// <param name="At">When this was last written.</param>
public sealed record RoomPlacement(string Home, IReadOnlyList<string> Edges, DateTimeOffset At);

/// <summary>The rooms' nodes, and the nodes reserved for participants, in the state store.</summary>
internal sealed class PlacementStore(IStateStore state, PlacementOptions options, TimeProvider time)
{
    /// <summary>More nodes than a room is ever seriously on; the oldest are forgotten.</summary>
    private const int MaxEdges = 256;

    public async ValueTask<(RoomPlacement? Placement, long Version)> ReadAsync(string room, CancellationToken cancellationToken)
    {
        StateEntry? entry = await state.GetAsync(RoomKey(room), cancellationToken).ConfigureAwait(false);
        return entry is { } present ? (ClusterJson.Deserialize<RoomPlacement>(present.Value), present.Version) : (null, 0);
    }

    /// <summary>Notes that the room is on a node (too). False where somebody else wrote meanwhile.</summary>
    /// <param name="home">The room's home from now on.</param>
    public async ValueTask<bool> TryNoteAsync(
        string room, RoomPlacement? before, long version, string home, string node, CancellationToken cancellationToken)
    {
        DateTimeOffset now = time.GetUtcNow();
        bool known = before is not null && before.Home == home && (node == home || before.Edges.Contains(node, StringComparer.Ordinal));
        if (known && now - before!.At < options.RoomLifetime / 4)
            return true;

        string[] edges = [.. (before?.Edges ?? []).Append(node).Where(edge => edge != home).Distinct(StringComparer.Ordinal).TakeLast(MaxEdges)];
        string value = ClusterJson.Serialize(new RoomPlacement(home, edges, now));
        StateEntry? written = before is null
            ? await state.TryAddAsync(RoomKey(room), value, options.RoomLifetime, cancellationToken).ConfigureAwait(false)
            : await state.TryReplaceAsync(RoomKey(room), version, value, options.RoomLifetime, cancellationToken).ConfigureAwait(false);
        return written is not null;
    }

    public async ValueTask SetHomeAsync(string room, string home, CancellationToken cancellationToken) =>
        await state.SetAsync(
            RoomKey(room), ClusterJson.Serialize(new RoomPlacement(home, [], time.GetUtcNow())), options.RoomLifetime, cancellationToken).ConfigureAwait(false);

    public async ValueTask<IReadOnlyList<string>> ListRoomsAsync(string node, CancellationToken cancellationToken)
    {
        IReadOnlyList<StateEntry> all = await state.ListAsync(RoomKey(""), cancellationToken).ConfigureAwait(false);
        return
        [
            .. all.Where(entry => ClusterJson.Deserialize<RoomPlacement>(entry.Value) is var room
                    && (room.Home == node || room.Edges.Contains(node, StringComparer.Ordinal)))
                .Select(entry => entry.Key[RoomKey("").Length..])
        ];
    }

    /// <summary>The node reserved for a participant; null where there is none.</summary>
    public async ValueTask<StateEntry?> FindReservationAsync(string room, string participant, CancellationToken cancellationToken) =>
        await state.GetAsync(ReservationKey(room, participant), cancellationToken).ConfigureAwait(false);

    public async ValueTask ReserveAsync(string room, string participant, string node, CancellationToken cancellationToken) =>
        await state.SetAsync(ReservationKey(room, participant), node, options.ReservationLifetime, cancellationToken).ConfigureAwait(false);

    /// <summary>False where somebody else took it.</summary>
    public async ValueTask<bool> TryTakeAsync(StateEntry reservation, CancellationToken cancellationToken) =>
        await state.TryDeleteAsync(reservation.Key, reservation.Version, cancellationToken).ConfigureAwait(false);

    private static string RoomKey(string room) => $"placement/rooms/{room}";

    private static string ReservationKey(string room, string participant) => $"placement/participants/{room}/{participant}";
}
