using System.Security.Cryptography;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Transcribe.Cluster.Bus;

namespace Transcribe.Cluster.Nodes;

/// <summary>
/// One role of this process as the cluster sees it: announces it again and again, at once where something changed or Redis came back;
/// answers <see cref="NodeSubjects.Ping"/> and <see cref="NodeSubjects.State"/>; removes it at the end.
/// </summary>
public sealed partial class NodeAnnouncer : IHostedService, IAsyncDisposable, IDisposable
{
    private static readonly TimeSpan ShortestInterval = TimeSpan.FromMilliseconds(100);

    private readonly Func<NodeInfo> _describe;
    private readonly INodeDirectory _nodes;
    private readonly IMessageBus _bus;
    private readonly IClusterConnection _connection;
    private readonly NodeHeartbeat _heartbeat;
    private readonly NodeStanding _standing;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly string _instance = RandomNumberGenerator.GetHexString(16, lowercase: true);
    private readonly CancellationTokenSource _stopping = new();
    private readonly SemaphoreSlim _announcing = new(1, 1);
    private readonly List<IAsyncDisposable> _responders = [];
    private volatile TaskCompletionSource _changed = NewSignal();
    private Task _loop = Task.CompletedTask;
    private bool _failing;
    private NodeInfo? _announced;

    /// <param name="describe">The node as it is now; called at every announcement. Its role and id never change, its state is this object's.</param>
    /// <param name="standing">Where the state is kept; null for one of its own.</param>
    public NodeAnnouncer(
        Func<NodeInfo> describe, INodeDirectory nodes, IMessageBus bus, IClusterConnection connection, NodeHeartbeat heartbeat,
        TimeProvider time, ILogger logger, NodeStanding? standing = null)
    {
        (_describe, _nodes, _bus, _connection, _heartbeat, _time, _logger) = (describe, nodes, bus, connection, heartbeat, time, logger);
        _standing = standing ?? new NodeStanding();
    }

    public NodeState State => _standing.State;

    /// <summary>Set by <see cref="NodeSubjects.State"/> or <see cref="SetState"/>.</summary>
    public NodeStanding Standing => _standing;

    /// <summary>An announcer from the services of <c>AddInProcessCluster</c> or <c>AddRedisCluster</c>; the role's standing is in <see cref="NodeStandings"/>.</summary>
    public static NodeAnnouncer Create(IServiceProvider services, Func<NodeInfo> describe) => new(
        describe,
        services.GetRequiredService<INodeDirectory>(),
        services.GetRequiredService<IMessageBus>(),
        services.GetRequiredService<IClusterConnection>(),
        services.GetRequiredService<NodeHeartbeat>(),
        services.GetRequiredService<TimeProvider>(),
        services.GetRequiredService<ILogger<NodeAnnouncer>>(),
        services.GetRequiredService<NodeStandings>()[describe().Role]);

    /// <summary>Begins to answer and to announce. A Redis that is away just now does not fail it.</summary>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        NodeInfo node = _describe();
        _responders.Add(await _bus.RespondAsync<Ping, Pong>(
            NodeSubjects.Ping(node.Role, node.Id), (_, _) => ValueTask.FromResult(Answer(node)), cancellationToken).ConfigureAwait(false));
        _responders.Add(await _bus.RespondAsync<SetNodeState, Pong>(
            NodeSubjects.State(node.Role, node.Id),
            async (request, token) =>
            {
                SetState(request.State, request.Deadline);
                await AnnounceAsync(token).ConfigureAwait(false);
                return Answer(node);
            },
            cancellationToken).ConfigureAwait(false));
        _connection.Reconnected += OnReconnected;
        await AnnounceAsync(cancellationToken).ConfigureAwait(false);
        _loop = AnnounceAgainAsync();
    }

    /// <summary>Announces soon: the load or something else has changed. Many calls become one.</summary>
    public void Changed() => _changed.TrySetResult();

    /// <summary>Sets the state and announces it soon.</summary>
    /// <param name="deadline">By when a draining node is to be empty.</param>
    public void SetState(NodeState state, DateTimeOffset? deadline = null)
    {
        NodeState before = _standing.State;
        if (!_standing.Set(state, deadline))
            return;

        if (state != before)
            LogState(_describe().Id, state);
        Changed();
    }

    /// <summary>Announces no more and removes the entry, but still answers: for a node that has sessions to end first.</summary>
    public async Task WithdrawAsync()
    {
        _connection.Reconnected -= OnReconnected;
        if (!_stopping.IsCancellationRequested)
            await _stopping.CancelAsync().ConfigureAwait(false);
        await _loop.ConfigureAwait(false);
        await _announcing.WaitAsync(CancellationToken.None).ConfigureAwait(false);
        try
        {
            if (_announced is { } node)
                await _nodes.RemoveAsync(node.Role, node.Id).ConfigureAwait(false);
            _announced = null;
        }
        catch (Exception e)
        {
            // It ends by itself with its time to live.
            LogFailed(e);
        }
        finally
        {
            _announcing.Release();
        }
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        await WithdrawAsync().ConfigureAwait(false);
        foreach (IAsyncDisposable responder in _responders)
            await responder.DisposeAsync().ConfigureAwait(false);
        _responders.Clear();
    }

    /// <summary>Announces no more. What was announced ends with its time to live.</summary>
    public void Dispose()
    {
        _connection.Reconnected -= OnReconnected;
        _stopping.Cancel();
    }

    /// <summary>Stops, where it was started and not stopped.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_announced is not null || _responders.Count > 0)
            await StopAsync(CancellationToken.None).ConfigureAwait(false);
        Dispose();
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private Pong Answer(NodeInfo node) => new(node.Id, _standing.State, _instance);

    private void OnReconnected(ClusterReconnected reconnected) => Changed();

    private async Task AnnounceAgainAsync()
    {
        while (!_stopping.IsCancellationRequested)
        {
            try
            {
                await Task.Delay(ShortestInterval, _time, _stopping.Token).ConfigureAwait(false);
                using var wait = CancellationTokenSource.CreateLinkedTokenSource(_stopping.Token);
                await Task.WhenAny(_changed.Task, Task.Delay(_heartbeat.Interval - ShortestInterval, _time, wait.Token)).ConfigureAwait(false);
                await wait.CancelAsync().ConfigureAwait(false);
                _changed = NewSignal();
                await AnnounceAsync(_stopping.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (_stopping.IsCancellationRequested)
            {
                return;
            }
        }
    }

    private async ValueTask AnnounceAsync(CancellationToken cancellationToken)
    {
        await _announcing.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (_stopping.IsCancellationRequested)
                return;

            NodeInfo node = _describe() with { State = _standing.State, DrainDeadline = _standing.Deadline };
            _announced = node;
            await _nodes.AnnounceAsync(node, cancellationToken).ConfigureAwait(false);
            _failing = false;
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            // Once per outage; it is tried again at the next beat.
            if (!_failing)
                LogFailed(e);
            _failing = true;
        }
        finally
        {
            _announcing.Release();
        }
    }

    [LoggerMessage(1201, LogLevel.Warning, "The node could not be announced; it is tried again")]
    private partial void LogFailed(Exception exception);

    [LoggerMessage(1202, LogLevel.Information, "Node {Node} is {State} now")]
    private partial void LogState(string node, NodeState state);
}
