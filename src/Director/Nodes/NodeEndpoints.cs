using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Placement;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Cluster.State;
using Transcribe.Director.Http;

namespace Transcribe.Director.Nodes;

/// <summary>Nodes, draining them, and moving rooms and sending participants away.</summary>
internal sealed class NodeApi(
    DirectorOptions options,
    CallerReader callers,
    INodeDirectory nodes,
    INodeSelector placement,
    IRoomDirectory rooms,
    DrainStore drains,
    NodeCommander commander,
    IMessageBus bus,
    TimeProvider time)
{
    private const int MaxDeadlineSeconds = 86_400;

    private static readonly TimeSpan StatisticsTimeout = TimeSpan.FromSeconds(2);

    public async Task<IResult> ListAsync(HttpContext http)
    {
        RequireApp(http);
        var found = new List<NodeDescription>();
        IReadOnlyList<(StateEntry Entry, Drain Drain)> orders = await drains.ListAsync(http.RequestAborted);
        foreach (NodeRole role in Enum.GetValues<NodeRole>())
        {
            IReadOnlyList<NodeInfo> all = await nodes.ListAsync(role, http.RequestAborted);
            found.AddRange(all.OrderBy(node => node.Id, StringComparer.Ordinal).Select(node => Describe(node, Find(orders, node), all)));
        }

        return Results.Ok(new NodeList(found));
    }

    public async Task<IResult> StatisticsAsync(HttpContext http, string id)
    {
        RequireApp(http);
        (NodeInfo node, _) = await FindAsync(http, id, nameof(NodeRole.Sfu));
        try
        {
            return Results.Ok(await bus.RequestAsync<ReadStatistics, SfuStatistics>(
                SfuSubjects.Statistics(node.Id), new ReadStatistics(), StatisticsTimeout, http.RequestAborted));
        }
        catch (BusException e)
        {
            throw new ApiProblem(StatusCodes.Status503ServiceUnavailable, "unavailable", $"The node \"{node.Id}\" does not answer ({e.Code}); try again.");
        }
    }

    public async Task<IResult> DrainAsync(HttpContext http, string id, string? role)
    {
        RequireApp(http);
        DrainRequest request = http.Request.ContentLength is null or 0 && http.Request.ContentType is null
            ? new DrainRequest()
            : await JsonBody.ReadAsync<DrainRequest>(http, options.MaxBodyBytes);
        if (request.DeadlineSeconds is < 0 or > MaxDeadlineSeconds)
            throw ApiProblem.BadRequest($"\"deadlineSeconds\" is {request.DeadlineSeconds}; use 0 to {MaxDeadlineSeconds}.");

        (NodeInfo node, IReadOnlyList<NodeInfo> peers) = await FindAsync(http, id, role);
        TimeSpan deadline = request.DeadlineSeconds is { } seconds ? TimeSpan.FromSeconds(seconds) : options.DrainDeadline;
        Drain drain = await commander.DrainAsync(node, deadline, Drain.ByAdmin, http.RequestAborted);
        return Results.Accepted("/v1/nodes", Describe(node, drain, peers));
    }

    public async Task<IResult> CancelDrainAsync(HttpContext http, string id, string? role)
    {
        RequireApp(http);
        NodeRole? wanted = ReadRole(role);
        IReadOnlyList<(StateEntry Entry, Drain Drain)> orders = await drains.ListAsync(http.RequestAborted);
        Drain[] matching = [.. orders.Select(order => order.Drain).Where(drain => drain.Id == id && (wanted is null || drain.Role == wanted))];
        foreach (Drain drain in matching)
            await commander.CancelAsync(drain.Role, drain.Id, http.RequestAborted);

        return matching.Length > 0 || await WakeAsync(http, id, wanted) ? Results.NoContent() : throw ApiProblem.NotFound($"No node \"{Shown(id)}\" is being drained.");
    }

    /// <summary>Nodes that drain although no order says so (any more), as after the store lost its data.</summary>
    private async ValueTask<bool> WakeAsync(HttpContext http, string id, NodeRole? wanted)
    {
        bool any = false;
        foreach (NodeRole role in Enum.GetValues<NodeRole>().Where(role => wanted is null || role == wanted))
        {
            IReadOnlyList<NodeInfo> all = await nodes.ListAsync(role, http.RequestAborted);
            if (all.Any(node => node.Id == id && node.State == NodeState.Draining))
                any |= await commander.TellActiveAsync(role, id, http.RequestAborted);
        }

        return any;
    }

    public async Task<IResult> MoveRoomAsync(HttpContext http, string room)
    {
        RequireRoom(room);
        RequireApp(http);
        MoveRoomRequest request = await JsonBody.ReadAsync<MoveRoomRequest>(http, options.MaxBodyBytes);
        IReadOnlyList<NodeInfo> sfus = await nodes.ListAsync(NodeRole.Sfu, http.RequestAborted);
        NodeInfo node = sfus.FirstOrDefault(sfu => sfu.Id == request.Node)
            ?? throw ApiProblem.BadRequest($"There is no SFU node \"{Shown(request.Node)}\"; GET /v1/nodes lists them.", "node_not_found");
        if (node.State != NodeState.Active)
            throw new ApiProblem(StatusCodes.Status409Conflict, "node_draining", $"The node \"{node.Id}\" is being drained; choose another one.");

        if (await rooms.GetSummaryAsync(room, http.RequestAborted) is not { } summary)
            throw ApiProblem.NotFound($"Nobody is in room \"{room}\".");

        if (NodeUtilization.Of(node) >= 1 || node.Load + summary.Participants > node.Capacity)
            throw new ApiProblem(StatusCodes.Status409Conflict, "no_capacity", $"The node \"{node.Id}\" has no room for room \"{room}\"; choose another one.");

        await placement.SetHomeAsync(room, node.Id, http.RequestAborted);
        await commander.MoveAsync(new MoveSessions(null, room, node.Id, "moved"), http.RequestAborted);
        return Results.Accepted();
    }

    public async Task<IResult> RemoveParticipantAsync(HttpContext http, string room, string participant)
    {
        RequireRoom(room);
        if (!callers.Read(http, room).IsAdmin)
            throw ApiProblem.Forbidden("The token does not grant \"admin\"; ask your app for one that does.");

        RoomSnapshot snapshot = await rooms.GetSnapshotAsync(room, http.RequestAborted);
        if (snapshot.Participants.All(present => present.Id != participant))
            throw ApiProblem.NotFound($"No participant \"{Shown(participant)}\" is in room \"{room}\".");

        await bus.PublishAsync(SignalingSubjects.Remove, new RemoveParticipant(room, participant), http.RequestAborted);
        return Results.NoContent();
    }

    private static Drain? Find(IReadOnlyList<(StateEntry Entry, Drain Drain)> orders, NodeInfo node) =>
        orders.Select(order => order.Drain).FirstOrDefault(drain => drain.Role == node.Role && drain.Id == node.Id);

    private static NodeRole? ReadRole(string? role) =>
        role is null ? null
        : Enum.TryParse(role, ignoreCase: true, out NodeRole parsed) && role.All(char.IsAsciiLetter) ? parsed
        : throw ApiProblem.BadRequest("\"role\" is not one of: sfu, signaling, director, gateway.");

    private static string Shown(string text) => text.Length > 40 ? text[..40] + "…" : text;

    private static void RequireRoom(string room)
    {
        if (!RoomNames.IsRoom(room, out string? problem))
            throw ApiProblem.BadRequest(problem, "room_name_invalid");
    }

    /// <summary>Nodes serve every room: an admin's token, which is for one, is not enough.</summary>
    private void RequireApp(HttpContext http)
    {
        if (!callers.Read(http, room: null).IsApp)
            throw ApiProblem.Forbidden("Nodes are the operator's: use the API key and its secret, not an access token.");
    }

    private async ValueTask<(NodeInfo Node, IReadOnlyList<NodeInfo> Peers)> FindAsync(HttpContext http, string id, string? role)
    {
        NodeRole? wanted = ReadRole(role);
        var found = new List<(NodeInfo, IReadOnlyList<NodeInfo>)>();
        foreach (NodeRole candidate in Enum.GetValues<NodeRole>())
        {
            if (wanted is not null && candidate != wanted)
                continue;

            IReadOnlyList<NodeInfo> all = await nodes.ListAsync(candidate, http.RequestAborted);
            found.AddRange(all.Where(node => node.Id == id).Select(node => (node, all)));
        }

        return found.Count switch
        {
            1 => found[0],
            0 => throw ApiProblem.NotFound($"There is no node \"{Shown(id)}\"; GET /v1/nodes lists them."),
            _ => throw ApiProblem.BadRequest($"Several nodes are called \"{Shown(id)}\"; say which with ?role=, e.g. ?role=sfu.", "node_ambiguous"),
        };
    }

    private NodeDescription Describe(NodeInfo node, Drain? drain, IReadOnlyList<NodeInfo> peers)
    {
        DrainStatus? status = null;
        if (drain is not null)
        {
            bool patient = node.Role == NodeRole.Sfu && time.GetUtcNow() < drain.Deadline;
            bool elsewhere = peers.Any(peer => peer.Id != node.Id && peer.State == NodeState.Active
                && (peer.Role != NodeRole.Gateway || peer.Load < peer.Capacity));
            DrainPhase phase = node.Load == 0 ? DrainPhase.Drained : patient ? DrainPhase.Draining : elsewhere ? DrainPhase.Moving : DrainPhase.Waiting;
            status = new DrainStatus(phase, drain.RequestedAt, drain.Deadline, drain.Sessions, node.Load, node.Rooms, drain.By);
        }

        return new NodeDescription(
            node.Id, node.Role, node.Address, node.Region, node.Version, node.State, node.Load, node.Capacity,
            Math.Round(NodeUtilization.Of(node), 4), node.Rooms, node.Links, node.Media, node.Limits, status);
    }
}

internal static class NodeEndpoints
{
    public static void MapNodes(this RouteGroupBuilder group)
    {
        group.MapGet("/nodes", (HttpContext http, NodeApi api) => api.ListAsync(http))
            .Produces<NodeList>().Refuses(401, 403)
            .WithTags("Nodes").WithSummary("The living nodes of the cluster, with load, limits and drain status");
        group.MapGet("/nodes/{id}/statistics", (HttpContext http, string id, NodeApi api) => api.StatisticsAsync(http, id))
            .Produces<SfuStatistics>().Refuses(401, 403, 404, 503)
            .WithTags("Nodes").WithSummary("What an SFU node has counted since it started, and what each of its links to other nodes carried");
        group.MapPost("/nodes/{id}/drain", (HttpContext http, string id, string? role, NodeApi api) => api.DrainAsync(http, id, role))
            .Accepts<DrainRequest>(isOptional: true, "application/json").Produces<NodeDescription>(StatusCodes.Status202Accepted).Refuses(400, 401, 403, 404, 413, 415)
            .WithTags("Nodes").WithSummary("Empty a node")
            .WithDescription("It takes nothing new at once. The sessions that are still on an SFU node at the deadline (300 s unless told otherwise) are moved to others, a few rooms at a time; a signalling node sends its clients to others until the deadline; a gateway hands its rooms over to others that have room, one after the other; a Director leaves its duties to others and says on /readyz that it is not ready. role: which node is meant, where several have the id.");
        group.MapDelete("/nodes/{id}/drain", (HttpContext http, string id, string? role, NodeApi api) => api.CancelDrainAsync(http, id, role))
            .Produces(StatusCodes.Status204NoContent).Refuses(400, 401, 403, 404)
            .WithTags("Nodes").WithSummary("Withdraw a drain order: the node keeps what it still has and takes new sessions again");
        group.MapPost("/rooms/{room}/move", (HttpContext http, string room, NodeApi api) => api.MoveRoomAsync(http, room))
            .Accepts<MoveRoomRequest>("application/json").Produces(StatusCodes.Status202Accepted).Refuses(400, 401, 403, 404, 409, 413, 415)
            .WithTags("Nodes").WithSummary("Move a room to another SFU node")
            .WithDescription("Everybody stays in the room; clients connect their media anew. WHIP and WHEP sessions cannot follow and end.");
        group.MapDelete("/rooms/{room}/participants/{participant}", (HttpContext http, string room, string participant, NodeApi api) => api.RemoveParticipantAsync(http, room, participant))
            .Produces(StatusCodes.Status204NoContent).Refuses(400, 401, 403, 404)
            .WithTags("Rooms").WithSummary("Send a participant away")
            .WithDescription("The session ends as \"removed\". The token stays good: make no new one, and let the old one expire.");
    }
}
