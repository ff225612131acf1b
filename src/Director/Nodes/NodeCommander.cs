using Microsoft.Extensions.Logging;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Protocol;

namespace Transcribe.Director.Nodes;

/// <summary>Gives drain orders and withdraws them. For the admin API and for scaling.</summary>
internal sealed partial class NodeCommander(DrainStore drains, IMessageBus bus, TimeProvider time, ILogger<NodeCommander> log)
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(1);

    public async ValueTask<Drain> DrainAsync(NodeInfo node, TimeSpan deadline, string by, CancellationToken cancellationToken = default)
    {
        DateTimeOffset now = time.GetUtcNow();
        var drain = new Drain(node.Role, node.Id, now, now + deadline, node.Load, by);
        await drains.SetAsync(drain, cancellationToken);
        LogDraining(node.Role, node.Id, by, deadline.TotalSeconds);
        await TellAsync(node.Role, node.Id, NodeState.Draining, cancellationToken);
        return drain;
    }

    /// <summary>False where the node is not being drained.</summary>
    public async ValueTask<bool> CancelAsync(NodeRole role, string id, CancellationToken cancellationToken = default)
    {
        if (!await drains.DeleteAsync(role, id, cancellationToken))
            return false;

        LogWithdrawn(role, id);
        await TellAsync(role, id, NodeState.Active, cancellationToken);
        return true;
    }

    /// <summary>Tells the node. One that does not answer is told again while the order stands (<see cref="DrainKeeper"/>).</summary>
    public async ValueTask TellAsync(NodeRole role, string id, NodeState state, CancellationToken cancellationToken = default)
    {
        try
        {
            await bus.RequestAsync<SetNodeState, Pong>(NodeSubjects.State(role, id), new SetNodeState(state), Timeout, cancellationToken);
        }
        catch (BusException e)
        {
            LogUnheard(role, id, state, e.Code);
        }
    }

    public async ValueTask MoveAsync(MoveSessions move, CancellationToken cancellationToken = default) =>
        await bus.PublishAsync(SignalingSubjects.Move, move, cancellationToken);

    [LoggerMessage(4101, LogLevel.Information, "Draining {Role} node {Node}, ordered by {By}; what is left is moved in {Seconds} s")]
    private partial void LogDraining(NodeRole role, string node, string by, double seconds);

    [LoggerMessage(4102, LogLevel.Information, "{Role} node {Node} takes new sessions again")]
    private partial void LogWithdrawn(NodeRole role, string node);

    [LoggerMessage(4103, LogLevel.Debug, "{Role} node {Node} was told to be {State} and did not answer: {Code}")]
    private partial void LogUnheard(NodeRole role, string node, NodeState state, string code);
}
