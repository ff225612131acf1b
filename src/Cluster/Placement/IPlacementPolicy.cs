using Transcribe.Cluster.Nodes;

namespace Transcribe.Cluster.Placement;

/// <summary>A way to choose the node of a session. It keeps nothing: what it needs to know is in the view.</summary>
internal interface IPlacementPolicy
{
    string Name { get; }

    /// <summary>Null where nothing fits.</summary>
    NodeInfo? Choose(PlacementView view);
}

/// <summary>The cluster as one placement sees it.</summary>
/// <param name="Home">The room's home; null for a new room, and where the home is gone or draining.</param>
/// <param name="Edges">Further nodes of the room.</param>
/// <param name="Candidates">Living, active, not excluded; full ones among them.</param>
internal sealed record PlacementView(
    PlacementRequest Request, string? Home, IReadOnlyList<string> Edges, IReadOnlyList<PlacementCandidate> Candidates, Random Random, PlacementOptions Options)
{
    public PlacementCandidate? HomeCandidate => Candidates.FirstOrDefault(candidate => candidate.Node.Id == Home);

    /// <summary>The candidates of the wanted region, then the others; all at once where no region is wanted, or nobody is in it.</summary>
    public IEnumerable<IReadOnlyList<PlacementCandidate>> ByRegion()
    {
        PlacementCandidate[] near = [.. Candidates.Where(candidate => candidate.Node.Region == Request.Region)];
        if (near.Length == 0 || near.Length == Candidates.Count)
            return [Candidates];

        return [near, [.. Candidates.Where(candidate => candidate.Node.Region != Request.Region)]];
    }

    /// <summary>The less loaded of two that are drawn: nearly as good as the least loaded, without everybody going to the same one.</summary>
    public PlacementCandidate? LessLoadedOfTwo(IEnumerable<PlacementCandidate> among)
    {
        PlacementCandidate[] fitting = [.. among.Where(candidate => candidate.Fits())];
        if (fitting.Length < 2)
            return fitting.FirstOrDefault();

        int first = Random.Next(fitting.Length);
        int second = Random.Next(fitting.Length - 1);
        second += second >= first ? 1 : 0;
        return fitting[first].Utilization <= fitting[second].Utilization ? fitting[first] : fitting[second];
    }
}

internal static class PlacementPolicies
{
    private static readonly IPlacementPolicy[] All = [new TogetherPolicy(), new SpreadPolicy()];

    public static IReadOnlyList<string> Names { get; } = [.. All.Select(policy => policy.Name)];

    public static IPlacementPolicy Find(string name) => All.First(policy => policy.Name == name);
}
