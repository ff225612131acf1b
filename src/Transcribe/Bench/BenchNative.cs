using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Transcribe.Sfu.Net;

namespace Transcribe.Bench;

/// <summary>The calls of libc that only measuring needs.</summary>
internal static unsafe partial class BenchNative
{
    internal const int SoTimestampNs = 35;
    internal const int SockAddrStride = 16;
    private const int SchedFifo = 1;
    private const int SchedResetOnFork = 0x4000_0000;

    /// <summary>Processors of this host; the affinity of this process does not count.</summary>
    public static int Processors { get; } = File.Exists("/proc/stat")
        ? File.ReadLines("/proc/stat").Count(line => line.StartsWith("cpu", StringComparison.Ordinal) && line.Length > 3 && char.IsAsciiDigit(line[3]))
        : Environment.ProcessorCount;

    /// <summary>CPU time of a process, its ended threads included, in nanoseconds: what /proc/PID/stat shows in hundredths of a second.</summary>
    public static long ProcessCpu(int pid) => ReadClock((~pid << 3) | 2);

    /// <summary>CPU time of the calling thread, in nanoseconds.</summary>
    public static long ThreadCpu() => ReadClock(3);

    /// <summary>CLOCK_REALTIME minus CLOCK_MONOTONIC (that of <see cref="Stopwatch"/>), in nanoseconds.</summary>
    public static long WallOffset()
    {
        long best = 0;
        long narrowest = long.MaxValue;
        for (int i = 0; i < 8; i++)
        {
            long before = ReadClock(1);
            long wall = ReadClock(0);
            long after = ReadClock(1);
            if (after - before >= narrowest)
                continue;
            narrowest = after - before;
            best = wall - (before + (narrowest / 2));
        }

        return best;
    }

    /// <summary>
    /// Real-time priority for the calling thread, so that its own lateness is not measured; false where not permitted.
    /// Threads that it starts do not inherit it: one of the run-time's, compiling, would keep a whole processor to itself.
    /// </summary>
    public static bool TryRealTime()
    {
        int priority = 1;
        return SchedSetScheduler(0, SchedFifo | SchedResetOnFork, &priority) == 0;
    }

    /// <summary>Binds the calling thread, and what it starts, to a set of processors.</summary>
    public static bool TryPin(IReadOnlyCollection<int> processors) => TryPin(0, processors);

    /// <summary>
    /// Binds all threads of this process, and those to come, to a set of processors: what its run-time does in the
    /// background must not disturb the process under test.
    /// </summary>
    public static void PinProcess(IReadOnlyCollection<int> processors)
    {
        if (!OperatingSystem.IsLinux())
            return;

        // Twice: one may start another meanwhile. New threads get the processors of the first one.
        for (int i = 0; i < 2; i++)
        {
            foreach (string thread in Directory.EnumerateDirectories("/proc/self/task"))
                TryPin(int.Parse(Path.GetFileName(thread), CultureInfo.InvariantCulture), processors);
        }
    }

    private static bool TryPin(int thread, IReadOnlyCollection<int> processors)
    {
        if (!OperatingSystem.IsLinux() || processors.Count == 0)
            return false;
        ulong* mask = stackalloc ulong[16];
        new Span<ulong>(mask, 16).Clear();
        foreach (int processor in processors)
            mask[(processor >> 6) & 15] |= 1ul << (processor & 63);
        return LinuxNative.SchedSetAffinity(thread, 16 * sizeof(ulong), mask) == 0;
    }

    private static long ReadClock(int clock)
    {
        LinuxNative.TimeSpec time;
        if (ClockGetTime(clock, &time) != 0)
            throw new IOException($"clock_gettime({clock}) failed: errno {Marshal.GetLastPInvokeError()}");
        return (time.Seconds * 1_000_000_000) + time.Nanoseconds;
    }

    [LibraryImport("libc", EntryPoint = "clock_gettime", SetLastError = true)]
    private static partial int ClockGetTime(int clock, LinuxNative.TimeSpec* time);

    [LibraryImport("libc", EntryPoint = "sched_setscheduler", SetLastError = true)]
    private static partial int SchedSetScheduler(int pid, int policy, int* priority);
}
