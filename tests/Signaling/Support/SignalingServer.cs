using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;
using Transcribe.Cluster;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.State;
using Transcribe.Cluster.Tokens;
using Transcribe.Signaling.Rooms;
using Transcribe.Signaling.Sessions;

namespace Transcribe.Signaling.Tests.Support;

/// <summary>A signalling node on a free port of 127.0.0.1, with a fake SFU and a clock that the test moves.</summary>
internal sealed class SignalingServer : IAsyncDisposable
{
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    private readonly TestCluster _cluster;
    private readonly bool _ownsCluster;
    private NodeAnnouncer? _announcer;

    private SignalingServer(WebApplication app, TestCluster cluster, bool ownsCluster, NodeWire wire)
    {
        App = app;
        _cluster = cluster;
        _ownsCluster = ownsCluster;
        Wire = wire;
        Sfu = new FakeSfu(cluster.Bus, app.Services.GetRequiredService<INodeDirectory>());
    }

    /// <summary>This node's way to the others.</summary>
    public NodeWire Wire { get; }

    public WebApplication App { get; }

    public FakeTimeProvider Time => _cluster.Time;

    public LossyBus Bus => _cluster.Bus;

    public FakeSfu Sfu { get; }

    public Uri Url { get; private set; } = new("http://127.0.0.1");

    public HttpClient Http { get; private set; } = new();

    public IRoomDirectory Rooms => App.Services.GetRequiredService<IRoomDirectory>();

    public SessionManager Sessions => App.Services.GetRequiredService<SessionManager>();

    public RoomFeeds Feeds => App.Services.GetRequiredService<RoomFeeds>();

    public static async Task<SignalingServer> StartAsync(
        Action<SignalingOptions>? configure = null, bool withSfu = true, TestCluster? cluster = null)
    {
        bool ownsCluster = cluster is null;
        cluster ??= new TestCluster();
        var wire = new NodeWire(cluster);
        var options = new SignalingOptions { GracePeriod = TimeSpan.FromSeconds(5) };
        configure?.Invoke(options);
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        builder.Logging.ClearProviders();
        builder.Services.AddSingleton<TimeProvider>(cluster.Time);
        builder.Services.AddSingleton(cluster.Key);
        builder.Services.AddSingleton<IMessageBus>(wire);
        builder.Services.AddSingleton<IStateStore>(wire);
        builder.Services.AddSingleton<IEventLog>(wire);
        builder.Services.AddSingleton<ILeaseStore>(wire);
        builder.Services.AddSingleton<IClusterConnection>(wire);
        builder.Services.AddSingleton<IIceServers>(new StaticIceServers(
            [new IceServer(["stun:stun.example.org"]), new IceServer(["turn:turn.example.org"], "u", "c")]));
        builder.Services.AddInProcessCluster(new ApiKeyRing([new ApiKey("key", "0123456789abcdef0123456789abcdef")]));
        builder.Services.AddSignaling(options);
        builder.Services.AddCors();
        WebApplication app = builder.Build();
        app.UseCors();
        app.MapSignaling();
        await app.StartAsync();
        var server = new SignalingServer(app, cluster, ownsCluster, wire);
        server.Url = new Uri(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First());
        server.Http = new HttpClient { BaseAddress = server.Url };
        if (withSfu)
            await server.Sfu.StartAsync();

        if (!ownsCluster)
        {
            server._announcer = NodeAnnouncer.Create(app.Services, () => new NodeInfo(options.NodeId, NodeRole.Signaling, server.Url.ToString()));
            await server._announcer.StartAsync(CancellationToken.None);
        }

        return server;
    }

    public string Token(string participant, string room = "demo", Grants? grants = null, string? name = null, TimeSpan? timeToLive = null) =>
        App.Services.GetRequiredService<IAccessTokenMinter>().Mint(
            room, participant, grants ?? new Grants { Publish = true, Subscribe = true, PublishData = true }, name, timeToLive);

    public Task<HubClient> ConnectAsync() => HubClient.ConnectAsync(Url);

    /// <summary>Connects and joins.</summary>
    public async Task<HubClient> JoinAsync(string participant, string room = "demo", Grants? grants = null)
    {
        HubClient client = await ConnectAsync();
        await client.JoinAsync(new JoinRequest(Token(participant, room, grants)));
        return client;
    }

    public static async Task UntilAsync(Func<bool> condition, string? what = null)
    {
        for (int i = 0; i < 1000 && !condition(); i++)
            await Task.Delay(10);

        Assert.True(condition(), what ?? "It did not come true in 10 s.");
    }

    /// <summary>As after a SIGKILL, for everybody else: nothing comes from it any more, and no connection of it lives.</summary>
    public async Task DieAsync()
    {
        Wire.Cut();
        foreach (ClientSession session in Sessions.All)
            session.Outbox?.Abort();

        await _cluster.State.DeleteAsync($"nodes/{NodeRole.Signaling}/{App.Services.GetRequiredService<SignalingOptions>().NodeId}");
    }

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        if (_announcer is not null)
            await _announcer.DisposeAsync();

        await App.StopAsync();
        await App.DisposeAsync();
        await Sfu.DisposeAsync();
        if (_ownsCluster)
            await _cluster.DisposeAsync();
    }
}
