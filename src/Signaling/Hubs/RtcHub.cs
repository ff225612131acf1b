using System.Text.Json;
using Microsoft.AspNetCore.SignalR;
using Microsoft.Extensions.Logging;
using Transcribe.Cluster;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Sfu;
using Transcribe.Cluster.State;
using Transcribe.Cluster.Tokens;
using Transcribe.Signaling.Sessions;

namespace Transcribe.Signaling.Hubs;

/// <summary>
/// The hub <c>/rtc</c>, docs/signaling.md. A connection has one session at most. Methods take raw JSON, so that malformed input
/// is answered in the envelope like every other refusal.
/// </summary>
internal sealed partial class RtcHub(
    SessionManager sessions,
    IAccessTokenValidator tokens,
    SignalingOptions options,
    TimeProvider time,
    IHubContext<RtcHub> context,
    ILogger<RtcHub> logger) : Hub
{
    private const int MaxRefusedInARow = 200;

    private static readonly object SessionKey = new();
    private static readonly object BudgetKey = new();
    private static readonly object TimerKey = new();

    private readonly ILogger _logger = logger;

    private ClientSession? Session
    {
        get => Context.Items.TryGetValue(SessionKey, out object? value) && value is ClientSession { Ended: false } session ? session : null;
        set => Context.Items[SessionKey] = value;
    }

    public override Task OnConnectedAsync()
    {
        HubCallerContext connection = Context;
        connection.Items[BudgetKey] = new CallBudget(options.CallBurst, options.CallsPerSecond, time);
        connection.Items[TimerKey] = time.CreateTimer(_ => connection.Abort(), null, options.JoinTimeout, Timeout.InfiniteTimeSpan);
        return Task.CompletedTask;
    }

    public override Task OnDisconnectedAsync(Exception? exception)
    {
        StopJoinTimer();

        // What SignalR's own reader refuses: a message too long, or none of its protocol.
        if (exception is InvalidDataException)
            Refusals.Count("hub", "message_invalid");
        if (Session is { } session)
            sessions.Disconnected(session, Context.ConnectionId);

        return Task.CompletedTask;
    }

    [HubMethodName(HubMethods.Join)]
    public Task<HubReply<JoinReply>> Join(JsonElement request) => AnswerAsync(async () =>
    {
        JoinRequest join = HubInput.Read<JoinRequest>(request);
        if (Session is not null)
            throw new SessionException(SessionException.BadRequest, "This connection has joined already; leave first, or open another connection.");

        CancellationToken aborted = Context.ConnectionAborted;
        var connection = new HubConnection(context, Context);
        (ClientSession Session, JoinReply Reply)? resumed = join.Resume is { } resume
            ? await sessions.TryResumeAsync(resume, connection, aborted)
            : null;
        (ClientSession session, JoinReply reply) = resumed ?? await JoinAnewAsync(join, connection, aborted);
        Session = session;
        StopJoinTimer();

        // The connection may have ended meanwhile, before it had a session to detach.
        if (aborted.IsCancellationRequested)
            sessions.Disconnected(session, Context.ConnectionId);

        return reply;
    });

    [HubMethodName(HubMethods.Negotiate)]
    public Task<HubReply<NegotiateReply>> Negotiate(JsonElement request) => AnswerAsync(async () =>
    {
        NegotiateRequest negotiate = HubInput.Read<NegotiateRequest>(request);
        SessionNegotiated answer = await sessions.NegotiateAsync(Joined(), negotiate.Sdp, negotiate.Tracks, Context.ConnectionAborted);
        return new NegotiateReply(answer.Sdp, answer.Published, answer.Assignments);
    });

    [HubMethodName(HubMethods.Trickle)]
    public Task<HubReply<Ack>> Trickle(JsonElement request) => AnswerAsync(() =>
        sessions.TrickleAsync(Joined(), HubInput.Read<TrickleRequest>(request).Candidate, Context.ConnectionAborted));

    [HubMethodName(HubMethods.Subscribe)]
    public Task<HubReply<Ack>> Subscribe(JsonElement request) => AnswerAsync(() =>
    {
        SubscribeRequest subscribe = HubInput.Read<SubscribeRequest>(request);
        return sessions.SubscribeAsync(Joined(), subscribe.TrackId, subscribe.Enabled, Context.ConnectionAborted);
    });

    [HubMethodName(HubMethods.SetMuted)]
    public Task<HubReply<Ack>> SetMuted(JsonElement request) => AnswerAsync(() =>
    {
        SetMutedRequest muted = HubInput.Read<SetMutedRequest>(request);
        return sessions.SetMutedAsync(Joined(), muted.TrackId, muted.Muted, Context.ConnectionAborted);
    });

    [HubMethodName(HubMethods.Resync)]
    public Task<HubReply<ResyncReply>> Resync(JsonElement request) => AnswerAsync(() =>
        sessions.ResyncAsync(Joined(), HubInput.Read<ResyncRequest>(request).AfterSequence, Context.ConnectionAborted));

    [HubMethodName(HubMethods.Leave)]
    public Task<HubReply<Ack>> Leave() => AnswerAsync(async () =>
    {
        if (Session is { } session)
            await sessions.EndAsync(session, "left");

        Session = null;
        return new Ack();
    });

    private async Task<(ClientSession Session, JoinReply Reply)> JoinAnewAsync(
        JoinRequest join, HubConnection connection, CancellationToken cancellationToken)
    {
        if (!tokens.TryValidate(join.Token, null, out AccessToken? token, out TokenError? error))
            throw new SessionException(error.Code, error.Message);

        var request = new SessionRequest(
            token, token.Grants, token.Grants.Hidden ? Presence.Hidden : Presence.Visible, join.Name, join.AutoSubscribe, join.Kinds);
        return await sessions.JoinAsync(request, connection, cancellationToken);
    }

    private ClientSession Joined() =>
        Session ?? throw new SessionException(SessionException.NotFound, "This connection has no session (any more); join first.");

    private async Task<HubReply<T>> AnswerAsync<T>(Func<Task<T>> act)
        where T : class
    {
        if (Context.Items[BudgetKey] is CallBudget budget && !budget.TrySpend())
        {
            if (budget.Refused > MaxRefusedInARow)
                Context.Abort();

            return Refuse<T>(SessionException.RateLimited, $"Too many calls: at most {options.CallsPerSecond} a second in the long run. Wait and try again.");
        }

        try
        {
            return new HubReply<T>(await act(), null);
        }
        catch (SessionException e)
        {
            LogRefused(e.Code);
            return Refuse<T>(e.Code, e.Message);
        }
        catch (BusException e)
        {
            SessionException told = SessionException.From(e);
            LogRefused(told.Code);
            return Refuse<T>(told.Code, told.Message);
        }
        catch (OperationCanceledException)
        {
            return Refuse<T>(SessionException.Unavailable, "The call was given up; try again.");
        }
        catch (ClusterUnavailableException)
        {
            LogRefused(SessionException.Unavailable);
            return Refuse<T>(SessionException.Unavailable, "The cluster's store is away for the moment; the call goes on. Try again in a few seconds.");
        }
        catch (Exception e)
        {
            LogFailed(e);
            return Refuse<T>(SessionException.Internal, "The server failed; its log says why. Try again.");
        }
    }

    private static HubReply<T> Refuse<T>(string code, string message)
        where T : class
    {
        Refusals.Count("hub", code);
        return new(null, new HubError(code, message));
    }

    private void StopJoinTimer()
    {
        if (Context.Items.TryGetValue(TimerKey, out object? timer))
            (timer as ITimer)?.Dispose();
    }

    [LoggerMessage(2101, LogLevel.Debug, "A hub call was refused: {Code}")]
    private partial void LogRefused(string code);

    [LoggerMessage(2102, LogLevel.Error, "A hub call failed")]
    private partial void LogFailed(Exception exception);

    private sealed class HubConnection(IHubContext<RtcHub> hub, HubCallerContext caller) : IClientConnection
    {
        public string Id { get; } = caller.ConnectionId;

        public Task SendAsync(string method, JsonElement payload) => hub.Clients.Client(Id).SendAsync(method, payload);

        public void Abort() => caller.Abort();
    }
}
