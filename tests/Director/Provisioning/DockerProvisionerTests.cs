using Transcribe.Director.Provisioning;
using Transcribe.Director.Tests.Support;

namespace Transcribe.Director.Tests.Provisioning;

/// <summary>Docker.DotNet against an HTTP server that speaks the engine's API.</summary>
public class DockerProvisionerTests
{
    private readonly ListLogger<DockerProvisioner> _log = new();

    private DockerProvisioner Provisioner(FakeDocker docker, TimeSpan? timeout = null) => new(
        new ProvisioningOptions
        {
            Provisioner = ProvisioningOptions.Docker,
            DockerHost = docker.Host,
            DockerImage = "transcribe:test",
            NodePrefix = "edge",
            Timeout = timeout ?? TimeSpan.FromSeconds(20),
            NodeEnvironment = { ["TRANSCRIBE_REDIS"] = "redis:6379,password=hunter2", ["TRANSCRIBE_CLUSTER_KEY"] = "very-secret-key" },
        },
        _log);

    [Fact]
    public async Task Nodes_are_created_started_listed_stopped_and_removed()
    {
        await using FakeDocker docker = await FakeDocker.StartAsync();
        using DockerProvisioner provisioner = Provisioner(docker);
        await provisioner.StartAsync(2);
        Assert.All(docker.Containers.Values, container =>
        {
            Assert.Equal(("transcribe:test", "running", "host"), (container.Image, container.State, container.Network));
            Assert.Equal(["sfu"], container.Command);
            Assert.Contains($"TRANSCRIBE_NODE_ID={container.Name}", container.Environment);
            Assert.Contains("TRANSCRIBE_UDP_PORT=0", container.Environment);
            Assert.Contains("TRANSCRIBE_CLUSTER_KEY=very-secret-key", container.Environment);
        });
        IReadOnlyList<ProvisionedNode> nodes = await provisioner.ListAsync();
        Assert.Equal(docker.Containers.Values.Select(container => container.Name).Order(), nodes.Select(node => node.Id).Order());
        Assert.All(nodes, node => Assert.StartsWith("edge-", node.Id, StringComparison.Ordinal));

        await provisioner.StopAsync([nodes[0].Id]);
        Assert.Equal(nodes[1].Id, Assert.Single(docker.Containers.Values).Name);
        await provisioner.StopAsync([nodes[0].Id, "never-there"]);
        Assert.Equal(["create", "start", "create", "start", "list", "list", "stop", "remove", "list"], docker.Calls);
        Assert.DoesNotContain(_log.Lines, line => line.Contains("secret", StringComparison.Ordinal) || line.Contains("hunter2", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Another_director_finds_the_nodes_and_leaves_other_containers_alone()
    {
        await using FakeDocker docker = await FakeDocker.StartAsync();
        using (DockerProvisioner first = Provisioner(docker))
            await first.StartAsync(1);

        docker.Containers["db"] = new FakeDocker.Container("db", "database", "postgres", [], [], [], "bridge") { State = "running" };
        using DockerProvisioner second = Provisioner(docker);
        ProvisionedNode node = Assert.Single(await second.ListAsync());
        await second.StopAsync([node.Id, "database"]);
        Assert.Equal("database", Assert.Single(docker.Containers.Values).Name);
    }

    [Fact]
    public async Task The_engine_is_reached_over_its_unix_socket()
    {
        string socket = Path.Combine(Path.GetTempPath(), $"docker-{Guid.NewGuid():N}.sock");
        await using FakeDocker docker = await FakeDocker.StartAsync(socket);
        using DockerProvisioner provisioner = Provisioner(docker);
        await provisioner.StartAsync(1);
        Assert.Single(await provisioner.ListAsync());
    }

    [Fact]
    public async Task A_container_that_ended_by_itself_is_cleared_away_and_is_no_node()
    {
        await using FakeDocker docker = await FakeDocker.StartAsync();
        using DockerProvisioner provisioner = Provisioner(docker);
        await provisioner.StartAsync(1);
        docker.Containers.Values.Single().State = "exited";
        Assert.Empty(await provisioner.ListAsync());
        Assert.Empty(docker.Containers);
        Assert.Contains(_log.Lines, line => line.Contains("Exited (1)", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("create", 500)]
    [InlineData("create", 404)]
    [InlineData("create", 409)]
    [InlineData("start", 500)]
    [InlineData("list", 500)]
    public async Task A_refusal_is_a_sentence_without_secrets_and_leaves_nothing_behind(string what, int status)
    {
        await using FakeDocker docker = await FakeDocker.StartAsync();
        using DockerProvisioner provisioner = Provisioner(docker);
        docker.Failures[what] = status;
        ProvisioningException refused = what == "list"
            ? await Assert.ThrowsAsync<ProvisioningException>(async () => await provisioner.ListAsync())
            : await Assert.ThrowsAsync<ProvisioningException>(async () => await provisioner.StartAsync(1));
        Assert.Contains($": {status} ", refused.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("secret-key", refused.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain("hunter2", refused.ToString(), StringComparison.Ordinal);
        Assert.Empty(docker.Containers);
    }

    [Fact]
    public async Task An_engine_that_does_not_answer_is_not_waited_for_for_ever()
    {
        await using FakeDocker docker = await FakeDocker.StartAsync();
        using DockerProvisioner provisioner = Provisioner(docker, TimeSpan.FromMilliseconds(200));
        docker.Failures["list"] = 0;
        ProvisioningException refused = await Assert.ThrowsAsync<ProvisioningException>(async () => await provisioner.ListAsync());
        Assert.Contains("in time", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_engine_that_is_not_there_is_a_sentence()
    {
        FakeDocker docker = await FakeDocker.StartAsync();
        using DockerProvisioner provisioner = Provisioner(docker);
        await docker.DisposeAsync();
        ProvisioningException refused = await Assert.ThrowsAsync<ProvisioningException>(async () => await provisioner.ListAsync());
        Assert.Contains("cannot be reached", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_container_that_cannot_be_removed_yet_is_found_again()
    {
        await using FakeDocker docker = await FakeDocker.StartAsync();
        using DockerProvisioner provisioner = Provisioner(docker);
        await provisioner.StartAsync(1);
        docker.Failures["remove"] = 409;
        await provisioner.StopAsync([(await provisioner.ListAsync())[0].Id]);
        Assert.Equal("exited", Assert.Single(docker.Containers.Values).State);
        docker.Failures.Clear();
        Assert.Empty(await provisioner.ListAsync());
        Assert.Empty(docker.Containers);
    }

    [Fact]
    public async Task Stopping_what_is_gone_already_is_done()
    {
        await using FakeDocker docker = await FakeDocker.StartAsync();
        using DockerProvisioner provisioner = Provisioner(docker);
        await provisioner.StartAsync(1);
        docker.Failures["stop"] = 404;
        await provisioner.StopAsync([(await provisioner.ListAsync())[0].Id]);
    }
}
