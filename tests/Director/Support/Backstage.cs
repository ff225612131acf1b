using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Transcribe.Cluster.InProcess;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Placement;
using Transcribe.Cluster.Protocol;
using Transcribe.Director.Nodes;

namespace Transcribe.Director.Tests.Support;

/// <summary>The cluster behind a Director, with a virtual clock: SFU nodes that announce themselves, and what they and signalling are told.</summary>
internal sealed class Backstage
{
    private readonly Dictionary<string, NodeInfo> _nodes = new(StringComparer.Ordinal);

    public Backstage()
    {
        State = new InProcessStateStore(Time);
        Leases = new InProcessLeaseStore(Time);
        Directory = new NodeDirectory(State);
        Placement = new NodeSelector(Directory, State, new PlacementOptions { Seed = 1 }, Time);
        Drains = new DrainStore(State);
        Commander = new NodeCommander(Drains, Bus, Time, NullLogger<NodeCommander>.Instance);
    }

    public FakeTimeProvider Time { get; } = new(new DateTimeOffset(2026, 11, 22, 10, 0, 0, TimeSpan.Zero));

    public DirectBus Bus { get; } = new();

    public InProcessStateStore State { get; }

    public InProcessLeaseStore Leases { get; }

    public NodeDirectory Directory { get; }

    public INodeSelector Placement { get; }

    public DrainStore Drains { get; }

    public NodeCommander Commander { get; }

    public IReadOnlyCollection<NodeInfo> Nodes => _nodes.Values;

    /// <summary>Moves that signalling was told of.</summary>
    public IReadOnlyList<MoveSessions> Moves => [.. Bus.Published.Select(item => item.Message).OfType<MoveSessions>()];

    public NodeInfo this[string id] => _nodes[id];

    /// <summary>Of a Director that is told by <paramref name="standings"/> whether it is being drained.</summary>
    public DirectorLeases Duties(string director = "d1", NodeStandings? standings = null) =>
        new(Leases, Directory, new DirectorOptions { NodeId = director }, standings ?? new NodeStandings());

    public DrainKeeper Keeper(string director = "d1", int batch = 20, NodeStandings? standings = null) => new(
        Drains, Commander, Directory, Placement, Duties(director, standings), new DirectorOptions { NodeId = director, DrainBatchRooms = batch }, Time, NullLogger<DrainKeeper>.Instance);

    /// <param name="heeds">It changes its state when told to.</param>
    public async Task AddNodeAsync(string id, int load = 0, int capacity = 100, bool heeds = true)
    {
        _nodes[id] = new NodeInfo(id, NodeRole.Sfu, "127.0.0.1:1", Capacity: capacity, Load: load);
        await Directory.AnnounceAsync(_nodes[id]);
        if (!heeds)
            return;

        await Bus.RespondAsync<SetNodeState, Pong>(NodeSubjects.State(NodeRole.Sfu, id), async (set, _) =>
        {
            if (_nodes.ContainsKey(id))
                await ChangeAsync(id, node => node with { State = set.State, DrainDeadline = set.Deadline });

            return new Pong(id, set.State);
        });
    }

    public async Task ChangeAsync(string id, Func<NodeInfo, NodeInfo> change)
    {
        _nodes[id] = change(_nodes[id]);
        await Directory.AnnounceAsync(_nodes[id]);
    }

    public async Task KillAsync(string id)
    {
        _nodes.Remove(id);
        await Directory.RemoveAsync(NodeRole.Sfu, id);
    }

    /// <summary>Time passes, and the nodes announce themselves.</summary>
    public async Task PassAsync(TimeSpan time)
    {
        Time.Advance(time);
        foreach (NodeInfo node in _nodes.Values.ToArray())
            await Directory.AnnounceAsync(node);
    }
}
