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

    /// <summary>Makes a node the room's only one: new sessions go there as long as it has room.</summary>
    ValueTask SetHomeAsync(string room, string node, CancellationToken cancellationToken = default);

    /// <summary>Rooms of which sessions were put on a node lately; some may have left it since.</summary>
    ValueTask<IReadOnlyList<string>> ListRoomsAsync(string node, CancellationToken cancellationToken = default);
}

/// <summary><see cref="INodeSelector"/> by a named policy (<see cref="PlacementOptions.Policy"/>) over the node directory.</summary>
/// <remarks>
/// Every process places by itself, from the announced loads and what it placed since. Which nodes a room is on is shared in the state store.
/// </remarks>
public sealed class NodeSelector : INodeSelector
{
    /// <summary>How often a lost race for a room's record is run again. The loser's choice holds afterwards: the room is on one node more than it had to be.</summary>
    private const int Attempts = 8;

    private readonly INodeDirectory _nodes;
    private readonly PlacementStore _store;
    private readonly PlacementOptions _options;
    private readonly TimeProvider _time;
    private readonly IPlacementPolicy _policy;
    private readonly Lock _lock = new();
    private readonly RecentPlacements _recent;
    private readonly Random _random;

    /// <exception cref="ArgumentException">An option that cannot be; the message names it and the fix.</exception>
    public NodeSelector(INodeDirectory nodes, IStateStore state, PlacementOptions options, TimeProvider time)
    {
        if (options.Validate() is { } problem)
            throw new ArgumentException(problem, nameof(options));

        (_nodes, _options, _time) = (nodes, options, time);
        _store = new PlacementStore(state, options, time);
        _policy = PlacementPolicies.Find(options.Policy);
        _recent = new RecentPlacements(options.RecentLifetime);
        _random = options.Seed is { } seed ? new Random(seed) : new Random();
    }

    public async ValueTask<NodeInfo?> SelectSfuAsync(PlacementRequest request, CancellationToken cancellationToken = default)
    {
        long reading = _recent.BeginReading();
        IReadOnlyList<NodeInfo> nodes = await _nodes.ListAsync(NodeRole.Sfu, cancellationToken).ConfigureAwait(false);
        if (await FindReservedAsync(request, nodes, cancellationToken).ConfigureAwait(false) is { } reserved)
            return reserved;

        NodeInfo? chosen = null;
        for (int attempt = 0; attempt < Attempts; attempt++)
        {
            (RoomPlacement? room, long version) = await _store.ReadAsync(request.Room, cancellationToken).ConfigureAwait(false);

            // A home that is gone or draining is one no more, and the room gathers elsewhere. One that is only excluded still is.
            string? home = nodes.Any(node => node.Id == room?.Home && node.State == NodeState.Active) ? room!.Home : null;
            chosen = Choose(request, reading, nodes, home, room?.Edges ?? []);
            if (chosen is null)
                return null;

            if (await _store.TryNoteAsync(request.Room, room, version, home ?? chosen.Id, chosen.Id, cancellationToken).ConfigureAwait(false)
                || attempt == Attempts - 1)
            {
                break;
            }

            lock (_lock)
                _recent.Withdraw(chosen);
        }

        if (chosen is not null && request is { Reserve: true, Participant: { } participant })
            await _store.ReserveAsync(request.Room, participant, chosen.Id, cancellationToken).ConfigureAwait(false);

        return chosen;
    }

    public ValueTask SetHomeAsync(string room, string node, CancellationToken cancellationToken = default) =>
        _store.SetHomeAsync(room, node, cancellationToken);

    public ValueTask<IReadOnlyList<string>> ListRoomsAsync(string node, CancellationToken cancellationToken = default) =>
        _store.ListRoomsAsync(node, cancellationToken);

    /// <summary>The node that was chosen for this participant a moment ago. It was counted then.</summary>
    private async ValueTask<NodeInfo?> FindReservedAsync(PlacementRequest request, IReadOnlyList<NodeInfo> nodes, CancellationToken cancellationToken)
    {
        if (request.Participant is not { } participant
            || await _store.FindReservationAsync(request.Room, participant, cancellationToken).ConfigureAwait(false) is not { } reservation
            || nodes.FirstOrDefault(node => node.Id == reservation.Value) is not { } reserved
            || !IsOpen(request, reserved) || reserved.Load >= reserved.Capacity)
        {
            return null;
        }

        // Who joins twice keeps its place; who opens the session takes it.
        return request.Reserve || await _store.TryTakeAsync(reservation, cancellationToken).ConfigureAwait(false) ? reserved : null;
    }

    private NodeInfo? Choose(PlacementRequest request, long reading, IReadOnlyList<NodeInfo> nodes, string? home, IReadOnlyList<string> edges)
    {
        lock (_lock)
        {
            _recent.Observe(reading, nodes, _time.GetUtcNow());
            PlacementCandidate[] candidates =
            [
                .. nodes.Where(node => IsOpen(request, node)).Select(node => new PlacementCandidate(node, _recent.On(node.Id), _options.AssumedShare))
            ];
            NodeInfo? chosen = _policy.Choose(new PlacementView(request, home, edges, candidates, _random, _options));

            // At once: the next of a burst must see it.
            if (chosen is not null)
                _recent.Add(chosen, _time.GetUtcNow());

            return chosen;
        }
    }

    private static bool IsOpen(PlacementRequest request, NodeInfo node) =>
        node.State == NodeState.Active && request.ExcludedNodes?.Contains(node.Id) != true;
}
