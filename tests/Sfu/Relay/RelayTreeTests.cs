using CsCheck;
using Microsoft.Extensions.Time.Testing;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.InProcess;
using Transcribe.Cluster.State;
using Transcribe.Sfu.Relay;

namespace Transcribe.Sfu.Tests.Relay;

public sealed class RelayTreeTests
{
    private readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 11, 24, 0, 0, 0, TimeSpan.Zero));
    private readonly InProcessStateStore _state;
    private readonly RelayTree _tree;

    public RelayTreeTests()
    {
        _state = new InProcessStateStore(_time);
        _tree = new RelayTree(_state, _time, 8, 3);
    }

    private ValueTask<RelayPlace> JoinAsync(
        string node, string? root = "origin", string key = "relays/track/T", string region = "eu", string[]? dead = null, string[]? unreachable = null,
        string? helper = null) =>
        _tree.JoinAsync(key, new RelayJoin(node, region, root, dead ?? [], unreachable ?? [], Helper: helper));

    private static void AssertBounded(RelayTreeState tree, int connected)
    {
        Dictionary<string, int> depths = tree.Depths();
        Assert.Equal(connected, depths.Count);
        Assert.True(depths.Values.Max() <= tree.MaxDepth);
        Assert.True(tree.Nodes.Max(n => tree.ChildrenOf(n.Id)) <= tree.MaxChildren);
    }

    [Fact]
    public async Task The_first_eight_take_from_the_origin_and_the_ninth_from_one_of_them()
    {
        for (int i = 0; i < 8; i++)
            Assert.Equal(new RelayPlace("origin", 1), await JoinAsync($"n{i}"));
        RelayPlace ninth = await JoinAsync("n8");
        Assert.Equal(2, ninth.Depth);
        Assert.NotEqual("origin", ninth.Parent);
    }

    [Fact]
    public async Task Asking_again_keeps_the_place()
    {
        RelayPlace first = await JoinAsync("a");
        long version = (await _state.GetAsync("relays/track/T"))!.Value.Version;
        Assert.Equal(first, await JoinAsync("a"));
        Assert.Equal(version, (await _state.GetAsync("relays/track/T"))!.Value.Version);
    }

    [Fact]
    public async Task Who_reaches_no_member_hangs_below_a_helper_that_is_none_until_the_path_is_back()
    {
        await JoinAsync("a");
        Assert.Equal("origin", (await JoinAsync("a", unreachable: ["origin"])).Parent);
        RelayPlace around = await JoinAsync("a", unreachable: ["origin"], helper: "h");
        Assert.Equal(new RelayPlace("h", 2, "origin"), around);
        Assert.Equal(new RelayPlace("origin", 1), await JoinAsync("h"));
        Assert.Equal(around, await JoinAsync("a", unreachable: ["origin"]));
        Assert.Equal(new RelayPlace("origin", 1), await JoinAsync("a"));
        AssertBounded(await _tree.ReadAsync("relays/track/T"), 3);
    }

    [Fact]
    public async Task A_helper_is_not_hung_where_there_is_no_room_for_it_and_who_hangs_below_it()
    {
        var tree = new RelayTree(_state, _time, 8, 1);
        var join = new RelayJoin("a", "eu", "origin", [], ["origin"], Helper: "h");
        Assert.Equal(new RelayPlace("origin", 1), await tree.JoinAsync("relays/track/T", join));
    }

    [Fact]
    public async Task What_hangs_below_a_node_goes_around_with_it()
    {
        var tree = new RelayTree(_state, _time, 1, 3);
        await tree.JoinAsync("relays/track/T", new RelayJoin("a", "eu", "origin", [], []));
        await tree.JoinAsync("relays/track/T", new RelayJoin("b", "eu", "origin", [], []));
        await tree.JoinAsync("relays/track/T", new RelayJoin("a", "eu", "origin", [], ["origin"], Helper: "h"));
        Dictionary<string, int> depths = (await tree.ReadAsync("relays/track/T")).Depths();
        Assert.Equal((1, 2), (depths["h"], depths["a"]));

        // Its child finds its place anew.
        await tree.JoinAsync("relays/track/T", new RelayJoin("b", "eu", "origin", [], []));
        Assert.Equal(3, (await tree.ReadAsync("relays/track/T")).Depths()["b"]);
    }

    [Fact]
    public async Task Of_parents_as_near_one_of_the_same_region_is_taken()
    {
        for (int i = 0; i < 8; i++)
            await JoinAsync($"n{i}", region: i == 5 ? "us" : "eu");
        Assert.Equal("n5", (await JoinAsync("viewer", region: "us")).Parent);
    }

    [Fact]
    public async Task Eight_times_eight_times_eight_fit_and_one_more_is_refused_with_a_sentence()
    {
        const int all = 8 + 64 + 512;
        for (int i = 0; i < all; i++)
            await JoinAsync($"n{i}");
        AssertBounded(await _tree.ReadAsync("relays/track/T"), all + 1);
        var refused = await Assert.ThrowsAsync<BusException>(async () => await JoinAsync("late"));
        Assert.Equal(RelayTree.Full, refused.Code);
        Assert.Contains("MaxRelaysPerTrack", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Children_of_a_dead_parent_find_a_new_one()
    {
        for (int i = 0; i < 12; i++)
            await JoinAsync($"n{i}");
        RelayTreeState before = await _tree.ReadAsync("relays/track/T");
        string dead = before.Nodes.First(n => n.Id == "n8").Parent!;
        RelayPlace place = await JoinAsync("n8", dead: [dead]);
        Assert.NotEqual(dead, place.Parent);
        RelayTreeState after = await _tree.ReadAsync("relays/track/T");
        Assert.DoesNotContain(after.Nodes, n => n.Id == dead);
        AssertBounded(after, after.Nodes.Count);
    }

    [Fact]
    public async Task The_children_of_a_node_that_left_are_told_by_asking_again()
    {
        for (int i = 0; i < 9; i++)
            await JoinAsync($"n{i}");
        string parent = (await JoinAsync("n8")).Parent!;
        await _tree.LeaveAsync("relays/track/T", parent);
        Assert.Equal(new RelayPlace("origin", 1), await JoinAsync("n8"));
    }

    [Fact]
    public async Task An_unreachable_parent_is_replaced_where_there_is_another_one()
    {
        await JoinAsync("a");
        Assert.Equal("a", (await JoinAsync("b", unreachable: ["origin"])).Parent);

        // With nobody else, it stays.
        Assert.Equal("origin", (await JoinAsync("a", unreachable: ["origin"])).Parent);
    }

    [Fact]
    public async Task The_first_node_of_a_room_is_its_root_and_the_next_one_after_its_death()
    {
        const string key = "relays/room/demo";
        Assert.Equal(new RelayPlace(null, 0), await JoinAsync("a", null, key));
        Assert.Equal("a", (await JoinAsync("b", null, key)).Parent);
        Assert.Equal("a", (await JoinAsync("c", null, key)).Parent);
        Assert.Null((await JoinAsync("c", null, key, dead: ["a"])).Parent);
        Assert.Equal("c", (await JoinAsync("b", null, key, dead: ["a"])).Parent);
        AssertBounded(await _tree.ReadAsync(key), 2);
    }

    [Fact]
    public async Task After_the_store_lost_its_data_everybody_keeps_its_parent()
    {
        const string key = "relays/room/demo";
        Assert.Equal("b", (await _tree.JoinAsync(key, new RelayJoin("c", "eu", null, [], [], Current: "b"))).Parent);
        Assert.Null((await JoinAsync("b", null, key)).Parent);
        Assert.Equal("origin", (await JoinAsync("x")).Parent);
        Assert.Equal("x", (await _tree.JoinAsync("relays/track/T", new RelayJoin("y", "eu", "origin", [], [], Current: "x"))).Parent);
        Assert.Equal("origin", (await _tree.JoinAsync("relays/track/T", new RelayJoin("z", "eu", "origin", [], [], Current: "gone"))).Parent);
    }

    [Fact]
    public async Task The_last_one_leaves_nothing_behind()
    {
        await JoinAsync("a");
        await JoinAsync("b");
        await _tree.LeaveAsync("relays/track/T", "a");
        await _tree.LeaveAsync("relays/track/T", "b");
        Assert.Null(await _state.GetAsync("relays/track/T"));
        await JoinAsync("a", null, "relays/room/R");
        await _tree.LeaveAsync("relays/room/R", "a");
        Assert.Null(await _state.GetAsync("relays/room/R"));
    }

    [Fact]
    public async Task Who_is_silent_for_long_loses_its_place()
    {
        await JoinAsync("a");
        _time.Advance(RelayTreeState.Forgotten + TimeSpan.FromSeconds(2));
        await JoinAsync("b");
        Assert.DoesNotContain((await _tree.ReadAsync("relays/track/T")).Nodes, n => n.Id == "a");
    }

    [Fact]
    public async Task Nodes_that_join_at_the_same_time_all_get_a_place()
    {
        var slow = new RelayTree(new SlowStore(_state), TimeProvider.System, 8, 3);
        RelayPlace[] places = await Task.WhenAll(Enumerable.Range(0, 24).Select(i => Task.Run(async () =>
            await slow.JoinAsync("relays/track/T", new RelayJoin($"n{i}", "eu", "origin", [], [])))));
        Assert.Equal(8, places.Count(p => p.Depth == 1));
        AssertBounded(await _tree.ReadAsync("relays/track/T"), 25);
    }

    [Fact]
    public void Whatever_happens_the_bounds_hold_and_who_asks_has_a_way_to_the_root()
    {
        (from seed in Gen.Int select seed).Sample(
            seed =>
            {
                var random = new Random(seed);
                int children = random.Next(1, 4), depth = random.Next(1, 5);
                bool rooted = random.Next(2) == 0;
                var tree = new RelayTreeState([], children, depth);
                long now = 1000;
                for (int step = 0; step < 60; step++)
                {
                    now += random.Next(3);
                    string node = $"n{random.Next(12)}";
                    string other = $"n{random.Next(12)}";
                    if (random.Next(5) == 0)
                    {
                        if (!rooted || node != "n0")
                            tree.Leave(node);
                        continue;
                    }

                    string[] dead = random.Next(6) == 0 && other != node ? [other] : [];
                    string[] unreachable = random.Next(6) == 0 && other != node ? [other] : [];
                    string? helper = unreachable.Length > 0 && random.Next(2) == 0 ? $"n{random.Next(12, 15)}" : null;
                    RelayPlace? place = tree.Join(new RelayJoin(node, "eu", rooted ? "n0" : null, dead, unreachable, Helper: helper), now);
                    Dictionary<string, int> depths = tree.Depths();
                    Assert.True(depths.Values.Max() <= depth);
                    Assert.True(tree.Nodes.Max(n => tree.ChildrenOf(n.Id)) <= children);
                    Assert.Equal(1, tree.Nodes.Count(n => n.Parent is null));
                    if (place is not null)
                        Assert.Equal(place.Depth, depths[node]);
                    tree = new RelayTreeState(tree.Nodes, children, depth);
                }
            },
            iter: 300);
    }

    /// <summary>Lets others in between a read and a write.</summary>
    private sealed class SlowStore(IStateStore inner) : IStateStore
    {
        public async ValueTask<StateEntry?> GetAsync(string key, CancellationToken cancellationToken = default)
        {
            StateEntry? entry = await inner.GetAsync(key, cancellationToken);
            await Task.Yield();
            return entry;
        }

        public ValueTask<StateEntry> SetAsync(string key, string value, TimeSpan? timeToLive = null, CancellationToken cancellationToken = default) =>
            inner.SetAsync(key, value, timeToLive, cancellationToken);

        public ValueTask<StateEntry?> TryAddAsync(string key, string value, TimeSpan? timeToLive = null, CancellationToken cancellationToken = default) =>
            inner.TryAddAsync(key, value, timeToLive, cancellationToken);

        public ValueTask<StateEntry?> TryReplaceAsync(string key, long version, string value, TimeSpan? timeToLive = null, CancellationToken cancellationToken = default) =>
            inner.TryReplaceAsync(key, version, value, timeToLive, cancellationToken);

        public ValueTask<bool> TryDeleteAsync(string key, long version, CancellationToken cancellationToken = default) =>
            inner.TryDeleteAsync(key, version, cancellationToken);

        public ValueTask<bool> DeleteAsync(string key, CancellationToken cancellationToken = default) => inner.DeleteAsync(key, cancellationToken);

        public ValueTask<IReadOnlyList<StateEntry>> ListAsync(string prefix, CancellationToken cancellationToken = default) =>
            inner.ListAsync(prefix, cancellationToken);
    }
}
