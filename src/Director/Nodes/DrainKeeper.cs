using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.State;

namespace Transcribe.Director.Nodes;

/// <summary>
/// Sees drain orders through: tells a node again that missed the order, or that it was withdrawn; moves what is left on an SFU node at the
/// deadline, a few rooms at a time (signalling nodes and gateways give away what they have by themselves); forgets the order when the node
/// is gone. One Director does it at a time; it keeps nothing that another could not find again.
/// </summary>
internal sealed partial class DrainKeeper(
    DrainStore drains,
    NodeCommander commander,
    INodeDirectory nodes,
    INodeSelector placement,
    DirectorLeases leases,
    DirectorOptions options,
    TimeProvider time,
    ILogger<DrainKeeper> log) : BackgroundService
{
    private const string LeaseName = "director/drains";

    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LeaseLifetime = TimeSpan.FromSeconds(5);

    /// <summary>A node that comes back under its name this soon goes on being drained.</summary>
    private static readonly TimeSpan GoneFor = TimeSpan.FromSeconds(30);

    /// <summary>Between two calls for everything that is left on a node, whatever its room.</summary>
    private static readonly TimeSpan SweepInterval = TimeSpan.FromSeconds(5);

    private readonly Dictionary<string, Moving> _moving = new(StringComparer.Ordinal);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, time);
        bool failing = false;
        try
        {
            while (await timer.WaitForNextTickAsync(stoppingToken))
            {
                try
                {
                    await RunOnceAsync(stoppingToken);
                    failing = false;
                }
                catch (Exception e) when (e is not OperationCanceledException)
                {
                    if (!failing)
                        LogAway(e);

                    failing = true;
                }
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            LogStopped();
        }
    }

    internal async Task RunOnceAsync(CancellationToken cancellationToken)
    {
        IReadOnlyList<(StateEntry Entry, Drain Drain)> orders = await drains.ListAllAsync(cancellationToken);
        foreach (string forgotten in _moving.Keys.Except(orders.Select(order => order.Entry.Key)).ToArray())
            _moving.Remove(forgotten);

        if (orders.Count == 0 || await leases.TryAcquireAsync(LeaseName, LeaseLifetime, cancellationToken) is null)
            return;

        foreach (IGrouping<NodeRole, (StateEntry Entry, Drain Drain)> role in orders.GroupBy(order => order.Drain.Role))
        {
            IReadOnlyList<NodeInfo> living = await nodes.ListAsync(role.Key, cancellationToken);
            foreach ((StateEntry entry, Drain drain) in role)
                await SeeToAsync(entry, drain, living, cancellationToken);
        }
    }

    private async ValueTask SeeToAsync(StateEntry entry, Drain drain, IReadOnlyList<NodeInfo> living, CancellationToken cancellationToken)
    {
        DateTimeOffset now = time.GetUtcNow();
        if (living.FirstOrDefault(candidate => candidate.Id == drain.Id) is not { } node)
        {
            if (drain.GoneSince is not { } since)
                await drains.TryReplaceAsync(entry, drain with { GoneSince = now }, cancellationToken);
            else if (now - since >= GoneFor && await drains.TryDeleteAsync(entry, cancellationToken))
                LogGone(drain.Role, drain.Id);

            return;
        }

        if (drain.Withdrawn)
        {
            if (node.State == NodeState.Active || await commander.TellActiveAsync(drain.Role, drain.Id, cancellationToken))
                await drains.TryDeleteAsync(entry, cancellationToken);

            return;
        }

        if (drain.GoneSince is not null)
        {
            await drains.TryReplaceAsync(entry, drain with { GoneSince = null }, cancellationToken);
            return;
        }

        if (node.State != NodeState.Draining || node.DrainDeadline != drain.Deadline)
            await commander.TellAsync(drain, cancellationToken);

        bool elsewhere = living.Any(other => other.Id != drain.Id && other.State == NodeState.Active);
        if (drain.Role != NodeRole.Sfu || node.Load == 0 || now < drain.Deadline || !elsewhere)
            return;

        // Only for as long as the order stands: a withdrawn one is not overwritten.
        if (!drain.Moving && !await drains.TryReplaceAsync(entry, drain with { Moving = true }, cancellationToken))
            return;

        await MoveSomeAsync(entry.Key, node, now, cancellationToken);
    }

    private async ValueTask MoveSomeAsync(string key, NodeInfo node, DateTimeOffset now, CancellationToken cancellationToken)
    {
        if (!_moving.TryGetValue(key, out Moving? moving))
        {
            moving = new Moving(new Queue<string>(await placement.ListRoomsAsync(node.Id, cancellationToken)));
            _moving[key] = moving;
            LogMoving(node.Id, node.Load, moving.Rooms.Count);
        }

        for (int i = 0; i < options.DrainBatchRooms && moving.Rooms.TryDequeue(out string? room); i++)
        {
            await commander.MoveAsync(new MoveSessions(node.Id, room, null, "drain"), cancellationToken);
            moving.SweepAt = now + SweepInterval;
        }

        if (moving.Rooms.Count == 0 && now >= moving.SweepAt)
        {
            moving.SweepAt = now + SweepInterval;
            await commander.MoveAsync(new MoveSessions(node.Id, null, null, "drain"), cancellationToken);
        }
    }

    [LoggerMessage(4111, LogLevel.Information, "Moving {Sessions} sessions away from SFU node {Node}, room by room ({Rooms} known)")]
    private partial void LogMoving(string node, int sessions, int rooms);

    [LoggerMessage(4112, LogLevel.Information, "{Role} node {Node} was drained and is gone")]
    private partial void LogGone(NodeRole role, string node);

    [LoggerMessage(4113, LogLevel.Warning, "Drain orders are not seen to: the state store or the bus is away")]
    private partial void LogAway(Exception exception);

    [LoggerMessage(4114, LogLevel.Debug, "No longer looking after drain orders")]
    private partial void LogStopped();

    private sealed class Moving(Queue<string> rooms)
    {
        public Queue<string> Rooms { get; } = rooms;

        public DateTimeOffset SweepAt { get; set; }
    }
}
