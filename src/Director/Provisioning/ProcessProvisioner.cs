using System.Collections.Concurrent;
using System.ComponentModel;
using System.Diagnostics;
using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;

namespace Transcribe.Director.Provisioning;

/// <summary>
/// SFU nodes as processes of this machine, children of this Director. It knows only what it started itself, and ends that when it stops;
/// where it is killed they go on, as nodes that nobody scales.
/// </summary>
internal sealed partial class ProcessProvisioner(ProvisioningOptions options, TimeProvider time, ILogger<ProcessProvisioner> log) : INodeProvisioner, IDisposable
{
    private const int SigTerm = 15;

    /// <summary>What a media node has no use for, and so does not get.</summary>
    private static readonly string[] Withheld =
        ["TRANSCRIBE_API_KEY", "TRANSCRIBE_API_SECRET", "TRANSCRIBE_HTTP_PORT", "TRANSCRIBE_HTTP_ADDRESS", "TRANSCRIBE_PUBLIC_URL", "TRANSCRIBE_PROVISIONER"];

    private readonly ConcurrentDictionary<string, (Process Process, DateTimeOffset StartedAt)> _children = new(StringComparer.Ordinal);

    public string Name => ProvisioningOptions.Process;

    public bool HealsItself => false;

    public ValueTask<IReadOnlyList<ProvisionedNode>> ListAsync(CancellationToken cancellationToken = default)
    {
        foreach ((string id, (Process process, _)) in _children)
        {
            if (process.HasExited && _children.TryRemove(id, out _))
            {
                LogExited(id, process.ExitCode);
                process.Dispose();
            }
        }

        return ValueTask.FromResult<IReadOnlyList<ProvisionedNode>>([.. _children.Select(child => new ProvisionedNode(child.Key, child.Value.StartedAt))]);
    }

    public ValueTask StartAsync(int count, CancellationToken cancellationToken = default)
    {
        for (int i = 0; i < count; i++)
        {
            string id = NodeIds.Create(options.NodePrefix);
            ProcessStartInfo start = Describe(id);
            try
            {
                Process process = Process.Start(start) ?? throw new ProvisioningException($"\"{start.FileName}\" did not start.");
                _children[id] = (process, time.GetUtcNow());
                LogStarted(id, process.Id);
            }
            catch (Exception e) when (e is Win32Exception or IOException)
            {
                throw new ProvisioningException($"\"{start.FileName}\" cannot be started: {e.Message}", e);
            }
        }

        return ValueTask.CompletedTask;
    }

    public async ValueTask StopAsync(IReadOnlyList<string> ids, CancellationToken cancellationToken = default) =>
        await Task.WhenAll(ids.Select(id => EndAsync(id, cancellationToken)));

    public async ValueTask ShutdownAsync(CancellationToken cancellationToken = default) =>
        await StopAsync([.. _children.Keys], cancellationToken);

    /// <summary>Whatever was not ended yet is ended the hard way.</summary>
    public void Dispose()
    {
        foreach (string id in _children.Keys)
        {
            if (_children.TryRemove(id, out (Process Process, DateTimeOffset) child))
            {
                Kill(child.Process);
                child.Process.Dispose();
            }
        }
    }

    private ProcessStartInfo Describe(string id)
    {
        // Standard streams are inherited: nothing has to be pumped, and nothing breaks when this Director is gone.
        var start = new ProcessStartInfo { UseShellExecute = false };
        (start.FileName, string? assembly) = Program();
        if (assembly is not null)
            start.ArgumentList.Add(assembly);

        foreach (string argument in options.Arguments)
            start.ArgumentList.Add(argument);

        foreach (string name in Withheld)
            start.Environment.Remove(name);

        foreach ((string name, string value) in options.NodeEnvironment)
            start.Environment[name] = value;

        start.Environment["TRANSCRIBE_NODE_ID"] = id;
        start.Environment["TRANSCRIBE_UDP_PORT"] = "0";
        return start;
    }

    /// <summary>This program; its assembly as well where it runs under "dotnet".</summary>
    private (string File, string? Assembly) Program()
    {
        if (options.Executable is { } own)
            return (own, null);

        string path = Environment.ProcessPath ?? throw new ProvisioningException("The path of this program is not known; set Provisioning:Executable.");
        bool shared = Path.GetFileNameWithoutExtension(path).Equals("dotnet", StringComparison.OrdinalIgnoreCase);
        return (path, shared ? Environment.GetCommandLineArgs()[0] : null);
    }

    private async Task EndAsync(string id, CancellationToken cancellationToken)
    {
        if (!_children.TryRemove(id, out (Process Process, DateTimeOffset) child))
            return;

        using Process process = child.Process;
        if (process.HasExited)
            return;

        // SIGTERM: the node tells the cluster that it goes.
        if (!OperatingSystem.IsWindows() && SendSignal(process.Id, SigTerm) == 0)
        {
            using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            patience.CancelAfter(options.Timeout);
            try
            {
                await process.WaitForExitAsync(patience.Token);
                return;
            }
            catch (OperationCanceledException)
            {
                LogKilled(id, options.Timeout.TotalSeconds);
            }
        }

        Kill(process);
        await process.WaitForExitAsync(CancellationToken.None).WaitAsync(options.Timeout, CancellationToken.None).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private static void Kill(Process process)
    {
        try
        {
            process.Kill(entireProcessTree: true);
        }
        catch (InvalidOperationException)
        {
            // It ended by itself meanwhile: that is what was wanted.
            return;
        }
    }

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int SendSignal(int pid, int signal);

    [LoggerMessage(4211, LogLevel.Information, "SFU node {Node} is process {Pid}")]
    private partial void LogStarted(string node, int pid);

    [LoggerMessage(4212, LogLevel.Warning, "The process of SFU node {Node} ended by itself, with exit code {Code}")]
    private partial void LogExited(string node, int code);

    [LoggerMessage(4213, LogLevel.Warning, "SFU node {Node} did not end within {Seconds} s and was killed")]
    private partial void LogKilled(string node, double seconds);
}
