using Microsoft.Extensions.Time.Testing;
using Transcribe.Cluster.InProcess;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.State;

namespace Transcribe.Cluster.Tests.Nodes;

public sealed class NodeDirectoryTests
{
    private static readonly ClusterKey Key = new("a cluster key of a test, long enough");

    private readonly FakeTimeProvider _time = new();
    private readonly InProcessStateStore _state;
    private readonly NodeDirectory _nodes;

    public NodeDirectoryTests()
    {
        _state = new(_time);
        _nodes = Directory(Key);
    }

    [Fact]
    public async Task A_node_is_listed_under_its_role_until_its_time_is_over()
    {
        NodeInfo sfu = Sfu("sfu-1");
        await _nodes.AnnounceAsync(sfu);
        await _nodes.AnnounceAsync(Sfu("g") with { Role = NodeRole.Gateway });
        Assert.Equal(sfu, Assert.Single(await Directory(Key).ListAsync(NodeRole.Sfu)));
        _time.Advance(NodeHeartbeat.Cluster.TimeToLive);
        Assert.Empty(await _nodes.ListAsync(NodeRole.Sfu));
    }

    [Fact]
    public async Task An_entry_that_is_not_signed_with_the_clusters_key_is_ignored_and_counted()
    {
        await Directory(new ClusterKey("another key, which is long enough too")).AnnounceAsync(Sfu("stranger"));
        await Directory(null).AnnounceAsync(Sfu("unsigned"));
        await _state.SetAsync("nodes/Sfu/plain", ClusterJson.Serialize(Sfu("plain")));
        await _state.SetAsync("nodes/Sfu/noise", "\0 not json");
        await _state.SetAsync("nodes/Sfu/null", "null");
        Assert.Empty(await _nodes.ListAsync(NodeRole.Sfu));
        Assert.Equal(5, _nodes.IgnoredEntries);
    }

    [Fact]
    public async Task A_signed_entry_is_worth_nothing_elsewhere_or_later_or_changed()
    {
        await _nodes.AnnounceAsync(Sfu("sfu-1"));
        string signed = (await _state.GetAsync("nodes/Sfu/sfu-1"))!.Value.Value;
        await _nodes.RemoveAsync(NodeRole.Sfu, "sfu-1");
        await _state.SetAsync("nodes/Sfu/sfu-2", signed);
        await _state.SetAsync("nodes/Sfu/sfu-1", signed.Replace("127.0.0.1", "10.66.6.6", StringComparison.Ordinal));
        Assert.Empty(await _nodes.ListAsync(NodeRole.Sfu));
        await _state.SetAsync("nodes/Sfu/sfu-1", signed);
        Assert.Single(await _nodes.ListAsync(NodeRole.Sfu));
        _time.Advance(TimeSpan.FromSeconds(61));
        Assert.Empty(await _nodes.ListAsync(NodeRole.Sfu));
    }

    [Fact]
    public async Task A_node_removes_its_own_entry_and_not_its_successors()
    {
        NodeDirectory successor = Directory(Key);
        await _nodes.AnnounceAsync(Sfu("sfu-1"));
        await successor.AnnounceAsync(Sfu("sfu-1") with { Load = 7 });
        await _nodes.RemoveAsync(NodeRole.Sfu, "sfu-1");
        Assert.Equal(7, Assert.Single(await _nodes.ListAsync(NodeRole.Sfu)).Load);
        await successor.RemoveAsync(NodeRole.Sfu, "sfu-1");
        Assert.Empty(await _nodes.ListAsync(NodeRole.Sfu));
    }

    private static NodeInfo Sfu(string id) => new(id, NodeRole.Sfu, "127.0.0.1:7882", Limits: new NodeLoad(1, 2, 0.5, 4));

    private NodeDirectory Directory(ClusterKey? key) => new(_state, key, NodeHeartbeat.Cluster, _time);
}
