using Microsoft.Extensions.Logging;
using Transcribe.Cluster.Bus;

namespace Transcribe.Cluster.Nodes;

/// <param name="Reason">"no_responder": its process is gone; "timeout": it does not answer; "restarted": it is back and has forgotten everything.</param>
public sealed record NodeLost(NodeRole Role, string Id, string Reason);

/// <summary>
/// Finds out within about a second when a node that somebody uses has died: asks it every 500 ms. Three failures in a row mean dead, answers "no
/// responder" 200 ms apart (a node whose own connection to the bus was only reset is back sooner) or time-outs of 500 ms; while our own way to the
/// bus is cut, or has been back for less than 3 s, nobody is declared dead.
/// A dead node is asked on, and found again when it answers.
/// </summary>
public sealed partial class NodeWatcher : IAsyncDisposable
{
    public static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(500);
    public static readonly TimeSpan Timeout = TimeSpan.FromMilliseconds(500);
    public static readonly TimeSpan Recheck = TimeSpan.FromMilliseconds(200);

    /// <summary>After our own bus came back the nodes get this long to come back too.</summary>
    public static readonly TimeSpan Grace = TimeSpan.FromSeconds(3);

    private const int Failures = 3;

    private readonly IMessageBus _bus;
    private readonly IClusterConnection _connection;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Lock _lock = new();
    private readonly Dictionary<(NodeRole Role, string Id), Watched> _nodes = [];
    private readonly CancellationTokenSource _stopping = new();
    private long _lastAway;
    private bool _wasAway;
    private int _disposed;

    public NodeWatcher(IMessageBus bus, IClusterConnection connection, TimeProvider time, ILogger<NodeWatcher> logger)
    {
        (_bus, _connection, _time, _logger) = (bus, connection, time, logger);
        _connection.Reconnected += OnReconnected;
    }

    /// <summary>Watches a node until the handle is disposed. Watchers of one node share its pings.</summary>
    /// <param name="onLost">
    /// Called each time the node is found dead, and soon if it is known to be dead now. On a pool thread, one call of a node at a time; keep it short.
    /// May still be called once while the handle is being disposed.
    /// </param>
    /// <param name="onBack">Called when a node that was lost answers again.</param>
    public IDisposable Watch(NodeRole role, string id, Action<NodeLost> onLost, Action? onBack = null)
    {
        var watch = new Handle(this, (role, id), onLost, onBack);
        NodeLost? lost;
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed != 0, this);
            if (!_nodes.TryGetValue((role, id), out Watched? node))
            {
                _nodes[(role, id)] = node = new Watched(role, id, CancellationTokenSource.CreateLinkedTokenSource(_stopping.Token));
                Watched begun = node;
                _ = Task.Run(() => PingAgainAsync(begun), CancellationToken.None);
            }

            node.Watches = [.. node.Watches, watch];
            lost = node.Lost;
        }

        if (lost is not null)
            Task.Run(() => Tell(watch, lost));

        return watch;
    }

    /// <summary>False only for a watched node that is found dead: of others nothing is known.</summary>
    public bool IsAlive(NodeRole role, string id)
    {
        lock (_lock)
            return !_nodes.TryGetValue((role, id), out Watched? node) || node.Lost is null;
    }

    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
            return;

        _connection.Reconnected -= OnReconnected;
        lock (_lock)
            _nodes.Clear();
        await _stopping.CancelAsync().ConfigureAwait(false);
        _stopping.Dispose();
    }

    private void OnReconnected(ClusterReconnected reconnected) => NoteAway();

    private void NoteAway()
    {
        lock (_lock)
        {
            _wasAway = true;
            _lastAway = _time.GetTimestamp();
        }
    }

    /// <summary>Whether a failure to answer says anything about the node.</summary>
    private bool IsSettled()
    {
        if (!_connection.IsConnected)
        {
            NoteAway();
            return false;
        }

        lock (_lock)
            return !_wasAway || _time.GetElapsedTime(_lastAway) >= Grace;
    }

    private async Task PingAgainAsync(Watched node)
    {
        CancellationToken token = node.Cancel.Token;
        int failures = 0;
        try
        {
            while (true)
            {
                (string? failure, Pong? pong) = await PingAsync(node, token).ConfigureAwait(false);
                TimeSpan wait = Interval;
                if (pong is not null)
                {
                    failures = 0;
                    Found(node, pong);
                }
                else if (!IsSettled())
                {
                    failures = 0;
                }
                else if (failure is not null)
                {
                    if (++failures >= Failures)
                        Dead(node, new NodeLost(node.Role, node.Id, failure));
                    else
                        wait = failure == BusException.NoResponder ? Recheck : TimeSpan.Zero;
                }

                if (wait > TimeSpan.Zero)
                    await Task.Delay(wait, _time, token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (token.IsCancellationRequested)
        {
            // Nobody watches it any more.
        }
        finally
        {
            node.Cancel.Dispose();
        }
    }

    private async Task<(string? Failure, Pong? Pong)> PingAsync(Watched node, CancellationToken token)
    {
        long asked = _time.GetTimestamp();
        try
        {
            return (null, await _bus.RequestAsync<Ping, Pong>(NodeSubjects.Ping(node.Role, node.Id), new Ping(), Timeout, token).ConfigureAwait(false));
        }
        catch (BusException e) when (e.Code is BusException.NoResponder or BusException.Timeout)
        {
            // A time-out that itself comes late tells of our own slowness, not of the node's.
            bool late = e.Code == BusException.Timeout && _time.GetElapsedTime(asked) > Timeout * 1.5;
            return (late ? null : e.Code, null);
        }
        catch (BusException e) when (e.Code == BusException.Unavailable)
        {
            NoteAway();
            return (e.Code, null);
        }
        catch (Exception e) when (e is not OperationCanceledException || !token.IsCancellationRequested)
        {
            // A refusal is an answer, of sorts: somebody lives there.
            return (null, new Pong(node.Id, NodeState.Active));
        }
    }

    private void Found(Watched node, Pong pong)
    {
        bool restarted = pong.Instance is not null && node.Instance is not null && pong.Instance != node.Instance;
        node.Instance = pong.Instance ?? node.Instance;
        if (restarted)
            Dead(node, new NodeLost(node.Role, node.Id, "restarted"));

        Handle[] watches;
        lock (_lock)
        {
            if (node.Lost is null)
                return;

            node.Lost = null;
            watches = node.Watches;
        }

        LogBack(node.Role, node.Id);
        foreach (Handle watch in watches)
            Tell(watch, null);
    }

    private void Dead(Watched node, NodeLost lost)
    {
        Handle[] watches;
        lock (_lock)
        {
            if (node.Lost is not null)
                return;

            node.Lost = lost;
            watches = node.Watches;
        }

        LogLost(node.Role, node.Id, lost.Reason);
        foreach (Handle watch in watches)
            Tell(watch, lost);
    }

    private void Tell(Handle watch, NodeLost? lost)
    {
        if (watch.IsDisposed)
            return;

        try
        {
            if (lost is not null)
                watch.OnLost(lost);
            else
                watch.OnBack?.Invoke();
        }
        catch (Exception e)
        {
            LogHandlerFailed(e);
        }
    }

    private void Remove(Handle watch)
    {
        lock (_lock)
        {
            if (!_nodes.TryGetValue(watch.Node, out Watched? node))
                return;

            node.Watches = [.. node.Watches.Where(other => other != watch)];
            if (node.Watches.Length > 0)
                return;

            _nodes.Remove(watch.Node);

            // Its loop disposes it, after it has seen this.
            node.Cancel.CancelAsync();
        }
    }

    private sealed class Watched(NodeRole role, string id, CancellationTokenSource cancel)
    {
        public NodeRole Role => role;

        public string Id => id;

        public CancellationTokenSource Cancel => cancel;

        public Handle[] Watches { get; set; } = [];

        public NodeLost? Lost { get; set; }

        /// <summary>Used by the loop only.</summary>
        public string? Instance { get; set; }
    }

    private sealed class Handle(NodeWatcher watcher, (NodeRole Role, string Id) node, Action<NodeLost> onLost, Action? onBack) : IDisposable
    {
        private int _disposed;

        public (NodeRole Role, string Id) Node => node;

        public Action<NodeLost> OnLost => onLost;

        public Action? OnBack => onBack;

        public bool IsDisposed => Volatile.Read(ref _disposed) != 0;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _disposed, 1) == 0)
                watcher.Remove(this);
        }
    }

    [LoggerMessage(1211, LogLevel.Warning, "Node {Role} {Node} is lost ({Reason})")]
    private partial void LogLost(NodeRole role, string node, string reason);

    [LoggerMessage(1212, LogLevel.Information, "Node {Role} {Node} answers again")]
    private partial void LogBack(NodeRole role, string node);

    [LoggerMessage(1213, LogLevel.Error, "A handler of a lost node failed")]
    private partial void LogHandlerFailed(Exception exception);
}
