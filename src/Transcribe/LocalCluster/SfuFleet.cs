using System.Collections.Concurrent;
using System.Globalization;
using Transcribe.Cluster.Nodes;
using Transcribe.Director.Provisioning;

namespace Transcribe.LocalCluster;

/// <summary>An SFU node that the director of a local cluster started.</summary>
internal sealed class SfuProcess(NodeProcess node, IReadOnlyList<int> udpPorts) : IClusterNode
{
    public string Name => node.Id;

    public NodeRole Role => NodeRole.Sfu;

    public string Region => node.Region;

    public string NodeId => node.Id;

    public int Id => node.Process.Pid;

    public Uri? Url => null;

    public IReadOnlyList<int> UdpPorts => udpPorts;

    public bool IsRunning => node.Process.IsRunning;

    public void Kill() => node.Process.Kill();
}

/// <summary>
/// The SFU nodes of a local cluster, which come and go as its director wants: known by the director's records of their processes, and by
/// what they print.
/// </summary>
internal sealed class SfuFleet : IAsyncDisposable
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(100);

    private readonly string _directory = Directory.CreateTempSubdirectory("transcribe-nodes-").FullName;
    private readonly NodeProcessStore _store;
    private readonly ConcurrentDictionary<string, NodeBanner> _banners = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, SfuProcess> _running = new(StringComparer.Ordinal);
    private readonly CancellationTokenSource _stopping = new();
    private readonly Task _watching;

    public SfuFleet()
    {
        _store = NodeProcessStore.Open(_directory);
        _watching = WatchAsync();
    }

    /// <summary>A node is up.</summary>
    public event Action<SfuProcess>? Appeared;

    /// <summary>A node's process has ended, whoever ended it.</summary>
    public event Action<SfuProcess>? Ended;

    /// <summary>The nodes that are up.</summary>
    public IReadOnlyList<SfuProcess> Running => [.. _running.Values.Where(node => node.IsRunning).OrderBy(node => node.Name, StringComparer.Ordinal)];

    /// <summary>What the director is told of them.</summary>
    public Dictionary<string, string> DirectorVariables(ClusterPlan plan)
    {
        var variables = new Dictionary<string, string>(StringComparer.Ordinal)
        {
            ["TRANSCRIBE_PROVISIONER"] = ProvisioningOptions.Process,
            ["TRANSCRIBE_PROVISIONER_DIRECTORY"] = _directory,
            ["TRANSCRIBE_PROVISIONER_REGIONS"] = string.Join(',', plan.Regions),
            ["TRANSCRIBE_MIN_NODES"] = plan.Sfus.ToString(CultureInfo.InvariantCulture),
            ["TRANSCRIBE_MAX_NODES"] = (plan.MaxSfus ?? (plan.Sfus + 2)).ToString(CultureInfo.InvariantCulture),

            // On one machine nobody is late, and people wait.
            ["TRANSCRIBE_SCALE_UP_SECONDS"] = "1",

            // Of the director and of its nodes: they inherit the stream, and it is ours.
            ["TRANSCRIBE_STOP_AT_EOF"] = "1",
        };
        if (plan.SessionsPerSfu is { } sessions)
            variables["TRANSCRIBE_MAX_SESSIONS"] = sessions.ToString(CultureInfo.InvariantCulture);
        return variables;
    }

    /// <summary>Hears what a node prints.</summary>
    public void Hear(string nodeId, string line)
    {
        if (NodeBanner.Parse(line) is { } banner && banner.NodeId == nodeId)
            _banners[nodeId] = banner;
    }

    /// <summary>Ends what the director left running, and forgets it.</summary>
    public async Task StopAsync(TimeSpan patience)
    {
        await _stopping.CancelAsync();
        await _watching;
        await Task.WhenAll(_store.Nodes().Select(node => EndAsync(node.Process, patience)));
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync(TimeSpan.Zero);
        Directory.Delete(_directory, recursive: true);
        _stopping.Dispose();
    }

    private static async Task EndAsync(ProcessIdentity process, TimeSpan patience)
    {
        process.Terminate();
        using var waiting = new CancellationTokenSource(patience);
        await process.WaitForEndAsync(waiting.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        process.Kill();
    }

    private async Task WatchAsync()
    {
        while (!_stopping.IsCancellationRequested)
        {
            // A record may be gone as soon as its process is: who was known is asked himself.
            foreach (SfuProcess node in _running.Values.Where(node => !node.IsRunning))
            {
                if (_running.TryRemove(node.NodeId, out _))
                    Ended?.Invoke(node);
            }

            foreach (NodeProcess record in _store.Nodes())
            {
                if (!_running.ContainsKey(record.Id) && record.Process.IsRunning && _banners.TryGetValue(record.Id, out NodeBanner? banner))
                {
                    var node = new SfuProcess(record, banner.UdpPorts);
                    _running[record.Id] = node;
                    Appeared?.Invoke(node);
                }
            }

            await Task.Delay(Poll, _stopping.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }
}
