namespace Transcribe.Rtc.Rtp;

/// <summary>
/// Reception statistics of one source as RFC 3550 appendix A.1 (sequence numbers), A.3 (loss) and A.8 (jitter) compute
/// them. There is no probation: WebRTC's sources are signalled, so the first packet counts.
/// </summary>
public sealed class RtpJitterStatistics
{
    // RFC 3550 A.1: a jump ahead of more than a minute of packets, or far back, is a restart if two packets agree on it.
    private const int MaxDropout = 3000;
    private const int MaxMisorder = 100;
    private const uint NoSequence = uint.MaxValue;

    private readonly int _clockRate;
    private bool _started;
    private ushort _highest;
    private uint _cycles;
    private uint _base;
    private uint _badSequence = NoSequence;
    private long _expectedPrior;
    private long _receivedPrior;
    private uint _lastTransit;
    private bool _hasTransit;
    private uint _jitterScaled;

    /// <param name="clockRate">RTP clock, Hz.</param>
    public RtpJitterStatistics(int clockRate)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(clockRate);
        _clockRate = clockRate;
    }

    /// <summary>Packets received, duplicates included, restarts forgotten.</summary>
    public long Received { get; private set; }

    /// <summary>Highest sequence number, wraps in the upper 16 bits.</summary>
    public uint ExtendedHighestSequence => _cycles + _highest;

    /// <summary>Packets that should have arrived.</summary>
    public long Expected => _started ? (long)ExtendedHighestSequence - _base + 1 : 0;

    /// <summary>Packets lost; negative where duplicates outnumber losses.</summary>
    public long CumulativeLost => Expected - Received;

    /// <summary>Interarrival jitter in RTP clock units.</summary>
    public uint Jitter => _jitterScaled >> 4;

    /// <summary>True once a packet has been counted.</summary>
    public bool HasReceived => _started;

    /// <summary>Counts a packet. Leave out those repaired by retransmission: they say nothing of the path's jitter.</summary>
    /// <returns>False where the sequence number is so far off that one more packet must confirm it.</returns>
    public bool Update(Instant arrival, ushort sequenceNumber, uint timestamp)
    {
        if (!_started)
        {
            Restart(sequenceNumber);
        }
        else
        {
            ushort ahead = (ushort)(sequenceNumber - _highest);
            if (ahead < MaxDropout)
            {
                if (sequenceNumber < _highest)
                    _cycles += 1 << 16;
                _highest = sequenceNumber;
            }
            else if (ahead <= (1 << 16) - MaxMisorder)
            {
                if (sequenceNumber != _badSequence)
                {
                    _badSequence = (uint)(ushort)(sequenceNumber + 1);
                    return false;
                }

                Restart(sequenceNumber);
            }
        }

        Received++;
        UpdateJitter(arrival, timestamp);
        return true;
    }

    /// <summary>Loss since the last call, in 1/256 (RFC 3550 A.3).</summary>
    public byte TakeFractionLost()
    {
        long expected = Expected - _expectedPrior;
        long lost = expected - (Received - _receivedPrior);
        _expectedPrior = Expected;
        _receivedPrior = Received;
        return expected <= 0 || lost <= 0 ? (byte)0 : (byte)Math.Min((lost << 8) / expected, 255);
    }

    private void Restart(ushort sequenceNumber)
    {
        _started = true;
        _base = sequenceNumber;
        _highest = sequenceNumber;
        _cycles = 0;
        _badSequence = NoSequence;
        Received = 0;
        _expectedPrior = 0;
        _receivedPrior = 0;
        _hasTransit = false;
    }

    private void UpdateJitter(Instant arrival, uint timestamp)
    {
        long seconds = Math.DivRem(arrival.Ticks, TimeSpan.TicksPerSecond, out long rest);
        uint now = unchecked((uint)((seconds * _clockRate) + (rest * _clockRate / TimeSpan.TicksPerSecond)));
        uint transit = unchecked(now - timestamp);
        if (_hasTransit)
        {
            // A jump in the timestamps that no network makes (the source changed its clock) would spoil the average.
            uint difference = (uint)Math.Abs((long)unchecked((int)(transit - _lastTransit)));
            if (difference < (uint)_clockRate * 5u)
                _jitterScaled = (uint)(_jitterScaled + difference - ((_jitterScaled + 8) >> 4));
        }

        _lastTransit = transit;
        _hasTransit = true;
    }
}
