using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Rtc.Rtp;
using Transcribe.Rtc.Sdp;
using Transcribe.Sfu.Workers;

namespace Transcribe.Sfu.Routing;

// The other workers' parts of the same room. Each tells the others of its own tracks, in order.
internal sealed partial class SfuRoom
{
    private readonly List<SfuWorker> _peers = [];

    /// <summary>Other workers that have a part of the room.</summary>
    public IReadOnlyList<SfuWorker> Peers => _peers;

    /// <summary>The part begins: the others tell of their tracks.</summary>
    public void Open(IReadOnlyList<SfuWorker> peers)
    {
        _peers.AddRange(peers);
        foreach (SfuWorker peer in peers)
            Tell(peer, new PartOpened(Name, _worker, peer));
    }

    /// <summary>The part ends.</summary>
    public void Close(IReadOnlyList<SfuWorker> peers)
    {
        _worker.Cancel(_timer);

        // What is left came from other workers.
        Publication[] rest = [.. _publications];
        Unpublish(rest);
        if (_lastSpeakers.Length > 0)
            _worker.Raise(new SpeakersChanged(new ActiveSpeakers(Name, [])));
        foreach (SfuWorker peer in peers)
            Tell(peer, new PartClosed(Name, _worker, peer));
    }

    /// <summary>A track was muted or unmuted.</summary>
    public void OnMuted(Publication publication)
    {
        if (!IsHome(publication))
            return;
        foreach (SfuWorker peer in _peers)
            Tell(peer, new TrackMutedThere(Name, _worker, peer, publication.TrackId, publication.IsMuted));
    }

    /// <summary>Whether the track comes to the node on this worker.</summary>
    private static bool IsHome(Publication publication) => publication.Origin is not WorkerOrigin;

    private void TellOf(Publication publication, SfuWorker peer)
    {
        if (IsHome(publication) && publication.IsAnnounced)
        {
            Tell(peer, new TrackThere(
                Name, _worker, peer, publication, publication.Describe(), publication.Origin.Codecs, publication.Origin.HeaderExtensions));
        }
    }

    private void TellGone(Publication publication)
    {
        if (!IsHome(publication))
            return;
        foreach (SfuWorker peer in _peers)
            Tell(peer, new TrackGoneThere(Name, _worker, peer, publication.TrackId));
    }

    private void SendToPeers(in DataMessage message, ReadOnlySpan<byte> data)
    {
        if (_peers.Count == 0)
            return;
        byte[] copy = data.ToArray();
        foreach (SfuWorker peer in _peers)
            Tell(peer, new DataThere(Name, _worker, peer, message, copy), droppable: true);
    }

    private void Tell(SfuWorker peer, PeerMessage message, bool droppable = false) =>
        _worker.LinkTo(peer).Post(new WorkerCommand(static (state, _) => ((PeerMessage)state!).Run(), message), droppable);

    /// <summary>From the part of <paramref name="From"/> to that of <paramref name="To"/>, on whose thread it is run.</summary>
    private abstract record PeerMessage(string Room, SfuWorker From, SfuWorker To)
    {
        /// <summary>A part that has ended meanwhile has told so.</summary>
        public void Run()
        {
            if (To.FindRoom(Room) is SfuRoom room)
                Apply(room);
        }

        protected abstract void Apply(SfuRoom room);
    }

    private sealed record PartOpened(string Room, SfuWorker From, SfuWorker To) : PeerMessage(Room, From, To)
    {
        protected override void Apply(SfuRoom room)
        {
            if (!room._peers.Contains(From))
                room._peers.Add(From);
            foreach (Publication publication in room._publications)
                room.TellOf(publication, From);
        }
    }

    private sealed record PartClosed(string Room, SfuWorker From, SfuWorker To) : PeerMessage(Room, From, To)
    {
        protected override void Apply(SfuRoom room)
        {
            room._peers.Remove(From);
            room.Unpublish(room._publications.FindAll(p => p.Origin is WorkerOrigin origin && ReferenceEquals(origin.There, From)));
        }
    }

    private sealed record TrackThere(
        string Room, SfuWorker From, SfuWorker To, Publication Source, TrackInfo Info, IReadOnlyList<RtpCodec> Codecs,
        RtpExtensionIds HeaderExtensions) : PeerMessage(Room, From, To)
    {
        protected override void Apply(SfuRoom room)
        {
            // Told twice where both parts began at the same time.
            if (room._publications.Exists(p => p.TrackId == Info.Id))
                return;
            var origin = new WorkerOrigin(To, From, Source, Codecs, HeaderExtensions);
            var publication = new Publication(room, Info, origin, owner: null);
            origin.Target = publication;
            room.Publish(publication);
            room.Reassign();
        }
    }

    private sealed record TrackGoneThere(string Room, SfuWorker From, SfuWorker To, string TrackId) : PeerMessage(Room, From, To)
    {
        protected override void Apply(SfuRoom room) =>
            room.Unpublish(room._publications.FindAll(p => p.TrackId == TrackId && p.Origin is WorkerOrigin));
    }

    private sealed record TrackMutedThere(string Room, SfuWorker From, SfuWorker To, string TrackId, bool Muted) : PeerMessage(Room, From, To)
    {
        protected override void Apply(SfuRoom room) =>
            room._publications.Find(p => p.TrackId == TrackId && p.Origin is WorkerOrigin)?.SetMuted(Muted);
    }

    private sealed record DataThere(string Room, SfuWorker From, SfuWorker To, DataMessage Message, byte[] Data) : PeerMessage(Room, From, To)
    {
        protected override void Apply(SfuRoom room)
        {
            room.Deliver(sender: null, Message, Data);
            room.Relayed?.Invoke(Message, Data);
        }
    }
}
