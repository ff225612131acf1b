using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Cluster.Tokens;
using Transcribe.Signaling.Rooms;

namespace Transcribe.Signaling.Sessions;

/// <param name="OnlyParticipant">See <see cref="OpenSession"/>.</param>
internal sealed record SessionRequest(
    AccessToken Token, Grants Grants, Presence Presence, string? Name = null, bool AutoSubscribe = true,
    IReadOnlyList<TrackKind>? Kinds = null, string? OnlyParticipant = null);

/// <summary>The sessions of this signalling node: opens them on an SFU node, shows them in their room, ends them everywhere.</summary>
internal sealed partial class SessionManager(
    SignalingOptions options,
    IMessageBus bus,
    IRoomDirectory rooms,
    INodeSelector nodes,
    IIceServers iceServers,
    RoomFeeds feeds,
    TimeProvider time,
    IHostApplicationLifetime lifetime,
    ILogger<SessionManager> logger) : IHostedService
{
    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(5);

    private readonly ConcurrentDictionary<string, ClientSession> _sessions = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<Task, byte> _ending = new();
    private readonly ILogger _logger = logger;
    private volatile bool _stopping;

    public int Count => _sessions.Count;

    public IReadOnlyList<IceServer> IceServers(string participantId) => iceServers.For(participantId);

    public Task StartAsync(CancellationToken cancellationToken)
    {
        // Before the web server cuts the connections over which clients are told.
        lifetime.ApplicationStopping.Register(() => EndAllAsync(CancellationToken.None).Wait(StopTimeout));
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => EndAllAsync(cancellationToken);

    private async Task EndAllAsync(CancellationToken cancellationToken)
    {
        _stopping = true;
        foreach (ClientSession session in _sessions.Values)
            EndLater(session, "nodeShutdown");

        try
        {
            await Task.WhenAll(_ending.Keys).WaitAsync(StopTimeout, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception e) when (e is TimeoutException or OperationCanceledException)
        {
            LogStopIncomplete(_sessions.Count);
        }
    }

    public bool TryGet(string sessionId, out ClientSession session) => _sessions.TryGetValue(sessionId, out session!);

    /// <summary>Joins over the hub.</summary>
    public async Task<(ClientSession Session, JoinReply Reply)> JoinAsync(
        SessionRequest request, IClientConnection connection, CancellationToken cancellationToken)
    {
        (ClientSession session, RoomSnapshot room) = await OpenAsync(request, hasHub: true, cancellationToken).ConfigureAwait(false);
        session.Outbox!.Attach(connection, room.Sequence, []);
        return (session, Reply(session, room, resumed: false));
    }

    /// <summary>Goes on with a session over a new connection; null where there is none to go on with.</summary>
    public async Task<(ClientSession Session, JoinReply Reply)?> TryResumeAsync(
        ResumeSession resume, IClientConnection connection, CancellationToken cancellationToken)
    {
        if (!_sessions.TryGetValue(resume.SessionId, out ClientSession? session) || session.Outbox is null || session.Ended
            || !CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(session.ResumeKey), Encoding.UTF8.GetBytes(resume.ResumeKey)))
        {
            return null;
        }

        session.StopGrace();
        session.Outbox.Hold();
        RoomSnapshot room = await rooms.GetSnapshotAsync(session.Room, cancellationToken).ConfigureAwait(false);
        IReadOnlyList<RoomEvent>? missed = await rooms.GetEventsAsync(session.Room, resume.Sequence, cancellationToken).ConfigureAwait(false);
        Outgoing[] first =
        [
            .. (missed ?? []).Select(change => new Outgoing(
                HubMethods.RoomEvent, System.Text.Json.JsonSerializer.SerializeToElement(change, Cluster.ClusterJson.Options))),
            .. session.Recap(),
        ];
        long last = missed is { Count: > 0 } ? missed[^1].Sequence : missed is null ? room.Sequence : resume.Sequence;
        session.Outbox.Attach(connection, last, first);
        if (session.Ended)
            return null;

        LogResumed(session.Id, session.Room);
        return (session, Reply(session, room, resumed: true));
    }

    /// <summary>The hub connection broke: the media session stays for the grace period.</summary>
    public void Disconnected(ClientSession session, string connectionId)
    {
        if (session.Outbox?.Detach(connectionId) == true && !session.Ended)
            session.StartGrace(time, options.GracePeriod);
    }

    /// <summary>Opens a session on an SFU node and shows it in its room.</summary>
    public async Task<(ClientSession Session, RoomSnapshot Room)> OpenAsync(
        SessionRequest request, bool hasHub, CancellationToken cancellationToken)
    {
        if (_stopping)
            throw new SessionException(SessionException.Unavailable, "The server is shutting down; try again in a moment.");

        string room = request.Token.Room;
        await CheckRoomForAsync(request, cancellationToken).ConfigureAwait(false);
        NodeInfo node = await nodes.SelectSfuAsync(room, cancellationToken).ConfigureAwait(false)
            ?? throw new SessionException(SessionException.Unavailable, "No media server has room for one more; try again in a moment.");

        var session = new ClientSession(
            "S_" + RandomNumberGenerator.GetHexString(24, lowercase: true),
            RandomNumberGenerator.GetHexString(32, lowercase: true),
            request.Token,
            request.Token.Name ?? request.Name,
            request.Presence,
            node.Id,
            hasHub,
            EndLater);
        _sessions[session.Id] = session;
        try
        {
            session.Subscriptions.Add(
                await bus.SubscribeAsync<SfuSessionEvent>(SfuSubjects.SessionEvents(session.Id), session.OnSessionEventAsync, cancellationToken).ConfigureAwait(false));
            session.Subscriptions.Add(await feeds.AttachAsync(room, session).ConfigureAwait(false));
            await AskAsync<OpenSession, Ack>(
                session,
                SfuSubjects.Open(node.Id),
                new OpenSession(session.Id, room, session.Participant, request.Grants, request.AutoSubscribe, request.OnlyParticipant, request.Kinds),
                cancellationToken).ConfigureAwait(false);
            RoomSnapshot snapshot = await ShowAsync(session, cancellationToken).ConfigureAwait(false);
            if (session.Ended || _stopping)
                throw new SessionException(SessionException.Unavailable, "The session ended while it was opened; try again.");

            LogOpened(session.Id, room, node.Id, session.Presence);
            return (session, snapshot);
        }
        catch
        {
            await EndAsync(session, "left").ConfigureAwait(false);
            throw;
        }
    }

    public async Task<SessionNegotiated> NegotiateAsync(
        ClientSession session, string sdp, IReadOnlyList<PublishedMedia> tracks, CancellationToken cancellationToken)
    {
        if (sdp.Length > options.MaxSdpLength)
            throw new SessionException(SessionException.TooLarge, $"The SDP has {sdp.Length} characters; at most {options.MaxSdpLength} are taken.");

        if (tracks.Count > 0 && !session.Token.Grants.Publish)
            throw new SessionException(SessionException.NotGranted, "The token does not grant \"publish\"; offer receive-only media, or ask your app for another token.");

        SessionNegotiated answer = await AskAsync<NegotiateSession, SessionNegotiated>(
            session, SfuSubjects.Negotiate(session.Node), new(session.Id, sdp, tracks), cancellationToken).ConfigureAwait(false);
        session.OnNegotiated(answer.Assignments);
        return answer;
    }

    public Task<Ack> TrickleAsync(ClientSession session, string? candidate, CancellationToken cancellationToken) =>
        AskAsync<AddSessionCandidate, Ack>(session, SfuSubjects.AddCandidate(session.Node), new(session.Id, candidate), cancellationToken);

    public Task<Ack> SubscribeAsync(ClientSession session, string trackId, bool enabled, CancellationToken cancellationToken) =>
        session.Token.Grants.Subscribe
            ? AskAsync<SetSubscription, Ack>(session, SfuSubjects.Subscribe(session.Node), new(session.Id, trackId, enabled), cancellationToken)
            : throw new SessionException(SessionException.NotGranted, "The token does not grant \"subscribe\"; ask your app for another one.");

    public Task<Ack> SetMutedAsync(ClientSession session, string trackId, bool muted, CancellationToken cancellationToken) =>
        AskAsync<SetTrackMuted, Ack>(session, SfuSubjects.SetMuted(session.Node), new(session.Id, trackId, muted), cancellationToken);

    public async Task<ResyncReply> ResyncAsync(ClientSession session, long afterSequence, CancellationToken cancellationToken)
    {
        IReadOnlyList<RoomEvent>? events = await rooms.GetEventsAsync(session.Room, afterSequence, cancellationToken).ConfigureAwait(false);
        return events is not null
            ? new ResyncReply(events, null)
            : new ResyncReply(null, await rooms.GetSnapshotAsync(session.Room, cancellationToken).ConfigureAwait(false));
    }

    /// <summary>Ends the session: at the client, in the room, on the SFU node. A second call does nothing.</summary>
    public async Task EndAsync(ClientSession session, string reason)
    {
        if (!session.TryEnd())
            return;

        _sessions.TryRemove(session.Id, out _);
        session.StopGrace();
        session.Outbox?.Post(ClientSession.Message(new SessionClosed(reason)));
        Task told = session.Outbox?.CompleteAsync() ?? Task.CompletedTask;
        foreach (IAsyncDisposable subscription in session.Subscriptions)
            await subscription.DisposeAsync().ConfigureAwait(false);

        try
        {
            await HideAsync(session, reason).ConfigureAwait(false);
        }
        finally
        {
            await CloseAsync(session, reason).ConfigureAwait(false);
        }

        // The last word must be out before a stopping host cuts the connection.
        if (_stopping)
            await told.ConfigureAwait(false);

        LogEnded(session.Id, session.Room, reason);
    }

    private async Task CloseAsync(ClientSession session, string reason)
    {
        try
        {
            await bus.RequestAsync<CloseSession, Ack>(
                SfuSubjects.Close(session.Node), new CloseSession(session.Id, reason), options.SfuTimeout).ConfigureAwait(false);
        }
        catch (BusException e)
        {
            // The node ended it itself, or is gone: there is nothing left to close.
            LogCloseUnanswered(session.Id, e.Code);
        }
    }

    /// <summary>Ends the session without waiting for it: for callers inside an event handler.</summary>
    private void EndLater(ClientSession session, string reason)
    {
        Task end = Task.Run(async () =>
        {
            try
            {
                await EndAsync(session, reason).ConfigureAwait(false);
            }
            catch (Exception e)
            {
                LogEndFailed(session.Id, e);
            }
        });
        _ending[end] = 0;
        _ = end.ContinueWith(done => _ending.TryRemove(done, out byte _), TaskScheduler.Default);
    }

    private async Task CheckRoomForAsync(SessionRequest request, CancellationToken cancellationToken)
    {
        if (request.Presence != Presence.Visible)
            return;

        RoomSnapshot snapshot = await rooms.GetSnapshotAsync(request.Token.Room, cancellationToken).ConfigureAwait(false);
        if (snapshot.Participants.Count >= options.MaxParticipantsPerRoom
            && snapshot.Participants.All(participant => participant.Id != request.Token.Participant))
        {
            throw new SessionException(SessionException.RoomFull, $"The room has {options.MaxParticipantsPerRoom} participants, and takes no more; try later.");
        }
    }

    private async Task<RoomSnapshot> ShowAsync(ClientSession session, CancellationToken cancellationToken)
    {
        switch (session.Presence)
        {
            case Presence.Visible:
                JoinedRoom joined = await rooms.JoinAsync(
                    session.Room, session.Id, session.Participant, session.Name, session.Token.Grants.Publish, cancellationToken).ConfigureAwait(false);
                if (joined.ReplacedSessionId is { } replaced)
                {
                    // Whichever signalling node has the older session hears this and ends it.
                    await bus.PublishAsync<SfuSessionEvent>(
                        SfuSubjects.SessionEvents(replaced), new SessionClosed("duplicateIdentity"), cancellationToken).ConfigureAwait(false);
                }

                return joined.Room;

            case Presence.Viewer:
                await rooms.AddViewerAsync(session.Room, session.Id, cancellationToken).ConfigureAwait(false);
                break;
        }

        return await rooms.GetSnapshotAsync(session.Room, cancellationToken).ConfigureAwait(false);
    }

    private async Task HideAsync(ClientSession session, string reason)
    {
        if (session.Presence == Presence.Viewer)
            await rooms.RemoveViewerAsync(session.Room, session.Id).ConfigureAwait(false);

        if (session.Presence == Presence.Visible)
        {
            string told = reason is "left" or "timeout" or "duplicateIdentity" or "removed" or "roomClosed" ? reason : "timeout";
            await rooms.LeaveAsync(session.Room, session.Id, session.Participant, told).ConfigureAwait(false);
        }
    }

    private async Task<TReply> AskAsync<TRequest, TReply>(
        ClientSession session, string subject, TRequest request, CancellationToken cancellationToken)
    {
        if (session.Ended)
            throw new SessionException(SessionException.NotFound, "The session has ended; join again.");

        try
        {
            return await bus.RequestAsync<TRequest, TReply>(subject, request, options.SfuTimeout, cancellationToken).ConfigureAwait(false);
        }
        catch (BusException e)
        {
            LogRefused(session.Id, subject, e.Code);
            if (e.Code == SessionException.NotFound)
                EndLater(session, "failed");

            throw SessionException.From(e);
        }
    }

    private JoinReply Reply(ClientSession session, RoomSnapshot room, bool resumed) =>
        new(session.Id, session.ResumeKey, session.Participant, room, iceServers.For(session.Participant), resumed);
}
