using System.Globalization;
using System.Text.RegularExpressions;
using Transcribe.Cluster.Nodes;
using Transcribe.Commands;

namespace Transcribe.LocalCluster;

/// <summary>One node of a local cluster: a process, and what it said about itself.</summary>
internal sealed partial class ClusterProcess(string name, NodeRole role, string region, ClusterPlan plan, string redis, int httpPort, Action<ClusterProcess, string> log)
    : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(90);

    // Of this process, and not meant for its children.
    private static readonly string[] NotInherited =
    [
        "TRANSCRIBE_NODE_ID", "TRANSCRIBE_REGION", "TRANSCRIBE_HTTP_PORT", "TRANSCRIBE_HTTP_ADDRESS", "TRANSCRIBE_UDP_PORT", "TRANSCRIBE_PUBLIC_URL",
        "TRANSCRIBE_MAX_SESSIONS", "TRANSCRIBE_ADVERTISED_ADDRESSES", "TRANSCRIBE_DEV_TOKENS", "TRANSCRIBE_URL",
    ];

    private ChildProcess? _process;
    private int _generation;
    private int _httpPort = httpPort;

    public string Name => name;

    public NodeRole Role => role;

    public string Region => region;

    /// <summary>The node's id in the cluster: another one after every start, since what the old node had is gone.</summary>
    public string NodeId => _generation <= 1 ? name : $"{name}-{_generation.ToString(CultureInfo.InvariantCulture)}";

    public int Id => Child.Id;

    /// <summary>Its HTTP; every process of a local cluster has one.</summary>
    public Uri Url { get; private set; } = new("http://127.0.0.1");

    /// <summary>Of an SFU node.</summary>
    public IReadOnlyList<int> UdpPorts { get; private set; } = [];

    public bool IsRunning => _process is { IsRunning: true };

    public Task<int> Ended => Child.Ended;

    private ChildProcess Child => _process ?? throw new InvalidOperationException($"{Name} has not been started.");

    /// <summary>Starts it, for the first time or again, and waits until it says that it is up.</summary>
    /// <exception cref="CommandException">It ended, or said nothing in time.</exception>
    public async Task StartAsync(CancellationToken cancellationToken = default)
    {
        _generation++;
        var up = new TaskCompletionSource<Match>(TaskCreationOptions.RunContinuationsAsynchronously);
        _process?.Dispose();
        _process = await ChildProcess.StartAsync(plan.Executable, [role.ToString().ToLowerInvariant()], Variables(), line =>
        {
            Match banner = Banner().Match(line);
            if (banner.Success)
                up.TrySetResult(banner);
            log(this, line);
        });
        Task first = await Task.WhenAny(up.Task, _process.Ended, Task.Delay(Patience, cancellationToken));
        cancellationToken.ThrowIfCancellationRequested();
        if (first != up.Task)
            throw new CommandException(_process.IsRunning ? $"{name} did not start within {Patience.TotalSeconds:0} s." : $"{name} ended at once; its lines above say why.", ExitStatus.Failed);

        Match said = await up.Task;
        Url = new Uri(said.Groups["url"].Value);
        _httpPort = Url.Port;
        UdpPorts = [.. said.Groups["udp"].Value.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Select(p => int.Parse(p, CultureInfo.InvariantCulture))];
    }

    public void Kill() => Child.Kill();

    public Task StopAsync(TimeSpan patience) => _process is null ? Task.CompletedTask : _process.StopAsync(patience);

    public void Dispose() => _process?.Dispose();

    private Dictionary<string, string?> Variables()
    {
        Dictionary<string, string?> variables = NotInherited.ToDictionary(variable => variable, _ => (string?)null, StringComparer.Ordinal);
        variables["TRANSCRIBE_REDIS"] = redis;
        variables["TRANSCRIBE_CLUSTER_KEY"] = plan.ClusterKey;
        variables["TRANSCRIBE_API_KEY"] = plan.Keys.Signing.Key;
        variables["TRANSCRIBE_API_SECRET"] = plan.Keys.Signing.Secret;
        variables["TRANSCRIBE_DEV_TOKENS"] = plan.Keys.IsDevelopment ? "1" : "0";
        variables["TRANSCRIBE_NODE_ID"] = NodeId;
        variables["TRANSCRIBE_REGION"] = region;
        variables["TRANSCRIBE_HTTP_ADDRESS"] = "localhost";
        variables["TRANSCRIBE_HTTP_PORT"] = _httpPort.ToString(CultureInfo.InvariantCulture);
        variables["TRANSCRIBE_UDP_PORT"] = "0";
        foreach ((string key, string value) in plan.Environment)
            variables[key] = value;
        return variables;
    }

    // RoleHost.Banner
    [GeneratedRegex(@"^\w+ node \S+ \(region [^)]*\) is up(, HTTP at (?<url>[^,\s]+))?(, media on UDP (?<udp>[\d, ]+))?$")]
    private static partial Regex Banner();
}
