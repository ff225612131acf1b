namespace Transcribe.Director.Provisioning;

/// <summary>How large the fleet of SFU nodes is to be. Data only; <see cref="ScalingDirector"/> applies it.</summary>
public sealed record ScalingPolicy
{
    /// <summary>TRANSCRIBE_MIN_NODES: nodes that take sessions, at least. Default 1.</summary>
    public int MinNodes { get; init; } = 1;

    /// <summary>TRANSCRIBE_MAX_NODES: at most, draining ones not counted. Default 10.</summary>
    public int MaxNodes { get; init; } = 10;

    /// <summary>TRANSCRIBE_HEADROOM: share of the fleet that is kept free, so that a new node is there before the others are full. 0 to 0.9, default 0.3.</summary>
    public double Headroom { get; init; } = 0.3;

    /// <summary>TRANSCRIBE_SCALE_UP_SECONDS: how long nodes must be lacking before more are started: announcements may be late for once. Default 3 s.</summary>
    public TimeSpan ScaleUpAfter { get; init; } = TimeSpan.FromSeconds(3);

    /// <summary>TRANSCRIBE_SCALE_DOWN_SECONDS: how long there must be a node too many before one is drained, and between two of them. Default 300 s.</summary>
    public TimeSpan ScaleDownAfter { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>TRANSCRIBE_DRAIN_SECONDS: how long sessions may stay on a node that is drained to be stopped; then they are moved. Default 600 s.</summary>
    public TimeSpan DrainDeadline { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>How long a node may take to announce itself. Default 60 s.</summary>
    public TimeSpan StartupGrace { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>Wait after a node could not be started; twice as long with every further failure, up to 5 minutes. Default 5 s.</summary>
    public TimeSpan RetryAfter { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Null, or a sentence that names the setting, its value and the fix.</summary>
    public string? Validate()
    {
        if (MaxNodes is < 1 or > 10_000)
            return $"TRANSCRIBE_MAX_NODES is {MaxNodes}. Set 1 to 10000.";

        if (MinNodes < 0 || MinNodes > MaxNodes)
            return $"TRANSCRIBE_MIN_NODES is {MinNodes} and TRANSCRIBE_MAX_NODES is {MaxNodes}. Set a minimum of 0 up to the maximum.";

        if (Headroom is not (>= 0 and <= 0.9))
            return $"TRANSCRIBE_HEADROOM is {Headroom}. Set the share of the fleet to keep free, 0 to 0.9.";

        (string Key, TimeSpan Value)[] times =
        [
            (nameof(ScaleUpAfter), ScaleUpAfter), (nameof(ScaleDownAfter), ScaleDownAfter), (nameof(DrainDeadline), DrainDeadline),
            (nameof(StartupGrace), StartupGrace), (nameof(RetryAfter), RetryAfter),
        ];
        foreach ((string key, TimeSpan value) in times)
        {
            if (value < TimeSpan.Zero || value > TimeSpan.FromDays(1))
                return $"Provisioning:Policy:{key} is {value}; use 0 to a day.";
        }

        return null;
    }
}
