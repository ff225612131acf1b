using System.Text.Json.Serialization;
using Transcribe.Cluster.Nodes;

namespace Transcribe.Director.Nodes;

/// <summary><c>GET /v1/nodes</c></summary>
public sealed record NodeList(IReadOnlyList<NodeDescription> Nodes);

/// <summary>A living process of the cluster.</summary>
/// <param name="State">As the node itself announces it: a moment after a drain order it says "draining".</param>
/// <param name="Load">Sessions it has (of a gateway: rooms).</param>
/// <param name="Capacity">Sessions (or rooms) it takes at most.</param>
/// <param name="Utilization">Share in use of its scarcest resource; 1 is full.</param>
/// <param name="Rooms">Rooms that an SFU node has sessions of.</param>
/// <param name="Media">What an SFU node carries now.</param>
/// <param name="Limits">What an SFU node may carry; 0 is no limit.</param>
/// <param name="Drain">The order to empty it; null where there is none.</param>
public sealed record NodeDescription(
    string Id, NodeRole Role, string Address, string Region, string Version, NodeState State, int Load, int Capacity, double Utilization, int Rooms,
    NodeLoad? Media, NodeLoad? Limits, DrainStatus? Drain);

[JsonConverter(typeof(JsonStringEnumConverter<DrainPhase>))]
public enum DrainPhase
{
    /// <summary>It takes nothing new, and what it has may end by itself until the deadline.</summary>
    [JsonStringEnumMemberName("draining")] Draining,

    /// <summary>The deadline has passed: its sessions are moved.</summary>
    [JsonStringEnumMemberName("moving")] Moving,

    /// <summary>The deadline has passed, and there is no other active node to move to.</summary>
    [JsonStringEnumMemberName("waiting")] Waiting,

    /// <summary>Nothing is left on it: it can be stopped.</summary>
    [JsonStringEnumMemberName("drained")] Drained,
}

/// <param name="SessionsAtStart">Sessions when the order was given.</param>
/// <param name="SessionsLeft">Sessions now.</param>
/// <param name="By">"admin", or "scaling".</param>
public sealed record DrainStatus(DrainPhase Phase, DateTimeOffset RequestedAt, DateTimeOffset Deadline, int SessionsAtStart, int SessionsLeft, string By);

/// <summary><c>POST /v1/nodes/{id}/drain</c></summary>
/// <param name="DeadlineSeconds">Seconds until sessions that are still there are moved; 0 to 86,400.</param>
public sealed record DrainRequest(int? DeadlineSeconds = null);

/// <summary><c>POST /v1/rooms/{room}/move</c></summary>
/// <param name="Node">The SFU node it goes to.</param>
public sealed record MoveRoomRequest(string Node);
