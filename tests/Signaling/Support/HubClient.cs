using System.Collections.Concurrent;
using System.Text.Json;
using System.Threading.Channels;
using Microsoft.AspNetCore.SignalR.Client;
using Microsoft.Extensions.DependencyInjection;
using Transcribe.Cluster;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;

namespace Transcribe.Signaling.Tests.Support;

/// <summary>The real SignalR client, and what the server told it.</summary>
internal sealed class HubClient : IAsyncDisposable
{
    private readonly Channel<RoomEvent> _roomEvents = Channel.CreateUnbounded<RoomEvent>();
    private readonly Channel<SfuSessionEvent> _sessionEvents = Channel.CreateUnbounded<SfuSessionEvent>();

    private HubClient(HubConnection connection)
    {
        Connection = connection;
        connection.On<RoomEvent>(HubMethods.RoomEvent, change => _roomEvents.Writer.TryWrite(change));
        connection.On<SfuSessionEvent>(HubMethods.SessionEvent, change => _sessionEvents.Writer.TryWrite(change));
        connection.On<RoomSnapshot>(HubMethods.RoomReset, Resets.Enqueue);
        connection.On<ActiveSpeakers>(HubMethods.Speakers, Speakers.Enqueue);
        connection.On<GoAway>(HubMethods.GoAway, SentAway.Enqueue);
        connection.Closed += e =>
        {
            Closed.TrySetResult(e);
            return Task.CompletedTask;
        };
    }

    public HubConnection Connection { get; }

    public ConcurrentQueue<RoomSnapshot> Resets { get; } = new();

    public ConcurrentQueue<ActiveSpeakers> Speakers { get; } = new();

    public ConcurrentQueue<GoAway> SentAway { get; } = new();

    public TaskCompletionSource<Exception?> Closed { get; } = new();

    public JoinReply Joined { get; private set; } = null!;

    public string SessionId => Joined.SessionId;

    public static async Task<HubClient> ConnectAsync(Uri url)
    {
        HubConnection connection = new HubConnectionBuilder()
            .WithUrl(new Uri(url, HubMethods.Path))
            .AddJsonProtocol(json => ClusterJson.Configure(json.PayloadSerializerOptions))
            .Build();
        var client = new HubClient(connection);
        await connection.StartAsync();
        return client;
    }

    public async Task<JoinReply> JoinAsync(JoinRequest request)
    {
        HubReply<JoinReply> reply = await CallAsync<JoinReply>(HubMethods.Join, request);
        Assert.Null(reply.Error);
        return Joined = reply.Value!;
    }

    public Task<HubReply<T>> CallAsync<T>(string method, object? argument)
        where T : class => Connection.InvokeAsync<HubReply<T>>(method, argument).WaitAsync(SignalingServer.Patience);

    public Task<HubReply<Ack>> LeaveAsync() => Connection.InvokeAsync<HubReply<Ack>>(HubMethods.Leave).WaitAsync(SignalingServer.Patience);

    /// <summary>Calls with any JSON at all, and expects a refusal.</summary>
    public async Task<HubError> RefusedAsync(string method, string json)
    {
        HubReply<JsonDocument> reply = await CallAsync<JsonDocument>(method, JsonDocument.Parse(json).RootElement);
        Assert.NotNull(reply.Error);
        return reply.Error;
    }

    public async Task<T> NextAsync<T>()
        where T : RoomEvent
    {
        using var patience = new CancellationTokenSource(SignalingServer.Patience);
        return Assert.IsType<T>(await _roomEvents.Reader.ReadAsync(patience.Token));
    }

    public async Task<T> NextSessionEventAsync<T>()
        where T : SfuSessionEvent
    {
        using var patience = new CancellationTokenSource(SignalingServer.Patience);
        return Assert.IsType<T>(await _sessionEvents.Reader.ReadAsync(patience.Token));
    }

    public bool HasSessionEvent => _sessionEvents.Reader.TryPeek(out _);

    public bool HasRoomEvent => _roomEvents.Reader.TryPeek(out _);

    public ValueTask DisposeAsync() => Connection.DisposeAsync();
}
