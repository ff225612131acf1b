namespace Transcribe.Rtc.Rtp;

/// <summary>How a receiver asks for lost packets.</summary>
public sealed record NackOptions
{
    /// <summary>Most packets missing at a time; more, and a keyframe is the better repair.</summary>
    public int MaxMissing { get; init; } = 500;

    /// <summary>Requests for one packet before it is given up.</summary>
    public int MaxRetries { get; init; } = 10;

    /// <summary>Wait before the first request, for packets that are only late.</summary>
    public TimeSpan ReorderDelay { get; init; } = TimeSpan.FromMilliseconds(8);

    /// <summary>Shortest time between two requests for a packet, however short the round trip.</summary>
    public TimeSpan MinRetryInterval { get; init; } = TimeSpan.FromMilliseconds(20);

    /// <summary>Longest time a packet is asked for.</summary>
    public TimeSpan MaxAge { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>The defaults.</summary>
    public static NackOptions Default { get; } = new();
}

/// <summary>
/// Keeps the list of packets missing from one received stream and says when to ask for which (RFC 4585 §6.2.1).
/// Nothing is allocated after construction.
/// </summary>
public sealed class NackGenerator
{
    private readonly NackOptions _options;

    // In ascending order of sequence number; _count of them are in use.
    private readonly Missing[] _missing;
    private int _count;
    private long _newest;
    private bool _started;

    public NackGenerator(NackOptions? options = null)
    {
        _options = options ?? NackOptions.Default;
        _missing = new Missing[Math.Max(_options.MaxMissing, 1)];
    }

    /// <summary>Packets missing now.</summary>
    public int MissingCount => _count;

    /// <summary>Packets given up since the start.</summary>
    public long GivenUp { get; private set; }

    /// <summary>
    /// True where packets were given up that only a keyframe can make good. Cleared by <see cref="TakeKeyframeNeeded"/>
    /// and by a keyframe.
    /// </summary>
    public bool KeyframeNeeded { get; private set; }

    /// <summary>When <see cref="Collect"/> may next have something to do; never later than that, perhaps earlier.</summary>
    public Instant NextTimeout { get; private set; } = Instant.Never;

    /// <summary>Takes note of a packet, original or retransmitted.</summary>
    /// <param name="now">Current time.</param>
    /// <param name="sequenceNumber">Unwrapped, see <see cref="SequenceUnwrapper"/>.</param>
    /// <param name="isKeyframe">
    /// It starts a keyframe: what is missing before it is not needed any more. In H.264 that is the packet with the
    /// sequence parameter set, not the IDR slice behind it.
    /// </param>
    public void OnPacket(Instant now, long sequenceNumber, bool isKeyframe = false)
    {
        if (!_started)
        {
            _started = true;
            _newest = sequenceNumber;
            return;
        }

        if (isKeyframe)
        {
            RemoveBefore(sequenceNumber);
            KeyframeNeeded = false;
        }

        if (sequenceNumber <= _newest)
        {
            int index = IndexOf(sequenceNumber);
            if (index >= 0)
                RemoveAt(index);
        }
        else
        {
            long gap = sequenceNumber - _newest - 1;
            if (isKeyframe)
            {
                // What was lost right before a keyframe is not worth asking for.
            }
            else if (gap > _missing.Length)
            {
                GiveUpAll(gap);
            }
            else
            {
                int excess = (int)(_count + gap - _missing.Length);
                if (excess > 0)
                    GiveUpOldest(excess);
                for (long lost = _newest + 1; lost < sequenceNumber; lost++)
                    _missing[_count++] = new Missing(lost, now, now + _options.ReorderDelay, 0);
                if (gap > 0)
                    NextTimeout = Instant.Min(NextTimeout, now + _options.ReorderDelay);
            }

            _newest = sequenceNumber;
        }

        // Only Collect looks through the list: a packet of an unbroken or healing stream must stay cheap.
        if (_count == 0)
            NextTimeout = Instant.Never;
    }

    /// <summary>Fills in the sequence numbers to ask for now, and plans the next request for each.</summary>
    /// <param name="now">Current time.</param>
    /// <param name="roundTrip">Round-trip time of the path; zero while it is unknown, which asks as for 100 ms.</param>
    /// <param name="destination">Where they go, ascending; the rest waits for the next call.</param>
    /// <returns>How many.</returns>
    public int Collect(Instant now, TimeSpan roundTrip, Span<ushort> destination)
    {
        if (now < NextTimeout)
            return 0;

        // A little over the round trip: an answer that is only slow should not be asked for twice.
        TimeSpan interval = roundTrip <= TimeSpan.Zero ? TimeSpan.FromMilliseconds(100) : roundTrip * 1.25;
        if (interval < _options.MinRetryInterval)
            interval = _options.MinRetryInterval;

        int taken = 0;
        int kept = 0;
        for (int i = 0; i < _count; i++)
        {
            Missing missing = _missing[i];
            if (missing.NextRequest <= now)
            {
                if (missing.Requests >= _options.MaxRetries || now - missing.Since > _options.MaxAge)
                {
                    GivenUp++;
                    KeyframeNeeded = true;
                    continue;
                }

                if (taken < destination.Length)
                {
                    destination[taken++] = (ushort)missing.SequenceNumber;
                    missing = missing with { NextRequest = now + interval, Requests = missing.Requests + 1 };
                }
            }

            _missing[kept++] = missing;
        }

        _count = kept;
        UpdateTimeout();
        return taken;
    }

    /// <summary>Reads and clears <see cref="KeyframeNeeded"/>.</summary>
    public bool TakeKeyframeNeeded()
    {
        bool needed = KeyframeNeeded;
        KeyframeNeeded = false;
        return needed;
    }

    /// <summary>Forgets what is missing, as for a stream that starts again.</summary>
    public void Reset()
    {
        _count = 0;
        _started = false;
        KeyframeNeeded = false;
        NextTimeout = Instant.Never;
    }

    private void GiveUpAll(long gap)
    {
        GivenUp += _count + gap;
        _count = 0;
        KeyframeNeeded = true;
    }

    private void GiveUpOldest(int count)
    {
        GivenUp += count;
        KeyframeNeeded = true;
        _count -= count;
        Array.Copy(_missing, count, _missing, 0, _count);
    }

    private void RemoveBefore(long sequenceNumber)
    {
        int index = IndexOf(sequenceNumber);
        if (index < 0)
            index = ~index;
        _count -= index;
        Array.Copy(_missing, index, _missing, 0, _count);
    }

    private void RemoveAt(int index)
    {
        _count--;
        Array.Copy(_missing, index + 1, _missing, index, _count - index);
    }

    /// <summary>Binary search, with the complement of the insertion point where there is none.</summary>
    private int IndexOf(long sequenceNumber)
    {
        int low = 0;
        int high = _count - 1;
        while (low <= high)
        {
            int middle = (low + high) >>> 1;
            long there = _missing[middle].SequenceNumber;
            if (there == sequenceNumber)
                return middle;
            if (there < sequenceNumber)
                low = middle + 1;
            else
                high = middle - 1;
        }

        return ~low;
    }

    private void UpdateTimeout()
    {
        Instant next = Instant.Never;
        for (int i = 0; i < _count; i++)
            next = Instant.Min(next, _missing[i].NextRequest);
        NextTimeout = next;
    }

    private readonly record struct Missing(long SequenceNumber, Instant Since, Instant NextRequest, int Requests);
}
