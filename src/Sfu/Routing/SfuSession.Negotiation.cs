using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Rtc;
using Transcribe.Rtc.Ice;
using Transcribe.Rtc.Media;
using NegotiatedMedia = Transcribe.Cluster.Sfu.NegotiatedMedia;

namespace Transcribe.Sfu.Routing;

// Offers: which m-sections publish, which are slots.
internal sealed partial class SfuSession
{
    private bool _hasCandidates;
    private bool _hasNegotiated;

    /// <summary>Answers the client's offer.</summary>
    /// <exception cref="BusException">"sdp_invalid" or "not_granted"; the session is as it was.</exception>
    public SessionNegotiated Negotiate(Instant now, NegotiateSession request)
    {
        if (request.Tracks.Count > 0 && !Grants.Publish)
            throw new BusException("not_granted", "The token does not grant publishing; ask for one with the grant \"publish\", or offer no tracks.");
        if (!_rtc.TrySetRemoteOffer(now, request.Sdp, out string? error))
            throw new BusException("sdp_invalid", $"The offer cannot be used: {error}");

        if (!_hasCandidates)
        {
            _hasCandidates = true;
            foreach (IceCandidate candidate in Worker.Candidates)
                _rtc.AddLocalCandidate(candidate);
        }

        List<(RtcMedia Media, PublishedMedia Description)> published = Sort(request.Tracks);
        NameSlots();
        string answer = _rtc.CreateAnswer(now);
        Worker.RegisterUfrag(this, _rtc.LocalUfrag);

        // Codecs are known only now.
        Withdraw();
        foreach ((RtcMedia media, PublishedMedia description) in published)
        {
            if (!media.Direction.Receives())
                continue;
            var info = new TrackInfo(
                NewTrackId(), Participant, media.Kind == MediaKind.Audio ? TrackKind.Audio : TrackKind.Video, description.Source,
                description.Name, description.Muted, media.RemoteSsrc, Worker.NodeId);
            var publication = new Publication(Room, info, new SessionOrigin(this, media), this);
            media.Tag = publication;
            _published.Add((media, publication));
            Room.Publish(publication);
        }

        AddSlots();
        _hasNegotiated = true;
        Reassign(tell: false);
        if (published.Count > 0)
            Room.Reassign(except: this);
        Worker.Touch(this);
        return new SessionNegotiated(
            answer,
            [.. _published.Select(p => new NegotiatedMedia(p.Media.Mid, p.Track.TrackId))],
            [.. _slots.Select(s => s.Assignment)]);
    }

    /// <summary>The session as its answers and events told it so far.</summary>
    public SessionDescription Describe() => new(
        Id,
        _rtc.State == RtcSessionState.Connected,
        [.. _published.Select(p => new NegotiatedMedia(p.Media.Mid, p.Track.TrackId))],
        [.. _slots.Select(s => s.Assignment)],
        _toldNeed == (0, 0) ? null : new SessionNeedsMedia(_toldNeed.Audio, _toldNeed.Video));

    /// <summary>A trickled candidate; without a value the end of candidates.</summary>
    public void AddCandidate(Instant now, string? candidate)
    {
        // Useless ones (TCP, mDNS) are no error: an ICE-lite server learns addresses from the checks anyway.
        _rtc.TryAddRemoteCandidate(now, candidate);
        Worker.Touch(this);
    }

    /// <summary>Mutes a track that this session publishes.</summary>
    /// <returns>False where it publishes no such track.</returns>
    public bool SetMuted(string trackId, bool muted)
    {
        Publication? publication = _published.Find(p => p.Track.TrackId == trackId).Track;
        publication?.SetMuted(muted);
        return publication is not null;
    }

    /// <summary>Empties the list of publications; the room takes them off the air.</summary>
    public List<Publication> TakePublications()
    {
        List<Publication> all = [.. Publications];
        foreach ((RtcMedia media, _) in _published)
            media.Tag = null;
        _published.Clear();
        return all;
    }

    /// <summary>Decides for each m-section of the offer what it is to be, and tells the session what of it to accept.</summary>
    private List<(RtcMedia Media, PublishedMedia Description)> Sort(IReadOnlyList<PublishedMedia> tracks)
    {
        var published = new List<(RtcMedia, PublishedMedia)>();
        int room = Worker.Limits.MaxTracksPerSession - _published.Count;
        foreach (RtcMedia media in _rtc.Media)
        {
            if (media.IsStopped || media.Tag is Downtrack)
                continue;
            media.AllowedDirection = MediaDirection.SendRecv;
            MediaDirection offered = media.Direction;
            PublishedMedia? description = tracks.FirstOrDefault(t => t.Mid == media.Mid);

            // Without descriptions (WHIP) everything the client would send is published.
            bool publishes = offered.Receives() && Grants.Publish && (media.Tag is Publication || description is not null || tracks.Count == 0);
            if (publishes && media.Tag is not Publication)
            {
                if (room > 0)
                {
                    room--;
                    published.Add((media, description ?? new PublishedMedia(media.Mid, DefaultSource(media.Kind))));
                }
                else
                {
                    publishes = false;
                }
            }

            media.AllowedDirection = publishes || media.Tag is Publication
                ? MediaDirection.RecvOnly
                : offered.Sends() && Grants.Subscribe ? MediaDirection.SendOnly : MediaDirection.Inactive;
        }

        return published;
    }

    /// <summary>
    /// The i-th audio slot and the i-th video slot get one stream id, so that receivers play the two in sync.
    /// </summary>
    private void NameSlots()
    {
        HashSet<(MediaKind Kind, string StreamId)> taken =
            [.. _slots.Where(s => !s.Media.IsStopped).Select(s => (s.Media.Kind, s.Media.LocalStreamId))];
        foreach (MediaKind kind in (ReadOnlySpan<MediaKind>)[MediaKind.Audio, MediaKind.Video])
        {
            int pair = 0;
            foreach (RtcMedia media in _rtc.Media)
            {
                if (media.Kind != kind || media.Tag is not null || media.Direction != MediaDirection.SendOnly)
                    continue;
                while (!taken.Add((kind, $"slots{pair}")))
                    pair++;
                media.LocalStreamId = $"slots{pair}";
            }
        }
    }

    private static TrackSource DefaultSource(MediaKind kind) => kind == MediaKind.Audio ? TrackSource.Microphone : TrackSource.Camera;

    /// <summary>Ends what the client no longer sends, and slots it no longer receives on.</summary>
    private void Withdraw()
    {
        List<(RtcMedia Media, Publication Track)> ended = _published.FindAll(p => p.Media.IsStopped || !p.Media.Direction.Receives());
        foreach ((RtcMedia media, Publication publication) in ended)
        {
            _published.Remove((media, publication));
            media.Tag = null;
        }

        foreach (Downtrack slot in _slots.Where(s => s.Media.IsStopped || !s.Media.Direction.Sends()))
            slot.Detach();
        foreach (Downtrack slot in _slots.Where(s => s.Media.IsStopped))
            slot.PairWith(null);
        _slots.RemoveAll(s => s.Media.IsStopped);
        Room.Unpublish([.. ended.Select(e => e.Track)], except: this);
    }

    private void AddSlots()
    {
        foreach (RtcMedia media in _rtc.Media)
        {
            if (!media.IsStopped && media.Tag is null && media.Direction == MediaDirection.SendOnly && Grants.Subscribe)
            {
                var slot = new Downtrack(this, media, NewSequenceNumber());
                media.Tag = slot;
                if (Relay is null)
                    slot.PairWith(_slots.Find(s => s.Kind != slot.Kind && s.Media.LocalStreamId == media.LocalStreamId));
                _slots.Add(slot);
            }
        }
    }
}
