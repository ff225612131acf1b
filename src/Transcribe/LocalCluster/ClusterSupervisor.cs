using Transcribe.Cluster.Nodes;
using Transcribe.Commands;

namespace Transcribe.LocalCluster;

/// <summary>A whole cluster on this machine, each node a process: Redis, a director, signalling nodes, SFU nodes, gateways.</summary>
internal sealed class ClusterSupervisor : IAsyncDisposable
{
    private static readonly TimeSpan StopPatience = TimeSpan.FromSeconds(12);

    private readonly ClusterPlan _plan;
    private readonly List<ClusterProcess> _processes = [];
    private readonly List<Task> _watches = [];
    private readonly CancellationTokenSource _stopping = new();

    private ClusterSupervisor(ClusterPlan plan, LocalRedis redis) => (_plan, Redis) = (plan, redis);

    /// <summary>A process ended without having been told to; with its exit status, and whether it will be started again.</summary>
    public event Action<ClusterProcess, int>? Died;

    /// <summary>A process that died is up again.</summary>
    public event Action<ClusterProcess>? Restarted;

    public LocalRedis Redis { get; }

    public IReadOnlyList<ClusterProcess> Processes => _processes;

    public ClusterProcess Director => Of(NodeRole.Director)[0];

    /// <summary>Where the page and the HTTP API are.</summary>
    public Uri Url => Director.Url;

    /// <summary>Starts everything and waits until the cluster takes sessions.</summary>
    /// <param name="log">Told every line that a process prints, with the process's name.</param>
    /// <exception cref="CommandException">Something did not start; everything is stopped again.</exception>
    public static async Task<ClusterSupervisor> StartAsync(ClusterPlan plan, Action<string, string> log, CancellationToken cancellationToken = default)
    {
        LocalRedis redis = await LocalRedis.StartAsync();
        var cluster = new ClusterSupervisor(plan, redis);
        try
        {
            cluster.Plan(NodeRole.Director, 1, log);
            cluster.Plan(NodeRole.Signaling, plan.Signaling, log);
            cluster.Plan(NodeRole.Sfu, plan.Sfus, log);
            cluster.Plan(NodeRole.Gateway, plan.Gateways, log);
            await Task.WhenAll(cluster._processes.Select(process => process.StartAsync(cancellationToken)));
            await cluster.ReadyAsync(cancellationToken);
            foreach (ClusterProcess process in cluster._processes)
                cluster._watches.Add(cluster.WatchAsync(process));
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    public IReadOnlyList<ClusterProcess> Of(NodeRole role) => [.. _processes.Where(process => process.Role == role)];

    /// <summary>Waits until the director says that the cluster takes sessions.</summary>
    public async Task ReadyAsync(CancellationToken cancellationToken = default)
    {
        using var http = new HttpClient { BaseAddress = Url, Timeout = TimeSpan.FromSeconds(5) };
        for (int i = 0; i < 300; i++)
        {
            try
            {
                using HttpResponseMessage ready = await http.GetAsync("/readyz", cancellationToken);
                if (ready.IsSuccessStatusCode)
                    return;
            }
            catch (HttpRequestException)
            {
                // It listens in a moment.
            }

            await Task.Delay(100, cancellationToken);
        }

        throw new CommandException("The cluster did not get ready within 30 s; the lines of its processes say why.", ExitStatus.Failed);
    }

    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync();

        // Who needs whom: the last words of a gateway go through signalling, SFU and Redis.
        NodeRole[][] order = [[NodeRole.Gateway], [NodeRole.Director, NodeRole.Signaling], [NodeRole.Sfu]];
        foreach (NodeRole[] roles in order)
            await Task.WhenAll(_processes.Where(process => roles.Contains(process.Role)).Select(process => process.StopAsync(StopPatience)));
        await Task.WhenAll(_watches);
        await Redis.DisposeAsync();
        foreach (ClusterProcess process in _processes)
            process.Dispose();
        _stopping.Dispose();
    }

    private void Plan(NodeRole role, int count, Action<string, string> log)
    {
        for (int i = 0; i < count; i++)
        {
            string name = count == 1 && role == NodeRole.Director ? "director" : $"{role.ToString().ToLowerInvariant()}-{i + 1}";
            _processes.Add(new ClusterProcess(
                name, role, _plan.Regions[i % _plan.Regions.Count], _plan, Redis.ConnectionString, role == NodeRole.Director ? _plan.HttpPort : 0,
                (process, line) => log(process.Name, line)));
        }
    }

    private async Task WatchAsync(ClusterProcess process)
    {
        while (true)
        {
            int status = await process.Ended;
            if (_stopping.IsCancellationRequested)
                return;
            Died?.Invoke(process, status);
            if (!_plan.Restart)
                return;
            try
            {
                await Task.Delay(TimeSpan.FromSeconds(1), _stopping.Token);
                await process.StartAsync(_stopping.Token);
                Restarted?.Invoke(process);
            }
            catch (OperationCanceledException)
            {
                return;
            }
            catch (CommandException)
            {
                // It ended again: the next round says so.
            }
        }
    }
}
