using Transcribe.Rtc.Rtcp;
using Transcribe.Rtc.Rtp;

namespace Transcribe.Rtc;

public sealed partial class RtcMedia
{
    private RetransmissionCache? _sentCache;
    private ushort _nextSequence;
    private ushort _nextRtxSequence;
    private NtpClock _senderReportClock;
    private RtpNtpMapping _senderReportMapping;
    private bool _hasSenderReportSource;
    private readonly (uint Compact, Instant SentAt)[] _sentReports = new (uint, Instant)[4];
    private int _sentReportCount;

    /// <summary>RTP packets sent, retransmissions not counted.</summary>
    public long PacketsSent { get; private set; }

    /// <summary>Payload bytes sent, retransmissions not counted.</summary>
    public long BytesSent { get; private set; }

    /// <summary>RTP packets sent again as RTX.</summary>
    public long RetransmittedPacketsSent { get; private set; }

    /// <summary>True where a packet sent now would go out: connected, negotiated and not stopped.</summary>
    public bool CanSend => SendEnabled && _session.CanSendMedia;

    internal uint LastTimestamp { get; private set; }

    internal Instant LastSentAt { get; private set; }

    /// <summary>Whether packets were sent that no sender report has told of. The first of them sets a deadline of the session.</summary>
    public bool SentSinceReport { get; internal set; }

    internal Instant FirstSentAt { get; private set; } = Instant.Never;

    /// <summary>
    /// Forwards a packet of another session: new SSRC, payload type and sequence number, this m-section's MID,
    /// send time and transport sequence number, the source's other extensions under this session's ids.
    /// Allocates nothing.
    /// </summary>
    /// <param name="source">The packet as <see cref="IRtcSessionObserver.OnRtp"/> gave it; left as it is.</param>
    /// <param name="extensions">From the source's <see cref="HeaderExtensions"/> to this one's; make it once per route.</param>
    /// <param name="payloadType">As <see cref="TryGetPayloadType"/> told.</param>
    /// <param name="sequenceNumber">Of this m-section; each is sent once, and at most 1023 behind the highest (SRTP must not use a packet index twice).</param>
    /// <param name="timestamp">For audio the source's own.</param>
    /// <returns>False where it was not sent: see <see cref="CanSend"/>, the packet is too large, or its number used or too old.</returns>
    public bool Send(
        Instant now, in RtpPacket source, RtpExtensionMap extensions, byte payloadType, ushort sequenceNumber, uint timestamp)
    {
        if (!CanSend)
            return false;
        if (source.Payload.IsEmpty && source.PaddingLength > 0)
        {
            RtpHeaderWriter writer = BeginForward(now, source, payloadType, sequenceNumber, timestamp, _session.SendBuffer, extensions);
            return Transmit(now, writer.FinishPadding((byte)source.PaddingLength), 0, timestamp);
        }

        var outline = new RtpOutline(source, now);
        if (!TryWrite(now, outline, source.Bytes, extensions, payloadType, sequenceNumber, timestamp, _session.SendBuffer, out int length))
            return false;
        _session.SendProtected(now, length);
        return true;
    }

    /// <summary>Sends a packet again on the retransmission stream (RFC 4588). Allocates nothing.</summary>
    /// <param name="source">The packet as it was forwarded, from a <see cref="RetransmissionCache"/>.</param>
    /// <param name="extensions">As for the first sending.</param>
    /// <param name="payloadType">As for the first sending: the primary one.</param>
    /// <param name="originalSequenceNumber">As for the first sending: the one the NACK named.</param>
    /// <param name="timestamp">As for the first sending.</param>
    /// <returns>
    /// False where it was not sent: see <see cref="CanSend"/>, or RTX was not negotiated for the payload type. A packet is
    /// never sent twice on the primary stream, for SRTP must not use a packet index twice.
    /// </returns>
    public bool SendRtx(
        Instant now, in RtpPacket source, RtpExtensionMap extensions, byte payloadType, ushort originalSequenceNumber, uint timestamp)
    {
        byte rtxPayloadType = Negotiated.RtxPayloadTypeOf(payloadType);
        if (!CanSend || rtxPayloadType == 0 || LocalRtxSsrc is not uint rtxSsrc)
            return false;
        RtpHeaderWriter writer = new(
            _session.SendBuffer, rtxPayloadType, source.Marker, _nextRtxSequence, timestamp, rtxSsrc, source.ContributingSources,
            Negotiated.AllowMixedExtensions);
        WriteHopExtensions(now, ref writer);
        writer.CopyExtensions(source, extensions);
        int length = writer.FinishRetransmission(originalSequenceNumber, source.Payload);
        if (length == 0 || !_session.SendRtp(now, length))
            return false;
        _nextRtxSequence++;
        RetransmittedPacketsSent++;
        _session.Statistics.RetransmittedPacketsSent++;
        return true;
    }

    /// <summary>
    /// Sends a packet of our own making; sequence numbers are kept here. Retransmissions are answered by the session
    /// itself where RTX was negotiated. Do not mix with forwarding on one m-section.
    /// </summary>
    /// <param name="payload">Payload, without RTP header.</param>
    /// <param name="payloadType">One of <see cref="Codecs"/>.</param>
    /// <param name="marker">The M bit: the last packet of a video frame, the first of an audio talk spurt.</param>
    /// <param name="timestamp">RTP timestamp.</param>
    /// <param name="audioLevel">RFC 6464 level; sent if negotiated.</param>
    /// <returns>False where it was not sent: see <see cref="CanSend"/>, or the packet is too large.</returns>
    public bool Send(
        Instant now, ReadOnlySpan<byte> payload, byte payloadType, bool marker, uint timestamp, AudioLevel? audioLevel = null)
    {
        if (!CanSend)
            return false;
        ushort sequenceNumber = _nextSequence;
        RtpHeaderWriter writer = new(
            _session.SendBuffer, payloadType, marker, sequenceNumber, timestamp, LocalSsrc,
            allowTwoByte: Negotiated.AllowMixedExtensions);
        WriteHopExtensions(now, ref writer);
        if (audioLevel is AudioLevel level && writer.TryReserve(Negotiated.Extensions.AudioLevel, 1, out Span<byte> room))
            room[0] = level.ToByte();
        int length = writer.Finish(payload);
        if (length == 0)
            return false;
        if (LocalRtxSsrc is not null && Negotiated.RtxPayloadTypeOf(payloadType) != 0
            && RtpPacket.TryParse(_session.SendBuffer[..length], out RtpPacket sent))
        {
            (_sentCache ??= new RetransmissionCache(RetransmissionCacheOptions.Video)).Add(now, sent);
        }

        if (!Transmit(now, length, payload.Length, timestamp))
            return false;
        _nextSequence++;
        return true;
    }

    /// <summary>
    /// Makes the sender reports of this m-section carry a publisher's clock: the NTP and RTP times of
    /// <paramref name="report"/>, carried forward. Call it for each sender report of the publisher.
    /// </summary>
    /// <param name="report">The publisher's report.</param>
    /// <param name="arrival">When it arrived.</param>
    /// <param name="clockRate">RTP clock of the track, Hz.</param>
    /// <param name="timestampOffset">What is added to the publisher's timestamps when forwarding; 0 for audio, always.</param>
    public void SetSenderReportSource(in SenderReport report, Instant arrival, int clockRate, uint timestampOffset = 0)
    {
        _senderReportClock = new NtpClock(arrival, report.Ntp);
        _senderReportMapping = new RtpNtpMapping(report.Ntp, unchecked(report.RtpTimestamp + timestampOffset), clockRate);
        _hasSenderReportSource = true;
    }

    /// <summary>
    /// Another source, which sent no report yet: back to this host's own clock. Nothing is reported before its first packet,
    /// whose timestamps have nothing to do with those of the source before.
    /// </summary>
    public void ClearSenderReportSource()
    {
        _hasSenderReportSource = false;
        SentSinceReport = false;
    }

    internal void InitializeSending(uint ssrc, ushort firstSequence, ushort firstRtxSequence)
    {
        LocalSsrc = ssrc;
        _nextSequence = firstSequence;
        _nextRtxSequence = firstRtxSequence;
    }

    internal NtpClock SenderReportClock => _hasSenderReportSource ? _senderReportClock : _session.NtpClock;

    internal SenderReport MakeSenderReport(Instant now)
    {
        NtpTimestamp ntp = SenderReportClock.At(now);
        int clockRate = Negotiated.Codecs.Count > 0 ? Negotiated.Codecs[0].ClockRate : 90_000;
        uint timestamp = _hasSenderReportSource
            ? _senderReportMapping.At(ntp).RtpTimestamp
            : unchecked(LastTimestamp + (uint)(long)((now - LastSentAt).TotalSeconds * clockRate));
        int slot = _sentReportCount++ & (_sentReports.Length - 1);
        _sentReports[slot] = (ntp.Compact, now);
        return new SenderReport(LocalSsrc, ntp, timestamp, (uint)PacketsSent, (uint)BytesSent);
    }

    /// <summary>
    /// Round-trip time from a report block. The NTP times we send may be a publisher's, so the time of sending is looked
    /// up instead of computed from them.
    /// </summary>
    internal bool TryMeasureRoundTrip(Instant now, in ReportBlock block, out TimeSpan roundTrip)
    {
        foreach ((uint compact, Instant sentAt) in _sentReports)
        {
            if (compact != block.LastSenderReport || compact == 0)
                continue;
            roundTrip = now - sentAt - NtpTimestamp.FromCompactDuration(block.DelaySinceLastSenderReport);
            if (roundTrip < TimeSpan.Zero)
                roundTrip = TimeSpan.Zero;
            return true;
        }

        roundTrip = TimeSpan.Zero;
        return false;
    }

    /// <summary>Answers a NACK from the packets of our own making. False where this m-section forwards.</summary>
    internal bool Retransmit(Instant now, ReadOnlySpan<ushort> sequenceNumbers)
    {
        if (_sentCache is null)
            return false;
        foreach (ushort sequenceNumber in sequenceNumbers)
        {
            if (_sentCache.TryGet(now, sequenceNumber, out RtpPacket packet))
                SendRtx(now, packet, Negotiated.OwnExtensions, packet.PayloadType, sequenceNumber, packet.Timestamp);
        }

        return true;
    }

    private void WriteHopExtensions(Instant now, ref RtpHeaderWriter writer)
    {
        RtpExtensionIds ids = Negotiated.Extensions;
        if (_mid.Length > 0)
            writer.SetExtension(ids.Mid, _mid);
        if (ids.AbsoluteSendTime != 0 && writer.TryReserve(ids.AbsoluteSendTime, AbsoluteSendTime.Size, out Span<byte> room))
            AbsoluteSendTime.Of(now).Write(room);
        if (ids.TransportSequenceNumber != 0 && writer.TryReserve(ids.TransportSequenceNumber, TransportSequenceNumber.Size, out room))
            TransportSequenceNumber.Write(room, _session.NextTransportSequence());
    }

    private bool Transmit(Instant now, int length, int payloadLength, uint timestamp)
    {
        if (length == 0 || !_session.SendRtp(now, length))
            return false;
        NoteSent(now, payloadLength, timestamp);
        return true;
    }

    private void NoteSent(Instant now, int payloadLength, uint timestamp)
    {
        if (FirstSentAt == Instant.Never)
        {
            FirstSentAt = now;
            _session.OnFirstPacketSent(now);
        }

        PacketsSent++;
        BytesSent += payloadLength;
        LastTimestamp = timestamp;
        LastSentAt = now;
        if (!SentSinceReport)
        {
            SentSinceReport = true;
            _session.ScheduleReport(now);
        }
    }
}
