namespace Transcribe.Sfu.Relay;

/// <summary>A node's place in a tree.</summary>
/// <param name="Parent">Null for the root; empty for a node that lost its parent and has not found a new one yet.</param>
/// <param name="SeenAt">When it last confirmed that it is there, Unix seconds.</param>
/// <param name="Instead">The better parent that it found no path to; null where it has the best one.</param>
internal sealed record RelayTreeNode(string Id, string? Parent, string Region, long SeenAt, string? Instead = null);

/// <summary>Which other node a node takes its packets from.</summary>
/// <param name="Parent">Null for the root.</param>
/// <param name="Depth">Hops from the root.</param>
/// <param name="Instead">See <see cref="RelayTreeNode"/>.</param>
internal sealed record RelayPlace(string? Parent, int Depth, string? Instead = null);

/// <summary>What a joining node says of itself and of others.</summary>
/// <param name="Root">The node that a track is published on; null where whoever comes first is the root.</param>
/// <param name="Dead">Nodes that are gone: they leave the tree.</param>
/// <param name="Current">The node that it takes from now, over a link that stands: after the store lost its data everybody keeps its place.</param>
/// <param name="Unreachable">Nodes to which this one finds no path: as parents they come last.</param>
/// <param name="Helper">A node that is no member, and would take the packets here: for where every member is unreachable.</param>
internal sealed record RelayJoin(
    string Node, string Region, string? Root, IReadOnlyCollection<string> Dead, IReadOnlyCollection<string> Unreachable,
    string? Current = null, string? Helper = null);

/// <summary>
/// A bounded tree of nodes: no node has more children than <see cref="MaxChildren"/>, none is deeper than
/// <see cref="MaxDepth"/>. Pure: <see cref="RelayTree"/> keeps it in the state store.
/// </summary>
internal sealed class RelayTreeState
{
    /// <summary>Who has not been seen for this long is no member any more.</summary>
    public static readonly TimeSpan Forgotten = TimeSpan.FromSeconds(90);

    private readonly List<RelayTreeNode> _nodes;

    public RelayTreeState(IEnumerable<RelayTreeNode> nodes, int maxChildren, int maxDepth)
    {
        _nodes = [.. nodes.DistinctBy(node => node.Id)];
        (MaxChildren, MaxDepth) = (maxChildren, maxDepth);
    }

    public int MaxChildren { get; }

    public int MaxDepth { get; }

    /// <summary>In the order of joining.</summary>
    public IReadOnlyList<RelayTreeNode> Nodes => _nodes;

    /// <summary>Finds the node a place, its old one where that still serves. Null where the tree is full.</summary>
    /// <param name="now">Unix seconds.</param>
    public RelayPlace? Join(RelayJoin join, long now)
    {
        Prune(join, now);
        EnsureRoot(join, now);
        RelayTreeNode? self = Find(join.Node);
        if (self is not null && FindPlace(join) is { } present)
        {
            Replace(self with { SeenAt = now, Region = join.Region });
            return present;
        }

        // What hangs below the node comes along, if there is room for it.
        if (self is not null)
            Replace(self with { Parent = "" });
        int height = self is null ? 0 : HeightOf(self.Id);
        Dictionary<string, int> depths = Depths();
        RelayTreeNode? parent = self is null ? Keep(join, depths) : null;
        parent ??= Choose(join, depths, height, join.Unreachable);
        if (parent is null && height > 0)
        {
            OrphanChildrenOf(join.Node);
            parent = Choose(join, depths, 0, join.Unreachable);
        }

        // As if there were a path to everybody.
        RelayTreeNode? best = Choose(join, depths, 0, []);
        parent ??= Hang(join, depths, now) ?? best;
        if (parent is null)
            return null;
        string? instead = best is not null && best != parent && join.Unreachable.Contains(best.Id) ? best.Id : null;
        var placed = new RelayTreeNode(join.Node, parent.Id, join.Region, now, instead);
        if (self is null)
            _nodes.Add(placed);
        else
            Replace(placed);
        return new RelayPlace(parent.Id, depths[parent.Id] + 1, instead);
    }

    /// <summary>The place that the node has, where it still serves.</summary>
    public RelayPlace? FindPlace(RelayJoin join)
    {
        if (Find(join.Node) is not { } self || self.Parent == "" || !Depths().TryGetValue(self.Id, out int depth) || depth > MaxDepth)
            return null;
        bool isCut = self.Parent is not null && join.Unreachable.Contains(self.Parent);

        // The path to the better parent may be there again.
        bool isPathBack = self.Instead is not null && !join.Unreachable.Contains(self.Instead);
        return isCut || isPathBack ? null : new RelayPlace(self.Parent, depth, self.Instead);
    }

    /// <summary>The node's children have to find new parents. False where it was not there.</summary>
    public bool Leave(string node)
    {
        int at = _nodes.FindIndex(n => n.Id == node);
        if (at < 0)
            return false;
        _nodes.RemoveAt(at);
        OrphanChildrenOf(node);
        return true;
    }

    public int ChildrenOf(string node) => _nodes.Count(n => n.Parent == node);

    /// <summary>Hops from the root; nodes that no path leads to are not in it.</summary>
    public Dictionary<string, int> Depths()
    {
        ILookup<string?, RelayTreeNode> byParent = _nodes.Where(n => n.Parent is not null).ToLookup(n => n.Parent);
        var depths = new Dictionary<string, int>(StringComparer.Ordinal);
        var open = new Queue<(string Id, int Depth)>();
        foreach (RelayTreeNode root in _nodes.Where(n => n.Parent is null).Take(1))
            open.Enqueue((root.Id, 0));
        while (open.TryDequeue(out (string Id, int Depth) next))
        {
            if (!depths.TryAdd(next.Id, next.Depth))
                continue;
            foreach (RelayTreeNode child in byParent[next.Id])
                open.Enqueue((child.Id, next.Depth + 1));
        }

        return depths;
    }

    private RelayTreeNode? Find(string id) => _nodes.Find(n => n.Id == id);

    private void Replace(RelayTreeNode node) => _nodes[_nodes.FindIndex(n => n.Id == node.Id)] = node;

    private void OrphanChildrenOf(string node)
    {
        for (int i = 0; i < _nodes.Count; i++)
        {
            if (_nodes[i].Parent == node)
                _nodes[i] = _nodes[i] with { Parent = "" };
        }
    }

    private void Prune(RelayJoin join, long now)
    {
        foreach (RelayTreeNode node in _nodes.ToArray())
        {
            bool gone = join.Dead.Contains(node.Id) || now - node.SeenAt > (long)Forgotten.TotalSeconds;
            if (gone && node.Id != join.Node && node.Id != join.Root)
                Leave(node.Id);
        }
    }

    private void EnsureRoot(RelayJoin join, long now)
    {
        RelayTreeNode? root = _nodes.Find(n => n.Parent is null);
        string wanted = join.Root ?? root?.Id ?? (_nodes.Count == 0 ? join.Current : null) ?? join.Node;
        if (root?.Id == wanted)
            return;

        // A track that moved, or a room whose first node left: the children of the former root find new places.
        if (root is not null)
            Replace(root with { Parent = "" });
        RelayTreeNode? promoted = Find(wanted);
        if (promoted is null)
            _nodes.Insert(0, new RelayTreeNode(wanted, null, wanted == join.Node ? join.Region : "", now));
        else
            Replace(promoted with { Parent = null, Instead = null });
    }

    private int HeightOf(string node)
    {
        int height = 0;
        var seen = new HashSet<string>(StringComparer.Ordinal) { node };
        string[] level = [node];
        while (true)
        {
            level = [.. _nodes.Where(n => n.Parent is { Length: > 0 } p && level.Contains(p) && seen.Add(n.Id)).Select(n => n.Id)];
            if (level.Length == 0)
                return height;
            height++;
        }
    }

    /// <summary>The parent that the node has already, where the tree knows nothing of either.</summary>
    private RelayTreeNode? Keep(RelayJoin join, Dictionary<string, int> depths) =>
        join.Current is string current && depths.TryGetValue(current, out int depth) && depth < MaxDepth && ChildrenOf(current) < MaxChildren
            ? Find(current)
            : null;

    /// <summary>Makes the helper a member, as near to the root as there is room. It is to find out by itself whom it reaches.</summary>
    private RelayTreeNode? Hang(RelayJoin join, Dictionary<string, int> depths, long now)
    {
        if (join.Helper is not string helper || Find(helper) is not null || Choose(join, depths, 1, []) is not { } above)
            return null;
        var hung = new RelayTreeNode(helper, above.Id, "", now);
        _nodes.Add(hung);
        depths[helper] = depths[above.Id] + 1;
        return hung;
    }

    /// <summary>The nearest to the root that has room; of those one of the same region, then the one with the fewest children.</summary>
    private RelayTreeNode? Choose(RelayJoin join, Dictionary<string, int> depths, int height, IReadOnlyCollection<string> not)
    {
        Dictionary<string, int> children = _nodes.Where(n => n.Parent is { Length: > 0 }).CountBy(n => n.Parent!).ToDictionary(StringComparer.Ordinal);
        RelayTreeNode? best = null;
        (int Depth, int Foreign, int Children) bestRank = default;
        foreach (RelayTreeNode node in _nodes)
        {
            if (node.Id == join.Node || not.Contains(node.Id) || !depths.TryGetValue(node.Id, out int depth) || depth + 1 + height > MaxDepth)
                continue;
            int count = children.GetValueOrDefault(node.Id);
            if (count >= MaxChildren)
                continue;
            (int, int, int) rank = (depth, node.Region == join.Region ? 0 : 1, count);
            if (best is null || rank.CompareTo(bestRank) < 0)
                (best, bestRank) = (node, rank);
        }

        return best;
    }
}
