using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Placement;

namespace Transcribe.Cluster.Tests.Placement;

public class SignalingSelectorTests
{
    private readonly Fleet _fleet = new();

    private Task AnnounceAsync(string id, int load = 0, string region = "local", NodeState state = NodeState.Active) =>
        _fleet.Directory.AnnounceAsync(new NodeInfo(id, NodeRole.Signaling, $"http://{id}:8080", region, 1000, load, State: state)).AsTask();

    private SignalingSelector Selector() => new(_fleet.Directory, new PlacementOptions { Seed = 1 }, _fleet.Time);

    private static async Task<string[]> ListAsync(SignalingSelector selector, string? region = null) =>
        [.. (await selector.ListAsync(region)).Select(node => node.Id)];

    [Fact]
    public async Task The_least_loaded_comes_first_and_all_are_told()
    {
        await AnnounceAsync("a", load: 50);
        await AnnounceAsync("b", load: 10);
        await AnnounceAsync("c", load: 30);
        Assert.Equal(["b", "c", "a"], await ListAsync(Selector()));
    }

    [Fact]
    public async Task A_burst_between_two_heartbeats_spreads()
    {
        await AnnounceAsync("a", load: 2);
        await AnnounceAsync("b");
        SignalingSelector selector = Selector();
        var first = new List<string>();
        for (int i = 0; i < 100; i++)
            first.Add((await ListAsync(selector))[0]);

        Assert.InRange(first.Count(id => id == "a"), 48, 50);
    }

    [Fact]
    public async Task The_clients_region_comes_first_and_draining_nodes_only_at_need()
    {
        await AnnounceAsync("eu", load: 90, region: "eu");
        await AnnounceAsync("us", region: "us");
        await AnnounceAsync("old", region: "eu", state: NodeState.Draining);
        Assert.Equal(["eu", "us"], await ListAsync(Selector(), "eu"));
        await _fleet.Directory.RemoveAsync(NodeRole.Signaling, "eu");
        await _fleet.Directory.RemoveAsync(NodeRole.Signaling, "us");
        Assert.Equal(["old"], await ListAsync(Selector()));
        await _fleet.Directory.RemoveAsync(NodeRole.Signaling, "old");
        Assert.Empty(await ListAsync(Selector()));
    }
}
