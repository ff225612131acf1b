using Transcribe.Cluster.Nodes;

namespace Transcribe.Cluster.Placement;

/// <summary>An SFU node that may get a session: what it announced, and what was placed on it since.</summary>
/// <param name="recent">Sessions placed that its announcements do not show yet.</param>
/// <param name="assumedShare"><see cref="PlacementOptions.AssumedShare"/></param>
internal sealed class PlacementCandidate(NodeInfo node, int recent, double assumedShare)
{
    /// <summary>An average over fewer sessions than this says little about the next one.</summary>
    private const int FewSessions = 10;

    public NodeInfo Node { get; } = node;

    public int Recent { get; } = recent;

    /// <summary>Share of the node in use or spoken for, by its scarcest resource; 1 is full. For comparing nodes.</summary>
    public double Utilization { get; } = NodeUtilization.Of(node) + (recent * Math.Max(assumedShare, 1d / Math.Max(1, node.Capacity)));

    /// <summary>Whether one more session fits while this share of every limit stays free.</summary>
    public bool Fits(double reserve = 0)
    {
        double usable = 1 - reserve;
        if (Node.Load + Recent + 1 > Math.Max(1, Math.Floor(Node.Capacity * usable)) || Node.Capacity < 1)
            return false;

        if (Node is not { Media: { } media, Limits: { } limits })
            return true;

        return Within(media.Tracks, limits.Tracks, usable) && Within(media.PacketsPerSecond, limits.PacketsPerSecond, usable)
            && Within(media.Cpu, limits.Cpu, usable) && Within(media.EgressBitsPerSecond, limits.EgressBitsPerSecond, usable);
    }

    /// <param name="limit">0 or less: none.</param>
    private bool Within(double used, double limit, double usable) =>
        limit <= 0 || used + (Recent * used / Math.Max(Node.Load, FewSessions)) < limit * usable;
}
