using System.Diagnostics;
using CsCheck;
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
    /// <param name="records">Where the records are; those of one cluster by default.</param>
    private ProcessProvisioner Provisioner(string script, TimeSpan? timeout = null, string records = "records", params string[] regions)
    {
        var options = new ProvisioningOptions
        {
            Provisioner = ProvisioningOptions.Process,
            Executable = "/bin/sh",
            Arguments = ["-c", script],
            NodePrefix = "node",
            Timeout = timeout ?? Patience,
            Regions = regions,
            NodeEnvironment = { ["FOLDER"] = _folder, ["TRANSCRIBE_CLUSTER_KEY"] = "very-secret-key" },
        };
        return new ProcessProvisioner(options, Store(records), TimeProvider.System, _log);
    }

    private NodeProcessStore Store(string records = "records") => NodeProcessStore.Open(Path.Combine(_folder, records));

    /// <summary>What a Director that was killed leaves: a process and its record.</summary>
    private NodeProcess Orphan(string id, string script = "exec sleep 60", string region = "")
    {
        var start = new ProcessStartInfo("/bin/sh", ["-c", script]);
        (start.Environment["FOLDER"], start.Environment["TRANSCRIBE_NODE_ID"]) = (_folder, id);
        using Process process = Process.Start(start)!;
        var node = new NodeProcess(id, region, ProcessIdentity.Of(process.Id)!, DateTimeOffset.UtcNow);
        Store().Write(node);
        return node;
    }

    private static async Task<string[]> IdsAsync(ProcessProvisioner provisioner) => [.. (await provisioner.ListAsync()).Select(node => node.Id).Order(StringComparer.Ordinal)];

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
        using var provisioner = new ProcessProvisioner(new ProvisioningOptions { Executable = "/no/such/transcribe" }, Store(), TimeProvider.System, _log);
        ProvisioningException refused = await Assert.ThrowsAsync<ProvisioningException>(async () => await provisioner.StartAsync(1));
        Assert.Contains("/no/such/transcribe", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_nodes_of_a_killed_director_are_listed_and_stopped_by_the_next()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "The stand-ins are shell scripts.");
        NodeProcess polite = Orphan("node-polite", "trap 'echo bye > $FOLDER/goodbye; exit 0' TERM; echo up > $FOLDER/up; while :; do sleep 0.05; done");
        NodeProcess other = Orphan("node-other");
        await ReadAsync("up");
        using ProcessProvisioner provisioner = Provisioner("exec sleep 60");
        ProvisionedNode[] nodes = [.. (await provisioner.ListAsync()).OrderBy(node => node.Id)];
        Assert.Equal([("node-other", other.StartedAt), ("node-polite", polite.StartedAt)], nodes.Select(node => (node.Id, node.StartedAt)));
        Assert.Contains(_log.Lines, line => line.Contains("node-polite", StringComparison.Ordinal) && line.Contains("another Director", StringComparison.Ordinal));

        await provisioner.StopAsync(["node-polite"]);
        Assert.Equal("bye\n", await ReadAsync("goodbye"));
        Assert.True(other.Process.IsRunning);
        Assert.Equal(["node-other"], await IdsAsync(provisioner));
        await provisioner.ShutdownAsync();
        Assert.False(other.Process.IsRunning);
        Assert.Empty(Store().Nodes());
    }

    [Fact]
    public async Task The_death_of_a_node_that_another_director_started_is_noticed()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "The stand-ins are shell scripts.");
        NodeProcess node = Orphan("node-orphan");
        using ProcessProvisioner provisioner = Provisioner("exec sleep 60");
        Assert.Equal(["node-orphan"], await IdsAsync(provisioner));
        node.Process.Kill();
        await WaitForAsync(async () => (await provisioner.ListAsync()).Count == 0);
        Assert.Contains(_log.Lines, line => line.Contains("node-orphan ended by itself", StringComparison.Ordinal));
        Assert.Empty(Store().Nodes());
    }

    [Fact]
    public async Task A_process_that_only_has_the_id_of_a_dead_node_is_left_alone()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "The stand-ins are shell scripts.");
        NodeProcess stranger = Orphan("node-dead");
        Store().Write(stranger with { Process = stranger.Process with { Start = stranger.Process.Start + "0" } });
        using (ProcessProvisioner provisioner = Provisioner("exec sleep 60"))
        {
            await provisioner.StopAsync(["node-dead"]);
            Assert.Empty(await provisioner.ListAsync());
            Assert.Empty(Store().Nodes());
            await provisioner.ShutdownAsync();
        }

        Assert.True(stranger.Process.IsRunning);
        stranger.Process.Kill();
    }

    [Fact]
    public async Task Of_two_directors_on_a_machine_the_last_to_stop_ends_the_nodes()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "The stand-ins are shell scripts.");
        ProcessProvisioner first = Provisioner("exec sleep 60");
        using ProcessProvisioner second = Provisioner("exec sleep 60");
        await first.StartAsync(2);
        NodeProcess[] nodes = [.. Store().Nodes()];
        await first.ShutdownAsync();
        first.Dispose();
        Assert.All(nodes, node => Assert.True(node.Process.IsRunning));

        // The other one knows them, whoever scaled until now.
        Assert.Equal(nodes.Select(node => node.Id).Order(StringComparer.Ordinal), await IdsAsync(second));
        await second.ShutdownAsync();
        Assert.All(nodes, node => Assert.False(node.Process.IsRunning));
        Assert.Empty(Store().Nodes());
    }

    [Fact]
    public async Task Clusters_on_one_machine_do_not_see_each_others_nodes()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "The stand-ins are shell scripts.");
        using ProcessProvisioner one = Provisioner("exec sleep 60", records: "one");
        using ProcessProvisioner other = Provisioner("exec sleep 60", records: "other");
        await one.StartAsync(1);
        Assert.Empty(await other.ListAsync());
        await other.ShutdownAsync();
        Assert.Single(await one.ListAsync());

        string[] directories =
        [
            NodeProcessStore.DefaultDirectory("redis:6379", "key"), NodeProcessStore.DefaultDirectory("redis:6379", "other key"),
            NodeProcessStore.DefaultDirectory("redis:6380", "key"),
        ];
        Assert.Equal(3, directories.Distinct().Count());
        Assert.Equal(directories[0], NodeProcessStore.DefaultDirectory("redis:6379", "key"));
    }

    [Fact]
    public async Task Nodes_are_dealt_to_the_regions_and_a_lost_one_is_made_up_where_it_was()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "The stand-ins are shell scripts.");
        using ProcessProvisioner provisioner = Provisioner(
            "echo $TRANSCRIBE_REGION > $FOLDER/tmp-$TRANSCRIBE_NODE_ID; mv $FOLDER/tmp-$TRANSCRIBE_NODE_ID $FOLDER/$TRANSCRIBE_NODE_ID; exec sleep 60",
            regions: ["eu", "us"]);
        await provisioner.StartAsync(3);
        await provisioner.StartAsync(1);
        Assert.Equal(["eu", "eu", "us", "us"], Store().Nodes().Select(node => node.Region).Order(StringComparer.Ordinal));
        foreach (NodeProcess node in Store().Nodes())
            Assert.Equal($"{node.Region}\n", await ReadAsync(node.Id));

        Store().Nodes().First(node => node.Region == "us").Process.Kill();
        await WaitForAsync(async () => (await provisioner.ListAsync()).Count == 3);
        await provisioner.StartAsync(1);
        Assert.Equal(["eu", "eu", "us", "us"], Store().Nodes().Select(node => node.Region).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Records_are_this_users_alone_and_tell_no_secret()
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("There are no such modes.");
            return;
        }

        using ProcessProvisioner provisioner = Provisioner("exec sleep 60");
        await provisioner.StartAsync(1);
        string folder = Path.Combine(_folder, "records");
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, File.GetUnixFileMode(folder));
        string[] files = Directory.GetFiles(folder);
        Assert.Equal(2, files.Length);
        foreach (string file in files)
            Assert.DoesNotContain("secret", await File.ReadAllTextAsync(file), StringComparison.Ordinal);
    }

    [Fact]
    public void A_directory_where_others_may_write_or_that_cannot_be_made_is_refused_with_a_sentence()
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("There are no such modes.");
            return;
        }

        string open = Path.Combine(_folder, "open");
        Directory.CreateDirectory(open);
        File.SetUnixFileMode(open, (UnixFileMode)0b111_111_111);
        string file = Path.Combine(_folder, "file");
        File.WriteAllText(file, "");
        foreach (string directory in (string[])[open, file])
        {
            InvalidOperationException refused = Assert.Throws<InvalidOperationException>(() => NodeProcessStore.Open(directory));
            Assert.StartsWith($"TRANSCRIBE_PROVISIONER_DIRECTORY is \"{directory}\"", refused.Message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("""{"Id":"x","Region":"eu"}""")]
    [InlineData("""{"Id":"x","Region":"eu","Process":{"Pid":1,"Start":"now"}}""")]
    [InlineData("""{"Id":"x","Region":"eu","Process":{"Pid":-1,"Start":"now"}}""")]
    public void A_file_that_is_no_record_of_a_node_is_none(string content)
    {
        NodeProcessStore store = Store();
        File.WriteAllText(Path.Combine(_folder, "records", "node-x.json"), content);
        Assert.Empty(store.Nodes());
    }

    [Fact]
    public void A_record_under_another_nodes_name_is_none()
    {
        NodeProcessStore store = Store();
        store.Write(new NodeProcess("one", "eu", ProcessIdentity.Of(Environment.ProcessId)!, DateTimeOffset.UtcNow));
        Assert.Single(store.Nodes());
        string records = Path.Combine(_folder, "records");
        File.Move(Path.Combine(records, "node-one.json"), Path.Combine(records, "node-other.json"));
        Assert.Empty(store.Nodes());
    }

    [Fact]
    public void Files_of_random_bytes_are_no_records()
    {
        NodeProcessStore store = Store();
        string file = Path.Combine(_folder, "records", "node-x.json");
        Gen.Byte.Array[0, 200].Sample(
            bytes =>
            {
                File.WriteAllBytes(file, bytes);
                Assert.Empty(store.Nodes());
            },
            iter: 200, threads: 1);
    }

    [Fact]
    public async Task A_record_directory_that_was_tidied_away_is_made_again()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "The stand-ins are shell scripts.");
        using ProcessProvisioner provisioner = Provisioner("exec sleep 60");
        Directory.Delete(Path.Combine(_folder, "records"), recursive: true);
        Assert.Empty(await provisioner.ListAsync());
        await provisioner.StartAsync(1);
        Assert.Single(await provisioner.ListAsync());
    }
}
