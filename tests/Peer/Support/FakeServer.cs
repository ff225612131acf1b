using System.Collections.Concurrent;
using System.Net;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Connections;
using Microsoft.AspNetCore.SignalR;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Transcribe.Cluster;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;

namespace Transcribe.Peer.Tests.Support;

/// <summary>A signalling server for one client, whose answers the test decides.</summary>
internal sealed class FakeServer : IAsyncDisposable
{
    private volatile bool _dead;
    private readonly WebApplication _app;

    private readonly List<FakeSfu> _sfus = [];

    private FakeServer(WebApplication app, FakeSfu sfu)
    {
        _app = app;
        _sfus.Add(sfu);
    }

    /// <summary>The media node that offers go to.</summary>
    public FakeSfu Sfu => _sfus[^1];

    /// <summary>Media nodes so far, the lost ones too.</summary>
    public int SfuCount => _sfus.Count;

    /// <summary>Answer of <c>POST /v1/join</c>; without it there is no such page.</summary>
    public JoinInfo? Info { get; set; }

    public Uri Url { get; private set; } = null!;

    public ConcurrentQueue<JoinRequest> Joins { get; } = [];

    public ConcurrentQueue<NegotiateRequest> Offers { get; } = [];

    public ConcurrentQueue<long> Resyncs { get; } = [];

    public ConcurrentQueue<string> Calls { get; } = [];

    public int Connections;

    public HubCallerContext? Client { get; set; }

    public RoomSnapshot Room { get; set; } = new("demo", 0, [], TranscriptionState.Off);

    public HubError? RefuseJoin { get; set; }

    public HubError? RefuseOffer { get; set; }

    /// <summary>Runs before the answer to a join is sent.</summary>
    public Func<Task>? BeforeJoinReply { get; set; }

    /// <summary>Runs before an offer is answered.</summary>
    public Func<Task>? BeforeAnswer { get; set; }

    public Func<SessionNegotiated, SessionNegotiated> EditAnswer { get; set; } = answer => answer;

    public Func<long, ResyncReply> Resync { get; set; } = _ => new([], null);

    public bool Resumable { get; set; } = true;

    /// <param name="sfu">A media node of another server, to share.</param>
    public static async Task<FakeServer> StartAsync(bool deafSfu = false, FakeSfu? sfu = null)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        builder.Services.AddSignalR(hub => hub.MaximumReceiveMessageSize = 1 << 20).AddJsonProtocol(json => ClusterJson.Configure(json.PayloadSerializerOptions));
        sfu ??= new FakeSfu { Deaf = deafSfu };
        FakeServer? server = null;
        builder.Services.AddSingleton(_ => server!);
        WebApplication app = builder.Build();
        server = new FakeServer(app, sfu);
        app.Use((context, next) =>
        {
            if (!server._dead)
                return next(context);
            context.Abort();
            return Task.CompletedTask;
        });
        app.MapHub<FakeHub>(HubMethods.Path, hub => hub.Transports = HttpTransportType.WebSockets);
        app.MapPost("/v1/join", () => server.Info is { } info ? Results.Json(info, ClusterJson.Options) : Results.NotFound());
        await app.StartAsync();
        server.Url = new Uri(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First());
        return server;
    }

    public Task TellAsync(RoomEvent change) => SendAsync(HubMethods.RoomEvent, change);

    public Task TellAsync(SfuSessionEvent change) => SendAsync(HubMethods.SessionEvent, change);

    public Task TellAsync(RoomSnapshot room) => SendAsync(HubMethods.RoomReset, room);

    public Task TellAsync(string method, object message) => SendAsync(method, message);

    /// <summary>Offers go to another media node from now on; nobody is told.</summary>
    public void ReplaceSfu() => _sfus.Add(new FakeSfu());

    /// <summary>Moves the session to another media node.</summary>
    public Task MoveAsync(string reason = "nodeLost")
    {
        ReplaceSfu();
        return TellAsync(new SessionMoved(reason));
    }

    /// <summary>The signalling node dies; its media node does not.</summary>
    public Task KillAsync()
    {
        // Stopping takes a moment in which it would still take connections; a dead node takes none.
        _dead = true;
        return _app.StopAsync(new CancellationToken(canceled: true));
    }

    /// <summary>Cuts the connection, as a network does.</summary>
    public void Cut() => Client!.GetHttpContext()!.Abort();

    public async ValueTask DisposeAsync()
    {
        await _app.StopAsync(new CancellationTokenSource(TimeSpan.FromSeconds(1)).Token);
        await _app.DisposeAsync();
        foreach (FakeSfu sfu in _sfus)
            sfu.Dispose();
    }

    private Task SendAsync<T>(string method, T message) =>
        _app.Services.GetRequiredService<IHubContext<FakeHub>>().Clients.All.SendAsync(method, JsonSerializer.SerializeToElement(message, ClusterJson.Options));
}

internal sealed class FakeHub(FakeServer server) : Hub
{
    public override Task OnConnectedAsync()
    {
        Interlocked.Increment(ref server.Connections);
        server.Client = Context;
        return Task.CompletedTask;
    }

    public override Task OnDisconnectedAsync(Exception? exception)
    {
        Interlocked.Decrement(ref server.Connections);
        return Task.CompletedTask;
    }

    [HubMethodName(HubMethods.Join)]
    public async Task<HubReply<JoinReply>> Join(JoinRequest request)
    {
        server.Joins.Enqueue(request);
        if (server.RefuseJoin is { } error)
            return new(null, error);
        if (server.BeforeJoinReply is { } before)
            await before();
        bool resumed = server.Resumable && request.Resume is { SessionId: "S1", ResumeKey: "secret" };
        if (!resumed && server.Joins.Count > 1)
            server.ReplaceSfu();
        return new(new JoinReply(resumed || request.Resume is null ? "S1" : "S2", "secret", "me", server.Room, [], resumed), null);
    }

    [HubMethodName(HubMethods.Negotiate)]
    public async Task<HubReply<NegotiateReply>> Negotiate(NegotiateRequest request)
    {
        server.Offers.Enqueue(request);
        FakeSfu sfu = server.Sfu;
        if (server.BeforeAnswer is { } before)
            await before();
        if (server.RefuseOffer is { } error)
            return new(null, error);
        SessionNegotiated answer = server.EditAnswer(sfu.Answer(request.Sdp, request.Tracks));
        return new(new NegotiateReply(answer.Sdp, answer.Published, answer.Assignments), null);
    }

    [HubMethodName(HubMethods.Subscribe)]
    public HubReply<Ack> Subscribe(SubscribeRequest request) => Note($"subscribe {request.TrackId} {request.Enabled}");

    [HubMethodName(HubMethods.SetMuted)]
    public HubReply<Ack> SetMuted(SetMutedRequest request) => Note($"setMuted {request.TrackId} {request.Muted}");

    [HubMethodName(HubMethods.Leave)]
    public HubReply<Ack> Leave() => Note("leave");

    [HubMethodName(HubMethods.Resync)]
    public HubReply<ResyncReply> Resync(ResyncRequest request)
    {
        server.Resyncs.Enqueue(request.AfterSequence);
        return new(server.Resync(request.AfterSequence), null);
    }

    private HubReply<Ack> Note(string call)
    {
        server.Calls.Enqueue(call);
        return new(new Ack(), null);
    }
}
