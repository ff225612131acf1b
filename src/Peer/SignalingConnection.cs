using Microsoft.AspNetCore.SignalR.Client;
using Microsoft.Extensions.DependencyInjection;
using Transcribe.Cluster;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;

namespace Transcribe.Peer;

/// <summary>
/// One connection to the SignalR hub <c>/rtc</c> of one signalling node, typed. A refusal becomes a
/// <see cref="PeerException"/> with the server's code. It does not reconnect: its owner makes another, there or elsewhere.
/// </summary>
internal sealed class SignalingConnection : IAsyncDisposable
{
    private readonly HubConnection _hub;

    /// <param name="hubUrl">URL of the hub.</param>
    public SignalingConnection(Uri hubUrl)
    {
        _hub = new HubConnectionBuilder()
            .WithUrl(hubUrl)
            .AddJsonProtocol(options => ClusterJson.Configure(options.PayloadSerializerOptions))
            .Build();
        _hub.ServerTimeout = TimeSpan.FromSeconds(25);
        _hub.KeepAliveInterval = TimeSpan.FromSeconds(5);
        _hub.On<RoomEvent>(HubMethods.RoomEvent, e => RoomEvent?.Invoke(e));
        _hub.On<SfuSessionEvent>(HubMethods.SessionEvent, e => SessionEvent?.Invoke(e));
        _hub.On<RoomSnapshot>(HubMethods.RoomReset, room => RoomReset?.Invoke(room));
        _hub.On<GoAway>(HubMethods.GoAway, order => GoAway?.Invoke(order));
        _hub.Closed += _ =>
        {
            Closed?.Invoke();
            return Task.CompletedTask;
        };
    }

    public event Action<RoomEvent>? RoomEvent;

    public event Action<SfuSessionEvent>? SessionEvent;

    /// <summary>The room began again with this state.</summary>
    public event Action<RoomSnapshot>? RoomReset;

    /// <summary>The node asks to go on at another one.</summary>
    public event Action<GoAway>? GoAway;

    /// <summary>The connection is gone for good.</summary>
    public event Action? Closed;

    public bool IsConnected => _hub.State == HubConnectionState.Connected;

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        try
        {
            await _hub.StartAsync(cancellationToken);
        }
        catch (Exception e) when (IsOfConnection(e, cancellationToken))
        {
            throw new PeerException(PeerException.Unreachable, $"The signalling server did not answer: {e.Message}", e);
        }
    }

    public Task<JoinReply> JoinAsync(JoinRequest request, CancellationToken cancellationToken) =>
        CallAsync<JoinReply>(HubMethods.Join, request, cancellationToken);

    public Task<NegotiateReply> NegotiateAsync(NegotiateRequest request, CancellationToken cancellationToken) =>
        CallAsync<NegotiateReply>(HubMethods.Negotiate, request, cancellationToken);

    public Task SubscribeAsync(string trackId, bool enabled, CancellationToken cancellationToken) =>
        CallAsync<Ack>(HubMethods.Subscribe, new SubscribeRequest(trackId, enabled), cancellationToken);

    public Task SetMutedAsync(string trackId, bool muted, CancellationToken cancellationToken) =>
        CallAsync<Ack>(HubMethods.SetMuted, new SetMutedRequest(trackId, muted), cancellationToken);

    public Task<ResyncReply> ResyncAsync(long afterSequence, CancellationToken cancellationToken) =>
        CallAsync<ResyncReply>(HubMethods.Resync, new ResyncRequest(afterSequence), cancellationToken);

    /// <summary>Says goodbye; a server that cannot be told any more will notice by itself.</summary>
    public async Task LeaveAsync(CancellationToken cancellationToken)
    {
        if (IsConnected)
            await _hub.InvokeAsync(HubMethods.Leave, cancellationToken);
    }

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    private async Task<T> CallAsync<T>(string method, object argument, CancellationToken cancellationToken)
        where T : class
    {
        HubReply<T> reply;
        try
        {
            reply = await _hub.InvokeAsync<HubReply<T>>(method, argument, cancellationToken);
        }
        catch (Exception e) when (IsOfConnection(e, cancellationToken))
        {
            throw new PeerException(PeerException.Unreachable, $"The signalling server did not answer \"{method}\": {e.Message}", e);
        }

        if (reply.Error is { } error)
            throw new PeerException(error.Code, error.Message);
        return reply.Value ?? throw new PeerException("internal", $"The signalling server answered \"{method}\" with nothing.");
    }

    /// <summary>
    /// Anything but the caller's own cancellation: SignalR lets pass whatever its transports throw, and cancels calls
    /// whose connection ends.
    /// </summary>
    private static bool IsOfConnection(Exception e, CancellationToken cancellationToken) =>
        e is not OperationCanceledException || !cancellationToken.IsCancellationRequested;
}
