namespace Transcribe.Rtc.Media;

/// <summary>
/// Decides which missing packets of one stream to ask for, and when (RFC 4585 §6.2.1): once after a short wait for
/// reordering, then every round trip, until the packet came, was asked for too often, or is too old to be of use.
/// </summary>
internal sealed class NackGenerator
{
    public const int MaxMissing = 512;

    private const int MaxTries = 10;

    private static readonly TimeSpan ReorderingWait = TimeSpan.FromMilliseconds(8);
    private static readonly TimeSpan MaxAge = TimeSpan.FromMilliseconds(1500);

    private readonly Missing[] _missing = new Missing[MaxMissing];
    private int _count;

    /// <summary>When <see cref="Collect"/> has something to do next.</summary>
    public Instant NextTimeout { get; private set; } = Instant.Never;

    public int Count => _count;

    /// <summary>Adds the gap between the former highest number and a new one. False if it is hopelessly large: everything is forgotten.</summary>
    public bool AddGap(Instant now, long fromExclusive, long toExclusive)
    {
        long gap = toExclusive - fromExclusive - 1;
        if (gap <= 0)
            return true;
        if (_count + gap > MaxMissing)
        {
            Clear();
            return false;
        }

        Instant at = now + ReorderingWait;
        for (long sequence = fromExclusive + 1; sequence < toExclusive; sequence++)
            _missing[_count++] = new Missing { Sequence = sequence, Since = now, Next = at };
        NextTimeout = Instant.Min(NextTimeout, at);
        return true;
    }

    /// <summary>A packet that may have been missing arrived. True if it had been asked for.</summary>
    public bool Remove(long extended)
    {
        int low = 0;
        int high = _count - 1;
        while (low <= high)
        {
            int middle = (low + high) >>> 1;
            long at = _missing[middle].Sequence;
            if (at == extended)
            {
                bool asked = _missing[middle].Tries > 0;
                Array.Copy(_missing, middle + 1, _missing, middle, _count - middle - 1);
                if (--_count == 0)
                    NextTimeout = Instant.Never;
                return asked;
            }

            if (at < extended)
                low = middle + 1;
            else
                high = middle - 1;
        }

        return false;
    }

    /// <summary>Writes the sequence numbers to ask for now, in ascending order.</summary>
    /// <param name="numbers">At least <see cref="MaxMissing"/> long.</param>
    /// <param name="gaveUp">Packets given up since the last call.</param>
    public int Collect(Instant now, TimeSpan roundTripTime, Span<ushort> numbers, out int gaveUp)
    {
        gaveUp = 0;
        if (now < NextTimeout)
            return 0;
        int kept = 0;
        int asked = 0;
        Instant next = Instant.Never;
        TimeSpan interval = TimeSpan.FromTicks(Math.Max(roundTripTime.Ticks * 5 / 4, TimeSpan.TicksPerMillisecond * 20));
        for (int i = 0; i < _count; i++)
        {
            Missing missing = _missing[i];
            if (missing.Next <= now)
            {
                if (missing.Tries >= MaxTries || now - missing.Since > MaxAge)
                {
                    gaveUp++;
                    continue;
                }

                numbers[asked++] = (ushort)missing.Sequence;
                missing.Tries++;
                missing.Next = now + interval;
            }

            next = Instant.Min(next, missing.Next);
            _missing[kept++] = missing;
        }

        _count = kept;
        NextTimeout = next;
        return asked;
    }

    public void Clear()
    {
        _count = 0;
        NextTimeout = Instant.Never;
    }

    private struct Missing
    {
        public long Sequence;
        public Instant Since;
        public Instant Next;
        public int Tries;
    }
}
