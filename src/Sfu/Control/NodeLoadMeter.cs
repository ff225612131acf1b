using Transcribe.Cluster.Nodes;
using Transcribe.Sfu.Workers;

namespace Transcribe.Sfu.Control;

/// <summary>Reads, once an announcement, what the node carries: from the workers' counters and <see cref="WorkerCpu"/>.</summary>
internal sealed class NodeLoadMeter(IEnumerable<SfuWorker> workers, WorkerCpu cpu, SfuLimits limits, TimeProvider clock)
{
    /// <summary>A join costs a moment of CPU: what counts for placement is a few seconds of it.</summary>
    private static readonly TimeSpan CpuMemory = TimeSpan.FromSeconds(2);

    /// <summary>A rate over less than this says nothing.</summary>
    private static readonly TimeSpan Shortest = TimeSpan.FromMilliseconds(100);

    private readonly SfuWorker[] _workers = [.. workers];
    private readonly Lock _lock = new();
    private NodeLoad _last = new(0, 0, 0, 0);
    private long? _at;
    private long _packets;
    private long _bytes;

    /// <summary>The announcement with load and limits in it.</summary>
    public NodeInfo Describe(NodeInfo node) => node with
    {
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
            int tracks = _workers.Sum(worker => worker.Counters.Publications + worker.Counters.Downtracks);
            double seconds = _at is { } before ? clock.GetElapsedTime(before, now).TotalSeconds : 0;
            if (_at is not null && seconds < Shortest.TotalSeconds)
                return _last = _last with { Tracks = tracks };

            if (_at is not null)
            {
                double weight = 1 - Math.Exp(-seconds / CpuMemory.TotalSeconds);
                double share = _last.Cpu + (weight * (cpu.Average - _last.Cpu));
                _last = new NodeLoad(
                    tracks, Math.Round((packets - _packets) / seconds, 1), Math.Round(share, 4), Math.Round((bytes - _bytes) * 8 / seconds));
            }
            else
            {
                _last = _last with { Tracks = tracks };
            }

            (_at, _packets, _bytes) = (now, packets, bytes);
            cpu.Ask();
            return _last;
        }
    }
}
