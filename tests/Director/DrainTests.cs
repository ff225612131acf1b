using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Placement;
using Transcribe.Cluster.Protocol;
using Transcribe.Director.Nodes;
using Transcribe.Director.Tests.Support;

namespace Transcribe.Director.Tests;

public class DrainTests
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    [Fact]
    public async Task A_draining_node_keeps_what_it_has_until_the_deadline_and_is_emptied_room_by_room_then()
    {
        var stage = new Backstage();
        await stage.AddNodeAsync("a", load: 50);
        for (int i = 0; i < 5; i++)
            await stage.Placement.SelectSfuAsync($"room-{i}");

        await stage.AddNodeAsync("b");
        DrainKeeper keeper = stage.Keeper(batch: 2);
        await stage.Commander.DrainAsync(stage["a"], TimeSpan.FromSeconds(30), Drain.ByAdmin);
        Assert.Equal(NodeState.Draining, stage["a"].State);
        for (int i = 0; i < 29; i++)
        {
            await stage.PassAsync(Second);
            await keeper.RunOnceAsync(default);
        }

        Assert.Empty(stage.Moves);
        for (int i = 0; i < 3; i++)
        {
            await stage.PassAsync(Second);
            await keeper.RunOnceAsync(default);
            Assert.Equal(Math.Min(5, (i + 1) * 2), stage.Moves.Count);
        }

        Assert.Equal(Enumerable.Range(0, 5).Select(i => $"room-{i}"), stage.Moves.Select(move => move.Room).Order());
        Assert.All(stage.Moves, move => Assert.Equal(("a", null, "drain"), (move.FromNode, move.ToNode, move.Reason)));

        // Whatever is left is asked for again, until nothing is.
        await stage.PassAsync(TimeSpan.FromSeconds(5));
        await keeper.RunOnceAsync(default);
        Assert.Equal(new MoveSessions("a", null, null, "drain"), stage.Moves[^1]);
        Assert.Equal(6, stage.Moves.Count);
        await stage.ChangeAsync("a", node => node with { Load = 0 });
        await stage.PassAsync(TimeSpan.FromSeconds(5));
        await keeper.RunOnceAsync(default);
        Assert.Equal(6, stage.Moves.Count);
    }

    [Fact]
    public async Task A_node_that_missed_the_order_or_started_again_is_told_again()
    {
        var stage = new Backstage();
        await stage.AddNodeAsync("a", load: 3);
        DrainKeeper keeper = stage.Keeper();
        await stage.Commander.DrainAsync(stage["a"], TimeSpan.FromHours(1), Drain.ByAdmin);
        await stage.ChangeAsync("a", node => node with { State = NodeState.Active });
        await keeper.RunOnceAsync(default);
        Assert.Equal(NodeState.Draining, stage["a"].State);

        await stage.KillAsync("a");
        await keeper.RunOnceAsync(default);
        await stage.PassAsync(TimeSpan.FromSeconds(10));
        await stage.AddNodeAsync("a");
        await keeper.RunOnceAsync(default);
        await keeper.RunOnceAsync(default);
        Assert.Equal(NodeState.Draining, stage["a"].State);
    }

    [Fact]
    public async Task The_order_is_forgotten_when_the_node_is_gone_for_good()
    {
        var stage = new Backstage();
        await stage.AddNodeAsync("a");
        DrainKeeper keeper = stage.Keeper();
        await stage.Commander.DrainAsync(stage["a"], TimeSpan.Zero, Drain.ByAdmin);
        await stage.KillAsync("a");
        await keeper.RunOnceAsync(default);
        await stage.PassAsync(TimeSpan.FromSeconds(31));
        await keeper.RunOnceAsync(default);
        Assert.Empty(await stage.Drains.ListAsync());

        // Another node by that name is a new one.
        await stage.AddNodeAsync("a");
        await keeper.RunOnceAsync(default);
        Assert.Equal(NodeState.Active, stage["a"].State);
    }

    [Fact]
    public async Task A_withdrawn_order_ends_the_moving_and_the_node_takes_sessions_again()
    {
        var stage = new Backstage();
        await stage.AddNodeAsync("a", load: 9);
        await stage.AddNodeAsync("b");
        DrainKeeper keeper = stage.Keeper();
        await stage.Commander.DrainAsync(stage["a"], TimeSpan.Zero, Drain.ByAdmin);
        await keeper.RunOnceAsync(default);
        int moves = stage.Moves.Count;
        Assert.NotEqual(0, moves);
        Assert.True(await stage.Commander.CancelAsync(NodeRole.Sfu, "a"));
        Assert.Equal(NodeState.Active, stage["a"].State);
        await stage.PassAsync(TimeSpan.FromMinutes(1));
        await keeper.RunOnceAsync(default);
        Assert.Equal(moves, stage.Moves.Count);
        Assert.False(await stage.Commander.CancelAsync(NodeRole.Sfu, "a"));
    }

    [Fact]
    public async Task Nothing_is_moved_while_there_is_nowhere_to_move_to()
    {
        var stage = new Backstage();
        await stage.AddNodeAsync("a", load: 9);
        DrainKeeper keeper = stage.Keeper();
        await stage.Commander.DrainAsync(stage["a"], TimeSpan.Zero, Drain.ByAdmin);
        await keeper.RunOnceAsync(default);
        Assert.Empty(stage.Moves);
        await stage.AddNodeAsync("b");
        await keeper.RunOnceAsync(default);
        Assert.NotEmpty(stage.Moves);
    }

    [Fact]
    public async Task One_director_sees_to_it_and_another_goes_on_when_it_dies()
    {
        var stage = new Backstage();
        await stage.AddNodeAsync("a", load: 9);
        await stage.AddNodeAsync("b");
        (DrainKeeper first, DrainKeeper second) = (stage.Keeper("d1"), stage.Keeper("d2"));
        await stage.Commander.DrainAsync(stage["a"], TimeSpan.Zero, Drain.ByAdmin);
        await first.RunOnceAsync(default);
        int moves = stage.Moves.Count;
        await second.RunOnceAsync(default);
        Assert.Equal(moves, stage.Moves.Count);
        await stage.PassAsync(TimeSpan.FromSeconds(6));
        await second.RunOnceAsync(default);
        Assert.True(stage.Moves.Count > moves);
    }

    [Fact]
    public async Task Moved_sessions_gather_on_one_node()
    {
        var stage = new Backstage();
        foreach (string id in (string[])["a", "b", "c"])
            await stage.AddNodeAsync(id);

        string home = (await stage.Placement.SelectSfuAsync("demo"))!.Id;
        await stage.Commander.DrainAsync(stage[home], TimeSpan.Zero, Drain.ByAdmin);
        var moved = new HashSet<string?>();
        for (int i = 0; i < 5; i++)
            moved.Add((await stage.Placement.SelectSfuAsync(new PlacementRequest("demo", ExcludedNodes: [home])))?.Id);

        Assert.NotEqual(home, Assert.Single(moved));
    }

    [Fact]
    public async Task A_node_is_told_by_when_it_is_to_be_empty_and_again_when_that_changes()
    {
        var stage = new Backstage();
        await stage.AddNodeAsync("a", load: 3);
        DrainKeeper keeper = stage.Keeper();
        await stage.Commander.DrainAsync(stage["a"], TimeSpan.FromMinutes(5), Drain.ByAdmin);
        DateTimeOffset first = stage.Time.GetUtcNow().AddMinutes(5);
        Assert.Equal(first, stage["a"].DrainDeadline);
        await stage.ChangeAsync("a", node => node with { DrainDeadline = null });
        await keeper.RunOnceAsync(default);
        Assert.Equal(first, stage["a"].DrainDeadline);
        await stage.Commander.DrainAsync(stage["a"], TimeSpan.FromMinutes(1), Drain.ByAdmin);
        Assert.Equal(stage.Time.GetUtcNow().AddMinutes(1), stage["a"].DrainDeadline);
    }

    [Fact]
    public async Task A_node_that_did_not_hear_that_its_order_was_withdrawn_is_told_again()
    {
        var stage = new Backstage();
        await stage.AddNodeAsync("a", load: 3);
        DrainKeeper keeper = stage.Keeper();
        await stage.Commander.DrainAsync(stage["a"], TimeSpan.FromMinutes(5), Drain.ByAdmin);
        IAsyncDisposable deaf = await stage.Bus.RespondAsync<SetNodeState, Pong>(NodeSubjects.State(NodeRole.Sfu, "a"), (_, _) => throw new NotSupportedException());
        await deaf.DisposeAsync();
        Assert.True(await stage.Commander.CancelAsync(NodeRole.Sfu, "a"));
        Assert.Empty(await stage.Drains.ListAsync());
        Assert.Equal(NodeState.Draining, stage["a"].State);

        await stage.AddNodeAsync("a", load: 3);
        await stage.ChangeAsync("a", node => node with { State = NodeState.Draining });
        await keeper.RunOnceAsync(default);
        Assert.Equal(NodeState.Active, stage["a"].State);
        Assert.Empty(await stage.Drains.ListAllAsync());
        Assert.False(await stage.Commander.CancelAsync(NodeRole.Sfu, "a"));
    }

    [Fact]
    public async Task A_draining_director_leaves_its_duties_to_another_one_at_once_and_takes_them_again_when_it_stays()
    {
        var stage = new Backstage();
        await stage.AddNodeAsync("a", load: 9);
        await stage.AddNodeAsync("b");
        var standings = new NodeStandings();
        (DrainKeeper first, DrainKeeper second) = (stage.Keeper("d1", standings: standings), stage.Keeper("d2"));
        await stage.Commander.DrainAsync(stage["a"], TimeSpan.Zero, Drain.ByAdmin);
        await first.RunOnceAsync(default);
        standings[NodeRole.Director].Set(NodeState.Draining);

        // Alone, it goes on.
        await first.RunOnceAsync(default);
        int moves = stage.Moves.Count;
        await second.RunOnceAsync(default);
        Assert.Equal(moves, stage.Moves.Count);

        await stage.Directory.AnnounceAsync(new NodeInfo("d2", NodeRole.Director, "http://d2"));
        await stage.PassAsync(TimeSpan.FromSeconds(4));
        await first.RunOnceAsync(default);
        Assert.Equal(moves, stage.Moves.Count);
        await second.RunOnceAsync(default);
        Assert.True(stage.Moves.Count > moves);

        standings[NodeRole.Director].Set(NodeState.Active);
        await stage.PassAsync(TimeSpan.FromSeconds(6));
        moves = stage.Moves.Count;
        await first.RunOnceAsync(default);
        Assert.True(stage.Moves.Count > moves);
    }
}
