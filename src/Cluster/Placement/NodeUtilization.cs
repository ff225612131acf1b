using Transcribe.Cluster.Nodes;

namespace Transcribe.Cluster.Placement;

/// <summary>How full a node is.</summary>
public static class NodeUtilization
{
    /// <summary>Share in use of the node's scarcest resource, by its announcement: sessions, tracks, packets, CPU or egress. 1 is full; it may be more.</summary>
    public static double Of(NodeInfo node)
    {
        double share = Share(node.Load, node.Capacity);
        if (node is not { Media: { } media, Limits: { } limits })
            return share;

        share = Math.Max(share, Share(media.Tracks, limits.Tracks));
        share = Math.Max(share, Share(media.PacketsPerSecond, limits.PacketsPerSecond));
        share = Math.Max(share, Share(media.Cpu, limits.Cpu));
        return Math.Max(share, Share(media.EgressBitsPerSecond, limits.EgressBitsPerSecond));
    }

    /// <param name="limit">0 or less: none.</param>
    private static double Share(double used, double limit) => limit > 0 ? used / limit : 0;
}
