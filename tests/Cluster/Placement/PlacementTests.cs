using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Placement;

namespace Transcribe.Cluster.Tests.Placement;

public class PlacementTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task A_burst_of_rooms_between_two_heartbeats_spreads_over_the_nodes(int seed)
    {
        var fleet = new Fleet();
        for (int i = 0; i < 5; i++)
            await fleet.AddAsync($"n{i}", capacity: 1000);

        // n0 looks the emptiest by a little all the time: without counting, everything would go there whenever it is drawn.
        foreach (int i in Enumerable.Range(1, 4))
            fleet.Open($"n{i}");

        await fleet.HeartbeatAsync();
        INodeSelector director = fleet.Process(seed);
        for (int i = 0; i < 200; i++)
            await fleet.JoinAsync(director, new PlacementRequest($"room-{i}"));

        Assert.All(Enumerable.Range(0, 5), i => Assert.InRange(fleet.On($"n{i}"), 32, 48));
    }

    [Fact]
    public async Task A_burst_at_two_signalling_nodes_spreads_though_neither_knows_of_the_other()
    {
        var fleet = new Fleet();
        for (int i = 0; i < 4; i++)
            await fleet.AddAsync($"n{i}");

        INodeSelector[] processes = [fleet.Process(5), fleet.Process(6)];
        await Task.WhenAll(Enumerable.Range(0, 100).Select(i => fleet.JoinAsync(processes[i % 2], new PlacementRequest($"room-{i}"))));
        Assert.All(Enumerable.Range(0, 4), i => Assert.InRange(fleet.On($"n{i}"), 15, 35));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Load_stays_even_over_many_heartbeats_of_comings_and_goings(int seed)
    {
        var fleet = new Fleet();
        for (int i = 0; i < 3; i++)
            await fleet.AddAsync($"n{i}");

        var random = new Random(seed);
        INodeSelector[] processes = [fleet.Process(seed), fleet.Process(seed + 100)];
        for (int second = 0; second < 40; second++)
        {
            for (int i = random.Next(10); i > 0; i--)
                await fleet.JoinAsync(processes[random.Next(2)], new PlacementRequest($"room-{second}-{i}"));

            await fleet.HeartbeatAsync();
            fleet.Time.Advance(TimeSpan.FromSeconds(1));
        }

        int[] loads = [.. Enumerable.Range(0, 3).Select(i => fleet.On($"n{i}"))];
        Assert.InRange(loads.Max() - loads.Min(), 0, 12);
    }

    [Fact]
    public async Task A_room_stays_together_whoever_places()
    {
        var fleet = new Fleet();
        for (int i = 0; i < 4; i++)
            await fleet.AddAsync($"n{i}");

        INodeSelector[] processes = [fleet.Process(1), fleet.Process(2), fleet.Process(3)];
        var nodes = new HashSet<string?>();
        for (int i = 0; i < 60; i++)
        {
            nodes.Add(await fleet.JoinAsync(processes[i % 3], new PlacementRequest("demo", (PlacementRole)(i % 3))));
            if (i % 10 == 0)
                await fleet.HeartbeatAsync();
        }

        Assert.Single(nodes);
    }

    [Fact]
    public async Task First_joins_at_the_same_moment_agree_on_one_node()
    {
        var fleet = new Fleet();
        for (int i = 0; i < 8; i++)
            await fleet.AddAsync($"n{i}");

        string?[] nodes = await Task.WhenAll(Enumerable.Range(0, 20).Select(i => Task.Run(() => fleet.Process(i).SelectSfuAsync("demo").AsTask())
            .ContinueWith(done => done.Result?.Id, TaskScheduler.Default)));
        Assert.Single(nodes.Distinct());
    }

    [Fact]
    public async Task Viewers_spill_onto_an_edge_that_carries_the_room_before_a_new_one()
    {
        var fleet = new Fleet();
        foreach (string id in (string[])["a", "b", "c"])
            await fleet.AddAsync(id, capacity: 10);

        INodeSelector process = fleet.Process(7);
        var order = new List<string?> { await fleet.JoinAsync(process, new PlacementRequest("demo")) };
        for (int i = 0; i < 27; i++)
            order.Add(await fleet.JoinAsync(process, new PlacementRequest("demo", PlacementRole.Viewer)));

        // Eight at home (a fifth of it is for participants), ten on one edge, then ten on the other.
        string home = order[0]!;
        Assert.All(order[..8], id => Assert.Equal(home, id));
        Assert.Single(order[8..18].Distinct());
        Assert.Single(order[18..].Distinct());
        Assert.Equal(3, order.Distinct().Count());

        // What is left is for participants; a viewer may have it as there is nothing else; then it is over.
        Assert.Equal(home, await fleet.JoinAsync(process, new PlacementRequest("demo")));
        Assert.Equal(home, await fleet.JoinAsync(process, new PlacementRequest("demo", PlacementRole.Viewer)));
        Assert.Null(await fleet.JoinAsync(process, new PlacementRequest("demo")));
    }

    [Fact]
    public async Task Two_thousand_viewers_take_more_nodes_and_no_bigger_ones()
    {
        var fleet = new Fleet();
        for (int i = 0; i < 8; i++)
            await fleet.AddAsync($"n{i}", capacity: 300);

        INodeSelector[] processes = [fleet.Process(1), fleet.Process(2)];
        await fleet.JoinAsync(processes[0], new PlacementRequest("demo"));
        for (int i = 0; i < 2000; i++)
        {
            Assert.NotNull(await fleet.JoinAsync(processes[i % 2], new PlacementRequest("demo", PlacementRole.Viewer)));
            if (i % 20 == 19)
                await fleet.HeartbeatAsync();
        }

        Assert.All(Enumerable.Range(0, 8), i => Assert.InRange(fleet.On($"n{i}"), 0, 300));
        Assert.InRange(Enumerable.Range(0, 8).Count(i => fleet.On($"n{i}") > 0), 7, 8);
    }

    [Fact]
    public async Task The_gateway_goes_where_the_participants_are()
    {
        var fleet = new Fleet();
        await fleet.AddAsync("a", capacity: 10, region: "eu");
        INodeSelector process = fleet.Process(3);
        await fleet.JoinAsync(process, new PlacementRequest("demo"));
        await fleet.AddAsync("b", region: "us");
        Assert.Equal("a", await fleet.JoinAsync(process, new PlacementRequest("demo", PlacementRole.Gateway, Region: "us")));
        for (int i = 0; i < 8; i++)
            fleet.Open("a");

        await fleet.HeartbeatAsync();
        Assert.Equal("b", await fleet.JoinAsync(process, new PlacementRequest("demo", PlacementRole.Gateway)));
    }

    [Fact]
    public async Task The_region_of_the_client_comes_first_and_another_one_before_none()
    {
        var fleet = new Fleet();
        await fleet.AddAsync("eu1", capacity: 2, region: "eu");
        await fleet.AddAsync("us1", capacity: 2, region: "us");
        await fleet.AddAsync("us2", capacity: 2, region: "us");
        INodeSelector process = fleet.Process(4);
        Assert.Equal("eu1", await fleet.JoinAsync(process, new PlacementRequest("demo", Region: "eu")));

        // A room with people in two regions is on both: the long way is gone once, not once a viewer.
        string? us = await fleet.JoinAsync(process, new PlacementRequest("demo", Region: "us"));
        Assert.StartsWith("us", us, StringComparison.Ordinal);
        Assert.Equal(us, await fleet.JoinAsync(process, new PlacementRequest("demo", PlacementRole.Viewer, Region: "us")));
        Assert.Equal("eu1", await fleet.JoinAsync(process, new PlacementRequest("demo", Region: "eu")));
        Assert.StartsWith("us", await fleet.JoinAsync(process, new PlacementRequest("demo", Region: "eu")), StringComparison.Ordinal);
        Assert.StartsWith("us", await fleet.JoinAsync(process, new PlacementRequest("demo", Region: "nowhere")), StringComparison.Ordinal);
    }

    public static TheoryData<string, NodeLoad> FullNodes() => new()
    {
        { "tracks", new NodeLoad(100, 0, 0, 0) },
        { "packets", new NodeLoad(0, 1000, 0, 0) },
        { "cpu", new NodeLoad(0, 0, 0.91, 0) },
        { "egress", new NodeLoad(0, 0, 0, 1e9) },
    };

    [Theory]
    [MemberData(nameof(FullNodes))]
    public async Task A_node_at_one_of_its_limits_takes_nothing_more(string what, NodeLoad media)
    {
        var fleet = new Fleet();
        var limits = new NodeLoad(100, 1000, 0.9, 1e9);
        await fleet.AddAsync("full", media: media, limits: limits);
        INodeSelector process = fleet.Process(1);
        Assert.True(await process.SelectSfuAsync("demo") is null, what);
        await fleet.AddAsync("free", media: new NodeLoad(10, 10, 0.1, 10), limits: limits);
        Assert.Equal("free", (await process.SelectSfuAsync("demo"))?.Id);
    }

    [Fact]
    public async Task What_sessions_cost_is_counted_before_the_node_tells_it()
    {
        // 20 sessions make 200 tracks; 5 more fit under 250, whatever the capacity in sessions says.
        var fleet = new Fleet();
        await fleet.AddAsync("n", capacity: 1000, media: new NodeLoad(200, 0, 0, 0), limits: new NodeLoad(250, 0, 0, 0));
        for (int i = 0; i < 20; i++)
            fleet.Open("n");

        await fleet.HeartbeatAsync();
        INodeSelector process = fleet.Process(1);
        int placed = 0;
        while (await process.SelectSfuAsync($"room-{placed}") is not null)
            placed++;

        Assert.Equal(5, placed);
    }

    [Fact]
    public async Task Capacity_is_not_exceeded_by_a_burst_and_comes_back_when_nobody_came()
    {
        var fleet = new Fleet();
        await fleet.AddAsync("n", capacity: 10);
        INodeSelector process = fleet.Process(1);
        NodeInfo?[] placed = await Task.WhenAll(Enumerable.Range(0, 30).Select(i => process.SelectSfuAsync($"room-{i}").AsTask()));
        Assert.Equal(10, placed.Count(node => node is not null));
        fleet.Time.Advance(TimeSpan.FromSeconds(7));
        await fleet.HeartbeatAsync();
        Assert.NotNull(await process.SelectSfuAsync("demo"));
    }

    [Fact]
    public async Task A_placement_that_a_heartbeat_shows_is_not_counted_twice()
    {
        var fleet = new Fleet();
        await fleet.AddAsync("n", capacity: 10);
        INodeSelector process = fleet.Process(1);
        for (int i = 0; i < 10; i++)
        {
            Assert.Equal("n", await fleet.JoinAsync(process, new PlacementRequest($"room-{i}")));
            await fleet.HeartbeatAsync();
        }

        Assert.Null(await fleet.JoinAsync(process, new PlacementRequest("one-more")));
    }

    [Fact]
    public async Task What_the_director_chose_is_taken_by_signalling_and_counted_once()
    {
        var fleet = new Fleet();
        for (int i = 0; i < 4; i++)
            await fleet.AddAsync($"n{i}");

        INodeSelector director = fleet.Process(1, options => options.Policy = "spread");
        INodeSelector signalling = fleet.Process(2, options => options.Policy = "spread");
        for (int i = 0; i < 50; i++)
        {
            var request = new PlacementRequest("demo", Participant: $"p{i}");
            NodeInfo? reserved = await director.SelectSfuAsync(request with { Reserve = true });
            Assert.Equal(reserved?.Id, (await director.SelectSfuAsync(request with { Reserve = true }))?.Id);
            Assert.Equal(reserved?.Id, await fleet.JoinAsync(signalling, request));
        }

        // A second session of the same participant finds no reservation any more, and is placed anew.
        Assert.Empty(await fleet.State.ListAsync("placement/participants/"));
        Assert.All(Enumerable.Range(0, 4), i => Assert.InRange(fleet.On($"n{i}"), 8, 18));
    }

    [Fact]
    public async Task One_process_that_is_director_and_signalling_counts_a_join_once()
    {
        var fleet = new Fleet();
        await fleet.AddAsync("n", capacity: 10);
        INodeSelector process = fleet.Process(1);
        for (int i = 0; i < 10; i++)
        {
            var request = new PlacementRequest("demo", Participant: $"p{i}");
            Assert.NotNull(await process.SelectSfuAsync(request with { Reserve = true }));
            Assert.NotNull(await fleet.JoinAsync(process, request));
        }

        Assert.Null(await process.SelectSfuAsync(new PlacementRequest("demo", Participant: "p10", Reserve: true)));
    }

    [Fact]
    public async Task A_reservation_on_a_node_that_died_or_drains_or_is_excluded_is_void()
    {
        var fleet = new Fleet();
        await fleet.AddAsync("a");
        INodeSelector process = fleet.Process(1);
        var request = new PlacementRequest("demo", Participant: "alice");
        await process.SelectSfuAsync(request with { Reserve = true });
        await fleet.AddAsync("b");
        Assert.Equal("b", (await process.SelectSfuAsync(request with { ExcludedNodes = ["a"] }))?.Id);
        fleet.Change("a", node => node with { State = NodeState.Draining });
        await fleet.HeartbeatAsync();
        Assert.Equal("b", (await process.SelectSfuAsync(request))?.Id);
        fleet.Change("a", node => node with { State = NodeState.Active });
        await fleet.HeartbeatAsync();
        await process.SelectSfuAsync(request with { Participant = "bob", Reserve = true, ExcludedNodes = ["b"] });
        await fleet.KillAsync("a");
        Assert.Equal("b", (await process.SelectSfuAsync(request with { Participant = "bob" }))?.Id);
    }

    [Fact]
    public async Task A_room_whose_home_drains_or_dies_gathers_on_one_other_node()
    {
        var fleet = new Fleet();
        foreach (string id in (string[])["a", "b", "c", "d"])
            await fleet.AddAsync(id);

        INodeSelector process = fleet.Process(11);
        string first = (await fleet.JoinAsync(process, new PlacementRequest("demo")))!;
        fleet.Change(first, node => node with { State = NodeState.Draining });
        await fleet.HeartbeatAsync();
        var second = new HashSet<string?>();
        for (int i = 0; i < 10; i++)
            second.Add(await fleet.JoinAsync(process, new PlacementRequest("demo", ExcludedNodes: [first])));

        await fleet.KillAsync(Assert.Single(second)!);
        var third = new HashSet<string?>();
        for (int i = 0; i < 10; i++)
            third.Add(await fleet.JoinAsync(process, new PlacementRequest("demo", ExcludedNodes: [Assert.Single(second)!])));

        Assert.Single(third);
        Assert.DoesNotContain(first, third);
    }

    [Fact]
    public async Task A_node_seen_dead_before_its_announcement_expired_sends_its_sessions_to_one_other()
    {
        var fleet = new Fleet();
        foreach (string id in (string[])["a", "b", "c", "d"])
            await fleet.AddAsync(id);

        INodeSelector[] processes = [fleet.Process(1), fleet.Process(2)];
        string dead = (await fleet.JoinAsync(processes[0], new PlacementRequest("demo")))!;
        var moved = new HashSet<string?>();
        for (int i = 0; i < 20; i++)
            moved.Add(await fleet.JoinAsync(processes[i % 2], new PlacementRequest("demo", ExcludedNodes: [dead])));

        Assert.Single(moved);
        await fleet.KillAsync(dead);
        Assert.Contains(await fleet.JoinAsync(processes[0], new PlacementRequest("demo")), moved);
    }

    [Fact]
    public async Task A_moved_room_stays_where_it_was_moved_to()
    {
        var fleet = new Fleet();
        foreach (string id in (string[])["a", "b", "c"])
            await fleet.AddAsync(id);

        INodeSelector process = fleet.Process(1);
        string first = (await fleet.JoinAsync(process, new PlacementRequest("demo")))!;
        string other = first == "b" ? "c" : "b";
        await process.SetHomeAsync("demo", other);
        for (int i = 0; i < 5; i++)
            Assert.Equal(other, await fleet.JoinAsync(process, new PlacementRequest("demo", PlacementRole.Viewer)));
    }

    [Fact]
    public async Task Spread_puts_one_room_on_all_nodes()
    {
        var fleet = new Fleet();
        foreach (string id in (string[])["a", "b", "c"])
            await fleet.AddAsync(id);

        INodeSelector process = fleet.Process(1, options => options.Policy = "spread");
        for (int i = 0; i < 30; i++)
            await fleet.JoinAsync(process, new PlacementRequest("demo"));

        Assert.All((string[])["a", "b", "c"], id => Assert.InRange(fleet.On(id), 8, 12));
    }

    [Fact]
    public async Task Without_nodes_there_is_no_capacity() =>
        Assert.Null(await new Fleet().Process(1).SelectSfuAsync("demo"));

    [Theory]
    [InlineData("Policy")]
    [InlineData("HomeReserve")]
    [InlineData("AssumedShare")]
    [InlineData("RecentLifetime")]
    [InlineData("ReservationLifetime")]
    public void An_option_that_cannot_be_is_named(string key)
    {
        var fleet = new Fleet();
        ArgumentException refused = Assert.Throws<ArgumentException>(() => fleet.Process(1, options =>
        {
            _ = key switch
            {
                "Policy" => options.Policy = "best",
                "HomeReserve" => (object)(options.HomeReserve = 1),
                "AssumedShare" => options.AssumedShare = 0,
                "RecentLifetime" => options.RecentLifetime = TimeSpan.Zero,
                _ => options.ReservationLifetime = TimeSpan.FromDays(9),
            };
        }));
        Assert.StartsWith($"Placement:{key} is ", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_policy_may_be_named_by_the_environment()
    {
        Assert.Equal("spread", PlacementOptions.FromEnvironment(name => name == "TRANSCRIBE_PLACEMENT" ? " spread " : null).Policy);
        Assert.Equal("together", PlacementOptions.FromEnvironment(_ => null).Policy);
        Assert.Contains("spread", Assert.Throws<InvalidOperationException>(() => PlacementOptions.FromEnvironment(_ => "best")).Message, StringComparison.Ordinal);
    }
}
