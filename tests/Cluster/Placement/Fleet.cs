using Microsoft.Extensions.Time.Testing;
using Transcribe.Cluster.InProcess;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Placement;

namespace Transcribe.Cluster.Tests.Placement;

/// <summary>SFU nodes that announce themselves when told to, and the processes that place sessions on them.</summary>
internal sealed class Fleet
{
    private readonly Dictionary<string, NodeInfo> _nodes = new(StringComparer.Ordinal);
    private readonly Dictionary<string, int> _opened = new(StringComparer.Ordinal);

    public Fleet()
    {
        State = new InProcessStateStore(Time);
        Directory = new NodeDirectory(State);
    }

    public FakeTimeProvider Time { get; } = new(new DateTimeOffset(2026, 11, 22, 10, 0, 0, TimeSpan.Zero));

    public InProcessStateStore State { get; }

    public NodeDirectory Directory { get; }

    /// <summary>One placing process: the Director, or a signalling node.</summary>
    public INodeSelector Process(int seed, Action<PlacementOptions>? configure = null)
    {
        var options = new PlacementOptions { Seed = seed };
        configure?.Invoke(options);
        return new NodeSelector(Directory, State, options, Time);
    }

    public async Task AddAsync(string id, int capacity = 100, string region = "local", NodeLoad? media = null, NodeLoad? limits = null)
    {
        _nodes[id] = new NodeInfo(id, NodeRole.Sfu, "127.0.0.1:1", region, capacity, Media: media, Limits: limits);
        _opened.TryAdd(id, 0);
        await HeartbeatAsync();
    }

    public void Change(string id, Func<NodeInfo, NodeInfo> change) => _nodes[id] = change(_nodes[id]);

    public async Task KillAsync(string id)
    {
        _nodes.Remove(id);
        await Directory.RemoveAsync(NodeRole.Sfu, id);
    }

    /// <summary>A session is opened on a node; the next heartbeat shows it.</summary>
    public void Open(string id) => _opened[id]++;

    public int On(string id) => _opened[id];

    public async Task HeartbeatAsync()
    {
        foreach (NodeInfo node in _nodes.Values)
            await Directory.AnnounceAsync(node with { Load = _opened[node.Id] });
    }

    /// <summary>Places and opens a session; null where there was no capacity.</summary>
    public async Task<string?> JoinAsync(INodeSelector process, PlacementRequest request)
    {
        NodeInfo? node = await process.SelectSfuAsync(request);
        if (node is not null)
            Open(node.Id);

        return node?.Id;
    }
}
