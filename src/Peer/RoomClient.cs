using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Transcribe.Cluster.Captions;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Rtc;
using Transcribe.Rtc.Media;
using Transcribe.Rtc.Rtp;

namespace Transcribe.Peer;

/// <summary>
/// A headless participant: signalling over SignalR, media over the same UDP, ICE, DTLS-SRTP and SCTP as a browser's.
/// The AI gateway, the command line and the tests join rooms with it.
/// </summary>
/// <remarks>
/// Handlers are given when joining, so that no event is lost. They run on the client's own threads and must not block.
/// </remarks>
public sealed partial class RoomClient : IMediaTransportObserver, IAsyncDisposable
{
    /// <summary>Receive transceivers that one event of the server may add, per kind.</summary>
    private const int MaxSlotsAtOnce = 64;

    private readonly PeerOptions _options;
    private readonly RoomHandlers _handlers;
    private readonly ILogger _logger;
    private readonly SignalingConnection _signaling;
    private readonly MediaTransport _transport;
    private readonly SemaphoreSlim _negotiating = new(1, 1);
    private readonly Lock _gate = new();
    private readonly RoomRoster _roster = new();
    private readonly Dictionary<string, RtcMedia> _slots = new(StringComparer.Ordinal);
    private readonly Dictionary<string, MediaAssignment> _assignments = new(StringComparer.Ordinal);
    private readonly List<(RtcMedia Media, PublishedMedia Description)> _published = [];
    private readonly TaskCompletionSource _connected = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _dataOpen = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _stopping = new();
    private JoinReply? _joined;

    /// <summary>Room events that came before the answer to join, which says what they change; null afterwards.</summary>
    private List<RoomEvent>? _early = [];
    private bool _resyncing;
    private bool _resyncAgain;
    private volatile bool _offerOwed;
    private int _closed;

    private RoomClient(PeerOptions options, RoomHandlers handlers, TimeProvider clock, ILoggerFactory loggers)
    {
        (_options, _handlers) = (options, handlers);
        _logger = loggers.CreateLogger("Transcribe.Peer");
        _signaling = new SignalingConnection(options.ServerUrl);
        _signaling.RoomEvent += OnRoomEvent;
        _signaling.SessionEvent += OnSessionEvent;
        _signaling.Reconnected += ResumeAsync;
        _signaling.Closed += _ => Close("connectionLost");
        _transport = new MediaTransport(PeerSessions.Create(clock, () => _transport?.Wake()), this, clock, _logger);
    }

    /// <summary>This participant's id (the token's <c>sub</c>).</summary>
    public string ParticipantId => _joined?.ParticipantId ?? "";

    /// <summary>The visible participants now.</summary>
    public IReadOnlyList<ParticipantInfo> Participants
    {
        get
        {
            lock (_gate)
                return [.. _roster.Participants];
        }
    }

    /// <summary>Transcription of the room, as announced.</summary>
    public TranscriptionState Transcription
    {
        get
        {
            lock (_gate)
                return _roster.Transcription;
        }
    }

    /// <summary>Joins the room that the token names and waits until media and data can flow.</summary>
    /// <exception cref="PeerException">The server refused, or could not be reached in time.</exception>
    public static async Task<RoomClient> JoinAsync(
        PeerOptions options, RoomHandlers handlers, TimeProvider? clock = null, ILoggerFactory? loggers = null,
        CancellationToken cancellationToken = default)
    {
        var client = new RoomClient(options, handlers, clock ?? TimeProvider.System, loggers ?? NullLoggerFactory.Instance);
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        timeout.CancelAfter(options.ConnectTimeout);
        try
        {
            await client.JoinAsync(timeout.Token);
            return client;
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            await client.DisposeAsync();
            throw new PeerException("unreachable", $"The room was not joined within {options.ConnectTimeout.TotalSeconds:0} s: check that UDP reaches the SFU.");
        }
        catch
        {
            await client.DisposeAsync();
            throw;
        }
    }

    /// <summary>Publishes an Opus track.</summary>
    public async Task<LocalAudioTrack> PublishAudioAsync(
        TrackSource source = TrackSource.Microphone, string? name = null, CancellationToken cancellationToken = default)
    {
        RtcMedia media = _transport.Run((session, _) =>
        {
            RtcMedia added = session.AddMedia(MediaKind.Audio, MediaDirection.SendOnly);
            lock (_gate)
                _published.Add((added, new PublishedMedia(added.Mid, source, name)));
            return added;
        });
        try
        {
            NegotiateReply reply = await NegotiateAsync(cancellationToken);
            string id = reply.Published.FirstOrDefault(p => p.Mid == media.Mid)?.TrackId
                ?? throw new PeerException("not_granted", "The server did not accept the track: the token must grant \"publish\".");
            return new LocalAudioTrack(_transport, media, id);
        }
        catch
        {
            // The m-section stays in the descriptions for ever, but later offers must not ask for the track again.
            lock (_gate)
                _published.RemoveAll(p => p.Media == media);
            _transport.TryRun((_, _) => media.AllowedDirection = MediaDirection.Inactive);
            throw;
        }
    }

    /// <summary>Stops publishing a track.</summary>
    public async Task UnpublishAsync(LocalAudioTrack track, CancellationToken cancellationToken = default)
    {
        lock (_gate)
            _published.RemoveAll(p => p.Media == track.Media);
        _transport.Run((_, _) => track.Media.AllowedDirection = MediaDirection.Inactive);
        await NegotiateAsync(cancellationToken);
    }

    /// <summary>Tells the room that a track is muted.</summary>
    public Task SetMutedAsync(LocalAudioTrack track, bool muted, CancellationToken cancellationToken = default) =>
        _signaling.SetMutedAsync(track.Id, muted, cancellationToken);

    /// <summary>Starts or stops receiving a track.</summary>
    public Task SubscribeAsync(string trackId, bool enabled, CancellationToken cancellationToken = default) =>
        _signaling.SubscribeAsync(trackId, enabled, cancellationToken);

    /// <summary>Sends UTF-8 text on a data channel; false where it is not open or its buffer is full.</summary>
    public bool SendData(string label, ReadOnlySpan<byte> utf8) => _transport.SendText(label, utf8);

    /// <summary>Says goodbye and closes.</summary>
    public async Task LeaveAsync()
    {
        if (Volatile.Read(ref _closed) == 0)
        {
            try
            {
                await _signaling.LeaveAsync(_stopping.Token).WaitAsync(TimeSpan.FromSeconds(2));
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                // The server notices a silent client by itself.
                LogLeaveFailed(_logger, e.Message);
            }
        }

        await DisposeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        Close("left");
        await _signaling.DisposeAsync();
        await _transport.DisposeAsync();
    }

    void IMediaTransportObserver.OnStateChanged(RtcSessionState state)
    {
        if (state == RtcSessionState.Connected)
            _connected.TrySetResult();
        else if (state is RtcSessionState.Failed or RtcSessionState.Closed)
            Close(state == RtcSessionState.Failed ? "failed" : "closed");
    }

    void IMediaTransportObserver.OnRtp(RtcMedia media, in RtpPacket packet, Instant arrival)
    {
        if (media.Tag is RemoteTrack track)
            _handlers.Rtp?.Invoke(track, packet, arrival);
    }

    void IMediaTransportObserver.OnSenderReport(RtcMedia media, in Rtc.Rtcp.SenderReport report)
    {
        if (media.Tag is RemoteTrack track)
            _handlers.SenderClock?.Invoke(track, new SenderClock(report.RtpTimestamp, report.Ntp.ToDateTimeOffset()));
    }

    void IMediaTransportObserver.OnChannelOpened(string label)
    {
        if (label == CaptionMessage.ChannelLabel)
            _dataOpen.TrySetResult();
    }

    void IMediaTransportObserver.OnMessage(string label, ReadOnlySpan<byte> data) => _handlers.Data?.Invoke(label, data);

    private async Task JoinAsync(CancellationToken cancellationToken)
    {
        await _signaling.StartAsync(cancellationToken);
        _joined = await _signaling.JoinAsync(Request(resume: null), cancellationToken);
        Begin(_joined.Room);
        _transport.Run((session, now) =>
        {
            session.CreateDataChannel(now, CaptionMessage.ChannelLabel);
            return true;
        });
        AddSlots(
            _options.Kinds.Contains(TrackKind.Audio) ? _options.InitialSlots : 0,
            _options.Kinds.Contains(TrackKind.Video) ? _options.InitialSlots : 0);
        await NegotiateAsync(cancellationToken);
        await Task.WhenAll(_connected.Task, _dataOpen.Task).WaitAsync(cancellationToken);
    }

    /// <summary>"No kinds" is nothing to receive; the server takes no empty list.</summary>
    private JoinRequest Request(ResumeSession? resume) => new(
        _options.Token, _options.Name, _options.AutoSubscribe && _options.Kinds.Count > 0, _options.Kinds.Count > 0 ? _options.Kinds : null, resume);

    /// <summary>Starts from the room as the server described it, and goes on with what happened since.</summary>
    private void Begin(RoomSnapshot room)
    {
        List<RoomEvent> early;
        lock (_gate)
        {
            _roster.Reset(room);
            early = _early ?? [];
            _early = null;
        }

        foreach (RoomEvent change in early)
            OnRoomEvent(change);
    }

    /// <summary>Offers and applies the answer; one at a time.</summary>
    private async Task<NegotiateReply> NegotiateAsync(CancellationToken cancellationToken)
    {
        await _negotiating.WaitAsync(cancellationToken);
        try
        {
            // In one step: a track added meanwhile is in both or in neither.
            (string offer, PublishedMedia[] published) = _transport.Run((session, now) =>
            {
                string sdp = session.CreateOffer(now);
                lock (_gate)
                    return (sdp, (PublishedMedia[])[.. _published.Select(p => p.Description)]);
            });
            NegotiateReply reply = await _signaling.NegotiateAsync(new NegotiateRequest(offer, published), cancellationToken);
            string? error = _transport.Run((session, now) => session.TrySetRemoteAnswer(now, reply.Sdp, out string? e) ? null : e);
            if (error is not null)
                throw new PeerException("sdp_invalid", $"The server's answer cannot be applied: {error}");
            Assign(reply.Assignments);
            return reply;
        }
        finally
        {
            _negotiating.Release();
        }
    }

    private void AddSlots(int audio, int video)
    {
        _transport.Run((session, _) =>
        {
            lock (_gate)
            {
                for (int i = 0; i < audio + video; i++)
                {
                    RtcMedia media = session.AddMedia(i < audio ? MediaKind.Audio : MediaKind.Video, MediaDirection.RecvOnly);
                    _slots[media.Mid] = media;
                }
            }

            return true;
        });
    }

    private void OnSessionEvent(SfuSessionEvent change)
    {
        if (Volatile.Read(ref _closed) != 0)
            return;
        switch (change)
        {
            case SessionAssigned assigned:
                Assign(assigned.Assignments);
                break;
            case SessionNeedsMedia needs:
                AddSlots(Math.Clamp(needs.Audio, 0, MaxSlotsAtOnce), Math.Clamp(needs.Video, 0, MaxSlotsAtOnce));
                _offerOwed = true;
                _ = OfferInBackgroundAsync();
                break;
            case SessionClosed closed:
                Close(closed.Reason);
                break;
        }
    }

    private async Task OfferInBackgroundAsync()
    {
        try
        {
            await NegotiateAsync(_stopping.Token);
            _offerOwed = false;
        }
        catch (Exception e) when (e is PeerException or OperationCanceledException or ObjectDisposedException or InvalidOperationException)
        {
            LogOfferFailed(_logger, e.Message);
        }
    }

    private void OnRoomEvent(RoomEvent change)
    {
        if (Volatile.Read(ref _closed) != 0)
            return;
        RosterChange outcome;
        lock (_gate)
        {
            if (_early is not null)
            {
                _early.Add(change);
                return;
            }

            outcome = _roster.Apply(change);
        }

        if (outcome == RosterChange.Gap)
            _ = ResyncAsync();
        if (outcome != RosterChange.Applied)
            return;
        if (change is TrackPublished or ParticipantJoined)
            Assign([]);
        _handlers.RoomEvent?.Invoke(change);
    }

    /// <summary>One at a time; events that do not fit in meanwhile cause one more.</summary>
    private async Task ResyncAsync()
    {
        lock (_gate)
        {
            _resyncAgain = true;
            if (_resyncing)
                return;
            _resyncing = true;
        }

        try
        {
            while (true)
            {
                long sequence;
                lock (_gate)
                {
                    if (!_resyncAgain)
                    {
                        _resyncing = false;
                        return;
                    }

                    _resyncAgain = false;
                    sequence = _roster.Sequence;
                }

                ResyncReply reply = await _signaling.ResyncAsync(sequence, _stopping.Token);
                if (reply.Snapshot is { } snapshot)
                    Reset(snapshot);
                foreach (RoomEvent missed in reply.Events ?? [])
                    OnRoomEvent(missed);
            }
        }
        catch (Exception e) when (e is PeerException or OperationCanceledException or ObjectDisposedException)
        {
            // The next event shows the gap again.
            lock (_gate)
                _resyncing = false;
            LogResyncFailed(_logger, e.Message);
        }
    }

    /// <summary>Takes the room as it is now; what is different is told as events that carry the snapshot's number.</summary>
    private void Reset(RoomSnapshot snapshot)
    {
        IReadOnlyList<RoomEvent> differences;
        lock (_gate)
        {
            // An event may have overtaken the snapshot.
            if (snapshot.Sequence < _roster.Sequence)
                return;
            differences = _roster.Differences(snapshot);
            _roster.Reset(snapshot);
        }

        Assign([]);
        foreach (RoomEvent change in differences)
            _handlers.RoomEvent?.Invoke(change);
    }

    private async Task ResumeAsync()
    {
        // Lost while joining: the call in progress fails, and with it the join.
        if (_joined is not { } joined || Volatile.Read(ref _closed) != 0)
            return;
        try
        {
            long sequence;
            lock (_gate)
                sequence = _roster.Sequence;
            _joined = await _signaling.JoinAsync(Request(new ResumeSession(joined.SessionId, joined.ResumeKey, sequence)), _stopping.Token);
            if (!_joined.Resumed)
            {
                Close("connectionLost");
                return;
            }

            Reset(_joined.Room);

            // The offer that was under way may have been lost with the connection.
            if (_offerOwed)
                _ = OfferInBackgroundAsync();
        }
        catch (Exception e) when (e is PeerException or OperationCanceledException or ObjectDisposedException)
        {
            LogResumeFailed(_logger, e.Message);
            Close("connectionLost");
        }
    }

    /// <summary>
    /// Notes assignments and settles those whose track is known by now: the session's events and the room's travel apart,
    /// so a track may be assigned before it is announced.
    /// </summary>
    private void Assign(IReadOnlyList<MediaAssignment> assignments)
    {
        _transport.TryRun((_, _) =>
        {
            lock (_gate)
            {
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
                    {
                        media.Tag = null;
                        _handlers.TrackEnded?.Invoke(current);
                    }
                }

                foreach ((string mid, RtcMedia media) in _slots)
                {
                    if (media.Tag is null && _assignments.GetValueOrDefault(mid)?.TrackId is { } wanted && _roster.FindTrack(wanted) is { } info)
                    {
                        var track = new RemoteTrack(info, media);
                        media.Tag = track;
                        _handlers.TrackStarted?.Invoke(track);
                    }
                }
            }

            return true;
        });
    }

    private void Close(string reason)
    {
        if (Interlocked.Exchange(ref _closed, 1) != 0)
            return;
        if (_connected.TrySetException(new PeerException("unreachable", $"The session was closed while joining ({reason}).")))
            _dataOpen.TrySetResult();
        else
            _dataOpen.TrySetException(new PeerException("unreachable", $"The session was closed while joining ({reason})."));
        _stopping.Cancel();
        _handlers.Closed?.Invoke(reason);
    }
}
