namespace Transcribe.Rtc.Media;

/// <summary>
/// Arrival times of packets by transport-wide sequence number, kept until they are reported
/// (draft-holmer-rmcat-transport-wide-cc-extensions-01).
/// </summary>
internal sealed class TransportFeedbackRecorder
{
    /// <summary>Numbers covered by one report at most.</summary>
    public const int Capacity = 1024;

    // Instant.Ticks + 1; 0 is "not received".
    private readonly long[] _arrivals = new long[Capacity];
    private bool _started;
    private long _next;
    private long _highest;

    /// <summary>Something arrived since the last report.</summary>
    public bool HasNews { get; private set; }

    /// <summary>First number the next report covers.</summary>
    public ushort Base => (ushort)_next;

    /// <summary>How many numbers the next report covers.</summary>
    public int Count => HasNews ? (int)(_highest - _next + 1) : 0;

    public void Add(ushort sequenceNumber, Instant arrival)
    {
        if (!_started)
        {
            _started = true;
            _next = _highest = 0x10000L + sequenceNumber;
        }

        long extended = _highest + (short)(ushort)(sequenceNumber - (ushort)_highest);

        // Older than what was reported: the sender has counted it as lost, let it know all the same by going back.
        if (extended < _next)
        {
            if (_highest - extended >= Capacity || HasNews && _next - extended > 64)
                return;
            for (long i = extended; i < _next; i++)
                _arrivals[i & (Capacity - 1)] = 0;
            _next = extended;
        }

        if (extended > _highest)
        {
            if (extended - _highest > Capacity)
            {
                Array.Clear(_arrivals);
                _next = extended;
            }
            else
            {
                for (long i = _highest + 1; i < extended; i++)
                    _arrivals[i & (Capacity - 1)] = 0;
            }

            _highest = extended;
            if (_highest - _next >= Capacity)
                _next = _highest - Capacity + 1;
        }

        _arrivals[extended & (Capacity - 1)] = arrival.Ticks + 1;
        HasNews = true;
    }

    /// <summary>Arrival of the number at an offset from <see cref="Base"/>; null for one that has not come.</summary>
    public Instant? this[int offset]
    {
        get
        {
            long ticks = _arrivals[(_next + offset) & (Capacity - 1)];
            return ticks == 0 ? null : new Instant(ticks - 1);
        }
    }

    /// <summary>The first <paramref name="count"/> numbers were reported.</summary>
    public void Advance(int count)
    {
        _next += count;
        HasNews = _next <= _highest;
    }
}
