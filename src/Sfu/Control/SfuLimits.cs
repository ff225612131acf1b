namespace Transcribe.Sfu.Control;

/// <summary>Bounds on what clients can make a node hold or do.</summary>
public sealed record SfuLimits
{
    /// <summary>Sessions on the node. Default 20000.</summary>
    public int MaxSessions { get; set; } = 20_000;

    /// <summary>Published tracks and downtracks on the node: at this many, placement sends nobody there any more. 0: no limit. Default 100000.</summary>
    public int MaxTracks { get; set; } = 100_000;

    /// <summary>RTP packets forwarded a second, likewise. 0: no limit. Default 2,000,000.</summary>
    public double MaxPacketsPerSecond { get; set; } = 2_000_000;

    /// <summary>Share of CPU time that the worker threads take, 0 to 1, likewise. 0: no limit. Default 0.9.</summary>
    public double MaxCpu { get; set; } = 0.9;

    /// <summary>UDP payload sent, in bits a second, likewise. 0: no limit. Default 20 Gbit/s.</summary>
    public double MaxEgressBitsPerSecond { get; set; } = 20e9;

    /// <summary>Sessions in one room, hidden ones included. Default 2000.</summary>
    public int MaxSessionsPerRoom { get; set; } = 2_000;

    /// <summary>Tracks one session may publish. Default 16.</summary>
    public int MaxTracksPerSession { get; set; } = 16;

    /// <summary>Data channels the server opens to one session for fan-out. Default 16.</summary>
    public int MaxDataChannelsPerSession { get; set; } = 16;

    /// <summary>Bytes that may wait in one receiver's data channel before messages to it are dropped. Default 1 MiB.</summary>
    public int MaxDataBuffered { get; set; } = 1 << 20;

    /// <summary>Explicit subscriptions one session may set. Default 1024.</summary>
    public int MaxSubscriptionsPerSession { get; set; } = 1024;

    /// <summary>A session that is not connected this long after it was opened is closed ("timeout"). Default 60 s.</summary>
    public TimeSpan ConnectTimeout { get; set; } = TimeSpan.FromSeconds(60);

    /// <summary>Addresses one session may be reached at, at a time. Default 8.</summary>
    public int MaxAddressesPerSession { get; set; } = 8;

    /// <summary>Packets retransmitted to one slot within 100 ms. Default 256.</summary>
    public int MaxRetransmissionsPerInterval { get; set; } = 256;

    /// <summary>Commands waiting for one worker. Default 16384.</summary>
    public int MaxCommands { get; set; } = 16_384;

    /// <summary>Events of one worker waiting for the control side. Default 65536.</summary>
    public int MaxEvents { get; set; } = 65_536;

    /// <summary>Bytes of packets under way from one worker to another, at most; rounded up to a power of two. Default 2 MiB.</summary>
    public int WorkerLinkBytes { get; set; } = 2 << 20;

    internal IEnumerable<string> Problems()
    {
        (string Key, int Value)[] positive =
        [
            (nameof(MaxSessions), MaxSessions), (nameof(MaxSessionsPerRoom), MaxSessionsPerRoom),
            (nameof(MaxTracksPerSession), MaxTracksPerSession), (nameof(MaxDataChannelsPerSession), MaxDataChannelsPerSession),
            (nameof(MaxSubscriptionsPerSession), MaxSubscriptionsPerSession), (nameof(MaxAddressesPerSession), MaxAddressesPerSession),
            (nameof(MaxRetransmissionsPerInterval), MaxRetransmissionsPerInterval),
        ];
        foreach ((string key, int value) in positive)
        {
            if (value < 1)
                yield return $"Sfu:Limits:{key} is {value}; use 1 or more.";
        }

        (string Key, double Value)[] limits =
            [(nameof(MaxTracks), MaxTracks), (nameof(MaxPacketsPerSecond), MaxPacketsPerSecond), (nameof(MaxEgressBitsPerSecond), MaxEgressBitsPerSecond)];
        foreach ((string key, double value) in limits)
        {
            if (!(value >= 0 && double.IsFinite(value)))
                yield return $"Sfu:Limits:{key} is {value}; use a positive number, or 0 for no limit.";
        }

        if (MaxCpu is not (>= 0 and <= 1))
            yield return $"Sfu:Limits:MaxCpu is {MaxCpu}; use 0 to 1, a share of CPU time, or 0 for no limit.";
        if (MaxDataBuffered < 1200)
            yield return $"Sfu:Limits:MaxDataBuffered is {MaxDataBuffered}; use 1200 bytes or more.";
        if (MaxCommands < 64)
            yield return $"Sfu:Limits:MaxCommands is {MaxCommands}; use 64 or more.";
        if (WorkerLinkBytes is < 65_536 or > 1 << 30)
            yield return $"Sfu:Limits:WorkerLinkBytes is {WorkerLinkBytes}; use 65536 to {1 << 30}.";
        if (MaxEvents < 64)
            yield return $"Sfu:Limits:MaxEvents is {MaxEvents}; use 64 or more.";
        if (ConnectTimeout < TimeSpan.FromSeconds(1))
            yield return $"Sfu:Limits:ConnectTimeout is {ConnectTimeout}; use a second or more.";
    }
}
