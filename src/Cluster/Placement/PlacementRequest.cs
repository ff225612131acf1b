using Transcribe.Cluster.Tokens;

namespace Transcribe.Cluster.Placement;

/// <summary>What a session is to its room, which decides how far from the room's home node it may be put.</summary>
public enum PlacementRole
{
    /// <summary>May publish.</summary>
    Participant,

    /// <summary>Only receives.</summary>
    Viewer,

    /// <summary>Hidden: it receives every microphone of the room.</summary>
    Gateway,
}

/// <summary>Asks for an SFU node for one session.</summary>
/// <param name="Participant">
/// Identity of the participant; by it a node that the Director has chosen already (<paramref name="Reserve"/>) is found again, and not
/// counted twice. Null where nobody can have chosen before (a session that is moved).
/// </param>
/// <param name="Region">Region that the client is near to; null where unknown.</param>
/// <param name="ExcludedNodes">Nodes that must not be chosen: the one the session is moved away from, one that just failed.</param>
/// <param name="Reserve">The session will be opened later, by a signalling node: keep the choice for the participant for a while.</param>
public sealed record PlacementRequest(
    string Room, PlacementRole Role = PlacementRole.Participant, string? Participant = null, string? Region = null,
    IReadOnlyCollection<string>? ExcludedNodes = null, bool Reserve = false)
{
    /// <summary>The role that an access token's grants make.</summary>
    public static PlacementRole RoleOf(Grants grants) =>
        grants.Hidden ? PlacementRole.Gateway : grants.Publish ? PlacementRole.Participant : PlacementRole.Viewer;
}
