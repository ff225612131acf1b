using System.Runtime.InteropServices;
using Transcribe.Cluster.Nodes;
using Transcribe.Sfu.Workers;

namespace Transcribe.Sfu.Control;

/// <summary>
/// Reads, once an announcement, what the node carries: from the workers' counters, and from their threads' own CPU clocks
/// (in an all-in-one process the process's CPU time is mostly not the SFU's).
/// </summary>
internal sealed partial class NodeLoadMeter(IEnumerable<SfuWorker> workers, SfuLimits limits, TimeProvider clock)
{
    /// <summary>A join costs a moment of CPU: what counts for placement is a few seconds of it.</summary>
    private static readonly TimeSpan CpuMemory = TimeSpan.FromSeconds(2);

    /// <summary>A rate over less than this says nothing.</summary>
    private static readonly TimeSpan Shortest = TimeSpan.FromMilliseconds(100);

    private readonly SfuWorker[] _workers = [.. workers];
    private readonly ThreadClock[] _clocks = [.. workers.Select(_ => new ThreadClock(clock))];
    private readonly Lock _lock = new();
    private NodeLoad _last = new(0, 0, 0, 0);
    private long? _at;
    private long _packets;
    private long _bytes;
    private TimeSpan _processTime;

    /// <summary>The announcement with rooms, load and limits in it.</summary>
    public NodeInfo Describe(NodeInfo node) => node with
    {
        Rooms = _workers.Sum(worker => worker.Counters.Rooms),
        Media = Sample(),
        Limits = new NodeLoad(limits.MaxTracks, limits.MaxPacketsPerSecond, limits.MaxCpu, limits.MaxEgressBitsPerSecond),
    };

    /// <summary>The load since the sample before; the same one again where hardly any time has passed.</summary>
    internal NodeLoad Sample()
    {
        lock (_lock)
        {
            long now = clock.GetTimestamp();
            long packets = _workers.Sum(worker => Volatile.Read(ref worker.Counters.PacketsForwarded));
            long bytes = _workers.Sum(worker => worker.SocketCounters.BytesSent);
            TimeSpan processTime = OperatingSystem.IsLinux() ? TimeSpan.Zero : Environment.CpuUsage.TotalTime;
            int tracks = _workers.Sum(worker => worker.Counters.Publications + worker.Counters.Downtracks);
            double seconds = _at is { } before ? clock.GetElapsedTime(before, now).TotalSeconds : 0;
            if (_at is not null && seconds < Shortest.TotalSeconds)
                return _last = _last with { Tracks = tracks };

            if (_at is not null)
            {
                double share = OperatingSystem.IsLinux()
                    ? _clocks.Sum(thread => thread.Share) / _workers.Length
                    : (processTime - _processTime).TotalSeconds / seconds / Math.Min(_workers.Length, Environment.ProcessorCount);
                double weight = 1 - Math.Exp(-seconds / CpuMemory.TotalSeconds);
                double cpu = _last.Cpu + (weight * (Math.Clamp(share, 0, 1) - _last.Cpu));
                _last = new NodeLoad(
                    tracks, Math.Round((packets - _packets) / seconds, 1), Math.Round(cpu, 4), Math.Round((bytes - _bytes) * 8 / seconds));
            }
            else
            {
                _last = _last with { Tracks = tracks };
            }

            (_at, _packets, _bytes, _processTime) = (now, packets, bytes, processTime);
            if (OperatingSystem.IsLinux())
            {
                for (int i = 0; i < _workers.Length; i++)
                    _workers[i].TryPost(static (state, _) => ((ThreadClock)state!).Read(), _clocks[i]);
            }

            return _last;
        }
    }

    /// <summary>CPU share of one worker's thread; the thread itself reads its clock.</summary>
    private sealed partial class ThreadClock(TimeProvider clock)
    {
        private const int ThreadCpuTime = 3;

        private long? _at;
        private long _nanoseconds;
        private double _share;

        /// <summary>Between the last two readings. From any thread.</summary>
        public double Share => Volatile.Read(ref _share);

        public void Read()
        {
            if (ClockGetTime(ThreadCpuTime, out Time time) != 0)
                return;

            long now = clock.GetTimestamp();
            long nanoseconds = (time.Seconds * 1_000_000_000) + time.Nanoseconds;
            double wall = _at is { } before ? clock.GetElapsedTime(before, now).TotalNanoseconds : 0;
            if (wall > 0)
                Volatile.Write(ref _share, (nanoseconds - _nanoseconds) / wall);

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
