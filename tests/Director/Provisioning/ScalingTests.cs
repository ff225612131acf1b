using Transcribe.Cluster.Nodes;
using Transcribe.Director.Nodes;
using Transcribe.Director.Provisioning;
using Transcribe.Director.Tests.Support;

namespace Transcribe.Director.Tests.Provisioning;

public class ScalingTests
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);
    private static readonly ScalingPolicy Policy = new() { MinNodes = 1, MaxNodes = 4, Headroom = 0.3, ScaleDownAfter = TimeSpan.FromSeconds(60) };

    private readonly Backstage _stage = new();
    private readonly FakeProvisioner _provisioner;

    public ScalingTests() => _provisioner = new FakeProvisioner(_stage);

    private async Task RunAsync(ScalingService service, int seconds)
    {
        for (int i = 0; i < seconds; i++)
        {
            await _stage.PassAsync(Second);
            await service.RunOnceAsync(default);
        }
    }

    private Task LoadAsync(string id, int sessions) => _stage.ChangeAsync(id, node => node with { Load = sessions });

    [Fact]
    public async Task An_empty_fleet_gets_its_minimum()
    {
        ScalingService service = _provisioner.Service(Policy with { MinNodes = 2 });
        await RunAsync(service, 10);
        Assert.Equal(["n1", "n2"], _provisioner.Running);
        await RunAsync(service, 100);
        Assert.Equal(1, _provisioner.StartCalls);
    }

    [Fact]
    public async Task A_node_is_added_before_the_others_are_full()
    {
        ScalingService service = _provisioner.Service(Policy);
        await RunAsync(service, 5);
        await LoadAsync("n1", 70);
        await RunAsync(service, 10);
        Assert.Single(_provisioner.Running);
        await LoadAsync("n1", 71);
        await RunAsync(service, 10);
        Assert.Equal(2, _provisioner.Running.Count);
    }

    [Fact]
    public async Task A_single_late_announcement_starts_nothing()
    {
        ScalingService service = _provisioner.Service(Policy);
        await RunAsync(service, 5);
        NodeInfo node = _stage["n1"];
        await _stage.Directory.RemoveAsync(NodeRole.Sfu, "n1");
        await service.RunOnceAsync(default);
        await _stage.Directory.AnnounceAsync(node);
        await RunAsync(service, 10);
        Assert.Equal(1, _provisioner.StartCalls);
    }

    [Fact]
    public async Task The_scarcest_resource_counts_not_only_sessions()
    {
        ScalingService service = _provisioner.Service(Policy);
        await RunAsync(service, 5);
        await _stage.ChangeAsync("n1", node => node with { Load = 3, Media = new NodeLoad(10, 0, 0.8, 0), Limits = new NodeLoad(1000, 0, 0.9, 0) });
        await RunAsync(service, 10);
        Assert.Equal(2, _provisioner.Running.Count);
    }

    [Fact]
    public async Task The_maximum_holds_whatever_the_load()
    {
        ScalingService service = _provisioner.Service(Policy);
        await RunAsync(service, 5);
        for (int round = 0; round < 8; round++)
        {
            foreach (string id in _provisioner.Running.ToArray())
                await LoadAsync(id, 100);

            await RunAsync(service, 10);
        }

        Assert.Equal(4, _provisioner.Running.Count);
    }

    [Fact]
    public async Task What_is_starting_is_waited_for_and_not_started_again()
    {
        _provisioner.Quick = false;
        ScalingService service = _provisioner.Service(Policy);
        await RunAsync(service, 30);
        Assert.Equal(1, _provisioner.StartCalls);
        await _provisioner.AppearAsync("n1");
        await RunAsync(service, 30);
        Assert.Equal((1, 0), (_provisioner.StartCalls, _provisioner.Stopped.Count));
    }

    [Fact]
    public async Task A_node_too_many_is_drained_and_stopped_when_it_is_empty()
    {
        ScalingService service = _provisioner.Service(Policy);
        DrainKeeper keeper = _stage.Keeper();
        await RunAsync(service, 5);
        await LoadAsync("n1", 90);
        await RunAsync(service, 5);
        await LoadAsync("n1", 20);
        await LoadAsync("n2", 10);
        await RunAsync(service, 59);
        Assert.All(_stage.Nodes, node => Assert.Equal(NodeState.Active, node.State));

        // The one with less on it, and not before its last session has left.
        await RunAsync(service, 5);
        Assert.Equal((NodeState.Active, NodeState.Draining), (_stage["n1"].State, _stage["n2"].State));
        Assert.Equal(Drain.ByScaling, Assert.Single(await _stage.Drains.ListAsync()).Drain.By);
        await RunAsync(service, 100);
        Assert.Empty(_provisioner.Stopped);
        await LoadAsync("n2", 0);
        await RunAsync(service, 2);
        Assert.Equal(["n2"], _provisioner.Stopped);
        await keeper.RunOnceAsync(default);
        Assert.Empty(await _stage.Drains.ListAsync());

        // The minimum stays, however little there is to do.
        await LoadAsync("n1", 0);
        await RunAsync(service, 300);
        Assert.Equal(["n1"], _provisioner.Running);
    }

    [Fact]
    public async Task A_draining_node_is_taken_back_before_another_is_started()
    {
        ScalingService service = _provisioner.Service(Policy);
        await RunAsync(service, 5);
        await LoadAsync("n1", 90);
        await RunAsync(service, 5);
        await LoadAsync("n1", 10);
        await LoadAsync("n2", 20);
        await RunAsync(service, 70);
        Assert.Equal(NodeState.Draining, _stage["n1"].State);
        await LoadAsync("n2", 95);
        await RunAsync(service, 5);
        Assert.Equal(NodeState.Active, _stage["n1"].State);
        Assert.Equal(2, _provisioner.StartCalls);
        Assert.Empty(await _stage.Drains.ListAsync());
    }

    [Fact]
    public async Task A_node_that_an_admin_drains_is_replaced_and_not_stopped()
    {
        ScalingService service = _provisioner.Service(Policy);
        await RunAsync(service, 5);
        await _stage.Commander.DrainAsync(_stage["n1"], TimeSpan.Zero, Drain.ByAdmin);
        await RunAsync(service, 200);
        Assert.Equal(["n1", "n2"], _provisioner.Running);
        Assert.Equal(NodeState.Draining, _stage["n1"].State);
    }

    [Fact]
    public async Task Nodes_that_others_started_count_and_are_not_stopped()
    {
        await _stage.AddNodeAsync("static-1", load: 1);
        await _stage.AddNodeAsync("static-2", load: 1);
        ScalingService service = _provisioner.Service(Policy);
        await RunAsync(service, 300);
        Assert.Equal(0, _provisioner.StartCalls);
        Assert.All(_stage.Nodes, node => Assert.Equal(NodeState.Active, node.State));
    }

    [Fact]
    public async Task A_node_that_died_is_replaced()
    {
        ScalingService service = _provisioner.Service(Policy);
        await RunAsync(service, 5);
        await _provisioner.StopAsync(["n1"]);
        await RunAsync(service, 5);
        Assert.Equal(["n2"], _provisioner.Running);
    }

    [Fact]
    public async Task A_node_that_gives_no_sign_is_stopped_and_replaced()
    {
        _provisioner.Quick = false;
        ScalingService service = _provisioner.Service(Policy);
        await RunAsync(service, 60);
        Assert.Empty(_provisioner.Stopped);
        await RunAsync(service, 20);
        Assert.Equal(["n1"], _provisioner.Stopped);
        Assert.Equal(["n2"], _provisioner.Running);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Starts_that_fail_are_tried_again_ever_more_slowly(bool refuses)
    {
        (_provisioner.Refuses, _provisioner.Crashes, _provisioner.Quick) = (refuses, !refuses, false);
        ScalingService service = _provisioner.Service(Policy);
        for (int i = 0; i < 600; i++)
        {
            await _stage.PassAsync(Second);
            try
            {
                await service.RunOnceAsync(default);
            }
            catch (ProvisioningException)
            {
                Assert.True(refuses);
            }
        }

        Assert.InRange(_provisioner.StartCalls, 5, 10);
        (_provisioner.Refuses, _provisioner.Crashes, _provisioner.Quick) = (false, false, true);
        await RunAsync(service, 300);
        Assert.Single(_provisioner.Running);
    }

    [Fact]
    public async Task While_the_cluster_is_out_of_reach_or_just_back_nothing_is_started()
    {
        var connection = new SwitchedConnection();
        ScalingService service = _provisioner.Service(Policy with { MinNodes = 2 }, connection: connection);
        await RunAsync(service, 5);
        Assert.Equal(2, _provisioner.Running.Count);

        // Redis is back without its data: for a moment it looks as if there were no node.
        connection.IsConnected = false;
        await RunAsync(service, 5);
        connection.IsConnected = true;
        foreach (NodeInfo node in _stage.Nodes)
            await _stage.Directory.RemoveAsync(NodeRole.Sfu, node.Id);

        for (int i = 0; i < 5; i++)
        {
            _stage.Time.Advance(Second);
            await service.RunOnceAsync(default);
        }

        await RunAsync(service, 100);
        Assert.Equal((1, 0), (_provisioner.StartCalls, _provisioner.Stopped.Count));
    }

    [Fact]
    public async Task One_of_two_directors_scales_and_the_other_goes_on_when_it_dies()
    {
        ScalingService first = _provisioner.Service(Policy, "d1");
        ScalingService second = _provisioner.Service(Policy, "d2");
        for (int i = 0; i < 20; i++)
        {
            await _stage.PassAsync(Second);
            await first.RunOnceAsync(default);
            await second.RunOnceAsync(default);
        }

        Assert.Equal(1, _provisioner.StartCalls);
        await LoadAsync("n1", 90);
        await RunAsync(second, 60);
        Assert.Equal(2, _provisioner.StartCalls);
    }

    [Fact]
    public async Task A_director_that_takes_its_time_to_start_nodes_keeps_the_fleet_to_itself()
    {
        var slowness = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _provisioner.Slowness = slowness.Task;
        ScalingService first = _provisioner.Service(Policy with { ScaleUpAfter = TimeSpan.Zero }, "d1");
        ScalingService second = _provisioner.Service(Policy with { ScaleUpAfter = TimeSpan.Zero }, "d2");
        await _stage.PassAsync(Second);
        Task starting = first.RunOnceAsync(default);
        await RunAsync(second, 60);
        Assert.Equal((1, false), (_provisioner.StartCalls, starting.IsCompleted));

        // It is killed: the other one goes on.
        slowness.SetResult();
        await starting;
        await _provisioner.StopAsync(["n1"]);
        await RunAsync(second, 20);
        Assert.Equal(2, _provisioner.StartCalls);
    }

    [Fact]
    public async Task A_node_that_cannot_be_emptied_is_stopped_some_time_after_its_deadline()
    {
        ScalingService service = _provisioner.Service(Policy with { DrainDeadline = TimeSpan.FromSeconds(30) });
        await RunAsync(service, 5);
        await LoadAsync("n1", 90);
        await RunAsync(service, 5);
        await LoadAsync("n1", 2);
        await LoadAsync("n2", 1);
        await RunAsync(service, 200);
        Assert.Empty(_provisioner.Stopped);
        await RunAsync(service, 30);
        Assert.Equal(["n2"], _provisioner.Stopped);
    }

    [Theory]
    [InlineData("TRANSCRIBE_PROVISIONER", "nomad")]
    [InlineData("TRANSCRIBE_MIN_NODES", "-1")]
    [InlineData("TRANSCRIBE_MIN_NODES", "11")]
    [InlineData("TRANSCRIBE_MAX_NODES", "0")]
    [InlineData("TRANSCRIBE_HEADROOM", "1")]
    [InlineData("TRANSCRIBE_SCALE_DOWN_SECONDS", "soon")]
    [InlineData("TRANSCRIBE_SCALE_UP_SECONDS", "-1")]
    [InlineData("TRANSCRIBE_PROVISIONER_DIRECTORY", "records", "process")]
    [InlineData("TRANSCRIBE_PROVISIONER_REGIONS", "eu,,us", "process")]
    [InlineData("TRANSCRIBE_PROVISIONER_REGIONS", "eu,eu", "process")]
    [InlineData("TRANSCRIBE_PROVISIONER_REGIONS", "eu/west", "process")]
    [InlineData("TRANSCRIBE_PROVISIONER_REGIONS", "eu,us", "docker")]
    [InlineData("TRANSCRIBE_DRAIN_SECONDS", "1e9")]
    [InlineData("TRANSCRIBE_DOCKER_IMAGE", null, "docker")]
    [InlineData("TRANSCRIBE_DOCKER_HOST", "docker", "docker")]
    [InlineData("TRANSCRIBE_KUBERNETES_WORKLOAD", "sfu", "kubernetes")]
    [InlineData("TRANSCRIBE_KUBERNETES_URL", "cluster", "kubernetes")]
    public void A_variable_that_cannot_be_used_is_named(string name, string? value, string? provisioner = null)
    {
        var variables = new Dictionary<string, string?>(StringComparer.Ordinal)
        {
            ["TRANSCRIBE_PROVISIONER"] = provisioner,
            ["TRANSCRIBE_DOCKER_IMAGE"] = "transcribe",
            ["TRANSCRIBE_KUBERNETES_WORKLOAD"] = "statefulset/sfu",
        };
        variables[name] = value;
        InvalidOperationException refused = Assert.Throws<InvalidOperationException>(() => ProvisioningOptions.FromEnvironment(variables.GetValueOrDefault));
        Assert.StartsWith(name, refused.Message, StringComparison.Ordinal);
        Assert.EndsWith(".", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Nodes_are_told_of_the_cluster_and_get_no_api_secret()
    {
        var variables = new Dictionary<string, string?>(StringComparer.Ordinal)
        {
            ["TRANSCRIBE_PROVISIONER"] = "process",
            ["TRANSCRIBE_REDIS"] = "127.0.0.1:6379",
            ["TRANSCRIBE_CLUSTER_KEY"] = "k",
            ["TRANSCRIBE_API_SECRET"] = "s",
            ["TRANSCRIBE_MAX_NODES"] = "3",
            ["TRANSCRIBE_HEADROOM"] = "0.5",
        };
        ProvisioningOptions options = ProvisioningOptions.FromEnvironment(variables.GetValueOrDefault);
        Assert.Equal(["TRANSCRIBE_CLUSTER_KEY", "TRANSCRIBE_REDIS"], options.NodeEnvironment.Keys.Order());
        Assert.Equal((3, 0.5), (options.Policy.MaxNodes, options.Policy.Headroom));
    }
}
