using Transcribe.Cluster.Rooms;

namespace Transcribe.Peer;

/// <summary>What became of a room event.</summary>
internal enum RosterChange
{
    Applied,

    /// <summary>Seen before.</summary>
    Old,

    /// <summary>Events before this one are missing: ask for a resync.</summary>
    Gap,
}

/// <summary>The room as its numbered events describe it. Not safe for concurrent use.</summary>
internal sealed class RoomRoster
{
    private readonly Dictionary<string, ParticipantInfo> _participants = new(StringComparer.Ordinal);

    public long Sequence { get; private set; }

    public TranscriptionState Transcription { get; private set; } = TranscriptionState.Off;

    public IReadOnlyCollection<ParticipantInfo> Participants => _participants.Values;

    public TrackInfo? FindTrack(string trackId) =>
        _participants.Values.SelectMany(p => p.Tracks).FirstOrDefault(t => t.Id == trackId);

    public void Reset(RoomSnapshot snapshot)
    {
        _participants.Clear();
        foreach (ParticipantInfo participant in snapshot.Participants)
            _participants[participant.Id] = participant;
        Sequence = snapshot.Sequence;
        Transcription = snapshot.Transcription;
    }

    /// <summary>What happened, as far as one can tell, between the roster and a newer snapshot.</summary>
    public IReadOnlyList<RoomEvent> Differences(RoomSnapshot snapshot)
    {
        var changes = new List<RoomEvent>();
        Dictionary<string, ParticipantInfo> now = snapshot.Participants.ToDictionary(p => p.Id, StringComparer.Ordinal);
        foreach (ParticipantInfo was in _participants.Values)
        {
            if (!now.TryGetValue(was.Id, out ParticipantInfo? stays))
            {
                changes.Add(new ParticipantLeft(was.Id, "left"));
                continue;
            }

            changes.AddRange(was.Tracks.Where(t => stays.Tracks.All(n => n.Id != t.Id)).Select(t => new TrackUnpublished(t.Id, was.Id)));
        }

        foreach (ParticipantInfo participant in snapshot.Participants)
        {
            if (!_participants.TryGetValue(participant.Id, out ParticipantInfo? was))
            {
                changes.Add(new ParticipantJoined(participant));
                continue;
            }

            foreach (TrackInfo track in participant.Tracks)
            {
                if (was.Tracks.FirstOrDefault(t => t.Id == track.Id) is not { } known)
                    changes.Add(new TrackPublished(track));
                else if (known.Muted != track.Muted)
                    changes.Add(new TrackMuted(track.Id, participant.Id, track.Muted));
            }
        }

        if (snapshot.Transcription != Transcription)
            changes.Add(new TranscriptionChanged(snapshot.Transcription));
        return [.. changes.Select(change => change with { Sequence = snapshot.Sequence })];
    }

    public RosterChange Apply(RoomEvent change)
    {
        if (change.Sequence <= Sequence)
            return RosterChange.Old;
        if (change.Sequence > Sequence + 1)
            return RosterChange.Gap;
        Sequence = change.Sequence;
        switch (change)
        {
            case ParticipantJoined joined:
                _participants[joined.Participant.Id] = joined.Participant;
                break;
            case ParticipantLeft left:
                _participants.Remove(left.ParticipantId);
                break;
            case TrackPublished published:
                Edit(published.Track.Participant, tracks => [.. tracks.Where(t => t.Id != published.Track.Id), published.Track]);
                break;
            case TrackUnpublished unpublished:
                Edit(unpublished.ParticipantId, tracks => [.. tracks.Where(t => t.Id != unpublished.TrackId)]);
                break;
            case TrackMuted muted:
                Edit(muted.ParticipantId, tracks => [.. tracks.Select(t => t.Id == muted.TrackId ? t with { Muted = muted.Muted } : t)]);
                break;
            case TranscriptionChanged transcription:
                Transcription = transcription.Transcription;
                break;
            case RoomClosed:
                // Whoever stays (a hidden participant) sees it begin again at 1.
                _participants.Clear();
                Sequence = 0;
                break;
        }

        return RosterChange.Applied;
    }

    private void Edit(string participantId, Func<IReadOnlyList<TrackInfo>, IReadOnlyList<TrackInfo>> edit)
    {
        if (_participants.TryGetValue(participantId, out ParticipantInfo? participant))
            _participants[participantId] = participant with { Tracks = edit(participant.Tracks) };
    }
}
