using System.Collections.Concurrent;
using System.Security.Cryptography;
using Microsoft.Extensions.Logging;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Placement;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Cluster.State;
using Transcribe.Cluster.Tokens;
using Transcribe.Signaling.Rooms;

namespace Transcribe.Signaling.Sessions;

/// <param name="OnlyParticipant">See <see cref="OpenSession"/>.</param>
internal sealed record SessionRequest(
    AccessToken Token, Grants Grants, Presence Presence, string? Name = null, bool AutoSubscribe = true,
    IReadOnlyList<TrackKind>? Kinds = null, string? OnlyParticipant = null);

/// <summary>The sessions of this signalling node: opens them on an SFU node, shows them in their room, ends them everywhere.</summary>
internal sealed partial class SessionManager
{
    /// <summary>How many nodes a join tries before it gives up.</summary>
    private const int OpenAttempts = 3;

    private readonly SignalingOptions _options;
    private readonly IMessageBus _bus;
    private readonly IRoomDirectory _rooms;
    private readonly INodeSelector _nodes;
    private readonly INodeDirectory _directory;
    private readonly IIceServers _iceServers;
    private readonly RoomFeeds _feeds;
    private readonly SessionStore _store;
    private readonly SessionRemoval _removal;
    private readonly SessionMover _mover;
    private readonly SfuWatch _watch;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly ConcurrentDictionary<string, ClientSession> _sessions = new(StringComparer.Ordinal);
    private volatile bool _stopping;

    public SessionManager(
        SignalingOptions options, IMessageBus bus, IRoomDirectory rooms, INodeSelector nodes, INodeDirectory directory, IIceServers iceServers,
        RoomFeeds feeds, SessionStore store, SessionRemoval removal, SessionMover mover, SfuWatch watch, TimeProvider time,
        ILogger<SessionManager> logger)
    {
        (_options, _bus, _rooms, _nodes, _directory, _iceServers) = (options, bus, rooms, nodes, directory, iceServers);
        (_feeds, _store, _removal, _mover, _watch, _time, _logger) = (feeds, store, removal, mover, watch, time, logger);
        mover.NotOurs = session => _ = Task.Run(() => ForgetAsync(session));
        mover.MovedTo = watch.Use;
        watch.Lost = OnNodeLost;
    }

    public int Count => _sessions.Count;

    /// <summary>This node is being drained, and another one is there: clients that join are to go there.</summary>
    public bool RefusesJoins { get; set; }

    /// <summary>The drain's deadline has passed: clients that resume are to go elsewhere too.</summary>
    public bool RefusesResumes { get; set; }

    /// <summary>The sessions that are here now.</summary>
    public IEnumerable<ClientSession> All => _sessions.Values;

    public IReadOnlyList<IceServer> IceServers(string participantId) => _iceServers.For(participantId);

    public bool TryGet(string sessionId, out ClientSession session) => _sessions.TryGetValue(sessionId, out session!);

    /// <summary>Joins over the hub.</summary>
    public async Task<(ClientSession Session, JoinReply Reply)> JoinAsync(
        SessionRequest request, IClientConnection connection, CancellationToken cancellationToken)
    {
        if (RefusesJoins)
            throw Draining();

        string resumeKey = RandomNumberGenerator.GetHexString(32, lowercase: true);
        (ClientSession session, RoomSnapshot room) = await OpenAsync(request, resumeKey, http: false, cancellationToken).ConfigureAwait(false);
        session.Outbox!.Attach(connection, room.Sequence, []);
        return (session, Reply(session, resumeKey, room, resumed: false));
    }

    /// <summary>Opens a session that speaks HTTP.</summary>
    public async Task<ClientSession> OpenHttpAsync(SessionRequest request, CancellationToken cancellationToken) =>
        (await OpenAsync(request, RandomNumberGenerator.GetHexString(32), http: true, cancellationToken).ConfigureAwait(false)).Session;

    /// <summary>The hub connection broke: the media session stays for the grace period.</summary>
    public void Disconnected(ClientSession session, string connectionId)
    {
        if (session.Outbox?.Detach(connectionId) == true && !session.Ended)
            session.StartGrace(_time, _options.GracePeriod);
    }

    public async Task<SessionNegotiated> NegotiateAsync(
        ClientSession session, string sdp, IReadOnlyList<PublishedMedia> tracks, CancellationToken cancellationToken)
    {
        if (sdp.Length > _options.MaxSdpLength)
            throw new SessionException(SessionException.TooLarge, $"The SDP has {sdp.Length} characters; at most {_options.MaxSdpLength} are taken.");

        if (tracks.Count > 0 && !session.Grants.Publish)
            throw new SessionException(SessionException.NotGranted, "The token does not grant \"publish\"; offer receive-only media, or ask your app for another token.");

        string node = session.Node;
        SessionNegotiated answer = await AskAsync<NegotiateSession, SessionNegotiated>(
            session, SfuSubjects.Negotiate(node), new(session.Id, sdp, tracks), cancellationToken).ConfigureAwait(false);
        if (node != session.Node)
            throw new SessionException(SessionException.Unavailable, "The session moved to another media server meanwhile; negotiate anew, as the event \"moved\" says.");

        if (session.OnNegotiated(node, answer.Assignments))
            await TellNegotiatedAsync(session).ConfigureAwait(false);

        return answer;
    }

    public Task<Ack> TrickleAsync(ClientSession session, string? candidate, CancellationToken cancellationToken) =>
        AskAsync<AddSessionCandidate, Ack>(session, SfuSubjects.AddCandidate(session.Node), new(session.Id, candidate), cancellationToken);

    public Task<Ack> SubscribeAsync(ClientSession session, string trackId, bool enabled, CancellationToken cancellationToken) =>
        session.Grants.Subscribe
            ? AskAsync<SetSubscription, Ack>(session, SfuSubjects.Subscribe(session.Node), new(session.Id, trackId, enabled), cancellationToken)
            : throw new SessionException(SessionException.NotGranted, "The token does not grant \"subscribe\"; ask your app for another one.");

    public Task<Ack> SetMutedAsync(ClientSession session, string trackId, bool muted, CancellationToken cancellationToken) =>
        AskAsync<SetTrackMuted, Ack>(session, SfuSubjects.SetMuted(session.Node), new(session.Id, trackId, muted), cancellationToken);

    public async Task<ResyncReply> ResyncAsync(ClientSession session, long afterSequence, CancellationToken cancellationToken)
    {
        IReadOnlyList<RoomEvent>? events = await _rooms.GetEventsAsync(session.Room, afterSequence, cancellationToken).ConfigureAwait(false);
        return events is not null
            ? new ResyncReply(events, null)
            : new ResyncReply(null, await _rooms.GetSnapshotAsync(session.Room, cancellationToken).ConfigureAwait(false));
    }

    /// <summary>Moves those sessions of this node that the order is about.</summary>
    public void Move(MoveSessions order)
    {
        foreach (ClientSession session in _sessions.Values)
        {
            if ((order.FromNode is null || order.FromNode == session.Node) && (order.Room is null || order.Room == session.Room)
                && order.ToNode != session.Node)
            {
                _mover.MoveLater(session, order.Reason, order.ToNode is null ? session.Node : null, order.ToNode);
            }
        }
    }

    /// <summary>Ends every session of a participant that this node has.</summary>
    public void Remove(RemoveParticipant order)
    {
        foreach (ClientSession session in _sessions.Values)
        {
            if (session.Room == order.Room && session.Participant == order.ParticipantId)
                EndLater(session, "removed");
        }
    }

    /// <summary>Opens a session on an SFU node and shows it in its room.</summary>
    private async Task<(ClientSession Session, RoomSnapshot Room)> OpenAsync(
        SessionRequest request, string resumeKey, bool http, CancellationToken cancellationToken)
    {
        if (_stopping)
            throw new SessionException(SessionException.Unavailable, "The server is shutting down; try again in a moment.");

        await CheckRoomForAsync(request, cancellationToken).ConfigureAwait(false);
        var record = new SessionRecord(
            "S_" + RandomNumberGenerator.GetHexString(24, lowercase: true), request.Token.Room, request.Token.Participant,
            request.Token.Name ?? request.Name, request.Presence, request.Grants, http, SessionRecord.HashOf(resumeKey), _store.Self, "",
            request.AutoSubscribe, request.Kinds, request.OnlyParticipant);
        ClientSession session = Create(record);
        _sessions[session.Id] = session;
        try
        {
            await ListenAsync(session, cancellationToken).ConfigureAwait(false);
            await PlaceAsync(session, cancellationToken).ConfigureAwait(false);
            await _store.AddAsync(session.Record, cancellationToken).ConfigureAwait(false);
            RoomSnapshot snapshot = await ShowAsync(session, cancellationToken).ConfigureAwait(false);
            session.ShownAt = snapshot.Sequence;
            session.IsAttached = true;
            if (session.Ended || _stopping)
                throw new SessionException(SessionException.Unavailable, "The session ended while it was opened; try again.");

            LogOpened(session.Id, session.Room, session.Node, session.Presence);
            return (session, snapshot);
        }
        catch
        {
            await EndAsync(session, "left").ConfigureAwait(false);
            throw;
        }
    }

    private ClientSession Create(SessionRecord record) => new(record, EndLater, OnGivenUp);

    /// <summary>Subscribes to the events of its SFU node and its room.</summary>
    private async Task ListenAsync(ClientSession session, CancellationToken cancellationToken)
    {
        session.Subscriptions.Add(await _bus.SubscribeAsync<SfuSessionEvent>(
            SfuSubjects.SessionEvents(session.Id), session.OnSessionEventAsync, cancellationToken).ConfigureAwait(false));
        session.Subscriptions.Add(await _feeds.AttachAsync(session.Room, session).ConfigureAwait(false));
    }

    /// <summary>Opens the session on the node that placement chooses, or on the next one where that fails.</summary>
    private async Task PlaceAsync(ClientSession session, CancellationToken cancellationToken)
    {
        var failed = new List<string>();
        SessionException? refused = null;
        while (true)
        {
            var request = new PlacementRequest(session.Room, session.Record.PlacementRole, session.Participant, _options.Region, failed);
            NodeInfo? node = failed.Count < OpenAttempts ? await _nodes.SelectSfuAsync(request, cancellationToken).ConfigureAwait(false) : null;
            if (node is null || failed.Contains(node.Id))
                throw refused ?? new SessionException(SessionException.Unavailable, "No media server has room for one more; try again in a moment.");

            session.PlaceOn(node.Id);
            try
            {
                await AskAsync<OpenSession, Ack>(session, SfuSubjects.Open(node.Id), session.Record.ToOpen(), cancellationToken).ConfigureAwait(false);
                _watch.Use(node.Id);
                return;
            }
            catch (SessionException e) when (e.Code is SessionException.Unavailable or SessionException.RoomFull && !session.Ended)
            {
                refused = e;
                failed.Add(node.Id);
            }
        }
    }

    private async Task CheckRoomForAsync(SessionRequest request, CancellationToken cancellationToken)
    {
        if (request.Presence != Presence.Visible)
            return;

        RoomSnapshot snapshot = await _rooms.GetSnapshotAsync(request.Token.Room, cancellationToken).ConfigureAwait(false);
        if (snapshot.Participants.Count >= _options.MaxParticipantsPerRoom
            && snapshot.Participants.All(participant => participant.Id != request.Token.Participant))
        {
            throw new SessionException(SessionException.RoomFull, $"The room has {_options.MaxParticipantsPerRoom} participants, and takes no more; try later.");
        }
    }

    private async Task<RoomSnapshot> ShowAsync(ClientSession session, CancellationToken cancellationToken)
    {
        switch (session.Presence)
        {
            case Presence.Visible:
                JoinedRoom joined = await _rooms.JoinAsync(
                    session.Room, session.Id, session.Participant, session.Record.Name, session.Grants.Publish, cancellationToken).ConfigureAwait(false);
                if (joined.ReplacedSessionId is { } replaced)
                    await ReplaceAsync(replaced).ConfigureAwait(false);

                return joined.Room;

            case Presence.Viewer:
                await _rooms.AddViewerAsync(session.Room, session.Id, cancellationToken).ConfigureAwait(false);
                break;
        }

        return await _rooms.GetSnapshotAsync(session.Room, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>The client has negotiated with the node that it was moved to: who resumes it later need not ask for that again.</summary>
    private async Task TellNegotiatedAsync(ClientSession session)
    {
        try
        {
            await _store.UpdateAsync(session.Id, record => record with { Moved = null }).ConfigureAwait(false);
        }
        catch (ClusterUnavailableException e)
        {
            LogStoreAway(session.Id, e.Message);
        }
    }

    private async Task<TReply> AskAsync<TRequest, TReply>(
        ClientSession session, string subject, TRequest request, CancellationToken cancellationToken)
    {
        if (session.Ended)
            throw new SessionException(SessionException.NotFound, "The session has ended; join again.");

        try
        {
            return await _bus.RequestAsync<TRequest, TReply>(subject, request, _options.SfuTimeout, cancellationToken).ConfigureAwait(false);
        }
        catch (BusException e)
        {
            LogRefused(session.Id, subject, e.Code);
            if (e.Code != SessionException.NotFound || session.Record.Http)
            {
                if (e.Code == SessionException.NotFound)
                    EndLater(session, "nodeLost");

                throw SessionException.From(e);
            }

            _mover.MoveLater(session, "nodeLost", exclude: null);
            throw new SessionException(
                SessionException.Unavailable, "The media server has lost the session, which is opened anew; negotiate again after the event \"moved\".");
        }
    }

    /// <summary>A session's SFU node shuts down.</summary>
    private void OnGivenUp(ClientSession session, string reason)
    {
        if (_stopping)
            EndLater(session, "nodeShutdown");
        else
            _mover.MoveLater(session, reason, session.Node);
    }

    private void OnNodeLost(string node)
    {
        if (_stopping)
            return;

        foreach (ClientSession session in _sessions.Values)
        {
            if (session.Node == node)
                _mover.MoveLater(session, "nodeLost", node);
        }

        _ = Task.Run(() => _feeds.ForgetSpeakersAsync(node));
    }

    private static SessionException Draining() =>
        new(SessionException.Unavailable, "This signalling node is being drained; connect to another one.");

    private JoinReply Reply(ClientSession session, string resumeKey, RoomSnapshot room, bool resumed) =>
        new(session.Id, resumeKey, session.Participant, room, _iceServers.For(session.Participant), resumed);
}
