namespace Transcribe.Cluster.Nodes;

/// <summary>How often a node announces itself, and how long an announcement holds.</summary>
public sealed record NodeHeartbeat(TimeSpan Interval, TimeSpan TimeToLive)
{
    /// <summary>In process: every 5 s for 15 s.</summary>
    public static NodeHeartbeat Default { get; } = new(TimeSpan.FromSeconds(5), TimeSpan.FromSeconds(15));

    /// <summary>In a cluster: every 0.5 s for 2 s.</summary>
    public static NodeHeartbeat Cluster { get; } = new(TimeSpan.FromSeconds(0.5), TimeSpan.FromSeconds(2));
}
