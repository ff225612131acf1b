namespace Transcribe.Rtc.Sctp;

/// <summary>Round-trip time and retransmission time-out (RFC 9260, section 6.3).</summary>
internal sealed class RtoEstimator(SctpOptions options)
{
    private bool _measured;
    private TimeSpan _variation;

    public TimeSpan SmoothedRtt { get; private set; }

    public TimeSpan Rto { get; private set; } = options.RtoInitial;

    public void Sample(TimeSpan rtt)
    {
        if (rtt < TimeSpan.Zero)
            return;
        if (_measured)
        {
            _variation = (_variation * 0.75) + ((SmoothedRtt - rtt).Duration() * 0.25);
            SmoothedRtt = (SmoothedRtt * 0.875) + (rtt * 0.125);
        }
        else
        {
            (_measured, SmoothedRtt, _variation) = (true, rtt, rtt / 2);
        }

        Rto = Clamp(SmoothedRtt + (_variation * 4));
    }

    public void BackOff() => Rto = Clamp(Rto * 2);

    private TimeSpan Clamp(TimeSpan rto) => rto < options.RtoMin ? options.RtoMin : rto > options.RtoMax ? options.RtoMax : rto;
}

/// <summary>Congestion window of the one path (RFC 9260, section 7.2).</summary>
internal sealed class CongestionControl(int packetSize, int initialPackets, int limit)
{
    private readonly int _limit = Math.Max(limit, packetSize * initialPackets);
    private int _partialBytesAcked;
    private uint _recoveryExit;

    /// <summary>Bytes that may be in flight.</summary>
    public int Window { get; private set; } = packetSize * initialPackets;

    public int SlowStartThreshold { get; private set; } = int.MaxValue;

    public bool InFastRecovery { get; private set; }

    /// <summary>Takes what one SACK acknowledged.</summary>
    /// <param name="wasFull">The window was in full use before the SACK.</param>
    public void OnAcknowledged(int bytes, uint cumulativeTsn, bool cumulativeAdvanced, bool wasFull, bool nothingOutstanding)
    {
        if (InFastRecovery && Serial.LessOrEqual(_recoveryExit, cumulativeTsn))
            InFastRecovery = false;
        if (!InFastRecovery && cumulativeAdvanced && Window <= SlowStartThreshold)
        {
            if (wasFull)
                Window = Math.Min(_limit, Window + Math.Min(bytes, packetSize));
        }
        else if (!InFastRecovery && cumulativeAdvanced)
        {
            _partialBytesAcked += bytes;
            if (_partialBytesAcked >= Window)
            {
                _partialBytesAcked = wasFull ? _partialBytesAcked - Window : Window;
                if (wasFull)
                    Window = Math.Min(_limit, Window + packetSize);
            }
        }

        if (nothingOutstanding)
            _partialBytesAcked = 0;
    }

    /// <summary>A loss was told by gaps. Returns false if this recovery has begun already.</summary>
    public bool OnLoss(uint highestOutstandingTsn)
    {
        if (InFastRecovery)
            return false;
        InFastRecovery = true;
        _recoveryExit = highestOutstandingTsn;
        SlowStartThreshold = Math.Max(Window / 2, 4 * packetSize);
        Window = SlowStartThreshold;
        _partialBytesAcked = 0;
        return true;
    }

    public void OnTimeout()
    {
        InFastRecovery = false;
        SlowStartThreshold = Math.Max(Window / 2, 4 * packetSize);
        Window = packetSize;
        _partialBytesAcked = 0;
    }

    /// <summary>After an idle time the old window says nothing about the path any more.</summary>
    public void OnIdle() => Window = Math.Min(Window, packetSize * initialPackets);
}
