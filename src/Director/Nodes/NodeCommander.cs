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
        await TellAsync(drain, cancellationToken);
        return drain;
    }

    /// <summary>False where the node is not being drained.</summary>
    public async ValueTask<bool> CancelAsync(NodeRole role, string id, CancellationToken cancellationToken = default)
    {
        if (await drains.TryWithdrawAsync(role, id, cancellationToken) is not { } withdrawn)
            return false;

        LogWithdrawn(role, id);
        if (await TellActiveAsync(role, id, cancellationToken))
            await drains.TryDeleteAsync(withdrawn, cancellationToken);

        return true;
    }

    /// <summary>Tells the node of an order. One that does not answer is told again while the order stands (<see cref="DrainKeeper"/>).</summary>
    public ValueTask<bool> TellAsync(Drain drain, CancellationToken cancellationToken = default) =>
        TellAsync(drain.Role, drain.Id, new SetNodeState(NodeState.Draining, drain.Deadline), cancellationToken);

    /// <summary>Tells the node that it is to take new sessions again. False where it does not answer.</summary>
    public ValueTask<bool> TellActiveAsync(NodeRole role, string id, CancellationToken cancellationToken = default) =>
        TellAsync(role, id, new SetNodeState(NodeState.Active), cancellationToken);

    private async ValueTask<bool> TellAsync(NodeRole role, string id, SetNodeState order, CancellationToken cancellationToken)
    {
        try
        {
            await bus.RequestAsync<SetNodeState, Pong>(NodeSubjects.State(role, id), order, Timeout, cancellationToken);
            return true;
        }
        catch (BusException e)
        {
            LogUnheard(role, id, order.State, e.Code);
            return false;
        }
    }

    public async ValueTask MoveAsync(MoveSessions move, CancellationToken cancellationToken = default) =>
        await bus.PublishAsync(SignalingSubjects.Move, move, cancellationToken);

    [LoggerMessage(4101, LogLevel.Information, "Draining {Role} node {Node}, ordered by {By}; it is to be empty in {Seconds} s")]
    private partial void LogDraining(NodeRole role, string node, string by, double seconds);

    [LoggerMessage(4102, LogLevel.Information, "{Role} node {Node} takes new sessions again")]
    private partial void LogWithdrawn(NodeRole role, string node);

    [LoggerMessage(4103, LogLevel.Debug, "{Role} node {Node} was told to be {State} and did not answer: {Code}")]
    private partial void LogUnheard(NodeRole role, string node, NodeState state, string code);
}
