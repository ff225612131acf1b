using Microsoft.Extensions.Logging;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Rtc;

namespace Transcribe.Peer;

// What happens when something breaks. Three things can, one by one or together:
// the hub connection (resume at the same node, then at the others; media is not touched),
// the media session (the server says "moved", or media is silent and the server is asked), and
// the session as a whole (join anew).
public sealed partial class RoomClient
{
    /// <summary>How long the node that was lost is tried before the others.</summary>
    private static readonly TimeSpan SameNode = TimeSpan.FromSeconds(1);

    /// <summary>What one connection to a signalling node may take, and what joining there may.</summary>
    private static readonly TimeSpan DialTimeout = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan CallTimeout = TimeSpan.FromSeconds(6);

    /// <summary>How long the server has to say what became of a lost media session.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    /// <summary>How long media may take to flow once it was negotiated.</summary>
    private static readonly TimeSpan FlowTimeout = TimeSpan.FromSeconds(10);

    /// <summary>New sessions without media in one of them, after which the room is given up.</summary>
    private const int MaxRejoins = 6;

    private SignalingConnection? _hub;
    private Uri? _hubUrl;
    private TaskCompletionSource _hubIsBack = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>The connection that is joining now, and what it brought before the answer to join, which says what that changes.</summary>
    private SignalingConnection? _joining;
    private List<Action>? _early;

    private bool _reconnecting;
    private bool _troubled;

    /// <summary>Ends when this client has gone from one node to another as the first one asked.</summary>
    private Task _going = Task.CompletedTask;

    /// <summary>The connection that is left so, or was last.</summary>
    private SignalingConnection? _left;

    /// <summary>Null while the session may be resumed.</summary>
    private string? _sessionLost;
    private int _rejoins;

    void IMediaLinkOwner.OnStateChanged(MediaLink link)
    {
        if (link.IsReady)
            _ = Task.Run(Settle, CancellationToken.None);
        else if (link.State is RtcSessionState.Disconnected or RtcSessionState.Failed or RtcSessionState.Closed && link == _link)
            _ = Task.Run(() => OnMediaLostAsync(link), CancellationToken.None);
    }

    private static bool IsOfNode(PeerException e) =>
        e.Code is PeerException.Unreachable or "unavailable" or "no_capacity" or "internal" or "rate_limited" or "room_full" or "session_not_found";

    private static bool EndsForGood(string reason) => reason is not ("timeout" or "failed" or "nodeShutdown" or "nodeLost");

    private static TimeSpan BackOff(int failures, double first, double most) =>
        TimeSpan.FromSeconds(Math.Min(most, first * Math.Pow(2, Math.Min(failures, 10))) * (0.75 + (Random.Shared.NextDouble() / 2)));

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

    private void OnSessionClosed(string reason)
    {
        if (EndsForGood(reason))
            Close(reason);
        else
            Rejoin(reason);
    }

    /// <summary>Gives the session up for a new one.</summary>
    private void Rejoin(string reason)
    {
        SignalingConnection? hub;
        lock (_gate)
        {
            if (_sessionLost is not null || IsClosed)
                return;
            _sessionLost = reason;
            hub = _hub;
            DropHub();
        }

        LogRejoining(_logger, reason);
        _ = Task.Run(
            async () =>
            {
                if (hub is not null)
                {
                    await SayGoodbyeAsync(hub);
                    await hub.DisposeAsync();
                }

                Reconnect(reason);
            },
            CancellationToken.None);
    }

    private async Task SayGoodbyeAsync(SignalingConnection hub)
    {
        try
        {
            await hub.LeaveAsync(_stoppingToken).WaitAsync(TimeSpan.FromSeconds(2));
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            // The server notices a silent client by itself.
            LogLeaveFailed(_logger, e.Message);
        }
    }

    private void Reconnect(string reason)
    {
        // Lost while joining: the call in progress fails, and with it the join.
        if (!_ready.Task.IsCompletedSuccessfully || _options.ReconnectTimeout <= TimeSpan.Zero)
        {
            Close(reason);
            return;
        }

        lock (_gate)
        {
            if (_reconnecting || IsClosed)
                return;
            _reconnecting = true;
        }

        Trouble();
        _ = Task.Run(() => ReconnectAsync(reason), CancellationToken.None);
    }

    private async Task ReconnectAsync(string reason)
    {
        try
        {
            if (_sessionLost is not null && ++_rejoins > MaxRejoins)
            {
                Close(reason);
                return;
            }

            if (_rejoins > 1)
                await Task.Delay(BackOff(_rejoins, 0.25, 4), _clock, _stoppingToken);
            string? refused = await FindNodeAsync();
            if (refused is not null)
                Close(refused == PeerException.Unreachable ? reason : refused);
        }
        catch (OperationCanceledException)
        {
            // The client was closed.
        }
        catch (Exception e)
        {
            LogRepairFailed(_logger, e);
            Close("failed");
        }

        bool lostAgain;
        lock (_gate)
        {
            _reconnecting = false;
            lostAgain = _hub is null && !IsClosed;
        }

        if (lostAgain)
            Reconnect(reason);
    }

    /// <summary>Tries the nodes one after another. Null where one took the client on, else why it must give up.</summary>
    private async Task<string?> FindNodeAsync()
    {
        long began = _clock.GetTimestamp();
        IReadOnlyList<Uri> urls = _urls.Known;
        int next = Math.Max(0, urls.ToList().IndexOf(_hubUrl!));
        string last = PeerException.Unreachable;
        int tried = 0;
        for (int failures = 0; _clock.GetElapsedTime(began) < _options.ReconnectTimeout; failures++)
        {
            try
            {
                ResumeSession? resume;
                lock (_gate)
                    resume = _sessionLost is null && _joined is { } joined ? new ResumeSession(joined.SessionId, joined.ResumeKey, _roster.Sequence) : null;
                await JoinAtAsync(urls[next % urls.Count], resume, _stoppingToken);
                return null;
            }
            catch (PeerException e) when (IsOfNode(e))
            {
                last = e.Code;
                LogReconnectFailed(_logger, e.Message);
            }
            catch (PeerException e)
            {
                return e.Code;
            }

            // Patient with the same node first: it may have lost this connection only.
            if (tried == 0 && last == PeerException.Unreachable && _clock.GetElapsedTime(began) < SameNode)
            {
                await Task.Delay(BackOff(0, 0.3, 0.3), _clock, _stoppingToken);
                continue;
            }

            next++;
            if (++tried % urls.Count == 0)
            {
                await Task.Delay(BackOff(tried / urls.Count, 0.25, 5), _clock, _stoppingToken);
                await _urls.FindAsync(_stoppingToken);
                if (!urls.SequenceEqual(_urls.Known))
                    (urls, next) = (_urls.Known, 0);
            }
        }

        return last;
    }

    /// <summary>Sets media up anew, in the same session or in another.</summary>
    /// <param name="reason">Null for the first media session, which nobody has heard of yet.</param>
    private void ReplaceLink(string? reason)
    {
        MediaLink? old = _link;
        if (reason is not null)
        {
            LogMoved(_logger, reason);
            Trouble();
            _handlers.Moved?.Invoke(reason);
        }

        old?.Abandon();
        var link = new MediaLink(this, _clock, _logger);
        (int audio, int video) = old?.SlotCounts ?? (0, 0);
        link.AddSlots(
            Math.Max(audio, _options.Kinds.Contains(TrackKind.Audio) ? _options.InitialSlots : 0),
            Math.Max(video, _options.Kinds.Contains(TrackKind.Video) ? _options.InitialSlots : 0));
        LocalAudioTrack[] tracks;
        lock (_gate)
        {
            tracks = [.. _tracks];
            _link = link;
        }

        foreach (LocalAudioTrack track in tracks)
            link.Add(track);
        if (old is not null)
            _ = old.DisposeAsync().AsTask();
        if (IsClosed)
            _ = link.DisposeAsync().AsTask();
        else if (reason is not null)
            OweOffer(link);
    }

    private void OweOffer(MediaLink link)
    {
        if (link.OweOffer())
            _ = Task.Run(() => OfferUntilTakenAsync(link), CancellationToken.None);
    }

    /// <summary>Offers until the server has taken what this link has to offer, through lost hubs and absent nodes.</summary>
    private async Task OfferUntilTakenAsync(MediaLink link)
    {
        int failures = 0;
        try
        {
            while (link.TakeOwedOffer())
            {
                bool isFirst = !link.IsNegotiated;
                try
                {
                    SignalingConnection hub = await HubAsync();
                    await OfferAsync(link, hub);
                    failures = 0;
                    if (isFirst)
                        _ = Task.Run(() => OnFirstAnswerAsync(link, hub), CancellationToken.None);
                }
                catch (PeerException e)
                {
                    LogOfferFailed(_logger, e.Message);
                    if (!await IsWorthAnotherOfferAsync(link, e, isFirst, failures++))
                        continue;
                    link.OweOffer();
                }
            }
        }
        catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException or MediaLinkAbandonedException or InvalidOperationException)
        {
            // Closed or replaced: the next link makes its own offers.
            LogOfferFailed(_logger, e.Message);
        }
    }

    private async Task OfferAsync(MediaLink link, SignalingConnection hub)
    {
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(_stoppingToken);
        timeout.CancelAfter(CallTimeout);
        await Timed(link.NegotiateAsync(hub, timeout.Token), timeout, _stoppingToken);
    }

    private async Task<bool> IsWorthAnotherOfferAsync(MediaLink link, PeerException refusal, bool isFirst, int failures)
    {
        switch (refusal.Code)
        {
            case PeerException.Unreachable or "unavailable" or "internal" or "rate_limited":
                await Task.WhenAny(link.Abandoned, Task.Delay(BackOff(failures, 0.2, 2), _clock, _stoppingToken));
                return true;
            case "session_not_found":
                // The server is about to say what became of the session.
                if (!await IsReplacedAsync(link))
                    Rejoin("failed");
                return false;
            case "sdp_invalid" when isFirst:
                // An offer of the old media session may have come to the new node first.
                Rejoin("failed");
                return false;
            default:
                if (isFirst)
                    Close(refusal.Code);
                return false;
        }
    }

    /// <summary>Waits a while for another media session, or the end of all.</summary>
    private async Task<bool> IsReplacedAsync(MediaLink link)
    {
        await Task.WhenAny(link.Abandoned, Task.Delay(Patience, _clock, _stoppingToken));
        return link.IsAbandoned || IsClosed || _sessionLost is not null;
    }

    private async Task OnFirstAnswerAsync(MediaLink link, SignalingConnection hub)
    {
        List<KeyValuePair<string, bool>> wanted;
        lock (_gate)
            wanted = [.. _subscriptions.Where(s => _roster.FindTrack(s.Key) is not null)];
        foreach ((string track, bool enabled) in wanted)
        {
            try
            {
                await hub.SubscribeAsync(track, enabled, _stoppingToken);
            }
            catch (Exception e) when (e is PeerException or OperationCanceledException or ObjectDisposedException)
            {
                LogSubscribeFailed(_logger, e.Message);
            }
        }

        await Task.WhenAny(link.Ready, link.Abandoned, Task.Delay(FlowTimeout, _clock, _stoppingToken));
        if (!link.Ready.IsCompleted && !link.IsAbandoned && link == _link)
            Rejoin("failed");
    }

    /// <summary>
    /// Media is silent and nobody has said why. The server is asked by an offer; what it says (or does not) decides.
    /// </summary>
    private async Task OnMediaLostAsync(MediaLink link)
    {
        if (!_ready.Task.IsCompletedSuccessfully)
        {
            if (link.State is RtcSessionState.Failed or RtcSessionState.Closed)
                Close(link.State == RtcSessionState.Failed ? "failed" : "closed");
            return;
        }

        if (!link.BeginInquiry())
            return;
        try
        {
            // It may come back, or be on its way to another node already.
            await Task.WhenAny(link.Abandoned, Task.Delay(TimeSpan.FromSeconds(link.State == RtcSessionState.Disconnected ? 1 : 0.2), _clock, _stoppingToken));
            if (link.IsAbandoned || link.State == RtcSessionState.Connected)
                return;
            Trouble();
            SignalingConnection hub = await HubAsync();
            if (link.State != RtcSessionState.Closed)
                await OfferAsync(link, hub);
            if (!await IsReplacedAsync(link) && link.State != RtcSessionState.Connected)
                Rejoin("failed");
        }
        catch (PeerException e)
        {
            LogOfferFailed(_logger, e.Message);
            if (!await IsReplacedAsync(link) && link.State != RtcSessionState.Connected)
                Rejoin("failed");
        }
        catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException or MediaLinkAbandonedException or InvalidOperationException)
        {
            // Closed or replaced meanwhile.
        }
        finally
        {
            link.EndInquiry();
            Settle();
        }
    }

    private void Trouble()
    {
        lock (_gate)
        {
            if (_troubled || !_ready.Task.IsCompletedSuccessfully || IsClosed)
                return;
            _troubled = true;
        }

        _handlers.Reconnecting?.Invoke();
    }

    /// <summary>Tells, once, that everything is there (again).</summary>
    private void Settle()
    {
        lock (_gate)
        {
            if (IsClosed || _hub is null || _early is not null || _link is not { IsReady: true, IsNegotiated: true })
                return;
            _rejoins = 0;
            if (_ready.TrySetResult() || !_troubled)
                return;
            _troubled = false;
        }

        _handlers.Reconnected?.Invoke();
    }
}
