using Transcribe.Director.Provisioning;
using Transcribe.Director.Tests.Support;

namespace Transcribe.Director.Tests.Provisioning;

/// <summary>Real processes: shell scripts that stand in for an SFU node.</summary>
public sealed class ProcessProvisionerTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private readonly string _folder = Directory.CreateTempSubdirectory("transcribe-provisioner-").FullName;
    private readonly ListLogger<ProcessProvisioner> _log = new();

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    /// <param name="script">Run by the shell; writes into the folder, its current node's id is in the environment.</param>
    private ProcessProvisioner Provisioner(string script, TimeSpan? timeout = null)
    {
        var options = new ProvisioningOptions
        {
            Provisioner = ProvisioningOptions.Process,
            Executable = "/bin/sh",
            Arguments = ["-c", script],
            NodePrefix = "node",
            Timeout = timeout ?? Patience,
            NodeEnvironment = { ["FOLDER"] = _folder, ["TRANSCRIBE_CLUSTER_KEY"] = "very-secret-key" },
        };
        return new ProcessProvisioner(options, TimeProvider.System, _log);
    }

    private async Task<string> ReadAsync(string file)
    {
        string path = Path.Combine(_folder, file);
        using var patience = new CancellationTokenSource(Patience);
        while (!File.Exists(path))
            await Task.Delay(20, patience.Token);

        return await File.ReadAllTextAsync(path, patience.Token);
    }

    private static async Task WaitForAsync(Func<ValueTask<bool>> condition)
    {
        using var patience = new CancellationTokenSource(Patience);
        while (!await condition())
            await Task.Delay(20, patience.Token);
    }

    [Fact]
    public async Task Nodes_get_a_name_of_their_own_what_they_need_to_join_and_no_api_secret()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "The stand-ins are shell scripts.");
        Environment.SetEnvironmentVariable("TRANSCRIBE_API_SECRET", "api-secret");
        using ProcessProvisioner provisioner = Provisioner("env > $FOLDER/tmp-$TRANSCRIBE_NODE_ID; mv $FOLDER/tmp-$TRANSCRIBE_NODE_ID $FOLDER/$TRANSCRIBE_NODE_ID; exec sleep 60");
        await provisioner.StartAsync(2);
        IReadOnlyList<ProvisionedNode> nodes = await provisioner.ListAsync();
        Assert.Equal(2, nodes.Select(node => node.Id).Distinct().Count());
        foreach (ProvisionedNode node in nodes)
        {
            Assert.StartsWith("node-", node.Id, StringComparison.Ordinal);
            string[] environment = (await ReadAsync(node.Id)).Split('\n');
            Assert.Contains($"TRANSCRIBE_NODE_ID={node.Id}", environment);
            Assert.Contains("TRANSCRIBE_UDP_PORT=0", environment);
            Assert.Contains("TRANSCRIBE_CLUSTER_KEY=very-secret-key", environment);
            Assert.DoesNotContain(environment, line => line.Contains("api-secret", StringComparison.Ordinal));
        }

        await provisioner.StopAsync([nodes[0].Id]);
        Assert.Equal([nodes[1].Id], (await provisioner.ListAsync()).Select(node => node.Id));
        Assert.NotEmpty(_log.Lines);
        Assert.DoesNotContain(_log.Lines, line => line.Contains("secret", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_node_may_say_goodbye()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "The stand-ins are shell scripts.");
        using ProcessProvisioner provisioner = Provisioner("trap 'echo bye > $FOLDER/goodbye; exit 0' TERM; echo up > $FOLDER/up; while :; do sleep 0.05; done");
        await provisioner.StartAsync(1);
        await ReadAsync("up");
        await provisioner.StopAsync([(await provisioner.ListAsync())[0].Id]);
        Assert.Equal("bye\n", await ReadAsync("goodbye"));
        Assert.Empty(await provisioner.ListAsync());
    }

    [Fact]
    public async Task A_node_that_does_not_heed_is_killed()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "The stand-ins are shell scripts.");
        using ProcessProvisioner provisioner = Provisioner("trap '' TERM; echo $$ > $FOLDER/tmp; mv $FOLDER/tmp $FOLDER/pid; while :; do sleep 0.05; done", TimeSpan.FromMilliseconds(300));
        await provisioner.StartAsync(1);
        int pid = int.Parse(await ReadAsync("pid"));
        await provisioner.StopAsync([(await provisioner.ListAsync())[0].Id]);
        Assert.False(Directory.Exists($"/proc/{pid}"));
        Assert.Contains(_log.Lines, line => line.Contains("was killed", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_node_that_ends_by_itself_is_listed_no_more()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "The stand-ins are shell scripts.");
        using ProcessProvisioner provisioner = Provisioner("exit 3");
        await provisioner.StartAsync(1);
        await WaitForAsync(async () => (await provisioner.ListAsync()).Count == 0);
        Assert.Contains(_log.Lines, line => line.Contains("exit code 3", StringComparison.Ordinal));
        await provisioner.StopAsync(["node-unknown"]);
    }

    [Fact]
    public async Task A_director_that_stops_takes_its_nodes_along()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "The stand-ins are shell scripts.");
        using ProcessProvisioner provisioner = Provisioner("echo $$ > $FOLDER/tmp-$$; mv $FOLDER/tmp-$$ $FOLDER/$TRANSCRIBE_NODE_ID; exec sleep 60");
        await provisioner.StartAsync(2);
        IReadOnlyList<ProvisionedNode> nodes = await provisioner.ListAsync();
        int[] pids = [int.Parse(await ReadAsync(nodes[0].Id)), int.Parse(await ReadAsync(nodes[1].Id))];
        await provisioner.ShutdownAsync();
        Assert.All(pids, pid => Assert.False(Directory.Exists($"/proc/{pid}")));
        Assert.Empty(await provisioner.ListAsync());
    }

    [Fact]
    public async Task A_program_that_is_not_there_is_an_error_with_a_sentence()
    {
        using var provisioner = new ProcessProvisioner(new ProvisioningOptions { Executable = "/no/such/transcribe" }, TimeProvider.System, _log);
        ProvisioningException refused = await Assert.ThrowsAsync<ProvisioningException>(async () => await provisioner.StartAsync(1));
        Assert.Contains("/no/such/transcribe", refused.Message, StringComparison.Ordinal);
    }
}
