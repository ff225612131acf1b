using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Text;
using System.Text.Json;
using System.Threading.Channels;
using Transcribe.Cluster;
using Transcribe.Cluster.Nodes;
using Transcribe.Commands;
using Transcribe.Director.Nodes;

namespace Transcribe.LocalCluster;

/// <summary>
/// A whole cluster on this machine, each node a process: Redis, a director, signalling nodes and gateways, which it starts, and SFU
/// nodes, which the director starts and replaces.
/// </summary>
internal sealed class ClusterSupervisor : IAsyncDisposable
{
    private static readonly TimeSpan StopPatience = TimeSpan.FromSeconds(12);
    private static readonly TimeSpan ReadyPatience = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan RestartAfter = TimeSpan.FromSeconds(1);

    private readonly ClusterPlan _plan;
    private readonly SfuFleet _sfus = new();
    private readonly List<ClusterProcess> _processes = [];
    private readonly List<Task> _watches = [];
    private readonly CancellationTokenSource _stopping = new();

    private ClusterSupervisor(ClusterPlan plan, LocalRedis redis) => (_plan, Redis) = (plan, redis);

    /// <summary>Something died or came up that nobody asked for here: a sentence.</summary>
    public event Action<string>? Happened;

    public LocalRedis Redis { get; }

    /// <summary>All nodes: those that were started here, running or not, and the SFU nodes that are up.</summary>
    public IReadOnlyList<IClusterNode> Processes => [.. _processes.Where(p => p.Role != NodeRole.Gateway), .. _sfus.Running, .. _processes.Where(p => p.Role == NodeRole.Gateway)];

    public ClusterProcess Director => _processes.First(process => process.Role == NodeRole.Director);

    /// <summary>Where the page and the HTTP API are.</summary>
    public Uri Url => Director.Url ?? throw new InvalidOperationException("The director has not been started.");

    /// <summary>Starts everything and waits until the cluster takes sessions on all its SFU nodes.</summary>
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
            cluster.Plan(NodeRole.Gateway, plan.Gateways, log);
            await Task.WhenAll(cluster._processes.Select(process => process.StartAsync(cancellationToken)));
            await cluster.ReadyAsync(cancellationToken);
            cluster.Watch();
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    public IReadOnlyList<IClusterNode> Of(NodeRole role) => [.. Processes.Where(process => process.Role == role)];

    /// <summary>Waits until the director says that the cluster takes sessions, and that all SFU nodes are there.</summary>
    /// <exception cref="CommandException">Not within a minute, or there is no director.</exception>
    public async Task ReadyAsync(CancellationToken cancellationToken = default)
    {
        using HttpClient http = Client();
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(ReadyPatience);
        try
        {
            while (!await IsReadyAsync(http, patience.Token))
            {
                if (!Director.IsRunning)
                    throw new CommandException("The director ended; its lines above say why.", ExitStatus.Failed);
                await Task.Delay(100, patience.Token);
            }
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new CommandException(
                $"The cluster did not get ready within {ReadyPatience.TotalSeconds:0} s, with {_sfus.Running.Count} of {_plan.Sfus} SFU nodes; the lines of its processes say why.", ExitStatus.Failed);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync();

        // Who needs whom: the last words of a gateway go through signalling, SFU and Redis. The director ends its SFU nodes.
        foreach (NodeRole role in (NodeRole[])[NodeRole.Gateway, NodeRole.Signaling, NodeRole.Director])
            await Task.WhenAll(_processes.Where(process => process.Role == role).Select(process => process.StopAsync(StopPatience)));
        await Task.WhenAll(_watches);

        // Where the director was killed, its nodes are still there.
        await _sfus.StopAsync(StopPatience);
        await Redis.DisposeAsync();
        foreach (ClusterProcess process in _processes)
            process.Dispose();
        await _sfus.DisposeAsync();
        _stopping.Dispose();
    }

    private void Plan(NodeRole role, int count, Action<string, string> log)
    {
        bool director = role == NodeRole.Director;
        for (int i = 0; i < count; i++)
        {
            string name = director ? "director" : $"{role.ToString().ToLowerInvariant()}-{i + 1}";
            _processes.Add(new ClusterProcess(
                name, role, _plan.Regions[i % _plan.Regions.Count], _plan, Redis.ConnectionString, director ? _plan.HttpPort : 0,
                director ? (process, line) => HearDirector(process, line, log) : (process, line) => log(process.Name, line),
                director ? _sfus.DirectorVariables(_plan) : null));
        }
    }

    /// <summary>SFU nodes print to the director's streams, whether it still lives or not.</summary>
    private void HearDirector(ClusterProcess director, string line, Action<string, string> log)
    {
        if (NodeBanner.ReadTag(line) is not var (node, text))
        {
            log(director.Name, line);
            return;
        }

        log(node, text);
        _sfus.Hear(node, text);
    }

    private async Task<bool> IsReadyAsync(HttpClient http, CancellationToken cancellationToken)
    {
        try
        {
            using HttpResponseMessage ready = await http.GetAsync("/readyz", cancellationToken);
            if (!ready.IsSuccessStatusCode)
                return false;

            NodeList all = await http.GetFromJsonAsync<NodeList>("/v1/nodes", ClusterJson.Options, cancellationToken) ?? new NodeList([]);
            string[] announced = [.. all.Nodes.Where(node => node is { Role: NodeRole.Sfu, State: NodeState.Active }).Select(node => node.Id)];
            return _sfus.Running.Count(node => announced.Contains(node.NodeId)) >= _plan.Sfus;
        }
        catch (Exception e) when (e is HttpRequestException or JsonException || (e is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            // It listens in a moment, or Redis does.
            return false;
        }
    }

    private HttpClient Client()
    {
        var http = new HttpClient { BaseAddress = Url, Timeout = TimeSpan.FromSeconds(5) };
        string credentials = $"{_plan.Keys.Signing.Key}:{_plan.Keys.Signing.Secret}";
        http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes(credentials)));
        return http;
    }

    private void Watch()
    {
        foreach (ClusterProcess process in _processes)
            _watches.Add(WatchAsync(process));
        _sfus.Appeared += node => Tell($"{node.Name} (process {node.Id}, region {node.Region}, UDP {string.Join(", ", node.UdpPorts)}) is up");
        _sfus.Ended += node => Tell(
            $"{node.Name} (process {node.Id}) is gone; {(Director.IsRunning ? $"the director starts another where fewer than {_plan.Sfus} are left" : "there is no director to start another")}");
        _watches.Add(WatchRedisAsync());
    }

    private async Task WatchAsync(ClusterProcess process)
    {
        while (true)
        {
            int status = await process.Ended;
            if (_stopping.IsCancellationRequested)
                return;
            Tell($"{process.Name} (process {process.Id}) died with status {status}; {(_plan.Restart ? "it starts again" : "the others go on without it")}");
            if (!_plan.Restart)
                return;
            try
            {
                await Task.Delay(RestartAfter, _stopping.Token);
                await process.StartAsync(_stopping.Token);
                Tell($"{process.Name} is back as {process.NodeId} (process {process.Id})");
            }
            catch (OperationCanceledException)
            {
                return;
            }
            catch (CommandException e)
            {
                // It ended again, which the next round says; or it hangs.
                if (process.IsRunning)
                    Tell(e.Message);
            }
        }
    }

    private async Task WatchRedisAsync()
    {
        var deaths = Channel.CreateUnbounded<int>();
        Redis.Died += status => deaths.Writer.TryWrite(status);
        try
        {
            while (true)
            {
                int status = await deaths.Reader.ReadAsync(_stopping.Token);
                Tell($"redis died with status {status}; {(_plan.Restart ? "it starts again with its data" : "calls go on, and nobody can join")}");
                if (_plan.Restart)
                    await RestartRedisAsync();
            }
        }
        catch (OperationCanceledException)
        {
            return;
        }
    }

    private async Task RestartRedisAsync()
    {
        while (true)
        {
            await Task.Delay(RestartAfter, _stopping.Token);
            try
            {
                await Redis.StartAgainAsync();
                Tell($"redis is back (process {Redis.Process.Id})");
                return;
            }
            catch (CommandException e)
            {
                Tell(e.Message);
            }
        }
    }

    private void Tell(string sentence)
    {
        if (!_stopping.IsCancellationRequested)
            Happened?.Invoke(sentence);
    }
}
