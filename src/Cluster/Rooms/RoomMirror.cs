namespace Transcribe.Cluster.Rooms;

/// <summary>
/// A room as a reader of its events knows it: a snapshot, and the events after it. Applying is idempotent: a snapshot can show already what the
/// next event says. Not for concurrent use.
/// </summary>
public sealed class RoomMirror(string room)
{
    private readonly Dictionary<string, ParticipantInfo> _participants = new(StringComparer.Ordinal);
    private TranscriptionState _transcription = TranscriptionState.Off;

    /// <summary>Number of the last event applied.</summary>
    public long Sequence { get; private set; }

    public RoomSnapshot Snapshot =>
        new(room, Sequence, [.. _participants.Values.OrderBy(info => info.JoinedAt).ThenBy(info => info.Id, StringComparer.Ordinal)], _transcription);

    public ParticipantInfo? Find(string participantId) => _participants.GetValueOrDefault(participantId);

    public void Reset(RoomSnapshot snapshot)
    {
        Sequence = snapshot.Sequence;
        _transcription = snapshot.Transcription;
        _participants.Clear();
        foreach (ParticipantInfo participant in snapshot.Participants)
            _participants[participant.Id] = participant;
    }

    public void Apply(RoomEvent change)
    {
        Sequence = change is RoomClosed ? 0 : change.Sequence;
        switch (change)
        {
            case ParticipantJoined joined:
                _participants[joined.Participant.Id] = joined.Participant;
                break;
            case ParticipantLeft left:
                _participants.Remove(left.ParticipantId);
                break;
            case TrackPublished published:
                ChangeTracks(
                    published.Track.Participant, tracks => [.. tracks.Where(track => track.Id != published.Track.Id), published.Track]);
                break;
            case TrackUnpublished unpublished:
                ChangeTracks(unpublished.ParticipantId, tracks => [.. tracks.Where(track => track.Id != unpublished.TrackId)]);
                break;
            case TrackMuted muted:
                ChangeTracks(
                    muted.ParticipantId,
                    tracks => [.. tracks.Select(track => track.Id == muted.TrackId ? track with { Muted = muted.Muted } : track)]);
                break;
            case TranscriptionChanged transcription:
                _transcription = transcription.Transcription;
                break;
            case RoomClosed:
                _participants.Clear();
                break;
        }
    }

    private void ChangeTracks(string participantId, Func<IReadOnlyList<TrackInfo>, IReadOnlyList<TrackInfo>> change)
    {
        if (_participants.TryGetValue(participantId, out ParticipantInfo? participant))
            _participants[participantId] = participant with { Tracks = change(participant.Tracks) };
    }
}
