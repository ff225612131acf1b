namespace Transcribe.Cluster.Sfu;

/// <summary>Subjects on which SFU nodes speak with one another about relays; sessions are opened and negotiated as for clients.</summary>
public static class RelaySubjects
{
    /// <summary><see cref="SetRelaySlot"/>.</summary>
    public static string SetSlot(string node) => $"sfu.{node}.relay.slot";

    /// <summary><see cref="AssistRelay"/>.</summary>
    public static string Assist(string node) => $"sfu.{node}.relay.assist";
}

/// <summary>
/// Has the node take part in relaying a room that nobody on it is in, for 30 s unless it is asked again: another node does not reach
/// those who have the room, and takes it from here.
/// </summary>
public sealed record AssistRelay(string Room);

/// <summary>
/// Has a relay session's slot carry a track of any room from now on. A track that the node does not have (yet) comes as soon
/// as it does. Error codes: "session_not_found", "bad_request".
/// </summary>
/// <param name="TrackId">Null frees the slot.</param>
public sealed record SetRelaySlot(string SessionId, string Mid, string Room, string? TrackId);
