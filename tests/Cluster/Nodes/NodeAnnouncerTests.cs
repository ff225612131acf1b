using System.Diagnostics;
using Microsoft.Extensions.Logging.Abstractions;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.InProcess;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.State;
using Transcribe.Cluster.Tests.Support;

namespace Transcribe.Cluster.Tests.Nodes;

public sealed class NodeAnnouncerTests : IAsyncLifetime
{
    private readonly StepClock _time = new();
    private readonly InProcessMessageBus _bus = new(NullLogger<InProcessMessageBus>.Instance, TimeProvider.System);
    private readonly FakeConnection _connection = new();
    private readonly Directory _nodes = new();
    private readonly NodeAnnouncer _announcer;
    private int _load;

    public NodeAnnouncerTests()
    {
        _announcer = new NodeAnnouncer(
            () => new NodeInfo("n1", NodeRole.Gateway, "addr", Load: _load), _nodes, _bus, _connection, NodeHeartbeat.Cluster, _time, NullLogger.Instance);
    }

    public async ValueTask InitializeAsync() => await _announcer.StartAsync(CancellationToken.None);

    public async ValueTask DisposeAsync()
    {
        await _announcer.DisposeAsync();
        await _bus.DisposeAsync();
    }

    [Fact]
    public async Task A_node_is_announced_at_its_start_and_at_every_beat_as_it_is_then()
    {
        Assert.Equal([0], _nodes.Announced.Select(node => node.Load));
        for (_load = 1; _load <= 3; _load++)
            await BeatAsync();
        Assert.Equal([0, 1, 2, 3], _nodes.Announced.Select(node => node.Load));
    }

    [Fact]
    public async Task Changes_and_reconnects_are_announced_before_the_next_beat()
    {
        _load = 5;
        _announcer.Changed();
        _announcer.Changed();
        await AdvanceUntilAsync(() => _nodes.Announced.Count == 2, TimeSpan.FromMilliseconds(100));
        _load = 6;
        _connection.Restore(stateWasLost: true);
        await AdvanceUntilAsync(() => _nodes.Announced.Count == 3, TimeSpan.FromMilliseconds(100));
        Assert.Equal([0, 5, 6], _nodes.Announced.Select(node => node.Load));
    }

    [Fact]
    public async Task Pings_are_answered_with_the_state_and_the_same_instance()
    {
        Pong first = await AskAsync(new Ping(), NodeSubjects.Ping(NodeRole.Gateway, "n1"));
        Pong second = await AskAsync(new Ping(), NodeSubjects.Ping(NodeRole.Gateway, "n1"));
        Assert.Equal(("n1", NodeState.Active), (first.NodeId, first.State));
        Assert.Equal(first, second);
        Assert.NotNull(first.Instance);
    }

    [Fact]
    public async Task The_state_is_set_from_afar_told_to_the_role_and_announced()
    {
        var told = new List<NodeState>();
        _announcer.Standing.Changed += () => told.Add(_announcer.State);
        string subject = NodeSubjects.State(NodeRole.Gateway, "n1");
        Assert.Equal(NodeState.Draining, (await AskAsync(new SetNodeState(NodeState.Draining), subject)).State);
        Assert.Equal(NodeState.Draining, _nodes.Announced[^1].State);
        await AskAsync(new SetNodeState(NodeState.Draining), subject);
        Assert.Equal(NodeState.Active, (await AskAsync(new SetNodeState(NodeState.Active), subject)).State);
        Assert.Equal(NodeState.Active, _nodes.Announced[^1].State);
        Assert.Equal([NodeState.Draining, NodeState.Active], told);

        // A new deadline for an order that stands is announced too.
        var deadline = new DateTimeOffset(2026, 11, 24, 4, 0, 0, TimeSpan.Zero);
        await AskAsync(new SetNodeState(NodeState.Draining, deadline), subject);
        await AskAsync(new SetNodeState(NodeState.Draining, deadline.AddMinutes(1)), subject);
        Assert.Equal(deadline.AddMinutes(1), _nodes.Announced[^1].DrainDeadline);
        Assert.Equal((true, deadline.AddMinutes(1)), (_announcer.Standing.IsDraining, _announcer.Standing.Deadline));
        await AskAsync(new SetNodeState(NodeState.Active), subject);
        Assert.Null(_nodes.Announced[^1].DrainDeadline);
        Assert.Equal(5, told.Count);
    }

    [Fact]
    public async Task A_directory_that_is_away_stops_nothing()
    {
        _nodes.IsAway = true;
        await BeatAsync();
        await BeatAsync();
        _nodes.IsAway = false;
        _load = 9;
        int before = _nodes.Announced.Count;
        await AdvanceUntilAsync(() => _nodes.Announced.Count > before && _nodes.Announced[^1].Load == 9, NodeHeartbeat.Cluster.Interval);
    }

    [Fact]
    public async Task A_withdrawn_node_still_answers_and_a_stopped_one_is_gone()
    {
        await _announcer.WithdrawAsync();
        Assert.Equal("n1", Assert.Single(_nodes.Removed));
        Assert.Equal("n1", (await AskAsync(new Ping(), NodeSubjects.Ping(NodeRole.Gateway, "n1"))).NodeId);
        _connection.Restore();
        await _announcer.StopAsync(CancellationToken.None);
        Assert.Single(_nodes.Removed);
        Assert.Single(_nodes.Announced);
        BusException gone = await Assert.ThrowsAsync<BusException>(() => AskAsync(new Ping(), NodeSubjects.Ping(NodeRole.Gateway, "n1")));
        Assert.Equal(BusException.NoResponder, gone.Code);
    }

    private Task<Pong> AskAsync<T>(T request, string subject) => _bus.RequestAsync<T, Pong>(subject, request, TimeSpan.FromSeconds(10)).AsTask();

    private Task BeatAsync()
    {
        int before = _nodes.Calls;
        return AdvanceUntilAsync(() => _nodes.Calls > before, NodeHeartbeat.Cluster.Interval);
    }

    /// <summary>Lets virtual time pass in small steps, at most so much of it, and real time where the announcer needs it to run.</summary>
    private async Task AdvanceUntilAsync(Func<bool> condition, TimeSpan most)
    {
        var waited = Stopwatch.StartNew();
        TimeSpan passed = TimeSpan.Zero;
        while (!condition())
        {
            Assert.True(waited.Elapsed < TimeSpan.FromSeconds(20), "It was not announced in time.");
            if (passed < most)
            {
                passed += TimeSpan.FromMilliseconds(100);
                await _time.StepAsync(TimeSpan.FromMilliseconds(100));
            }
            else
            {
                await Task.Delay(1);
            }
        }
    }

    private sealed class Directory : INodeDirectory
    {
        private int _calls;

        public List<NodeInfo> Announced { get; } = [];

        public List<string> Removed { get; } = [];

        public bool IsAway { get; set; }

        public int Calls => Volatile.Read(ref _calls);

        public ValueTask AnnounceAsync(NodeInfo node, CancellationToken cancellationToken = default)
        {
            if (!IsAway)
                Announced.Add(node);
            Interlocked.Increment(ref _calls);
            return IsAway ? throw new ClusterUnavailableException("away") : ValueTask.CompletedTask;
        }

        public ValueTask RemoveAsync(NodeRole role, string id, CancellationToken cancellationToken = default)
        {
            Removed.Add(id);
            return ValueTask.CompletedTask;
        }

        public ValueTask<IReadOnlyList<NodeInfo>> ListAsync(NodeRole role, CancellationToken cancellationToken = default) =>
            ValueTask.FromResult<IReadOnlyList<NodeInfo>>(Announced);
    }
}
