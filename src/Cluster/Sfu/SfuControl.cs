using System.Text.Json.Serialization;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Tokens;

namespace Transcribe.Cluster.Sfu;

/// <summary>Subjects on which an SFU node is spoken to, and speaks.</summary>
public static class SfuSubjects
{
    public static string Open(string node) => $"sfu.{node}.open";

    public static string Negotiate(string node) => $"sfu.{node}.negotiate";

    public static string AddCandidate(string node) => $"sfu.{node}.candidate";

    public static string Subscribe(string node) => $"sfu.{node}.subscribe";

    public static string SetMuted(string node) => $"sfu.{node}.mute";

    public static string Close(string node) => $"sfu.{node}.close";

    /// <summary><see cref="DescribeSession"/>, for a signalling node that takes a session over.</summary>
    public static string Describe(string node) => $"sfu.{node}.describe";

    /// <summary><see cref="ReadHistory"/>, on the node that the track is published on.</summary>
    public static string History(string node) => $"sfu.{node}.history";

    /// <summary><see cref="ReadStatistics"/>.</summary>
    public static string Statistics(string node) => $"sfu.{node}.statistics";

    /// <summary>Events of one session, <see cref="SfuSessionEvent"/>.</summary>
    public static string SessionEvents(string sessionId) => $"sfu.session.{sessionId}";

    /// <summary>Active speakers of a room, <see cref="ActiveSpeakers"/>; at most every 300 ms, only when they change.</summary>
    public static string Speakers(string room) => $"sfu.speakers.{room}";
}

/// <summary>
/// Creates a session on the node. Idempotent by session id. Error codes: "room_full", <see cref="NodeDraining"/>, "relay_refused", "unavailable".
/// </summary>
/// <param name="AutoSubscribe">Assign the room's tracks to free receive transceivers without being asked.</param>
/// <param name="OnlyParticipant">WHEP: only this publisher's tracks; "*" for whoever publishes first.</param>
/// <param name="Relay">A ticket signed with the cluster's key: the session is another SFU node's link.</param>
/// <param name="Moved">It was on another node until now: the captions of the last seconds are sent to it again.</param>
public sealed record OpenSession(
    string SessionId, string Room, string Participant, Grants Grants, bool AutoSubscribe = true, string? OnlyParticipant = null,
    IReadOnlyList<TrackKind>? Kinds = null, string? Relay = null, bool Moved = false)
{
    /// <summary>The node is being drained and takes no new sessions: choose another one.</summary>
    public const string NodeDraining = "node_draining";
}

public sealed record Ack;

/// <summary>A track the client publishes on the m-section <paramref name="Mid"/> of its offer.</summary>
public sealed record PublishedMedia(string Mid, TrackSource Source, string? Name = null, bool Muted = false);

/// <summary>Which track a receive-only m-section carries now; <paramref name="TrackId"/> is null for a free one.</summary>
/// <param name="Revision">
/// Grows with every change in the session. Assignments come with answers and as events, and one may overtake the other:
/// of two about the same m-section the one with the higher revision holds.
/// </param>
public sealed record MediaAssignment(string Mid, string? TrackId, long Revision = 0);

/// <summary>An offer. Error codes of the answer: "session_not_found", "sdp_invalid", "not_granted".</summary>
public sealed record NegotiateSession(string SessionId, string Sdp, IReadOnlyList<PublishedMedia> Tracks);

public sealed record NegotiatedMedia(string Mid, string TrackId);

public sealed record SessionNegotiated(
    string Sdp, IReadOnlyList<NegotiatedMedia> Published, IReadOnlyList<MediaAssignment> Assignments);

/// <param name="Candidate">The value of an SDP candidate attribute, without "a=" ("candidate:1 1 udp …"); null or empty: end of candidates.</param>
public sealed record AddSessionCandidate(string SessionId, string? Candidate);

public sealed record SetSubscription(string SessionId, string TrackId, bool Enabled);

public sealed record SetTrackMuted(string SessionId, string TrackId, bool Muted);

public sealed record CloseSession(string SessionId, string Reason);

/// <summary>Error code of the answer: "session_not_found".</summary>
public sealed record DescribeSession(string SessionId);

/// <summary>A session as it is on its node: what the events so far have told.</summary>
/// <param name="NeedsMedia">What is wanted beyond the slots there are; null where they suffice.</param>
public sealed record SessionDescription(
    string SessionId, bool Connected, IReadOnlyList<NegotiatedMedia> Published, IReadOnlyList<MediaAssignment> Assignments, SessionNeedsMedia? NeedsMedia);

/// <summary>Asks for the newest packets of a transcribed audio track. Error code: "track_not_found".</summary>
/// <param name="FromTimestamp">Only packets at or after this RTP timestamp (modulo 2^32); null for all that is kept, 15 s.</param>
public sealed record ReadHistory(string TrackId, uint? FromTimestamp = null);

/// <param name="PayloadType">As the publisher sends it; <see cref="TrackHistory.Codec"/> is what it means.</param>
/// <param name="Timestamp">RTP timestamp, never rewritten.</param>
/// <param name="Payload">RTP payload without padding.</param>
public sealed record HistoryPacket(ushort SequenceNumber, uint Timestamp, byte PayloadType, bool Marker, byte[] Payload);

/// <param name="Codec">Name of the codec ("opus").</param>
/// <param name="Packets">In the order of their sequence numbers.</param>
public sealed record TrackHistory(string TrackId, string Codec, int ClockRate, IReadOnlyList<HistoryPacket> Packets);

[JsonPolymorphic(TypeDiscriminatorPropertyName = "type")]
[JsonDerivedType(typeof(SessionConnected), "connected")]
[JsonDerivedType(typeof(SessionAssigned), "assigned")]
[JsonDerivedType(typeof(SessionNeedsMedia), "needsMedia")]
[JsonDerivedType(typeof(SessionMoved), "moved")]
[JsonDerivedType(typeof(SessionClosed), "closed")]
public abstract record SfuSessionEvent
{
    /// <summary>
    /// The SFU node that says so: after a move, a late word of the former node is not about the session any more. Null where a
    /// signalling node says it, and to clients.
    /// </summary>
    public string? Node { get; init; }
}

/// <summary>ICE and DTLS are up.</summary>
public sealed record SessionConnected : SfuSessionEvent;

/// <summary>Receive transceivers were assigned to tracks, or freed.</summary>
public sealed record SessionAssigned(IReadOnlyList<MediaAssignment> Assignments) : SfuSessionEvent;

/// <summary>More tracks are wanted than the client has receive transceivers: add this many and offer again.</summary>
public sealed record SessionNeedsMedia(int Audio, int Video) : SfuSessionEvent;

/// <summary>
/// The media session is on another SFU node from now on: connect anew (a new peer connection, a full offer with all tracks).
/// The participant is still in its room.
/// </summary>
/// <param name="Reason">"nodeLost", "drain", "moved".</param>
public sealed record SessionMoved(string Reason) : SfuSessionEvent;

/// <param name="Reason">"left", "timeout", "duplicateIdentity", "removed", "roomClosed", "nodeShutdown", "nodeLost", "failed".</param>
public sealed record SessionClosed(string Reason) : SfuSessionEvent;

/// <param name="Level">Audio level in -dBov, 0 (loudest) to 127 (silence); RFC 6464.</param>
public sealed record Speaker(string ParticipantId, string TrackId, int Level);

/// <summary>Who speaks now, the loudest first; empty in silence.</summary>
/// <param name="Node">The SFU node that heard them: of a room on several nodes each tells its own. Null to clients.</param>
public sealed record ActiveSpeakers(string Room, IReadOnlyList<Speaker> Speakers, string? Node = null);
