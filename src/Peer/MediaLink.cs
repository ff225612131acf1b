using Microsoft.Extensions.Logging;
using Transcribe.Cluster.Captions;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Rtc;
using Transcribe.Rtc.Media;
using Transcribe.Rtc.Rtp;

namespace Transcribe.Peer;

/// <summary>Whose media session it is.</summary>
internal interface IMediaLinkOwner
{
    RoomHandlers Handlers { get; }

    /// <summary>Called under the transport's lock.</summary>
    TrackInfo? FindTrack(string trackId);

    /// <summary>Called under the transport's lock: be brief.</summary>
    void OnStateChanged(MediaLink link);
}

/// <summary>The media session was given up for another; what was asked of it is to be asked of that one.</summary>
internal sealed class MediaLinkAbandonedException() : Exception("The media session was replaced by another.");

/// <summary>
/// One media session of the client: transport, receive slots, published tracks. Where the server moves the session, a new
/// link replaces the old, which tells nothing any more.
/// </summary>
internal sealed class MediaLink : IMediaTransportObserver, IAsyncDisposable
{
    private readonly IMediaLinkOwner _owner;
    private readonly MediaTransport _transport;
    private readonly SemaphoreSlim _negotiating = new(1, 1);
    private readonly CancellationTokenSource _abandoned = new();
    private readonly CancellationToken _abandonedToken;
    private readonly TaskCompletionSource _isAbandoned = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _connected = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _dataOpen = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Lock _debt = new();

    // Under the transport's lock:
    private readonly Dictionary<string, RtcMedia> _slots = new(StringComparer.Ordinal);
    private readonly Dictionary<string, MediaAssignment> _assignments = new(StringComparer.Ordinal);
    private readonly Dictionary<LocalAudioTrack, RtcMedia> _published = [];
    private bool _ended;

    private volatile RtcSessionState _state = RtcSessionState.New;
    private bool _offerOwed;
    private bool _offering;
    private int _asked;
    private int _disposed;

    public MediaLink(IMediaLinkOwner owner, TimeProvider clock, ILogger logger)
    {
        _owner = owner;
        _abandonedToken = _abandoned.Token;
        _transport = new MediaTransport(PeerSessions.Create(clock, () => _transport?.Wake()), this, clock, logger);
        _transport.Run((session, now) => session.CreateDataChannel(now, CaptionMessage.ChannelLabel));
    }

    public RtcSessionState State => _state;

    /// <summary>Media and data can flow.</summary>
    public Task Ready => Task.WhenAll(_connected.Task, _dataOpen.Task);

    public bool IsReady => _state == RtcSessionState.Connected && _dataOpen.Task.IsCompleted;

    /// <summary>Whether an offer of this link was ever answered.</summary>
    public bool IsNegotiated { get; private set; }

    public Task Abandoned => _isAbandoned.Task;

    public bool IsAbandoned => _isAbandoned.Task.IsCompleted;

    public (int Audio, int Video) SlotCounts => _transport.Read(
        () => (_slots.Values.Count(m => m.Kind == MediaKind.Audio), _slots.Values.Count(m => m.Kind == MediaKind.Video)));

    public bool SendText(string label, ReadOnlySpan<byte> utf8) => _transport.SendText(label, utf8);

    public void AddSlots(int audio, int video) => _transport.TryRun((session, _) =>
    {
        for (int i = 0; i < audio + video; i++)
        {
            RtcMedia media = session.AddMedia(i < audio ? MediaKind.Audio : MediaKind.Video, MediaDirection.RecvOnly);
            _slots[media.Mid] = media;
        }

        return true;
    });

    /// <summary>Puts a track into the next offer; once is enough.</summary>
    /// <exception cref="MediaLinkAbandonedException">The link is closed.</exception>
    public void Add(LocalAudioTrack track)
    {
        bool added = _transport.TryRun((session, _) =>
        {
            if (!_published.ContainsKey(track))
                _published[track] = session.AddMedia(MediaKind.Audio, MediaDirection.SendOnly);
            return true;
        });
        if (!added)
            throw new MediaLinkAbandonedException();
    }

    /// <summary>Leaves a track out of later offers. Its m-section stays in the descriptions for ever.</summary>
    public void Remove(LocalAudioTrack track) => _transport.TryRun((_, _) =>
    {
        if (_published.Remove(track, out RtcMedia? media))
            media.AllowedDirection = MediaDirection.Inactive;
        return true;
    });

    /// <summary>Notes that an offer must be made; true where nobody is at it, so that the caller must be.</summary>
    public bool OweOffer()
    {
        lock (_debt)
        {
            _offerOwed = true;
            return !_offering && (_offering = true);
        }
    }

    /// <summary>True where an offer is to be made; false ends the caller's turn.</summary>
    public bool TakeOwedOffer()
    {
        lock (_debt)
        {
            if (IsAbandoned)
                _offerOwed = false;
            if (!_offerOwed)
                return _offering = false;
            _offerOwed = false;
            return true;
        }
    }

    /// <summary>True for the first who asks what became of the media, until <see cref="EndInquiry"/>.</summary>
    public bool BeginInquiry() => Interlocked.Exchange(ref _asked, 1) == 0;

    public void EndInquiry() => Volatile.Write(ref _asked, 0);

    /// <summary>Offers and applies the answer; one at a time.</summary>
    /// <exception cref="MediaLinkAbandonedException">The link was given up meanwhile; its answer is not looked at.</exception>
    /// <exception cref="PeerException">The server refused, did not answer, or its answer cannot be applied.</exception>
    public async Task<NegotiateReply> NegotiateAsync(SignalingConnection signaling, CancellationToken cancellationToken)
    {
        using var given = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _abandonedToken);
        try
        {
            await _negotiating.WaitAsync(given.Token);
            try
            {
                return await OfferAsync(signaling, given.Token);
            }
            finally
            {
                _negotiating.Release();
            }
        }
        catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException && IsAbandoned && !cancellationToken.IsCancellationRequested)
        {
            throw new MediaLinkAbandonedException();
        }
    }

    /// <summary>
    /// Notes assignments and settles those whose track is known by now: the session's events and the room's travel apart,
    /// so a track may be assigned before it is announced.
    /// </summary>
    public void Assign(IReadOnlyList<MediaAssignment> assignments) => _transport.TryRun((_, _) =>
    {
        if (_ended)
            return false;
        foreach (MediaAssignment assignment in assignments)
        {
            // Answers and events travel apart: an answer may come after the event that made it old.
            if (!_assignments.TryGetValue(assignment.Mid, out MediaAssignment? known) || assignment.Revision >= known.Revision)
                _assignments[assignment.Mid] = assignment;
        }

        // Ends first: a track may have moved from one slot to another.
        foreach ((string mid, RtcMedia media) in _slots)
        {
            if (media.Tag is RemoteTrack current && current.Info.Id != _assignments.GetValueOrDefault(mid)?.TrackId)
                EndTrack(media, current);
        }

        foreach ((string mid, RtcMedia media) in _slots)
        {
            if (media.Tag is null && _assignments.GetValueOrDefault(mid)?.TrackId is { } wanted && _owner.FindTrack(wanted) is { } info)
            {
                var track = new RemoteTrack(info, media);
                media.Tag = track;
                _owner.Handlers.TrackStarted?.Invoke(track);
            }
        }

        return true;
    });

    /// <summary>Ends every track received, and whatever waits for this link; nothing is told afterwards.</summary>
    public void Abandon()
    {
        _transport.TryRun((_, _) =>
        {
            _ended = true;
            foreach (RtcMedia media in _slots.Values)
            {
                if (media.Tag is RemoteTrack current)
                    EndTrack(media, current);
            }

            foreach (LocalAudioTrack track in _published.Keys)
                track.Unbind();
            return true;
        });
        _isAbandoned.TrySetResult();
        _abandoned.Cancel();
    }

    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
            return;
        Abandon();
        await _transport.DisposeAsync();
        _abandoned.Dispose();
    }

    void IMediaTransportObserver.OnStateChanged(RtcSessionState state)
    {
        _state = state;
        if (state == RtcSessionState.Connected)
            _connected.TrySetResult();
        if (!_ended)
            _owner.OnStateChanged(this);
    }

    void IMediaTransportObserver.OnRtp(RtcMedia media, in RtpPacket packet, Instant arrival)
    {
        if (media.Tag is not RemoteTrack track)
            return;
        track.LastTimestamp = packet.Timestamp;
        _owner.Handlers.Rtp?.Invoke(track, packet, arrival);
    }

    void IMediaTransportObserver.OnSenderReport(RtcMedia media, in Rtc.Rtcp.SenderReport report)
    {
        // A report just after a slot was given to another track may still tell the clock of the one before.
        if (media.Tag is RemoteTrack { LastTimestamp: { } last } track && IsNear(report.RtpTimestamp, last, media.Kind))
            _owner.Handlers.SenderClock?.Invoke(track, new SenderClock(report.RtpTimestamp, report.Ntp.ToDateTimeOffset()));
    }

    void IMediaTransportObserver.OnChannelOpened(string label)
    {
        if (label != CaptionMessage.ChannelLabel)
            return;
        _dataOpen.TrySetResult();
        if (!_ended)
            _owner.OnStateChanged(this);
    }

    void IMediaTransportObserver.OnMessage(string label, ReadOnlySpan<byte> data)
    {
        if (!_ended)
            _owner.Handlers.Data?.Invoke(label, data);
    }

    /// <summary>Within half a minute; two tracks' timestamps begin at random, and are hardly ever that close.</summary>
    private static bool IsNear(uint a, uint b, MediaKind kind) =>
        Math.Abs((long)unchecked((int)(a - b))) < 30L * (kind == MediaKind.Audio ? 48_000 : 90_000);

    private async Task<NegotiateReply> OfferAsync(SignalingConnection signaling, CancellationToken cancellationToken)
    {
        // In one step: a track added meanwhile is in both or in neither.
        (string offer, PublishedMedia[] published) = _transport.Run((session, now) => session.State == RtcSessionState.Closed
            ? throw new PeerException(PeerException.Unreachable, "The media server closed the connection; the client is setting up another.")
            : (session.CreateOffer(now), (PublishedMedia[])[.. _published.Select(p => new PublishedMedia(p.Value.Mid, p.Key.Source, p.Key.Name, p.Key.Muted))]));
        NegotiateReply reply = await signaling.NegotiateAsync(new NegotiateRequest(offer, published), cancellationToken);
        cancellationToken.ThrowIfCancellationRequested();
        string? error = _transport.Run((session, now) =>
        {
            if (!session.TrySetRemoteAnswer(now, reply.Sdp, out string? e))
                return e;
            foreach ((LocalAudioTrack track, RtcMedia media) in _published)
            {
                if (!_ended && reply.Published.FirstOrDefault(p => p.Mid == media.Mid)?.TrackId is { } id)
                    track.Bind(_transport, media, id);
            }

            return null;
        });
        if (error is not null)
            throw new PeerException("sdp_invalid", $"The server's answer cannot be applied: {error}");
        IsNegotiated = true;
        Assign(reply.Assignments);
        return reply;
    }

    private void EndTrack(RtcMedia media, RemoteTrack track)
    {
        media.Tag = null;
        _owner.Handlers.TrackEnded?.Invoke(track);
    }
}
