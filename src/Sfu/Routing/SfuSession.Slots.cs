using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Rtc;
using Transcribe.Sfu.Workers;

namespace Transcribe.Sfu.Routing;

// Which track each slot carries.
internal sealed partial class SfuSession
{
    private readonly Dictionary<string, bool> _subscriptions = new(StringComparer.Ordinal);
    private readonly HashSet<Publication> _carried = [];
    private long _assignmentRevision;
    private string? _followed;
    private (int Audio, int Video) _toldNeed;

    /// <summary>An explicit wish about one track; it holds also for a track that comes later.</summary>
    /// <returns>False where the session has as many wishes as it may.</returns>
    public bool Subscribe(string trackId, bool enabled)
    {
        if (!_subscriptions.ContainsKey(trackId) && _subscriptions.Count >= Worker.Limits.MaxSubscriptionsPerSession)
        {
            foreach (string gone in _subscriptions.Keys.Where(id => Room.Publications.All(p => p.TrackId != id)).ToArray())
                _subscriptions.Remove(gone);
            if (_subscriptions.Count >= Worker.Limits.MaxSubscriptionsPerSession)
                return false;
        }

        _subscriptions[trackId] = enabled;
        Reassign();
        return true;
    }

    /// <summary>Frees slots whose track is gone or unwanted, gives free slots to wanted tracks, and asks for more where they do not suffice.</summary>
    /// <param name="tell">Raise an event about what changed; false while the answer to an offer tells it.</param>
    public void Reassign(bool tell = true)
    {
        if (IsClosed || !_hasNegotiated || Relay is not null)
            return;
        ChooseFollowed();
        _carried.Clear();
        foreach (Downtrack slot in _slots)
        {
            if (slot.Source is Publication source)
            {
                if (!source.IsClosed && slot.Media.Direction.Sends() && Wants(source) && slot.CanCarry(source) && _carried.Add(source))
                    continue;
                slot.Detach();
            }
        }

        (int audio, int video) = (0, 0);
        foreach (Publication publication in Room.Publications)
        {
            if (_carried.Contains(publication) || !Wants(publication))
                continue;
            Downtrack? slot = null;
            int best = -1;
            bool anyFree = false;
            foreach (Downtrack candidate in _slots)
            {
                if (candidate.Source is not null || candidate.Kind != publication.Kind || !candidate.Media.Direction.Sends())
                    continue;
                anyFree = true;
                int fit = candidate.CanCarry(publication) ? candidate.Fit(publication) : -1;
                if (fit > best)
                    (slot, best) = (candidate, fit);
            }

            if (slot is not null)
            {
                slot.Attach(publication);
                _carried.Add(publication);
            }
            else if (!anyFree)
            {
                // With a free slot that cannot carry it, more slots would not help: the client lacks the codec.
                audio += publication.Kind == TrackKind.Audio ? 1 : 0;
                video += publication.Kind == TrackKind.Video ? 1 : 0;
            }
        }

        Tell(tell);
        if (_toldNeed == (audio, video))
            return;
        _toldNeed = (audio, video);
        if (audio + video > 0)
            Worker.Raise(new SessionEventRaised(Id, new SessionNeedsMedia(audio, video)));
    }

    /// <summary>The session is leaving.</summary>
    public void ReleaseSlots()
    {
        foreach (Downtrack slot in _slots)
        {
            slot.Detach();
            slot.Media.Tag = null;
        }

        ReleaseRelay();
        _slots.Clear();
    }

    private bool Wants(Publication publication)
    {
        if (ReferenceEquals(publication.Owner, this) || !publication.IsAnnounced || !Grants.Subscribe)
            return false;
        if (_settings.OnlyParticipant is not null && publication.Participant != _followed)
            return false;
        return _subscriptions.TryGetValue(publication.TrackId, out bool wished)
            ? wished
            : _settings.AutoSubscribe && (_settings.Kinds is null || _settings.Kinds.Contains(publication.Kind));
    }

    private void ChooseFollowed()
    {
        if (_settings.OnlyParticipant != "*")
        {
            _followed = _settings.OnlyParticipant;
            return;
        }

        string? first = null;
        foreach (Publication publication in Room.Publications)
        {
            if (!publication.IsAnnounced || ReferenceEquals(publication.Owner, this))
                continue;
            if (publication.Participant == _followed)
                return;
            first ??= publication.Participant;
        }

        _followed = first ?? _followed;
    }

    private void Tell(bool raise)
    {
        List<MediaAssignment>? changed = null;
        foreach (Downtrack slot in _slots)
        {
            string? trackId = slot.Source?.TrackId;
            if (trackId == slot.ToldTrackId)
                continue;
            slot.ToldTrackId = trackId;
            slot.AssignmentRevision = ++_assignmentRevision;
            (changed ??= []).Add(slot.Assignment);
        }

        if (raise && changed is not null)
            Worker.Raise(new SessionEventRaised(Id, new SessionAssigned(changed)));
    }
}
