using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;

namespace Transcribe.Peer;

/// <summary>
/// A headless participant: signalling over SignalR, media over the same UDP, ICE, DTLS-SRTP and SCTP as a browser's.
/// The AI gateway, the command line and the tests join rooms with it.
/// </summary>
/// <remarks>
/// Handlers are given when joining, so that no event is lost. They run on the client's own threads and must not block.
/// The loss of a signalling node, of a media node or of the whole session is repaired without being asked: see
/// RoomClient.Recovery.cs.
/// </remarks>
public sealed partial class RoomClient : IMediaLinkOwner, IAsyncDisposable
{
    /// <summary>Receive transceivers that one event of the server may add, per kind.</summary>
    private const int MaxSlotsAtOnce = 64;

    private readonly PeerOptions _options;
    private readonly RoomHandlers _handlers;
    private readonly TimeProvider _clock;
    private readonly ILogger _logger;
    private readonly SignalingUrls _urls;
    private readonly Lock _gate = new();
    private readonly RoomRoster _roster = new();
    private readonly List<LocalAudioTrack> _tracks = [];
    private readonly Dictionary<string, bool> _subscriptions = new(StringComparer.Ordinal);
    private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _stopping = new();
    private readonly CancellationToken _stoppingToken;
    private volatile MediaLink? _link;
    private JoinReply? _joined;
    private bool _resyncing;
    private bool _resyncAgain;
    private int _closed;

    private RoomClient(PeerOptions options, RoomHandlers handlers, TimeProvider clock, ILoggerFactory loggers)
    {
        (_options, _handlers, _clock) = (options, handlers, clock);
        _logger = loggers.CreateLogger("Transcribe.Peer");
        _urls = new SignalingUrls(options);
        _stoppingToken = _stopping.Token;
    }

    /// <summary>This participant's id (the token's <c>sub</c>).</summary>
    public string ParticipantId => _joined?.ParticipantId ?? "";

    /// <summary>The session's id; another one after a new session was needed.</summary>
    public string SessionId => _joined?.SessionId ?? "";

    /// <summary>The hub it is connected to; null while it is not.</summary>
    public Uri? SignalingUrl
    {
        get
        {
            lock (_gate)
                return _hub is null ? null : _hubUrl;
        }
    }

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

    RoomHandlers IMediaLinkOwner.Handlers => _handlers;

    private bool IsClosed => Volatile.Read(ref _closed) != 0;

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
            throw new PeerException(
                PeerException.Unreachable, $"The room was not joined within {options.ConnectTimeout.TotalSeconds:0} s: check that UDP reaches the SFU.");
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
        ObjectDisposedException.ThrowIf(IsClosed, this);
        var track = new LocalAudioTrack(source, name);
        lock (_gate)
            _tracks.Add(track);
        try
        {
            await NegotiateAsync(link => link.Add(track), cancellationToken);
            return track.Ssrc != 0 || track.Id.Length > 0
                ? track
                : throw new PeerException("not_granted", "The server did not accept the track: the token must grant \"publish\".");
        }
        catch
        {
            // Later offers must not ask for the track again.
            lock (_gate)
                _tracks.Remove(track);
            _link?.Remove(track);
            throw;
        }
    }

    /// <summary>Stops publishing a track.</summary>
    public async Task UnpublishAsync(LocalAudioTrack track, CancellationToken cancellationToken = default)
    {
        lock (_gate)
            _tracks.Remove(track);
        await NegotiateAsync(link => link.Remove(track), cancellationToken);
        track.Unbind();
    }

    /// <summary>Tells the room that a track is muted.</summary>
    public async Task SetMutedAsync(LocalAudioTrack track, bool muted, CancellationToken cancellationToken = default)
    {
        track.Muted = muted;
        await (await ConnectedAsync(cancellationToken)).SetMutedAsync(track.Id, muted, cancellationToken);
    }

    /// <summary>Starts or stops receiving a track.</summary>
    public async Task SubscribeAsync(string trackId, bool enabled, CancellationToken cancellationToken = default)
    {
        lock (_gate)
            _subscriptions[trackId] = enabled;
        await (await ConnectedAsync(cancellationToken)).SubscribeAsync(trackId, enabled, cancellationToken);
    }

    /// <summary>Sends UTF-8 text on a data channel; false where it is not open or its buffer is full.</summary>
    public bool SendData(string label, ReadOnlySpan<byte> utf8) => _link?.SendText(label, utf8) ?? false;

    /// <summary>Says goodbye and closes.</summary>
    public async Task LeaveAsync()
    {
        SignalingConnection? hub;
        lock (_gate)
            hub = _hub;
        if (!IsClosed && hub is not null)
            await SayGoodbyeAsync(hub);
        await DisposeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        Close("left");
        SignalingConnection? hub;
        lock (_gate)
        {
            hub = _hub;
            DropHub();
        }

        if (hub is not null)
            await hub.DisposeAsync();
        if (_link is { } link)
            await link.DisposeAsync();
    }

    TrackInfo? IMediaLinkOwner.FindTrack(string trackId)
    {
        lock (_gate)
            return _roster.FindTrack(trackId);
    }

    private async Task JoinAsync(CancellationToken cancellationToken)
    {
        await _urls.FindAsync(cancellationToken);
        for (int i = 0; ; i++)
        {
            try
            {
                await JoinAtAsync(_urls.Known[i], resume: null, cancellationToken);
                break;
            }
            catch (PeerException e) when (IsOfNode(e) && i + 1 < _urls.Known.Count)
            {
                LogNextNode(_logger, e.Code);
            }
        }

        await NegotiateAsync(_ => { }, cancellationToken);
        await _ready.Task.WaitAsync(cancellationToken);
    }

    /// <summary>
    /// Changes what is offered and offers it. Where the media session is replaced meanwhile, once more on the new one.
    /// </summary>
    private async Task NegotiateAsync(Action<MediaLink> change, CancellationToken cancellationToken)
    {
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            ObjectDisposedException.ThrowIf(IsClosed, this);
            MediaLink link = _link ?? throw new ObjectDisposedException(nameof(RoomClient));
            SignalingConnection hub = await ConnectedAsync(cancellationToken);
            try
            {
                change(link);
                await link.NegotiateAsync(hub, cancellationToken);
                return;
            }
            catch (PeerException e) when (e.Code == PeerException.Unreachable && WasLeft(hub))
            {
                LogOfferFailed(_logger, e.Message);
            }
            catch (MediaLinkAbandonedException)
            {
                ObjectDisposedException.ThrowIf(IsClosed, this);
            }
        }
    }

    /// <summary>"No kinds" is nothing to receive; the server takes no empty list.</summary>
    private JoinRequest Request(ResumeSession? resume) => new(
        _options.Token, _options.Name, _options.AutoSubscribe && _options.Kinds.Count > 0, _options.Kinds.Count > 0 ? _options.Kinds : null, resume);

    private void OnSessionEvent(SfuSessionEvent change)
    {
        if (IsClosed || _link is not { } link)
            return;
        switch (change)
        {
            case SessionAssigned assigned:
                link.Assign(assigned.Assignments);
                break;
            case SessionNeedsMedia needs:
                link.AddSlots(Math.Clamp(needs.Audio, 0, MaxSlotsAtOnce), Math.Clamp(needs.Video, 0, MaxSlotsAtOnce));
                OweOffer(link);
                break;
            case SessionMoved moved:
                ReplaceLink(moved.Reason);
                break;
            case SessionClosed closed:
                OnSessionClosed(closed.Reason);
                break;
        }
    }

    private void OnRoomEvent(RoomEvent change)
    {
        if (IsClosed)
            return;
        RosterChange outcome;
        lock (_gate)
            outcome = _roster.Apply(change);
        if (outcome == RosterChange.Gap)
            _ = ResyncAsync();
        if (outcome != RosterChange.Applied)
            return;
        if (change is TrackPublished or ParticipantJoined)
            _link?.Assign([]);
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

                ResyncReply reply = await (await ConnectedAsync(_stoppingToken)).ResyncAsync(sequence, _stoppingToken);
                if (reply.Snapshot is { } snapshot)
                    Reset(snapshot, began: false);
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
    /// <param name="began">The numbers begin again with this snapshot; otherwise an event may have overtaken it.</param>
    private void Reset(RoomSnapshot snapshot, bool began)
    {
        IReadOnlyList<RoomEvent> differences;
        lock (_gate)
        {
            if (!began && snapshot.Sequence < _roster.Sequence)
                return;
            differences = _roster.Differences(snapshot);
            _roster.Reset(snapshot);
        }

        _link?.Assign([]);
        foreach (RoomEvent change in differences)
            _handlers.RoomEvent?.Invoke(change);
    }

    private void Close(string reason)
    {
        if (Interlocked.Exchange(ref _closed, 1) != 0)
            return;
        if (_ready.TrySetException(new PeerException(PeerException.Unreachable, $"The session was closed while joining ({reason}).")))
            _ = _ready.Task.Exception;
        _stopping.Cancel();
        _handlers.Closed?.Invoke(reason);
    }
}
