namespace Transcribe.Cluster.Rooms;

/// <summary>
/// Who is in which room and what they publish. Every change gets the room's next sequence number, is kept for a
/// while for resyncs, and is published on <see cref="RoomSubjects.Events"/>.
/// </summary>
/// <remarks>
/// A room exists while it has a visible participant. When the last one leaves, it ends: <see cref="RoomClosed"/>
/// ("empty"), the state is gone, the next incarnation numbers its events from 1 again; its transcript and its
/// transcription setting stay. Hidden participants are never told to the directory.
/// <para>
/// Who reads a snapshot and then events must apply events idempotently: a snapshot can already show what an event
/// after its sequence number says.
/// </para>
/// </remarks>
public interface IRoomDirectory
{
    /// <summary>A visible participant joins. One already there under the same id is replaced: it leaves first, as "duplicateIdentity".</summary>
    /// <param name="sessionId">The session that owns the participant; only it can leave or publish.</param>
    ValueTask<JoinedRoom> JoinAsync(
        string room, string sessionId, string participantId, string? name, bool canPublish, CancellationToken cancellationToken = default);

    /// <summary>The participant and its tracks leave; false if it is not there, or belongs to another session by now.</summary>
    /// <param name="reason">See <see cref="ParticipantLeft"/>.</param>
    ValueTask<bool> LeaveAsync(
        string room, string sessionId, string participantId, string reason, CancellationToken cancellationToken = default);

    /// <summary>Counts a viewer that no roster shows (WHEP). Ends with <see cref="RemoveViewerAsync"/>.</summary>
    ValueTask AddViewerAsync(string room, string sessionId, CancellationToken cancellationToken = default);

    ValueTask RemoveViewerAsync(string room, string sessionId, CancellationToken cancellationToken = default);

    /// <summary>
    /// A track of a participant appears (or its description changes: the same id again). False where the participant is not in the room under this
    /// session: it left, was replaced, or is hidden.
    /// </summary>
    ValueTask<bool> PublishTrackAsync(string room, string sessionId, TrackInfo track, CancellationToken cancellationToken = default);

    /// <summary>False where there is no such track.</summary>
    ValueTask<bool> UnpublishTrackAsync(string room, string participantId, string trackId, CancellationToken cancellationToken = default);

    /// <summary>
    /// Takes all tracks of a session's participant off that are on one SFU node: the node died, or the session moves. The number of tracks; 0 where the
    /// participant is not in the room under this session.
    /// </summary>
    ValueTask<int> UnpublishTracksAsync(
        string room, string sessionId, string participantId, string node, CancellationToken cancellationToken = default);

    /// <summary>False where there is no such track. Without a change there is no event.</summary>
    ValueTask<bool> SetMutedAsync(string room, string participantId, string trackId, bool muted, CancellationToken cancellationToken = default);

    /// <summary>
    /// Writes a participant again, with its tracks and the time it joined at, after the cluster's state was lost. What is there already stays, tracks
    /// are added to it. False where the identity belongs to another session by now.
    /// </summary>
    ValueTask<bool> RestoreAsync(string room, string sessionId, ParticipantInfo participant, CancellationToken cancellationToken = default);

    /// <summary>What an admin asks for. Works for a room nobody is in, too: it holds for whoever comes.</summary>
    ValueTask<TranscriptionState> SetTranscriptionAsync(
        string room, bool enabled, string engine, string language, CancellationToken cancellationToken = default);

    /// <summary>What the gateway runs (null: nothing), and a line for people.</summary>
    ValueTask<TranscriptionState> ReportTranscriptionAsync(
        string room, string? activeEngine, string? notice, CancellationToken cancellationToken = default);

    /// <summary><see cref="TranscriptionState.Off"/> where nobody ever set it.</summary>
    ValueTask<TranscriptionState> GetTranscriptionAsync(string room, CancellationToken cancellationToken = default);

    /// <summary>
    /// Writes a setting again that the store lost; changes nothing where there is one. For who knows that it was so and that the store
    /// began anew.
    /// </summary>
    ValueTask<bool> RestoreTranscriptionAsync(string room, TranscriptionState transcription, CancellationToken cancellationToken = default);

    /// <summary>Rooms with a visible participant and transcription switched on, ordered by name. Cheap: gateways look again and again.</summary>
    ValueTask<IReadOnlyList<RoomActivity>> ListTranscribedAsync(CancellationToken cancellationToken = default);

    /// <summary>The room as it is; an empty snapshot with sequence 0 where it does not exist.</summary>
    ValueTask<RoomSnapshot> GetSnapshotAsync(string room, CancellationToken cancellationToken = default);

    /// <summary>The number of the room's last event; 0 where it does not exist. Cheap: to find out whether events were lost.</summary>
    ValueTask<long> GetSequenceAsync(string room, CancellationToken cancellationToken = default);

    /// <summary>The events after a sequence number; null where some of them are gone, or the number is ahead of the room: take a snapshot.</summary>
    ValueTask<IReadOnlyList<RoomEvent>?> GetEventsAsync(string room, long afterSequence, CancellationToken cancellationToken = default);

    /// <summary>Rooms with a visible participant, ordered by name.</summary>
    ValueTask<IReadOnlyList<RoomSummary>> ListAsync(CancellationToken cancellationToken = default);

    /// <summary>One room of <see cref="ListAsync"/>; null where it does not exist.</summary>
    ValueTask<RoomSummary?> GetSummaryAsync(string room, CancellationToken cancellationToken = default);

    /// <summary>Everybody leaves ("roomClosed"), the room ends. False where it does not exist.</summary>
    ValueTask<bool> CloseAsync(string room, string reason, CancellationToken cancellationToken = default);
}

/// <param name="ReplacedSessionId">The session that lost the same identity, to be closed; null in the usual case.</param>
public sealed record JoinedRoom(ParticipantInfo Participant, RoomSnapshot Room, string? ReplacedSessionId);

/// <param name="Participants">Visible ones.</param>
/// <param name="Viewers">WHEP viewers, who are in no roster.</param>
public sealed record RoomSummary(
    string Room, int Participants, int Viewers, int Tracks, DateTimeOffset CreatedAt, TranscriptionState Transcription);

/// <summary>Subjects on which the room directory speaks.</summary>
public static class RoomSubjects
{
    /// <summary>A room's <see cref="RoomEvent"/>s.</summary>
    public static string Events(string room) => $"rooms.{room}.events";

    /// <summary><see cref="RoomActivity"/> of every room, for gateways: a room began or ended, or its transcription setting changed.</summary>
    public const string Transcription = "rooms.transcription";
}

/// <param name="Occupied">Whether a visible participant is in the room.</param>
public sealed record RoomActivity(string Room, bool Occupied, TranscriptionState Transcription);
