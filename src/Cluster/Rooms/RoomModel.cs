using System.Text.Json.Serialization;

namespace Transcribe.Cluster.Rooms;

[JsonConverter(typeof(JsonStringEnumConverter<TrackKind>))]
public enum TrackKind
{
    [JsonStringEnumMemberName("audio")] Audio,
    [JsonStringEnumMemberName("video")] Video,
}

[JsonConverter(typeof(JsonStringEnumConverter<TrackSource>))]
public enum TrackSource
{
    [JsonStringEnumMemberName("unknown")] Unknown,
    [JsonStringEnumMemberName("microphone")] Microphone,
    [JsonStringEnumMemberName("camera")] Camera,
    [JsonStringEnumMemberName("screen")] Screen,
    [JsonStringEnumMemberName("screenAudio")] ScreenAudio,
}

/// <summary>A track as published into a room.</summary>
/// <param name="Id">"TR_" and random characters; unique in the cluster.</param>
/// <param name="Ssrc">The publisher's SSRC (captions name it); null where the offer did not signal it yet.</param>
public sealed record TrackInfo(
    string Id, string Participant, TrackKind Kind, TrackSource Source, string? Name, bool Muted, uint? Ssrc, string Node);

/// <summary>A visible participant. <paramref name="Id"/> is the token's <c>sub</c>.</summary>
public sealed record ParticipantInfo(string Id, string? Name, bool CanPublish, DateTimeOffset JoinedAt, IReadOnlyList<TrackInfo> Tracks);

/// <summary>Transcription as an admin set it, and as it runs.</summary>
/// <param name="Engine">Asked for: "auto", "whisper", "pocketsphinx", …</param>
/// <param name="ActiveEngine">What runs ("pocketsphinx/en-us", "whisper/base.en"); null while nothing does.</param>
/// <param name="Notice">One line for people, e.g. why a fallback engine runs.</param>
public sealed record TranscriptionState(
    bool Enabled, string Engine, string Language, string? ActiveEngine = null, string? Notice = null)
{
    public static TranscriptionState Off { get; } = new(false, "auto", "en");
}

/// <summary>A room as of <paramref name="Sequence"/>, the number of its last event.</summary>
public sealed record RoomSnapshot(
    string Room, long Sequence, IReadOnlyList<ParticipantInfo> Participants, TranscriptionState Transcription);

/// <summary>
/// A change of a room. <see cref="Sequence"/> numbers a room's events 1, 2, 3 …; who sees a gap asks for a resync.
/// </summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "type")]
[JsonDerivedType(typeof(ParticipantJoined), "participantJoined")]
[JsonDerivedType(typeof(ParticipantLeft), "participantLeft")]
[JsonDerivedType(typeof(TrackPublished), "trackPublished")]
[JsonDerivedType(typeof(TrackUnpublished), "trackUnpublished")]
[JsonDerivedType(typeof(TrackMuted), "trackMuted")]
[JsonDerivedType(typeof(TranscriptionChanged), "transcription")]
[JsonDerivedType(typeof(RoomClosed), "roomClosed")]
public abstract record RoomEvent
{
    public long Sequence { get; init; }
}

public sealed record ParticipantJoined(ParticipantInfo Participant) : RoomEvent;

/// <param name="Reason">"left", "timeout", "duplicateIdentity", "removed", "roomClosed".</param>
public sealed record ParticipantLeft(string ParticipantId, string Reason) : RoomEvent;

public sealed record TrackPublished(TrackInfo Track) : RoomEvent;

public sealed record TrackUnpublished(string TrackId, string ParticipantId) : RoomEvent;

public sealed record TrackMuted(string TrackId, string ParticipantId, bool Muted) : RoomEvent;

public sealed record TranscriptionChanged(TranscriptionState Transcription) : RoomEvent;

public sealed record RoomClosed(string Reason) : RoomEvent;
