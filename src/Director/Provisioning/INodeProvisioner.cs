using Transcribe.Cluster.Nodes;

namespace Transcribe.Director.Provisioning;

/// <summary>A node that a provisioner started, whether it announced itself yet or not.</summary>
/// <param name="Id">As it announces itself.</param>
public sealed record ProvisionedNode(string Id, DateTimeOffset StartedAt);

/// <summary>Starts and stops SFU nodes somewhere. Called by one Director at a time, one call after the other.</summary>
public interface INodeProvisioner
{
    string Name { get; }

    /// <summary>Starts again by itself what failed: a node that does not appear is waited for, not replaced.</summary>
    bool HealsItself { get; }

    /// <summary>What runs of all that it started, and was not stopped.</summary>
    /// <exception cref="ProvisioningException">It does not answer, or refuses.</exception>
    ValueTask<IReadOnlyList<ProvisionedNode>> ListAsync(CancellationToken cancellationToken = default);

    /// <summary>Starts this many more.</summary>
    /// <exception cref="ProvisioningException">Not all could be started.</exception>
    ValueTask StartAsync(int count, CancellationToken cancellationToken = default);

    /// <summary>Which of these nodes it would rather stop. The least loaded, unless it cannot choose.</summary>
    NodeInfo? ChooseForRemoval(IReadOnlyList<NodeInfo> nodes) => nodes.MinBy(node => node.Load);

    /// <summary>Stops nodes that were drained: gently at first. One that is gone already is no error.</summary>
    /// <exception cref="ProvisioningException">Some could not be stopped.</exception>
    ValueTask StopAsync(IReadOnlyList<string> ids, CancellationToken cancellationToken = default);

    /// <summary>This Director stops: ends what must not outlive it.</summary>
    ValueTask ShutdownAsync(CancellationToken cancellationToken = default) => ValueTask.CompletedTask;
}

/// <summary>A provisioner could not do what it was asked for.</summary>
/// <param name="message">A sentence for the operator, without secrets.</param>
public sealed class ProvisioningException(string message, Exception? inner = null) : Exception(message, inner);
