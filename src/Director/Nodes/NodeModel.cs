using System.Text.Json.Serialization;
using Transcribe.Cluster.Nodes;

namespace Transcribe.Director.Nodes;

/// <summary><c>GET /v1/nodes</c></summary>
public sealed record NodeList(IReadOnlyList<NodeDescription> Nodes);

/// <summary>A living process of the cluster.</summary>
/// <param name="State">As the node itself announces it: a moment after a drain order it says "draining".</param>
/// <param name="Load">Sessions it has (of a gateway: rooms). Relay links are not among them.</param>
/// <param name="Capacity">Sessions (or rooms) it takes at most.</param>
/// <param name="Utilization">Share in use of its scarcest resource; 1 is full.</param>
/// <param name="Rooms">Rooms that an SFU node has sessions of, or that a gateway captions.</param>
/// <param name="Links">Relay links of an SFU node, from and to other nodes.</param>
/// <param name="Media">What an SFU node carries now.</param>
/// <param name="Limits">What an SFU node may carry; 0 is no limit.</param>
/// <param name="Drain">The order to empty it; null where there is none.</param>
public sealed record NodeDescription(
    string Id, NodeRole Role, string Address, string Region, string Version, NodeState State, int Load, int Capacity, double Utilization, int Rooms,
    int Links, NodeLoad? Media, NodeLoad? Limits, DrainStatus? Drain);

[JsonConverter(typeof(JsonStringEnumConverter<DrainPhase>))]
public enum DrainPhase
{
    /// <summary>It takes nothing new, and what it has may end by itself until the deadline.</summary>
    [JsonStringEnumMemberName("draining")] Draining,

    /// <summary>
    /// What it has goes to other nodes: a gateway's rooms and a signalling node's clients from the start, an SFU node's sessions from the
    /// deadline on.
    /// </summary>
    [JsonStringEnumMemberName("moving")] Moving,

    /// <summary>There is no other active node (for a gateway: none with room) that could take what it has: it keeps that.</summary>
    [JsonStringEnumMemberName("waiting")] Waiting,

    /// <summary>Nothing is left on it: it can be stopped.</summary>
    [JsonStringEnumMemberName("drained")] Drained,
}

/// <param name="SessionsAtStart">Sessions (of a gateway: rooms) when the order was given.</param>
/// <param name="SessionsLeft">Sessions (of a gateway: rooms) now.</param>
/// <param name="RoomsLeft">Rooms of an SFU node or a gateway now.</param>
/// <param name="By">"admin", or "scaling".</param>
public sealed record DrainStatus(DrainPhase Phase, DateTimeOffset RequestedAt, DateTimeOffset Deadline, int SessionsAtStart, int SessionsLeft, int RoomsLeft, string By);

/// <summary><c>POST /v1/nodes/{id}/drain</c></summary>
/// <param name="DeadlineSeconds">Seconds until it is to be empty; 0 to 86,400.</param>
public sealed record DrainRequest(int? DeadlineSeconds = null);

/// <summary><c>POST /v1/rooms/{room}/move</c></summary>
/// <param name="Node">The SFU node it goes to.</param>
public sealed record MoveRoomRequest(string Node);
