using System.Collections.Concurrent;
using System.ComponentModel;
using System.Diagnostics;
using Microsoft.Extensions.Logging;

namespace Transcribe.Director.Provisioning;

/// <summary>
/// SFU nodes as processes of this machine. They outlive a Director that is killed: the next one on the machine, or another that runs
/// there, knows them by the records of <see cref="NodeProcessStore"/> and goes on with them. The last Director that stops ends them.
/// </summary>
internal sealed partial class ProcessProvisioner : INodeProvisioner, IDisposable
{
    /// <summary>What a media node has no use for, and so does not get.</summary>
    private static readonly string[] Withheld =
    [
        "TRANSCRIBE_API_KEY", "TRANSCRIBE_API_SECRET", "TRANSCRIBE_DEV_TOKENS", "TRANSCRIBE_HTTP_PORT", "TRANSCRIBE_HTTP_ADDRESS",
        "TRANSCRIBE_PUBLIC_URL", "TRANSCRIBE_PROVISIONER",
    ];

    private readonly ProvisioningOptions _options;
    private readonly NodeProcessStore _store;
    private readonly TimeProvider _time;
    private readonly ILogger<ProcessProvisioner> _log;
    private readonly string _director;

    /// <summary>Started by this Director: their exit codes can be told.</summary>
    private readonly ConcurrentDictionary<string, Process> _children = new(StringComparer.Ordinal);
    private readonly HashSet<string> _known = new(StringComparer.Ordinal);
    private bool _withdrawn;

    public ProcessProvisioner(ProvisioningOptions options, NodeProcessStore store, TimeProvider time, ILogger<ProcessProvisioner> log)
    {
        (_options, _store, _time, _log) = (options, store, time, log);
        _director = store.AddDirector();
    }

    public string Name => ProvisioningOptions.Process;

    public bool HealsItself => false;

    public async ValueTask<IReadOnlyList<ProvisionedNode>> ListAsync(CancellationToken cancellationToken = default) =>
        [.. (await RunningAsync()).Select(node => new ProvisionedNode(node.Id, node.StartedAt))];

    public async ValueTask StartAsync(int count, CancellationToken cancellationToken = default)
    {
        List<string> regions = [.. (await RunningAsync()).Select(node => node.Region)];
        for (int i = 0; i < count; i++)
        {
            // Where the fewest are, in the order of the list.
            string? region = _options.Regions.MinBy(candidate => regions.Count(other => other == candidate));
            StartOne(NodeIds.Create(_options.NodePrefix), region);
            regions.Add(region ?? "");
        }
    }

    public async ValueTask StopAsync(IReadOnlyList<string> ids, CancellationToken cancellationToken = default) =>
        await Task.WhenAll(Ask(_store.Nodes).Where(node => ids.Contains(node.Id)).Select(node => EndAsync(node, cancellationToken)));

    public async ValueTask ShutdownAsync(CancellationToken cancellationToken = default)
    {
        // Of two that stop together, the one that withdraws last sees no other.
        bool left = Withdraw();
        NodeProcess[] nodes = [.. Ask(_store.Nodes).Where(node => node.Process.IsRunning)];
        if (!left)
            await Task.WhenAll(nodes.Select(node => EndAsync(node, cancellationToken)));
        else if (nodes.Length > 0)
            LogLeft(string.Join(", ", nodes.Select(node => node.Id)));
    }

    /// <summary>Not shut down properly: what this Director started itself, and nobody else looks after, is ended the hard way.</summary>
    public void Dispose()
    {
        bool end = !_withdrawn && !Withdraw();
        foreach ((string id, Process child) in _children)
        {
            if (end && !child.HasExited)
            {
                child.Kill(entireProcessTree: true);
                _store.Remove(id);
            }

            child.Dispose();
        }

        _children.Clear();
    }

    private async ValueTask<List<NodeProcess>> RunningAsync()
    {
        var running = new List<NodeProcess>();
        foreach (NodeProcess node in Ask(_store.Nodes))
        {
            if (!node.Process.IsRunning)
            {
                LogExited(node.Id, await ExitOf(node.Id) is { } code ? $"with exit code {code}" : "without this Director seeing how");
                Forget(node.Id);
                continue;
            }

            if (_known.Add(node.Id))
                LogAdopted(node.Id, node.Process.Pid);
            running.Add(node);
        }

        return running;
    }

    private void StartOne(string id, string? region)
    {
        ProcessStartInfo start = Describe(id, region);
        Process process;
        try
        {
            process = Process.Start(start) ?? throw new ProvisioningException($"\"{start.FileName}\" did not start.");
        }
        catch (Exception e) when (e is Win32Exception or IOException)
        {
            throw new ProvisioningException($"\"{start.FileName}\" cannot be started: {e.Message}", e);
        }

        try
        {
            // One that has ended already is found out with the next list.
            ProcessIdentity identity = ProcessIdentity.Of(process.Id) ?? new ProcessIdentity(process.Id, "ended");
            _children[id] = process;
            _known.Add(id);
            _store.Write(new NodeProcess(id, region ?? "", identity, _time.GetUtcNow()));
            LogStarted(id, process.Id);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Nothing is left behind that nobody knows.
            process.Kill();
            Forget(id);
            throw new ProvisioningException($"SFU node {id} cannot be recorded: {e.Message}", e);
        }
    }

    private ProcessStartInfo Describe(string id, string? region)
    {
        // Standard streams are inherited: nothing has to be pumped, and nothing breaks when this Director is gone.
        var start = new ProcessStartInfo { UseShellExecute = false };
        (start.FileName, string? assembly) = Program();
        if (assembly is not null)
            start.ArgumentList.Add(assembly);

        foreach (string argument in _options.Arguments)
            start.ArgumentList.Add(argument);

        foreach (string name in Withheld)
            start.Environment.Remove(name);

        foreach ((string name, string value) in _options.NodeEnvironment)
            start.Environment[name] = value;

        if (region is not null)
            start.Environment["TRANSCRIBE_REGION"] = region;
        start.Environment["TRANSCRIBE_NODE_ID"] = id;
        start.Environment["TRANSCRIBE_UDP_PORT"] = "0";

        // Several write to the same streams.
        start.Environment["TRANSCRIBE_LOG_NODE"] = "1";
        return start;
    }

    /// <summary>This program; its assembly as well where it runs under "dotnet".</summary>
    private (string File, string? Assembly) Program()
    {
        if (_options.Executable is { } own)
            return (own, null);

        string path = Environment.ProcessPath ?? throw new ProvisioningException("The path of this program is not known; set Provisioning:Executable.");
        bool shared = Path.GetFileNameWithoutExtension(path).Equals("dotnet", StringComparison.OrdinalIgnoreCase);
        return (path, shared ? Environment.GetCommandLineArgs()[0] : null);
    }

    private async Task EndAsync(NodeProcess node, CancellationToken cancellationToken)
    {
        // SIGTERM: the node tells the cluster that it goes.
        if (node.Process.Terminate() && !await HasEndedAsync(node, cancellationToken))
            LogKilled(node.Id, _options.Timeout.TotalSeconds);

        node.Process.Kill();
        if (!await HasEndedAsync(node, CancellationToken.None))
            throw new ProvisioningException($"SFU node {node.Id}, process {node.Process.Pid}, cannot be ended. Is it another user's?");

        await ExitOf(node.Id);
        Forget(node.Id);
    }

    private async Task<bool> HasEndedAsync(NodeProcess node, CancellationToken cancellationToken)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(_options.Timeout);
        await node.Process.WaitForEndAsync(patience.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return !node.Process.IsRunning;
    }

    /// <summary>Null of a process that another Director started.</summary>
    private async Task<int?> ExitOf(string id)
    {
        if (!_children.TryGetValue(id, out Process? child))
            return null;

        // It has ended; that it is also taken note of is a matter of moments.
        await child.WaitForExitAsync().WaitAsync(_options.Timeout).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return child.HasExited ? child.ExitCode : null;
    }

    private void Forget(string id)
    {
        Ask(() =>
        {
            _store.Remove(id);
            return true;
        });
        if (_children.TryRemove(id, out Process? child))
            child.Dispose();
    }

    /// <returns>Whether another Director of this machine goes on with the nodes.</returns>
    private bool Withdraw()
    {
        _withdrawn = true;
        return Ask(() => _store.RemoveDirector(_director));
    }

    private static T Ask<T>(Func<T> ask)
    {
        try
        {
            return ask();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ProvisioningException($"The records of SFU nodes cannot be used: {e.Message}", e);
        }
    }

    [LoggerMessage(4211, LogLevel.Information, "SFU node {Node} is process {Pid}")]
    private partial void LogStarted(string node, int pid);

    [LoggerMessage(4212, LogLevel.Warning, "The process of SFU node {Node} ended by itself, {How}")]
    private partial void LogExited(string node, string how);

    [LoggerMessage(4213, LogLevel.Warning, "SFU node {Node} did not end within {Seconds} s and was killed")]
    private partial void LogKilled(string node, double seconds);

    [LoggerMessage(4214, LogLevel.Information, "SFU node {Node}, process {Pid}, was started by another Director and is looked after by this one")]
    private partial void LogAdopted(string node, int pid);

    [LoggerMessage(4215, LogLevel.Information, "Another Director of this machine goes on with SFU nodes {Nodes}")]
    private partial void LogLeft(string nodes);
}
