using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;

namespace Transcribe.Sfu.Workers;

/// <summary>What a worker tells the control side. Events of one worker are handled in order.</summary>
internal abstract record SfuEvent;

/// <summary>Something for the owner of a session to know.</summary>
internal sealed record SessionEventRaised(string SessionId, SfuSessionEvent Event) : SfuEvent;

/// <summary>A session is gone from the worker.</summary>
internal sealed record SessionEnded(string SessionId, string Room, string Participant, bool Hidden, string Reason) : SfuEvent;

/// <summary>A session that was on another node can be sent captions again.</summary>
internal sealed record CaptionsMissed(string SessionId, string Room) : SfuEvent;

/// <summary>Code inside a session threw; the session was closed.</summary>
internal sealed record SessionFaulted(string SessionId, Exception Exception) : SfuEvent;

/// <summary>The active speakers of a room changed.</summary>
internal sealed record SpeakersChanged(ActiveSpeakers Speakers) : SfuEvent;

/// <summary>A visible participant's track can be subscribed to now, or its description changed.</summary>
internal sealed record TrackAnnounced(string Room, string SessionId, TrackInfo Track) : SfuEvent;

/// <summary>An announced track is gone.</summary>
internal sealed record TrackWithdrawn(string Room, string Participant, string TrackId) : SfuEvent;

/// <summary>An announced track was muted or unmuted.</summary>
internal sealed record TrackMuteChanged(string Room, string Participant, string TrackId, bool Muted) : SfuEvent;
