using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Placement;
using Transcribe.Director.Nodes;

namespace Transcribe.Director.Provisioning;

/// <summary>The fleet as one decision sees it.</summary>
/// <param name="Nodes">SFU nodes that announce themselves.</param>
/// <param name="Ours">Names of those that the provisioner started, and can stop.</param>
/// <param name="Starting">Nodes that were started and are not announced yet.</param>
/// <param name="Drains">Drain orders for SFU nodes.</param>
internal sealed record FleetView(IReadOnlyList<NodeInfo> Nodes, IReadOnlySet<string> Ours, int Starting, IReadOnlyList<Drain> Drains);

/// <summary>What is to be done with the fleet. In this order.</summary>
/// <param name="Keep">Nodes whose draining is withdrawn: they are needed after all.</param>
/// <param name="Start">Nodes to be started.</param>
/// <param name="Removable">Nodes of which one is to be drained.</param>
/// <param name="Stop">Drained nodes to be stopped.</param>
internal sealed record ScalingDecision(IReadOnlyList<string> Keep, int Start, IReadOnlyList<NodeInfo> Removable, IReadOnlyList<string> Stop)
{
    public bool IsNothing => Keep.Count == 0 && Start == 0 && Removable.Count == 0 && Stop.Count == 0;
}

/// <summary>Applies a <see cref="ScalingPolicy"/>: sees the fleet again and again, and remembers since when it has been too small or too large.</summary>
internal sealed class ScalingDirector(ScalingPolicy policy)
{
    /// <summary>A fleet that only just does with one node less would want it back at once.</summary>
    private const double Hysteresis = 0.85;

    /// <summary>Who was on the way to a node when it was drained has arrived by then.</summary>
    private static readonly TimeSpan InFlight = TimeSpan.FromSeconds(5);

    /// <summary>After the deadline sessions are moved; one that cannot follow (WHIP, a client that is gone) does not hold the node for ever.</summary>
    private static readonly TimeSpan MovingGrace = TimeSpan.FromMinutes(2);

    private DateTimeOffset? _lackingSince;
    private DateTimeOffset? _plentySince;

    public ScalingDecision Decide(FleetView view, DateTimeOffset now)
    {
        NodeInfo[] active = [.. view.Nodes.Where(node => node.State == NodeState.Active && view.Drains.All(drain => drain.Id != node.Id))];
        Drain[] ownDrains = [.. view.Drains.Where(drain => drain.By == Drain.ByScaling && view.Ours.Contains(drain.Id))];

        // What draining nodes carry will come to the others.
        double demand = view.Nodes.Sum(NodeUtilization.Of);
        int wanted = Math.Clamp((int)Math.Ceiling((demand / (1 - policy.Headroom)) - 1e-9), policy.MinNodes, policy.MaxNodes);
        int existing = active.Length + view.Starting;
        bool lacking = wanted > existing;
        bool plenty = view.Starting == 0 && ownDrains.Length == 0 && active.Length > policy.MinNodes
            && (active.Length > policy.MaxNodes || demand <= (active.Length - 1) * (1 - policy.Headroom) * Hysteresis);
        _lackingSince = lacking ? _lackingSince ?? now : null;
        _plentySince = plenty ? _plentySince ?? now : null;

        var keep = new List<string>();
        int start = 0;
        if (lacking && now - _lackingSince >= policy.ScaleUpAfter)
        {
            keep.AddRange(ownDrains.Select(drain => view.Nodes.FirstOrDefault(node => node.Id == drain.Id)).OfType<NodeInfo>()
                .OrderByDescending(node => node.Load).Take(wanted - existing).Select(node => node.Id));
            start = wanted - existing - keep.Count;
        }

        NodeInfo[] removable = plenty && now - _plentySince >= policy.ScaleDownAfter ? [.. active.Where(node => view.Ours.Contains(node.Id))] : [];
        if (removable.Length > 0)
            _plentySince = null;

        string[] stop =
        [
            .. ownDrains.Where(drain => !keep.Contains(drain.Id) && IsDone(drain, view, active.Length, now)).Select(drain => drain.Id)
        ];
        return new ScalingDecision(keep, start, removable, stop);
    }

    private static bool IsDone(Drain drain, FleetView view, int active, DateTimeOffset now)
    {
        if (view.Nodes.FirstOrDefault(node => node.Id == drain.Id) is not { } node)
            return now - drain.RequestedAt >= InFlight;

        bool empty = node is { State: NodeState.Draining, Load: 0 } && now - drain.RequestedAt >= InFlight;
        return empty || (active > 0 && now - drain.Deadline >= MovingGrace);
    }
}
