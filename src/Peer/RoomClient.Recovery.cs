using Transcribe.Cluster.Protocol;
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

    /// <summary>How long the server has to say what became of a lost media session.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    /// <summary>New sessions without media in one of them, after which the room is given up.</summary>
    private const int MaxRejoins = 6;

    private bool _reconnecting;
    private bool _troubled;

    /// <summary>Null while the session may be resumed.</summary>
    private string? _sessionLost;
    private int _rejoins;

    void IMediaLinkOwner.OnStateChanged(MediaLink link)
    {
        LogMediaState(_logger, link.State);
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
