using System.Diagnostics.Metrics;

namespace Transcribe.Cluster.Redis;

/// <summary>Why a message of the bus was not delivered.</summary>
internal enum BusDrop
{
    Malformed,
    Forged,
    Stale,
    Replayed,
    TooLarge,
    QueueFull,
    Unavailable,
}

/// <summary>The meter "Transcribe.Bus": counter <c>transcribe.bus.drops</c> with the tag <c>reason</c>.</summary>
internal sealed class BusDrops
{
    public const string MeterName = "Transcribe.Bus";

    private static readonly Meter Meter = new(MeterName);
    private static readonly Counter<long> Counter =
        Meter.CreateCounter<long>("transcribe.bus.drops", "{message}", "Messages of the bus that were not delivered, by reason.");

    private static readonly string[] Names = ["malformed", "forged", "stale", "replayed", "too_large", "queue_full", "unavailable"];

    private readonly long[] _counts = new long[Names.Length];

    public long this[BusDrop reason] => Interlocked.Read(ref _counts[(int)reason]);

    /// <summary>Counts one and returns how many there are.</summary>
    public long Count(BusDrop reason)
    {
        Counter.Add(1, new KeyValuePair<string, object?>("reason", Names[(int)reason]));
        return Interlocked.Increment(ref _counts[(int)reason]);
    }
}
