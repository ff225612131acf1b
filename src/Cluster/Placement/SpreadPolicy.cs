using Transcribe.Cluster.Nodes;

namespace Transcribe.Cluster.Placement;

/// <summary>Every session goes to the less loaded of two nodes of its region, whatever its room is on. Gateways go to the room's home.</summary>
internal sealed class SpreadPolicy : IPlacementPolicy
{
    public string Name => "spread";

    public NodeInfo? Choose(PlacementView view) =>
        view.Request.Role == PlacementRole.Gateway && view.HomeCandidate is { } home && home.Fits()
            ? home.Node
            : view.ByRegion().Select(view.LessLoadedOfTwo).FirstOrDefault(chosen => chosen is not null)?.Node;
}
