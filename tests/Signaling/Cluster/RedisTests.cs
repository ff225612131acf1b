using System.Diagnostics;
using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Transcribe.Cluster;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Redis;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Cluster.Tests.Support;
using Transcribe.Cluster.Tokens;
using Transcribe.Signaling.Sessions;
using Transcribe.Signaling.Tests.Support;

namespace Transcribe.Signaling.Tests.Cluster;

/// <summary>Two signalling nodes over a real Redis, in real time.</summary>
public sealed class RedisTests(ITestOutputHelper output) : IAsyncLifetime
{
    private RedisServer _redis = null!;
    private Node _a = null!;
    private Node _b = null!;

    public async ValueTask InitializeAsync()
    {
        _redis = await RedisServer.StartAsync();
        _a = await Node.StartAsync(_redis, "a");
        _b = await Node.StartAsync(_redis, "b");
        await _a.Sfu.StartAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _a.DisposeAsync();
        await _b.DisposeAsync();
        await _redis.DisposeAsync();
    }

    [Fact]
    public async Task A_client_resumes_on_another_node()
    {
        await using HubClient alice = await _a.JoinAsync("alice");
        await using HubClient bob = await _b.JoinAsync("bob");
        await alice.NextAsync<ParticipantJoined>();
        await using HubClient again = await HubClient.ConnectAsync(_b.Url);
        JoinReply reply = await again.JoinAsync(_b.Resume(alice, 1));
        Assert.True(reply.Resumed);
        await again.NextAsync<ParticipantJoined>();
        await alice.Closed.Task.WaitAsync(SignalingServer.Patience);
        await _a.Sfu.TellAsync(alice.SessionId, new SessionConnected());
        await again.NextSessionEventAsync<SessionConnected>();
        Assert.Null((await again.CallAsync<Ack>(HubMethods.Trickle, new TrickleRequest(null))).Error);
        Assert.Empty(_a.Sfu.Asked<CloseSession>());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Redis_restarts_and_the_sessions_go_on(bool keepData)
    {
        await using HubClient alice = await _a.JoinAsync("alice");
        await using HubClient bob = await _b.JoinAsync("bob");
        await alice.NextAsync<ParticipantJoined>();
        await _redis.KillAsync();
        await SignalingServer.UntilAsync(() => !_a.IsConnected && !_b.IsConnected);
        Assert.Equal("unavailable", (await alice.CallAsync<NegotiateReply>(HubMethods.Negotiate, new NegotiateRequest("v=0", []))).Error?.Code);
        await _redis.StartAgainAsync(keepData);
        await SignalingServer.UntilAsync(() => _a.IsConnected && _b.IsConnected);
        await _a.Sfu.AnnounceAsync();
        if (!keepData)
        {
            await SignalingServer.UntilAsync(() => !alice.Resets.IsEmpty && !bob.Resets.IsEmpty, "The clients are told.");
            Assert.Equal(["alice", "bob"], alice.Resets.Last().Participants.Select(info => info.Id));
        }

        Assert.Null((await alice.CallAsync<NegotiateReply>(HubMethods.Negotiate, new NegotiateRequest("v=0", []))).Error);
        await using HubClient carol = await _b.JoinAsync("carol");
        Assert.Equal("carol", (await alice.NextAsync<ParticipantJoined>()).Participant.Id);
        Assert.Equal((1, 2), (_a.Sessions.Count, _b.Sessions.Count));
        Assert.False(alice.HasSessionEvent);
    }

    [Fact]
    public async Task Clients_of_a_dead_node_are_told_soon()
    {
        const int count = 60;
        HubClient[] clients = await Task.WhenAll(Enumerable.Range(0, count).Select(i => (i % 2 == 0 ? _a : _b).JoinAsync($"p{i}")));
        await using var other = new FakeSfu(_b.Bus, _b.Nodes, "n2");
        await other.StartAsync();
        long died = Stopwatch.GetTimestamp();
        await _a.Sfu.DieAsync();
        foreach (HubClient client in clients)
            Assert.Equal("nodeLost", (await client.NextSessionEventAsync<SessionMoved>()).Reason);

        output.WriteLine($"{count} clients were told {Stopwatch.GetElapsedTime(died).TotalMilliseconds:F0} ms after their SFU node had died.");
        Assert.Equal(count, other.Sessions.Count);
        foreach (HubClient client in clients)
            await client.DisposeAsync();
    }

    private sealed class Node(WebApplication app) : IAsyncDisposable
    {
        private NodeAnnouncer _announcer = null!;

        public FakeSfu Sfu { get; } = new(app.Services.GetRequiredService<IMessageBus>(), app.Services.GetRequiredService<INodeDirectory>());

        public Uri Url { get; } = new(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First());

        public IMessageBus Bus => app.Services.GetRequiredService<IMessageBus>();

        public INodeDirectory Nodes => app.Services.GetRequiredService<INodeDirectory>();

        public SessionManager Sessions => app.Services.GetRequiredService<SessionManager>();

        public bool IsConnected => app.Services.GetRequiredService<IClusterConnection>().IsConnected;

        public static async Task<Node> StartAsync(RedisServer redis, string id)
        {
            WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
            builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
            builder.Logging.ClearProviders();

            // The announcement of the fake SFU, written once, must last for the test.
            builder.Services.AddSingleton(NodeHeartbeat.Default);
            builder.Services.AddRedisCluster(
                new RedisClusterOptions { Redis = redis.ConnectionString, ClusterKey = "0123456789abcdef0123456789abcdef" },
                new ApiKeyRing([new ApiKey("key", "0123456789abcdef0123456789abcdef")]));
            builder.Services.AddSignaling(new SignalingOptions { NodeId = id });
            builder.Services.AddCors();
            WebApplication app = builder.Build();
            app.UseCors();
            app.MapSignaling();
            await app.StartAsync();
            var node = new Node(app);
            node._announcer = NodeAnnouncer.Create(app.Services, () => new NodeInfo(id, NodeRole.Signaling, node.Url.ToString()));
            await node._announcer.StartAsync(CancellationToken.None);
            return node;
        }

        public async Task<HubClient> JoinAsync(string participant)
        {
            HubClient client = await HubClient.ConnectAsync(Url);
            await client.JoinAsync(new JoinRequest(Token(participant)));
            return client;
        }

        public JoinRequest Resume(HubClient client, long sequence) => new(
            Token(client.Joined.ParticipantId), Resume: new ResumeSession(client.SessionId, client.Joined.ResumeKey, sequence));

        public async ValueTask DisposeAsync()
        {
            await _announcer.DisposeAsync();
            await Sfu.DisposeAsync();
            await app.StopAsync();
            await app.DisposeAsync();
        }

        private string Token(string participant) => app.Services.GetRequiredService<IAccessTokenMinter>().Mint(
            "demo", participant, new Grants { Publish = true, Subscribe = true });
    }
}
