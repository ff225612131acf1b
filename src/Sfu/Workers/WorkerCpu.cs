using System.Runtime.InteropServices;

namespace Transcribe.Sfu.Workers;

/// <summary>
/// How busy each worker is: the CPU share of its thread, which the thread itself reads when it is asked to (in an all-in-one process the
/// process's CPU time is mostly not the SFU's). Where the OS has no such clock, the process's CPU time, shared equally. For any thread.
/// </summary>
internal sealed partial class WorkerCpu(IEnumerable<SfuWorker> workers, TimeProvider clock)
{
    /// <summary>A share of less time than this says little.</summary>
    private static readonly TimeSpan Shortest = TimeSpan.FromMilliseconds(400);

    private readonly SfuWorker[] _workers = [.. workers];
    private readonly ThreadClock[] _clocks = [.. workers.Select(_ => new ThreadClock(clock))];
    private readonly Lock _lock = new();
    private long? _askedAt;
    private TimeSpan _processTime;

    /// <summary>Share of a processor that the worker used between its last two readings, 0 to 1.</summary>
    public double Of(int worker) => Math.Clamp(_clocks[worker].Share, 0, 1);

    /// <summary>Of the processors that the workers may use, 0 to 1.</summary>
    public double Average => _clocks.Average(thread => Math.Clamp(thread.Share, 0, 1));

    /// <summary>Asks for new readings, unless that was done a moment ago. They are there soon.</summary>
    public void Ask()
    {
        lock (_lock)
        {
            long now = clock.GetTimestamp();
            TimeSpan? passed = _askedAt is { } before ? clock.GetElapsedTime(before, now) : null;
            if (passed < Shortest)
                return;

            _askedAt = now;
            if (!OperatingSystem.IsLinux())
            {
                TimeSpan used = Environment.CpuUsage.TotalTime;
                foreach (ThreadClock thread in _clocks)
                    thread.Share = passed is { } span ? (used - _processTime) / span / Math.Min(_clocks.Length, Environment.ProcessorCount) : 0;
                _processTime = used;
                return;
            }
        }

        for (int i = 0; i < _workers.Length; i++)
            _workers[i].TryPost(static (state, _) => ((ThreadClock)state!).Read(), _clocks[i]);
    }

    private sealed partial class ThreadClock(TimeProvider clock)
    {
        private const int ThreadCpuTime = 3;

        private long? _at;
        private long _nanoseconds;
        private double _share;

        public double Share
        {
            get => Volatile.Read(ref _share);
            set => Volatile.Write(ref _share, value);
        }

        /// <summary>On the worker's thread.</summary>
        public void Read()
        {
            if (ClockGetTime(ThreadCpuTime, out Time time) != 0)
                return;

            long now = clock.GetTimestamp();
            long nanoseconds = (time.Seconds * 1_000_000_000) + time.Nanoseconds;
            double wall = _at is { } before ? clock.GetElapsedTime(before, now).TotalNanoseconds : 0;
            if (wall > 0)
                Share = (nanoseconds - _nanoseconds) / wall;

            (_at, _nanoseconds) = (now, nanoseconds);
        }

        [LibraryImport("libc", EntryPoint = "clock_gettime")]
        private static partial int ClockGetTime(int clockId, out Time time);

        [StructLayout(LayoutKind.Sequential)]
        private struct Time
        {
            public long Seconds;
            public long Nanoseconds;
        }
    }
}
