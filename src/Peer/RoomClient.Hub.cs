using Transcribe.Cluster.Protocol;

namespace Transcribe.Peer;

// The connection to a signalling node: joining there, hearing what it tells, and going to another node when it asks for that.
public sealed partial class RoomClient
{
    /// <summary>What one connection to a signalling node may take, and what joining there may.</summary>
    private static readonly TimeSpan DialTimeout = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan CallTimeout = TimeSpan.FromSeconds(6);

    private SignalingConnection? _hub;
    private Uri? _hubUrl;
    private TaskCompletionSource _hubIsBack = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>The connection that is joining now, and what it brought before the answer to join, which says what that changes.</summary>
    private SignalingConnection? _joining;
    private List<Action>? _early;

    /// <summary>Ends when this client has gone from one node to another as the first one asked.</summary>
    private Task _going = Task.CompletedTask;

    /// <summary>The connection that is left so, or was last.</summary>
    private SignalingConnection? _left;

    private SignalingConnection Connected()
    {
        lock (_gate)
            return _hub ?? throw new PeerException(PeerException.Unreachable, "The signalling server is away; the client is trying to reach it.");
    }

    /// <summary>The hub; where one is just being left for another, that other one.</summary>
    private async Task<SignalingConnection> ConnectedAsync(CancellationToken cancellationToken)
    {
        Task going;
        lock (_gate)
            going = _going;
        await going.WaitAsync(cancellationToken);
        return Connected();
    }

    /// <summary>Whether a call over this connection failed because the node asked us to go while it was under way.</summary>
    private bool WasLeft(SignalingConnection hub)
    {
        lock (_gate)
            return hub == _left;
    }

    /// <summary>The hub, once it is there.</summary>
    private async Task<SignalingConnection> HubAsync()
    {
        while (true)
        {
            Task back;
            lock (_gate)
            {
                if (_hub is { } hub)
                    return hub;
                back = _hubIsBack.Task;
            }

            await back.WaitAsync(_stoppingToken);
        }
    }

    /// <summary>Connects to a node and joins there. What it tells is heard from the answer on.</summary>
    private async Task JoinAtAsync(Uri url, ResumeSession? resume, CancellationToken cancellationToken)
    {
        var hub = new SignalingConnection(url);
        hub.RoomEvent += change => Hear(hub, () => OnRoomEvent(change));
        hub.SessionEvent += change => Hear(hub, () => OnSessionEvent(change));
        hub.RoomReset += room => Hear(hub, () => Reset(room, began: true));
        hub.GoAway += order => Hear(hub, () => OnGoAway(hub, order));
        hub.Closed += () => OnHubLost(hub);
        JoinReply reply;
        try
        {
            lock (_gate)
                (_joining, _early) = (hub, []);
            using (var dial = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken))
            {
                dial.CancelAfter(DialTimeout);
                await Timed(hub.StartAsync(dial.Token), dial, cancellationToken);
            }

            using (var call = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken))
            {
                call.CancelAfter(CallTimeout);
                Task<JoinReply> joining = hub.JoinAsync(Request(resume), call.Token);
                await Timed(joining, call, cancellationToken);
                reply = await joining;
            }
        }
        catch
        {
            lock (_gate)
                (_joining, _early) = (null, null);
            await hub.DisposeAsync();
            throw;
        }

        Begin(hub, url, reply);
    }

    private static async Task Timed(Task task, CancellationTokenSource timeout, CancellationToken cancellationToken)
    {
        try
        {
            await task;
        }
        catch (OperationCanceledException e) when (timeout.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            throw new PeerException(PeerException.Unreachable, "The signalling server did not answer in time.", e);
        }
    }

    /// <summary>Goes on with the room as the server described it, and with what happened since.</summary>
    private void Begin(SignalingConnection hub, Uri url, JoinReply reply)
    {
        bool first;
        lock (_gate)
        {
            first = _joined is null;
            (_joined, _sessionLost) = (reply, null);
            (_hub, _hubUrl) = (hub, url);
            if (first)
                _roster.Reset(reply.Room);
        }

        if (!first)
            Reset(reply.Room, began: true);
        if (!reply.Resumed)
            ReplaceLink(first ? null : "rejoined");
        while (true)
        {
            List<Action> early;
            lock (_gate)
            {
                early = _early ?? [];
                if (early.Count == 0)
                {
                    (_joining, _early) = (null, null);
                    _hubIsBack.TrySetResult();
                    break;
                }

                _early = [];
            }

            foreach (Action told in early)
                told();
        }

        LogReconnected(_logger, reply.SessionId, reply.Resumed);
        if (!hub.IsConnected)
            OnHubLost(hub);

        // Closed while it was joining: nobody else knows of this connection.
        if (IsClosed)
            _ = hub.DisposeAsync().AsTask();
        Settle();
    }

    private void Hear(SignalingConnection hub, Action told)
    {
        lock (_gate)
        {
            if (hub == _joining)
            {
                _early?.Add(told);
                return;
            }

            if (hub != _hub)
                return;
        }

        told();
    }

    /// <summary>
    /// The node asks to go on at another one. That one is joined before this one is left, so that nothing is down meanwhile, and media is not
    /// touched. Where none takes us we stay while we can.
    /// </summary>
    private void OnGoAway(SignalingConnection from, GoAway order)
    {
        Uri[] urls = [.. (order.HubUrls ?? []).Where(url => Uri.IsWellFormedUriString(url, UriKind.Absolute)).Select(url => SignalingUrls.HubOf(new Uri(url)))];
        lock (_gate)
        {
            // It asks again.
            if (_reconnecting || IsClosed || _sessionLost is not null || !_ready.Task.IsCompletedSuccessfully || urls.Length == 0)
                return;
            _reconnecting = true;
            _left = from;
            _going = Task.Run(() => GoElsewhereAsync(from, urls), CancellationToken.None);
        }
    }

    private async Task GoElsewhereAsync(SignalingConnection from, Uri[] urls)
    {
        bool gone = false;
        foreach (Uri url in urls)
        {
            try
            {
                ResumeSession resume;
                lock (_gate)
                    resume = new ResumeSession(_joined!.SessionId, _joined.ResumeKey, _roster.Sequence);
                await JoinAtAsync(url, resume, _stoppingToken);
                gone = true;
                break;
            }
            catch (PeerException e) when (IsOfNode(e))
            {
                LogReconnectFailed(_logger, e.Message);
            }
            catch (Exception e)
            {
                // Refused for good, or closed: staying is no worse.
                LogReconnectFailed(_logger, e.Message);
                break;
            }
        }

        if (gone)
        {
            _urls.Use(urls);
            await from.DisposeAsync();
        }

        string? lost;
        bool away;
        lock (_gate)
        {
            _reconnecting = false;
            (lost, away) = (_sessionLost, _hub is null && !IsClosed);
        }

        if (away)
            Reconnect(lost ?? "connectionLost");
    }

    private void OnHubLost(SignalingConnection hub)
    {
        lock (_gate)
        {
            if (_hub != hub)
                return;
            DropHub();
        }

        _ = hub.DisposeAsync().AsTask();
        Reconnect("connectionLost");
    }

    /// <summary>There is no hub from now on, and whoever wants one waits for the next. Under the gate.</summary>
    private void DropHub()
    {
        _hub = null;
        if (_hubIsBack.Task.IsCompleted)
            _hubIsBack = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
