using Docker.DotNet;
using Docker.DotNet.Models;
using Microsoft.Extensions.Logging;

namespace Transcribe.Director.Provisioning;

/// <summary>
/// SFU nodes as containers of one Docker engine. Its labels say which are ours, so that they outlive this Director and another one finds them.
/// </summary>
internal sealed partial class DockerProvisioner : INodeProvisioner, IDisposable
{
    internal const string FleetLabel = "org.transcribe.fleet";
    internal const string NodeLabel = "org.transcribe.node";

    private readonly ProvisioningOptions _options;
    private readonly ILogger<DockerProvisioner> _log;
    private readonly DockerClientConfiguration _configuration;
    private readonly DockerClient _client;

    public DockerProvisioner(ProvisioningOptions options, ILogger<DockerProvisioner> log)
    {
        (_options, _log) = (options, log);
        _configuration = new DockerClientConfiguration(new Uri(options.DockerHost), defaultTimeout: System.Threading.Timeout.InfiniteTimeSpan);
        _client = _configuration.CreateClient();
    }

    public string Name => ProvisioningOptions.Docker;

    public bool HealsItself => false;

    public async ValueTask<IReadOnlyList<ProvisionedNode>> ListAsync(CancellationToken cancellationToken = default)
    {
        IList<ContainerListResponse> containers = await ContainersAsync(cancellationToken);
        var running = new List<ProvisionedNode>();
        foreach (ContainerListResponse container in containers)
        {
            if (!container.Labels.TryGetValue(NodeLabel, out string? id))
                continue;

            if (container.State is "exited" or "dead")
            {
                LogExited(id, container.Status);
                await RemoveAsync(container.ID, id, cancellationToken);
            }
            else if (container.State is not "removing")
            {
                running.Add(new ProvisionedNode(id, new DateTimeOffset(DateTime.SpecifyKind(container.Created, DateTimeKind.Utc))));
            }
        }

        return running;
    }

    public async ValueTask StartAsync(int count, CancellationToken cancellationToken = default)
    {
        for (int i = 0; i < count; i++)
            await StartOneAsync(NodeIds.Create(_options.NodePrefix), cancellationToken);
    }

    public async ValueTask StopAsync(IReadOnlyList<string> ids, CancellationToken cancellationToken = default)
    {
        IList<ContainerListResponse> containers = await ContainersAsync(cancellationToken);
        await Task.WhenAll(containers
            .Where(container => container.Labels.TryGetValue(NodeLabel, out string? id) && ids.Contains(id))
            .Select(container => StopOneAsync(container.ID, container.Labels[NodeLabel], cancellationToken)));
    }

    public void Dispose()
    {
        _client.Dispose();
        _configuration.Dispose();
    }

    private async Task StartOneAsync(string id, CancellationToken cancellationToken)
    {
        var wanted = new CreateContainerParameters
        {
            Name = id,
            Image = _options.DockerImage,
            Cmd = [.. _options.Arguments],
            Labels = new Dictionary<string, string>(StringComparer.Ordinal) { [FleetLabel] = _options.NodePrefix, [NodeLabel] = id },
            Env =
            [
                .. _options.NodeEnvironment.Select(variable => $"{variable.Key}={variable.Value}"), $"TRANSCRIBE_NODE_ID={id}", "TRANSCRIBE_UDP_PORT=0",
            ],
            HostConfig = new HostConfig { NetworkMode = _options.DockerNetwork, Init = true },
        };
        CreateContainerResponse created = await AskAsync("create a container", token => _client.Containers.CreateContainerAsync(wanted, token), cancellationToken);
        try
        {
            await AskAsync("start a container", token => _client.Containers.StartContainerAsync(created.ID, new ContainerStartParameters(), token), cancellationToken);
        }
        catch (ProvisioningException)
        {
            // Nothing is left behind that would be taken for a node.
            await RemoveAsync(created.ID, id, cancellationToken);
            throw;
        }

        LogStarted(id);
    }

    private async Task StopOneAsync(string container, string id, CancellationToken cancellationToken)
    {
        var wanted = new ContainerStopParameters { WaitBeforeKillSeconds = (uint)Math.Max(1, _options.Timeout.TotalSeconds) };
        try
        {
            // The engine answers when the container has ended, killed at last.
            await AskAsync("stop a container", token => _client.Containers.StopContainerAsync(container, wanted, token), cancellationToken, waits: true);
        }
        catch (ProvisioningException e) when (e.InnerException is DockerContainerNotFoundException)
        {
            return;
        }

        await RemoveAsync(container, id, cancellationToken);
    }

    private async Task RemoveAsync(string container, string id, CancellationToken cancellationToken)
    {
        try
        {
            await AskAsync(
                "remove a container",
                async token =>
                {
                    await _client.Containers.RemoveContainerAsync(container, new ContainerRemoveParameters { Force = true }, token);
                    return true;
                },
                cancellationToken);
        }
        catch (ProvisioningException e)
        {
            // Gone, or being removed already (409); else it is found again with the next list.
            LogNotRemoved(id, e.Message);
        }
    }

    private Task<IList<ContainerListResponse>> ContainersAsync(CancellationToken cancellationToken)
    {
        var wanted = new ContainersListParameters
        {
            All = true,
            Filters = new Dictionary<string, IDictionary<string, bool>>(StringComparer.Ordinal)
            {
                ["label"] = new Dictionary<string, bool>(StringComparer.Ordinal) { [$"{FleetLabel}={_options.NodePrefix}"] = true },
            },
        };
        return AskAsync("list containers", token => _client.Containers.ListContainersAsync(wanted, token), cancellationToken);
    }

    /// <param name="waits">The engine takes its time: as long as a container may take to end.</param>
    private async Task<T> AskAsync<T>(string what, Func<CancellationToken, Task<T>> ask, CancellationToken cancellationToken, bool waits = false)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(waits ? _options.Timeout * 2 : _options.Timeout);
        try
        {
            return await ask(patience.Token);
        }
        catch (DockerApiException e)
        {
            throw new ProvisioningException($"Docker at {_options.DockerHost} refused to {what}: {(int)e.StatusCode} {e.StatusCode}. Its log says more.", e);
        }
        catch (OperationCanceledException e) when (!cancellationToken.IsCancellationRequested)
        {
            throw new ProvisioningException($"Docker at {_options.DockerHost} did not {what} in time. Is it overloaded?", e);
        }
        catch (Exception e) when (e is HttpRequestException or IOException or System.Net.Sockets.SocketException or TimeoutException)
        {
            throw new ProvisioningException($"Docker at {_options.DockerHost} cannot be reached: {e.Message}", e);
        }
    }

    [LoggerMessage(4221, LogLevel.Information, "SFU node {Node} is a container")]
    private partial void LogStarted(string node);

    [LoggerMessage(4222, LogLevel.Warning, "The container of SFU node {Node} ended by itself: {Status}")]
    private partial void LogExited(string node, string status);

    [LoggerMessage(4223, LogLevel.Warning, "The container of SFU node {Node} is not removed yet: {Reason}")]
    private partial void LogNotRemoved(string node, string reason);
}
