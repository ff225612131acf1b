namespace Transcribe.Bench;

/// <summary>
/// The longest pause of this process by a garbage collection. Costs nothing between collections: a dead object's
/// finalizer, which follows each of them, reads what the collection took.
/// </summary>
internal static class PauseWatch
{
    // Of each kind, the newest one looked at. Used by the finalizer's thread only.
    private static readonly long[] Seen = new long[8];

    private static long _longest;

    public static void Start() => _ = new Canary();

    /// <summary>The longest since the last call.</summary>
    public static TimeSpan TakeLongest() => new(Interlocked.Exchange(ref _longest, 0));

    private static void Note()
    {
        foreach (GCKind kind in (ReadOnlySpan<GCKind>)[GCKind.Ephemeral, GCKind.FullBlocking, GCKind.Background])
        {
            GCMemoryInfo info = GC.GetGCMemoryInfo(kind);
            if (info.Index <= Seen[(int)kind])
                continue;
            Seen[(int)kind] = info.Index;

            // A background collection stops the process twice.
            foreach (TimeSpan pause in info.PauseDurations)
            {
                if (pause.Ticks > Volatile.Read(ref _longest))
                    Volatile.Write(ref _longest, pause.Ticks);
            }
        }
    }

    private sealed class Canary
    {
        ~Canary()
        {
            Note();

            // A new one, for this one is of an older generation by now.
            if (!Environment.HasShutdownStarted)
                _ = new Canary();
        }
    }
}
