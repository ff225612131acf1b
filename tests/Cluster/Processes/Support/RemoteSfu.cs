using System.Net.Sockets;
using System.Text;
using Transcribe.LocalCluster;

namespace Transcribe.Cluster.Processes.Tests.Support;

/// <summary>An SFU node on a host of a <see cref="TestNetwork"/>, in the region of its own name.</summary>
internal sealed class RemoteSfu : IAsyncDisposable
{
    private readonly ChildProcess _process;

    private RemoteSfu(string id, TestNetwork.Host host, ChildProcess process) => (Id, Host, _process) = (id, host, process);

    public string Id { get; }

    public TestNetwork.Host Host { get; }

    public static async Task<RemoteSfu> StartAsync(TestCluster cluster, TestNetwork network, TestNetwork.Host host, string id)
    {
        var environment = new Dictionary<string, string?>
        {
            ["TRANSCRIBE_REDIS"] = $"{network.Address}:{cluster.Nodes.Redis.Port}",
            ["TRANSCRIBE_CLUSTER_KEY"] = cluster.Plan.ClusterKey,
            ["TRANSCRIBE_API_KEY"] = cluster.Plan.Keys.Signing.Key,
            ["TRANSCRIBE_API_SECRET"] = cluster.Plan.Keys.Signing.Secret,
            ["TRANSCRIBE_NODE_ID"] = id,
            ["TRANSCRIBE_REGION"] = id,
            ["TRANSCRIBE_UDP_PORT"] = "0",
            ["TRANSCRIBE_ADVERTISED_ADDRESSES"] = host.Address,
        };
        foreach ((string key, string value) in cluster.Plan.Environment)
            environment[key] = value;
        var up = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        string[] command = host.Command(cluster.Plan.Executable, "sfu");
        ChildProcess process = await ChildProcess.StartAsync(command[0], command[1..], environment, line =>
        {
            cluster.Log(id, line);
            if (line.Contains(" is up", StringComparison.Ordinal))
                up.TrySetResult();
        });
        await Task.WhenAny(up.Task, process.Ended, Task.Delay(TimeSpan.FromSeconds(90)));
        Assert.True(up.Task.IsCompleted, $"{id} did not start; the log says why.");
        return new RemoteSfu(id, host, process);
    }

    /// <summary>Has Redis listen on the network too. What counts there is the cluster key.</summary>
    public static async Task OpenRedisAsync(TestCluster cluster, TestNetwork network)
    {
        using var client = new TcpClient();
        await client.ConnectAsync("127.0.0.1", cluster.Nodes.Redis.Port);
        NetworkStream stream = client.GetStream();
        byte[] answer = new byte[256];
        foreach (string command in (string[])[$"CONFIG SET bind \"127.0.0.1 {network.Address}\"", "CONFIG SET protected-mode no"])
        {
            await stream.WriteAsync(Encoding.ASCII.GetBytes(command + "\r\n"));
            int length = await stream.ReadAsync(answer);
            Assert.StartsWith("+OK", Encoding.ASCII.GetString(answer, 0, length), StringComparison.Ordinal);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _process.StopAsync(TimeSpan.FromSeconds(12));
        _process.Dispose();
    }
}
