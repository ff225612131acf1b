namespace Transcribe.Rtc.Media;

/// <summary>One SSRC the peer sends: what receiver reports (RFC 3550 §6.4, A.3, A.8), NACK and duplicate suppression need.</summary>
internal sealed class ReceiveStream(uint ssrc, RtcMedia media, bool isRtx)
{
    private readonly SequenceTracker _sequence = new();
    private long _received;
    private long _expectedPrior;
    private long _receivedPrior;
    private uint _lastTimestamp;
    private Instant _lastArrival;
    private long _jitter16;

    public uint Ssrc { get; } = ssrc;

    public RtcMedia Media { get; } = media;

    /// <summary>True for an RFC 4588 retransmission stream.</summary>
    public bool IsRtx { get; } = isRtx;

    /// <summary>RTP stream id of the packet that introduced the stream, "" without one.</summary>
    public string Rid { get; set; } = "";

    public NackGenerator Nack { get; } = new();

    public Instant LastPacketAt { get; private set; }

    /// <summary>Anything arrived since the last receiver report.</summary>
    public bool HasNews { get; private set; }

    public Instant LastKeyframeRequest { get; set; } = new(long.MinValue / 2);

    /// <summary>Middle 32 bits of the NTP time of the last sender report, 0 before one.</summary>
    public uint LastSenderReport { get; set; }

    public Instant LastSenderReportAt { get; set; }

    public long PacketsReceived => _received;

    /// <summary>Interarrival jitter in RTP timestamp units.</summary>
    public uint Jitter => (uint)(_jitter16 >> 4);

    /// <summary>Extended highest sequence number as RFC 3550 reports it (cycles in the upper 16 bits).</summary>
    public uint ExtendedHighest => (uint)(_sequence.Highest - 0x10000L);

    /// <summary>Notes a packet with its own sequence number.</summary>
    /// <returns>False for a duplicate: do not deliver it.</returns>
    public bool TryReceive(Instant now, ushort sequenceNumber, uint timestamp, int clockRate, bool generateNacks, out bool nackOverflow)
    {
        nackOverflow = false;
        bool started = _sequence.Started;
        long highest = _sequence.Highest;
        if (!_sequence.TryAdd(sequenceNumber, out long extended, out bool restarted))
            return false;
        if (restarted)
        {
            Nack.Clear();
            _received = _expectedPrior = _receivedPrior = 0;
            started = false;
        }

        if (started && generateNacks)
        {
            if (extended > highest)
                nackOverflow = !Nack.AddGap(now, highest, extended);
            else
                Nack.Remove(extended);
        }

        UpdateJitter(now, timestamp, clockRate, inOrder: !started || extended > highest, first: !started);
        _received++;
        LastPacketAt = now;
        HasNews = true;
        return true;
    }

    /// <summary>Notes a packet recovered from the retransmission stream. False if it was here before.</summary>
    public bool TryRepair(ushort originalSequenceNumber, out bool wasAskedFor)
    {
        wasAskedFor = false;
        if (!_sequence.Started)
            return false;
        long extended = _sequence.Extend(originalSequenceNumber);

        // A retransmission never moves the stream forward: what lies ahead of the highest is padding or a mistake.
        if (extended > _sequence.Highest || !_sequence.TryAdd(originalSequenceNumber, out extended, out _))
            return false;
        wasAskedFor = Nack.Remove(extended);
        HasNews = true;
        _received++;
        return true;
    }

    /// <summary>The numbers of a report block; starts a new interval.</summary>
    public void TakeReport(Instant now, out byte fractionLost, out int cumulativeLost, out uint delaySinceLastReport)
    {
        long expected = _sequence.Highest - _sequence.First + 1;
        long lost = expected - _received;
        cumulativeLost = (int)Math.Clamp(lost, -0x80_0000, 0x7F_FFFF);
        long expectedInterval = expected - _expectedPrior;
        long lostInterval = expectedInterval - (_received - _receivedPrior);
        fractionLost = expectedInterval <= 0 || lostInterval <= 0
            ? (byte)0
            : (byte)Math.Min(255, (lostInterval << 8) / expectedInterval);
        _expectedPrior = expected;
        _receivedPrior = _received;
        delaySinceLastReport = LastSenderReport == 0
            ? 0
            : (uint)Math.Min(uint.MaxValue, (now - LastSenderReportAt).TotalSeconds * 65536.0);
        HasNews = false;
    }

    private void UpdateJitter(Instant now, uint timestamp, int clockRate, bool inOrder, bool first)
    {
        if (!inOrder)
            return;

        // Packets of one frame share a timestamp: only the first of them measures the network.
        if (!first && timestamp != _lastTimestamp)
        {
            double elapsed = (now - _lastArrival).TotalSeconds * clockRate;
            double difference = Math.Abs(elapsed - (int)(timestamp - _lastTimestamp));

            // A source that paused or changed its clock says nothing about the network.
            if (difference < clockRate * 5.0)
                _jitter16 += (long)difference - ((_jitter16 + 8) >> 4);
        }

        if (first || timestamp != _lastTimestamp)
        {
            _lastTimestamp = timestamp;
            _lastArrival = now;
        }
    }
}
