namespace Transcribe.Bench;

/// <summary>One side of a measurement: the SFU's, or the floor's.</summary>
internal sealed record SideFigures
{
    /// <summary>User and system time of the process per packet sent, by its CPU clock.</summary>
    public double CpuMicrosPerPacket { get; init; }

    /// <summary>The same from /proc/PID/stat, which counts in hundredths of a second.</summary>
    public double StatMicrosPerPacket { get; init; }

    /// <summary>CPU time per wall time: 1 is one core.</summary>
    public double ServerLoad { get; init; }

    public double PacketsPerSecond { get; init; }

    public long Packets { get; init; }

    public long Lost { get; init; }

    public double P50Ms { get; init; }

    public double P99Ms { get; init; }

    public double P999Ms { get; init; }

    public double MaxMs { get; init; }

    public long LaterThan20Ms { get; init; }

    /// <summary>The driver's thread: near 1 it is the bottleneck.</summary>
    public double DriverLoad { get; init; }

    /// <summary>How late the driver published at most.</summary>
    public double DriverLatestMs { get; init; }

    /// <summary>Datagrams lost because the driver did not read in time.</summary>
    public long DriverDropped { get; init; }

    /// <summary>Time the run-time compiled during the measurement: small, or the warm-up was too short.</summary>
    public double CompilingMs { get; init; }

    /// <summary>Garbage collections of the server during the measurement, and how long all of its threads stood still.</summary>
    public int Collections { get; init; }

    public double PausedMs { get; init; }

    public double LongestPauseMs { get; init; }

    /// <summary>By the whole process, control channel included.</summary>
    public double AllocatedPerPacket { get; init; }

    public long Retransmitted { get; init; }

    /// <summary>Datagrams the server received: media, and the RTCP of all subscribers.</summary>
    public long DatagramsIn { get; init; }

    public double DatagramsPerSend { get; init; }

    public long SegmentedSends { get; init; }

    /// <summary>Dropped by the server's socket, on either way.</summary>
    public long ServerDropped { get; init; }
}

internal sealed record ForwardRun(SideFigures Sfu, SideFigures Floor)
{
    public double Ratio => Sfu.CpuMicrosPerPacket / Floor.CpuMicrosPerPacket;
}

internal sealed record StormRun(SideFigures Quiet, SideFigures Storm, int Joined, double JoinSeconds);

internal sealed record IdleFigures(int Connected, long Sessions, IReadOnlyList<double> Loads);

/// <param name="Idle">Resident bytes before the subscribers joined, after a collection.</param>
/// <param name="Resident">With all of them, as it is.</param>
/// <param name="Collected">With all of them, after a collection.</param>
internal sealed record MemoryFigures(int Subscribers, long Idle, long Resident, long Collected, long HeapPerSubscriber, int Threads, long Lost);

internal sealed record JoinRun(
    int Joined, double Seconds, double CpuMsPerJoin, double StatMsPerJoin, long AllocatedPerJoin, double DatagramsPerJoin);

/// <summary>What one scenario gave; one of the sets of figures is there.</summary>
internal sealed record ScenarioResult(string Name)
{
    public IReadOnlyList<ForwardRun>? Forward { get; init; }

    /// <summary>UDP payload the SFU sent per packet, on average.</summary>
    public int AudioDatagram { get; init; }

    /// <inheritdoc cref="AudioDatagram"/>
    public int VideoDatagram { get; init; }

    public IReadOnlyList<StormRun>? Storm { get; init; }

    public IdleFigures? Idle { get; init; }

    public MemoryFigures? Memory { get; init; }

    public IReadOnlyList<JoinRun>? Joins { get; init; }

    /// <summary>The driver had real-time priority: its own lateness is small.</summary>
    public bool RealTimeDriver { get; init; }

    public IReadOnlyList<string> Problems { get; init; } = [];
}
