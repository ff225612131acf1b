using Transcribe.Cluster.Nodes;

namespace Transcribe.Cluster.Placement;

/// <summary>
/// A room stays together: its home node while that has room (viewers leave some of it to participants), then a node that
/// carries the room already, then another one. The client's region comes before all that; a gateway goes to the home wherever it is.
/// </summary>
internal sealed class TogetherPolicy : IPlacementPolicy
{
    public const string PolicyName = "together";

    public string Name => PolicyName;

    public NodeInfo? Choose(PlacementView view)
    {
        bool viewer = view.Request.Role == PlacementRole.Viewer;
        PlacementCandidate? home = view.HomeCandidate;
        if (view.Request.Role == PlacementRole.Gateway && home?.Fits() == true)
            return home.Node;

        foreach (IReadOnlyList<PlacementCandidate> near in view.ByRegion())
        {
            if (home is not null && near.Contains(home) && home.Fits(viewer ? view.Options.HomeReserve : 0))
                return home.Node;

            ILookup<bool, PlacementCandidate> rest = near.Where(candidate => candidate != home)
                .ToLookup(candidate => view.Edges.Contains(candidate.Node.Id, StringComparer.Ordinal));
            if ((view.LessLoadedOfTwo(rest[true]) ?? view.LessLoadedOfTwo(rest[false])) is { } chosen)
                return chosen.Node;
        }

        // Better the participants' share than nowhere.
        return home?.Fits() == true ? home.Node : null;
    }
}
