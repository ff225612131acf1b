using Transcribe.Cluster.Rooms;
using Transcribe.Rtc;

namespace Transcribe.Peer;

// The media session: made, made anew after a move, offered until the server has taken it, and watched for silence.
public sealed partial class RoomClient
{
    /// <summary>How long media may take to flow once it was negotiated.</summary>
    private static readonly TimeSpan FlowTimeout = TimeSpan.FromSeconds(10);

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
                    LogAnswered(_logger);
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
}
