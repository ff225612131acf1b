using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Placement;
using Transcribe.Cluster.Tests.Support;

namespace Transcribe.Cluster.Tests.Placement;

/// <summary>Director and signalling nodes that place at the same time, each its own process as far as Redis can tell.</summary>
public sealed class SharedPlacementTests(RedisFixture redis) : IAsyncLifetime
{
    private readonly string _prefix = $"placement-{Guid.NewGuid():N}";
    private readonly List<RedisMember> _members = [];

    public async ValueTask InitializeAsync()
    {
        for (int i = 0; i < 3; i++)
            _members.Add(new RedisMember(await redis.Server, _prefix));
    }

    public async ValueTask DisposeAsync()
    {
        foreach (RedisMember member in _members)
            await member.DisposeAsync();
    }

    private INodeSelector Selector(int process) => _members[process % _members.Count].Get<INodeSelector>();

    private async Task AnnounceAsync(params string[] ids)
    {
        foreach (string id in ids)
            await _members[0].Nodes.AnnounceAsync(new NodeInfo(id, NodeRole.Sfu, "127.0.0.1:1", Capacity: 30));
    }

    [Fact]
    public async Task First_joins_at_the_same_moment_agree_on_one_node()
    {
        await AnnounceAsync("a", "b", "c", "d");
        NodeInfo?[] nodes = await Task.WhenAll(Enumerable.Range(0, 24).Select(i => Selector(i).SelectSfuAsync("demo").AsTask()));
        Assert.Single(nodes.Select(node => node?.Id).Distinct());
    }

    [Fact]
    public async Task What_one_process_reserved_another_takes_once()
    {
        await AnnounceAsync("a", "b", "c", "d");
        var request = new PlacementRequest("demo", Participant: "alice");
        NodeInfo? reserved = await Selector(0).SelectSfuAsync(request with { Reserve = true });
        Assert.NotNull(reserved);
        await Selector(0).SetHomeAsync("demo", reserved.Id == "a" ? "b" : "a");
        NodeInfo?[] opened = await Task.WhenAll(Selector(1).SelectSfuAsync(request).AsTask(), Selector(2).SelectSfuAsync(request).AsTask());
        Assert.Single(opened, node => node?.Id == reserved.Id);
    }

    [Fact]
    public async Task The_rooms_of_a_node_are_known_to_all()
    {
        await AnnounceAsync("a");
        await Selector(0).SelectSfuAsync("one");
        await Selector(1).SelectSfuAsync("two");
        Assert.Equal(["one", "two"], await Selector(2).ListRoomsAsync("a"));
        Assert.Empty(await Selector(2).ListRoomsAsync("b"));
    }
}
