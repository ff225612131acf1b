using System.Runtime.CompilerServices;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Rtc;
using Transcribe.Rtc.Media;
using Transcribe.Rtc.Rtcp;
using Transcribe.Rtc.Rtp;
using Transcribe.Rtc.Sdp;
using Transcribe.Sfu.Net;
using Transcribe.Sfu.Workers;

namespace Transcribe.Sfu.Routing;

/// <summary>
/// A receive transceiver of a subscriber ("slot") and the track it carries now. Its SSRC stays, whatever the track;
/// sequence numbers go on without a gap; audio timestamps are the publisher's, always.
/// </summary>
internal sealed class Downtrack
{
    private const byte NotCarried = 0xFF;

    /// <summary>A batch this large leaves at once: it saves nothing to grow it, and waiting costs latency and cache.</summary>
    private const int SendAfterDatagrams = 128;
    private const int SendAfterBytes = 128 << 10;

    private static readonly TimeSpan RetransmissionInterval = TimeSpan.FromMilliseconds(100);

    private readonly SequenceRewriter _sequence;
    private readonly byte[] _payloadTypes = new byte[128];
    private readonly SfuWorker _worker;
    private RtpExtensionMap _extensions = RtpExtensionMap.Empty;
    private int _clockRate;
    private uint _timestampOffset;
    private uint _lastTimestamp;
    private Instant _lastSent;
    private bool _hasSent;
    private bool _newSource;
    private bool _waiting;
    private Instant _retransmissionsSince;
    private int _retransmissions;

    public Downtrack(SfuSession subscriber, RtcMedia media, ushort firstSequenceNumber)
    {
        Subscriber = subscriber;
        _worker = subscriber.Worker;
        Media = media;
        Kind = media.Kind == MediaKind.Audio ? TrackKind.Audio : TrackKind.Video;
        CanRepair = media.LocalRtxSsrc is not null;
        _sequence = new SequenceRewriter(firstSequenceNumber, CanRepair);
    }

    public SfuSession Subscriber { get; }

    /// <summary>The subscriber's m-section.</summary>
    public RtcMedia Media { get; }

    public TrackKind Kind { get; }

    /// <summary>Whether NACKs can be answered: a retransmission stream was negotiated.</summary>
    public bool CanRepair { get; }

    /// <summary>The slot of the other kind that shares its stream id: receivers play the two in sync. Null for none.</summary>
    public Downtrack? Partner { get; private set; }

    /// <summary>The track it carries; null for a free slot.</summary>
    public Publication? Source { get; private set; }

    /// <summary>The track the client was last told for this slot.</summary>
    public string? ToldTrackId { get; set; }

    /// <summary>Number of the change that <see cref="ToldTrackId"/> came with; grows over the whole session.</summary>
    public long AssignmentRevision { get; set; }

    /// <summary>What the client is to know of this slot.</summary>
    public MediaAssignment Assignment => new(Media.Mid, ToldTrackId, AssignmentRevision);

    /// <summary>Place in the publication's list.</summary>
    internal int Index { get; set; } = -1;

    /// <summary>Whether the subscriber negotiated the codec of a track.</summary>
    public bool CanCarry(Publication publication) =>
        publication.Kind == Kind && (publication.Codec is not RtpCodec codec || Media.TryGetPayloadType(codec, out _));

    /// <summary>How well a track suits the pair: 2 next to its publisher's other track, 1 next to a free slot or alone, 0 next to somebody else's.</summary>
    public int Fit(Publication publication) =>
        Partner?.Source is not Publication other ? 1 : other.Participant == publication.Participant ? 2 : 0;

    /// <summary>Makes this slot and another the two of one stream id; with null this one is alone again.</summary>
    public void PairWith(Downtrack? other)
    {
        Partner?.Partner = null;
        Partner = other;
        other?.Partner = this;
    }

    /// <summary>Carries this track from now on; video from its next keyframe, which is asked for.</summary>
    public void Attach(Publication publication)
    {
        Detach();
        Source = publication;
        Array.Fill(_payloadTypes, NotCarried);
        foreach (RtpCodec codec in publication.Origin.Codecs)
        {
            if (Media.TryGetPayloadType(codec, out byte payloadType))
                _payloadTypes[codec.PayloadType & 127] = payloadType;
        }

        _clockRate = publication.Codec?.ClockRate ?? (Kind == TrackKind.Audio ? 48_000 : 90_000);
        _extensions = RtpExtensionMap.Between(publication.Origin.HeaderExtensions, Media.HeaderExtensions);
        _sequence.Restart(newSource: true);
        _newSource = true;
        if (Kind == TrackKind.Audio)
            _timestampOffset = 0;
        Media.ClearSenderReportSource();
        publication.Add(this);
        SetWaiting(Kind == TrackKind.Video);
        if (Kind == TrackKind.Audio && publication.TryGetSenderReport(out SenderReport report, out Instant arrival))
            UseSenderReport(report, arrival);
        if (Media.CanSend)
            publication.RequestKeyframe(_worker.Now);
    }

    /// <summary>Carries nothing any more.</summary>
    public void Detach()
    {
        if (Source is not Publication source)
            return;
        SetWaiting(false);
        source.Remove(this);
        Source = null;
        Media.ClearSenderReportSource();
    }

    /// <summary>The same track goes on after a pause.</summary>
    public void Resume()
    {
        _sequence.Restart(newSource: false);
        SetWaiting(Kind == TrackKind.Video);
    }

    /// <summary>The subscriber can receive now: ask for what video has to start with.</summary>
    public void OnConnected()
    {
        if (_waiting)
            Source?.RequestKeyframe(_worker.Now);
    }

    /// <summary>Sends packets of the track, written straight into the worker's send batch.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Forward(Instant now, PacketRun run)
    {
        SendBatch batch = _worker.Outgoing;
        bool reportIsDue = Media.SentSinceReport;
        int group = -1;
        for (int i = 0; i < run.Count; i++)
        {
            ref readonly RtpOutline outline = ref run.Outline(i);
            byte payloadType = _payloadTypes[outline.PayloadType];
            if (payloadType == NotCarried || outline.PayloadLength == 0)
            {
                // A format the subscriber does not have, or padding of the publisher's bandwidth probes.
                _sequence.Skip(outline.SequenceNumber);
                continue;
            }

            if (!_sequence.IsRunning)
            {
                if ((_waiting && !run.IsKeyframe(i)) || !Media.CanSend)
                    continue;
                Start(now, outline.Timestamp);
            }

            if (!_sequence.TryMap(outline.SequenceNumber, out ushort sequenceNumber) || !Media.CanSend)
                continue;
            if (group < 0)
                group = Subscriber.OpenGroup(batch);
            ReadOnlySpan<byte> source = run.Packet(i);
            int room = source.Length + RtcMedia.ForwardingHeadroom;
            if (!batch.TryReserve(group, room, out Span<byte> destination))
            {
                _worker.SendNow();
                group = Subscriber.OpenGroup(batch);
                if (!batch.TryReserve(group, room, out destination))
                    continue;
            }

            uint timestamp = unchecked(outline.Timestamp + _timestampOffset);
            if (!Media.TryWrite(now, outline, source, _extensions, payloadType, sequenceNumber, timestamp, destination, out int length))
                continue;
            batch.Commit(length);
            _worker.Counters.PacketsForwarded++;
            _lastTimestamp = timestamp;
            _lastSent = now;
            _hasSent = true;
        }

        // The first packet since a report made the session want to report again.
        if (!reportIsDue && Media.SentSinceReport)
            _worker.Touch(Subscriber);

        // Between subscribers, so that no frame is cut in two.
        if (batch.Count >= SendAfterDatagrams || batch.Bytes >= SendAfterBytes)
            _worker.SendNow();
    }

    /// <summary>Sends again what the subscriber missed, as far as it is still there.</summary>
    public void OnNack(Instant now, ReadOnlySpan<ushort> sequenceNumbers)
    {
        _worker.Counters.PacketsNacked += sequenceNumbers.Length;
        if (Source is not Publication source)
            return;
        foreach (ushort sequenceNumber in sequenceNumbers)
        {
            if (!_sequence.TryFindSource(sequenceNumber, out ushort original) || !source.TryGetPacket(now, original, out RtpPacket packet))
                continue;
            if (!TakeRetransmission(now))
            {
                _worker.Counters.Drop(SfuDropReason.RetransmissionLimit);
                return;
            }

            byte payloadType = _payloadTypes[packet.PayloadType];
            if (payloadType != NotCarried
                && Media.SendRtx(now, packet, _extensions, payloadType, sequenceNumber, unchecked(packet.Timestamp + _timestampOffset)))
            {
                _worker.Counters.PacketsRetransmitted++;
            }
        }
    }

    /// <summary>Sender reports to the subscriber carry the publisher's clocks.</summary>
    public void UseSenderReport(in SenderReport report, Instant arrival)
    {
        // Before the first packet of a new video source its timestamp offset is not known.
        if (Kind == TrackKind.Audio || _sequence.IsRunning)
            Report(report, arrival);
    }

    private void Report(SenderReport report, Instant arrival)
    {
        // Receivers sync a pair by its NTP times. Two publishers' clocks would hold one track back by their difference,
        // so video beside somebody else's voice is told on the clock of that voice.
        if (Kind == TrackKind.Video && Partner?.Source is Publication voice && voice.Participant != Source!.Participant
            && voice.TryGetSenderReport(out SenderReport theirs, out Instant then))
        {
            report = report with { Ntp = new NtpClock(then, theirs.Ntp).At(arrival) };
        }

        Media.SetSenderReportSource(report, arrival, _clockRate, _timestampOffset);
    }

    private void Start(Instant now, uint timestamp)
    {
        SetWaiting(false);
        if (_newSource)
        {
            _newSource = false;
            if (Kind == TrackKind.Video)
            {
                // Time goes on for the receiver: as much as passed here since the last packet of the former source.
                // Between nodes timestamps are the publisher's: a track may come back by another link.
                _timestampOffset = _hasSent && Subscriber.Relay is null
                    ? unchecked(_lastTimestamp + (uint)Math.Max(1, (long)((now - _lastSent).TotalSeconds * _clockRate)) - timestamp)
                    : 0;
                if (Source!.TryGetSenderReport(out SenderReport report, out Instant arrival))
                    Report(report, arrival);
            }
        }

        _worker.Touch(Subscriber);
    }

    private void SetWaiting(bool waiting)
    {
        if (_waiting == waiting || Source is null)
            return;
        _waiting = waiting;
        Source.Waiting += waiting ? 1 : -1;
    }

    private bool TakeRetransmission(Instant now)
    {
        if (now - _retransmissionsSince > RetransmissionInterval)
        {
            _retransmissionsSince = now;
            _retransmissions = 0;
        }

        return ++_retransmissions <= _worker.Limits.MaxRetransmissionsPerInterval;
    }
}
