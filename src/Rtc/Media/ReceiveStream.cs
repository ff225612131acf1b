using Transcribe.Rtc.Rtcp;
using Transcribe.Rtc.Rtp;

namespace Transcribe.Rtc.Media;

/// <summary>One SSRC that the peer sends: duplicates, gaps, statistics.</summary>
internal sealed class ReceiveStream(uint ssrc, RtcMedia media, bool isRtx)
{
    private readonly DuplicateFilter _duplicates = new();
    private ReceptionReportBuilder? _reports;
    private long _highest;

    public uint Ssrc { get; } = ssrc;

    public RtcMedia Media { get; } = media;

    /// <summary>True for an RFC 4588 retransmission stream.</summary>
    public bool IsRtx { get; } = isRtx;

    /// <summary>What is missing; null where NACK is not in use.</summary>
    public NackGenerator? Nack { get; private set; }

    /// <summary>Anything arrived since the last report.</summary>
    public bool HasNews { get; private set; }

    public Instant LastPacketAt { get; private set; }

    public bool HasReceived => _reports is not null;

    public ReceptionReportBuilder? Reports => _reports;

    /// <summary>Notes a packet of the stream.</summary>
    /// <returns>False for a duplicate, a hopelessly late one, or a jump that the next packet must confirm: do not deliver it.</returns>
    public bool TryReceive(Instant now, in RtpPacket packet, int clockRate, bool generateNacks)
    {
        ushort sequenceNumber = packet.SequenceNumber;
        bool first = _reports is null;
        _reports ??= new ReceptionReportBuilder(Ssrc, clockRate);
        LastPacketAt = now;
        long received = _reports.Statistics.Received;
        if (first)
        {
            _highest = 0x1_0000_0000L + sequenceNumber;
        }
        else if (_duplicates.Check(Extend(sequenceNumber)) is DuplicateVerdict.Duplicate)
        {
            return false;
        }

        if (!_reports.Statistics.Update(now, sequenceNumber, packet.Timestamp))
            return false;
        HasNews = true;
        if (!first && _reports.Statistics.Received <= received)
        {
            // The sender began anew with other sequence numbers.
            _duplicates.Reset();
            Nack?.Reset();
            _highest = ((_highest >> 16) + 2 << 16) + sequenceNumber;
            first = true;
        }

        long extended = Extend(sequenceNumber);
        if (first)
            _duplicates.Check(extended);
        _highest = Math.Max(_highest, extended);
        if (generateNacks)
            (Nack ??= new NackGenerator()).OnPacket(now, extended);
        return true;
    }

    /// <summary>Notes a packet recovered from the retransmission stream. False if it was here before, or is none of ours.</summary>
    public bool TryRepair(Instant now, ushort originalSequenceNumber)
    {
        if (_reports is null)
            return false;
        long extended = Extend(originalSequenceNumber);

        // A retransmission never moves the stream forward: what lies ahead is a mistake.
        if (extended > _highest || _duplicates.Check(extended) != DuplicateVerdict.New)
            return false;
        Nack?.OnPacket(now, extended);
        return true;
    }

    /// <summary>The report block, if anything arrived since the last one.</summary>
    public bool TryReport(Instant now, out ReportBlock block)
    {
        block = default;
        if (!HasNews || _reports is null)
            return false;
        HasNews = false;
        return _reports.TryBuild(now, out block);
    }

    private long Extend(ushort sequenceNumber) => _highest + (short)(ushort)(sequenceNumber - (ushort)_highest);
}
