namespace Transcribe.Bench;

/// <summary>Latencies in buckets of 2 µs up to 200 ms; allocates nothing while it counts.</summary>
internal sealed class LatencyHistogram
{
    private const long BucketNanoseconds = 2_000;
    private readonly long[] _buckets = new long[100_000];
    private long _max;

    public long Count { get; private set; }

    public double MaxMs => _max / 1e6;

    public void Add(long nanoseconds)
    {
        nanoseconds = Math.Max(0, nanoseconds);
        _buckets[Math.Min(nanoseconds / BucketNanoseconds, _buckets.Length - 1)]++;
        _max = Math.Max(_max, nanoseconds);
        Count++;
    }

    public void Reset()
    {
        Array.Clear(_buckets);
        (Count, _max) = (0, 0);
    }

    /// <summary>Milliseconds that <paramref name="share"/> of all are not above; NaN without any.</summary>
    public double QuantileMs(double share)
    {
        if (Count == 0)
            return double.NaN;
        long rank = Math.Max(1, (long)Math.Ceiling(share * Count));
        for (int i = 0; i < _buckets.Length; i++)
        {
            rank -= _buckets[i];
            if (rank <= 0)
                return i == _buckets.Length - 1 ? MaxMs : (i + 0.5) * BucketNanoseconds / 1e6;
        }

        return MaxMs;
    }

    /// <summary>How many were above a limit.</summary>
    public long CountAbove(double milliseconds)
    {
        long above = 0;
        for (int i = (int)(milliseconds * 1e6 / BucketNanoseconds); i < _buckets.Length; i++)
            above += _buckets[i];
        return above;
    }
}
