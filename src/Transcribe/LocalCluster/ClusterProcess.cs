using System.Globalization;
using Transcribe.Cluster.Nodes;
using Transcribe.Commands;

namespace Transcribe.LocalCluster;

/// <summary>One node of a local cluster: a process that this one started, and what it said about itself.</summary>
/// <param name="variables">Of this node alone.</param>
internal sealed class ClusterProcess(
    string name, NodeRole role, string region, ClusterPlan plan, string redis, int httpPort, Action<ClusterProcess, string> log,
    IReadOnlyDictionary<string, string>? variables = null) : IClusterNode, IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(90);

    // Of this process, and not meant for its children.
    private static readonly string[] NotInherited =
    [
        "TRANSCRIBE_NODE_ID", "TRANSCRIBE_REGION", "TRANSCRIBE_HTTP_PORT", "TRANSCRIBE_HTTP_ADDRESS", "TRANSCRIBE_UDP_PORT", "TRANSCRIBE_PUBLIC_URL",
        "TRANSCRIBE_MAX_SESSIONS", "TRANSCRIBE_ADVERTISED_ADDRESSES", "TRANSCRIBE_DEV_TOKENS", "TRANSCRIBE_URL", "TRANSCRIBE_LOG_NODE", "TRANSCRIBE_STOP_AT_EOF",
    ];

    /// <summary>One for every start. Those that ended are kept: what they started may still print to their streams.</summary>
    private readonly List<ChildProcess> _generations = [];
    private int _httpPort = httpPort;

    public string Name => name;

    public NodeRole Role => role;

    public string Region => region;

    /// <summary>Another one after every start, since what the old node had is gone.</summary>
    public string NodeId => _generations.Count <= 1 ? name : $"{name}-{_generations.Count.ToString(CultureInfo.InvariantCulture)}";

    public int Id => Child.Id;

    public Uri? Url { get; private set; }

    public IReadOnlyList<int> UdpPorts { get; private set; } = [];

    public bool IsRunning => _generations.Count > 0 && Child.IsRunning;

    public Task<int> Ended => Child.Ended;

    private ChildProcess Child => _generations.Count > 0 ? _generations[^1] : throw new InvalidOperationException($"{Name} has not been started.");

    /// <summary>Starts it, for the first time or again, and waits until it says that it is up.</summary>
    /// <exception cref="CommandException">It ended, or said nothing in time.</exception>
    public async Task StartAsync(CancellationToken cancellationToken = default)
    {
        var up = new TaskCompletionSource<NodeBanner>(TaskCreationOptions.RunContinuationsAsynchronously);
        int next = _generations.Count + 1;
        string id = next == 1 ? name : $"{name}-{next.ToString(CultureInfo.InvariantCulture)}";
        ChildProcess child = await ChildProcess.StartAsync(plan.Executable, [role.ToString().ToLowerInvariant()], Variables(id), line =>
        {
            if (NodeBanner.Parse(line) is { } banner && banner.NodeId == id)
                up.TrySetResult(banner);
            log(this, line);
        });
        _generations.Add(child);
        Task first = await Task.WhenAny(up.Task, child.Ended, Task.Delay(Patience, cancellationToken));
        cancellationToken.ThrowIfCancellationRequested();
        if (first != up.Task)
            throw new CommandException(child.IsRunning ? $"{name} did not start within {Patience.TotalSeconds:0} s." : $"{name} ended at once; its lines above say why.", ExitStatus.Failed);

        NodeBanner said = await up.Task;
        Url = said.Url;
        _httpPort = said.Url?.Port ?? _httpPort;
        UdpPorts = said.UdpPorts;
    }

    public void Kill() => Child.Kill();

    public Task StopAsync(TimeSpan patience) => _generations.Count == 0 ? Task.CompletedTask : Child.StopAsync(patience);

    public void Dispose()
    {
        foreach (ChildProcess child in _generations)
            child.Dispose();
    }

    private Dictionary<string, string?> Variables(string id)
    {
        Dictionary<string, string?> all = NotInherited.ToDictionary(variable => variable, _ => (string?)null, StringComparer.Ordinal);
        all["TRANSCRIBE_REDIS"] = redis;
        all["TRANSCRIBE_CLUSTER_KEY"] = plan.ClusterKey;
        all["TRANSCRIBE_API_KEY"] = plan.Keys.Signing.Key;
        all["TRANSCRIBE_API_SECRET"] = plan.Keys.Signing.Secret;
        all["TRANSCRIBE_DEV_TOKENS"] = plan.Keys.IsDevelopment ? "1" : "0";
        all["TRANSCRIBE_NODE_ID"] = id;
        all["TRANSCRIBE_REGION"] = region;
        all["TRANSCRIBE_HTTP_ADDRESS"] = "localhost";
        all["TRANSCRIBE_HTTP_PORT"] = _httpPort.ToString(CultureInfo.InvariantCulture);
        all["TRANSCRIBE_UDP_PORT"] = "0";
        foreach ((string key, string value) in variables ?? new Dictionary<string, string>())
            all[key] = value;
        foreach ((string key, string value) in plan.Environment)
            all[key] = value;
        return all;
    }
}
