using Transcribe.Cluster.Captions;
using Transcribe.Rtc;
using Transcribe.Sfu.Routing;

namespace Transcribe.Sfu.Relay;

/// <summary>What <see cref="RelayData"/> does to the outside; called during its calls.</summary>
internal interface IRelayDataOutput
{
    /// <summary>Sends an envelope on a link, reliably and in order as long as the link lives.</summary>
    void Send(string link, byte[] envelope);

    /// <summary>Delivers another node's message to the local sessions of a room.</summary>
    void Deliver(string room, RelayEnvelope message);

    /// <summary>The room's link towards the root is gone, or the other side does not serve the room: find another place in the tree.</summary>
    void UplinkLost(string room, string link);
}

/// <summary>
/// Data messages between nodes: every message floods along its room's tree, each link reliable and ordered, each message
/// taken once per node. Recent messages are kept: after a link was cut both sides tell what they have seen, and what is
/// missing is sent again, in order. Runs on one thread; has no clock of its own.
/// </summary>
internal sealed class RelayData(string nodeId, RelayOptions options, IRelayDataOutput output, Func<ulong> newEpoch)
{
    /// <summary>Origins remembered after their last message, longer than anybody may send it again.</summary>
    private static readonly TimeSpan OriginMemory = TimeSpan.FromMinutes(5);

    private readonly Dictionary<string, Room> _rooms = new(StringComparer.Ordinal);

    public RelayDataCounters Counters { get; } = new();

    public IEnumerable<string> Rooms => _rooms.Keys;

    /// <summary>Messages kept for links that come back.</summary>
    public int KeptIn(string room) => _rooms.TryGetValue(room, out Room? known) ? known.Kept.Count : 0;

    public IReadOnlyCollection<string> NeighboursOf(string room) => _rooms.TryGetValue(room, out Room? known) ? known.Neighbours.Keys : [];

    /// <summary>The room's messages are taken and given from now on.</summary>
    /// <param name="withPast">
    /// Those too that others still keep: for a node that passes them on to one that misses them, or gets sessions of a node that died. People
    /// here are told the captions among them, which say themselves what they are; with others nobody could tell whether they were heard before.
    /// </param>
    public void OpenRoom(string room, bool withPast = false)
    {
        if (!_rooms.ContainsKey(room))
            _rooms.Add(room, new Room(room, new MessageOrigin(nodeId, newEpoch())) { IsFresh = !withPast, WantsPast = withPast });
    }

    /// <summary>No part of the room is here any more.</summary>
    public void CloseRoom(string room)
    {
        if (!_rooms.Remove(room, out Room? known))
            return;
        foreach (string link in known.Neighbours.Keys)
            output.Send(link, RelayEnvelope.WriteClose(room));
    }

    /// <summary>This link leads to the room's parent from now on; null: this node is the root.</summary>
    public void SetUplink(string room, string? link)
    {
        if (!_rooms.TryGetValue(room, out Room? known) || known.Uplink == link)
            return;
        string? former = known.Uplink;
        known.Uplink = link;
        if (former is not null && known.Neighbours.Remove(former))
            output.Send(former, RelayEnvelope.WriteClose(room));
        if (link is null)
            return;

        // Until it has told what it has seen, nothing is sent to it: older messages have to come first.
        known.Neighbours[link] = false;
        output.Send(link, RelayEnvelope.WriteOpen(room, known.IsFresh, Floors(known)));
    }

    /// <summary>The link is gone, for good: a new one has another name.</summary>
    public void OnLinkDown(string link)
    {
        foreach (Room room in _rooms.Values.ToArray())
        {
            room.Neighbours.Remove(link);
            if (room.Uplink == link)
            {
                room.Uplink = null;
                output.UplinkLost(room.Name, link);
            }
        }
    }

    /// <summary>Somebody here sent a message.</summary>
    public void OnLocal(Instant now, string room, in DataMessage message, ReadOnlySpan<byte> payload)
    {
        if (!_rooms.TryGetValue(room, out Room? known))
            return;
        if (!RelayEnvelope.Fits(message))
        {
            Counters.Refused++;
            return;
        }

        long sequence = ++known.LastSequence;
        byte[] envelope = RelayEnvelope.WriteMessage(room, known.Own, sequence, message, payload);
        Keep(now, known, known.Own, sequence, envelope);
        Flood(known, envelope, null);
    }

    public void OnEnvelope(Instant now, string link, byte[] bytes)
    {
        if (!RelayEnvelope.TryRead(bytes, out RelayEnvelope? envelope))
        {
            Counters.Malformed++;
            return;
        }

        if (!_rooms.TryGetValue(envelope.Room, out Room? room))
        {
            // The tree is out of date. Who asks for the room looks elsewhere; a last message of one we left is nothing.
            if (envelope.Kind == RelayEnvelopeKind.Open)
                output.Send(link, RelayEnvelope.WriteClose(envelope.Room));
            else if (envelope.Kind == RelayEnvelopeKind.Message)
                Counters.NoRoom++;
            return;
        }

        switch (envelope.Kind)
        {
            case RelayEnvelopeKind.Open:
                room.IsFresh = false;
                room.Neighbours[link] = true;
                output.Send(link, RelayEnvelope.WriteSeen(room.Name, Floors(room)));
                if (!envelope.IsFresh)
                    SendMissing(room, link, envelope.Floors);
                break;
            case RelayEnvelopeKind.Seen when room.Uplink == link:
                TakeSeen(now, room, link, envelope);
                break;
            case RelayEnvelopeKind.Close:
                room.Neighbours.Remove(link);
                if (room.Uplink == link)
                {
                    room.Uplink = null;
                    output.UplinkLost(room.Name, link);
                }

                break;
            case RelayEnvelopeKind.Message when room.Neighbours.ContainsKey(link):
                TakeMessage(now, room, link, envelope, bytes);
                break;
            default:
                Counters.Stray++;
                break;
        }
    }

    /// <summary>What was said lately in a room under a label, by whomever, oldest first.</summary>
    public IReadOnlyList<RelayEnvelope> ReadLast(Instant now, string room, string label, TimeSpan window) =>
        !_rooms.TryGetValue(room, out Room? known)
            ? []
            :
            [
                .. known.Kept.Where(kept => now - kept.At <= window)
                    .Select(kept => RelayEnvelope.TryRead(kept.Envelope, out RelayEnvelope? envelope) ? envelope : null)
                    .OfType<RelayEnvelope>().Where(envelope => envelope.Message.Label == label),
            ];

    /// <summary>Forgets what is too old to be asked for. Call it every few seconds.</summary>
    public void Sweep(Instant now)
    {
        foreach (Room room in _rooms.Values)
        {
            Trim(now, room);
            foreach ((MessageOrigin origin, Seen seen) in room.Seen.Where(pair => now - pair.Value.At > OriginMemory).ToArray())
                room.Seen.Remove(origin);
        }
    }

    private void TakeSeen(Instant now, Room room, string link, RelayEnvelope envelope)
    {
        if (room.IsFresh)
        {
            // Nothing from before we came: it was not said to anybody here.
            foreach ((MessageOrigin origin, long floor) in envelope.Floors)
            {
                if (origin != room.Own)
                    room.Seen.TryAdd(origin, new Seen(new MessageWindow(floor), now));
            }
        }

        else if (room.WantsPast)
        {
            room.Past = envelope.Floors;
        }

        (room.IsFresh, room.WantsPast) = (false, false);
        room.Neighbours[link] = true;
        SendMissing(room, link, envelope.Floors);
    }

    private void TakeMessage(Instant now, Room room, string link, RelayEnvelope envelope, byte[] bytes)
    {
        if (envelope.Origin == room.Own)
        {
            Counters.Duplicates++;
            return;
        }

        if (!room.Seen.TryGetValue(envelope.Origin, out Seen? seen))
        {
            if (room.Seen.Count >= RelayEnvelope.MaxOrigins)
            {
                Counters.Refused++;
                return;
            }

            // The first one of an origin: what it said before was before our time.
            room.Seen.Add(envelope.Origin, seen = new Seen(new MessageWindow(envelope.Sequence - 1), now));
        }

        seen.At = now;
        if (!seen.Window.TryAdd(envelope.Sequence))
        {
            Counters.Duplicates++;
            return;
        }

        Counters.Received++;
        Keep(now, room, envelope.Origin, envelope.Sequence, bytes);
        bool isPast = room.Past is not null && envelope.Sequence <= room.Past.GetValueOrDefault(envelope.Origin);
        if (!isPast || envelope.Message.Label == CaptionMessage.ChannelLabel)
            output.Deliver(room.Name, envelope);
        Flood(room, bytes, link);
    }

    private void Flood(Room room, byte[] envelope, string? except)
    {
        foreach ((string link, bool active) in room.Neighbours)
        {
            if (!active || link == except)
                continue;
            Counters.Sent++;
            output.Send(link, envelope);
        }
    }

    private void SendMissing(Room room, string link, IReadOnlyDictionary<MessageOrigin, long> floors)
    {
        foreach (Kept kept in room.Kept)
        {
            if (kept.Sequence <= floors.GetValueOrDefault(kept.Origin))
                continue;
            Counters.Resent++;
            output.Send(link, kept.Envelope);
        }
    }

    private static KeyValuePair<MessageOrigin, long>[] Floors(Room room) =>
        [new(room.Own, room.LastSequence), .. room.Seen.Select(pair => KeyValuePair.Create(pair.Key, pair.Value.Window.Floor))];

    private void Keep(Instant now, Room room, MessageOrigin origin, long sequence, byte[] envelope)
    {
        room.Kept.Enqueue(new Kept(now, origin, sequence, envelope));
        room.KeptBytes += envelope.Length;
        Trim(now, room);
    }

    private void Trim(Instant now, Room room)
    {
        while (room.Kept.TryPeek(out Kept oldest)
            && (now - oldest.At > options.ResendWindow || room.Kept.Count > options.MaxResendMessages || room.KeptBytes > options.MaxResendBytes))
        {
            room.Kept.Dequeue();
            room.KeptBytes -= oldest.Envelope.Length;
        }
    }

    private readonly record struct Kept(Instant At, MessageOrigin Origin, long Sequence, byte[] Envelope);

    private sealed class Seen(MessageWindow window, Instant at)
    {
        public MessageWindow Window { get; } = window;

        public Instant At { get; set; } = at;
    }

    private sealed class Room(string name, MessageOrigin own)
    {
        public string Name { get; } = name;

        public MessageOrigin Own { get; } = own;

        public long LastSequence { get; set; }

        /// <summary>The links of the room's tree; false where the other side has not told yet what it has seen.</summary>
        public Dictionary<string, bool> Neighbours { get; } = new(StringComparer.Ordinal);

        public string? Uplink { get; set; }

        /// <summary>Never had a place in a tree with others, and wants nothing of what was said there before.</summary>
        public bool IsFresh { get; set; } = true;

        public Dictionary<MessageOrigin, Seen> Seen { get; } = [];

        /// <summary>The next parent's floors are <see cref="Past"/>.</summary>
        public bool WantsPast { get; set; }

        /// <summary>Up to where the parent had seen each node's messages when this one came; null where that does not matter.</summary>
        public IReadOnlyDictionary<MessageOrigin, long>? Past { get; set; }

        public Queue<Kept> Kept { get; } = new();

        public int KeptBytes { get; set; }
    }
}

/// <summary>Counters of the data relay: one writer, read by metrics from elsewhere.</summary>
internal sealed class RelayDataCounters
{
    /// <summary>Messages sent to other nodes, each link counted, resends not.</summary>
    public long Sent;

    /// <summary>Messages sent again after a link came back.</summary>
    public long Resent;

    /// <summary>Messages of other nodes, each counted once.</summary>
    public long Received;

    /// <summary>Messages that had come another way already.</summary>
    public long Duplicates;

    /// <summary>What is no envelope.</summary>
    public long Malformed;

    /// <summary>Messages of a room that nobody here is in.</summary>
    public long NoRoom;

    /// <summary>Messages from a node that is no neighbour in the room's tree.</summary>
    public long Stray;

    /// <summary>Messages whose label or protocol is too long, or of more origins than one room may have.</summary>
    public long Refused;
}
