using System.Collections.Concurrent;
using System.Net;
using Microsoft.Extensions.DependencyInjection;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Sfu;
using Transcribe.Cluster.Tokens;
using Transcribe.Director.Nodes;
using Transcribe.Director.Tests.Support;

namespace Transcribe.Director.Tests;

public class NodeTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    private static async Task<NodeDescription> FindAsync(DirectorServer server, string id) =>
        (await DirectorServer.ReadAsync<NodeList>(await server.SendAsync(HttpMethod.Get, "/v1/nodes"))).Nodes.Single(node => node.Id == id);

    private static async Task<TaskCompletionSource<T>> ExpectAsync<T>(DirectorServer server, string subject)
    {
        var heard = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        await server.Bus.SubscribeAsync<T>(subject, (message, _) =>
        {
            heard.TrySetResult(message);
            return ValueTask.CompletedTask;
        });
        return heard;
    }

    [Fact]
    public async Task Nodes_of_every_role_are_listed_with_load_limits_and_region()
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        await server.Nodes.AnnounceAsync(new NodeInfo(
            "sfu-1", NodeRole.Sfu, "10.0.0.1:7882", "eu", 100, 20, "0.1.0", Media: new NodeLoad(40, 2000, 0.45, 1e6), Limits: new NodeLoad(1000, 0, 0.9, 1e9), Rooms: 3));
        await server.Nodes.AnnounceAsync(new NodeInfo("sig-1", NodeRole.Signaling, "http://10.0.0.2:8080", "eu", 1000, 10));
        await server.Nodes.AnnounceAsync(new NodeInfo("gw-1", NodeRole.Gateway, "", Capacity: 4, Load: 1));
        NodeList list = await DirectorServer.ReadAsync<NodeList>(await server.SendAsync(HttpMethod.Get, "/v1/nodes"));
        Assert.Equal(
            [("sfu-1", NodeRole.Sfu, 0.5), ("sig-1", NodeRole.Signaling, 0.01), ("gw-1", NodeRole.Gateway, 0.25)],
            list.Nodes.Select(node => (node.Id, node.Role, node.Utilization)));
        NodeDescription sfu = list.Nodes[0];
        Assert.Equal(("eu", "0.1.0", NodeState.Active, 20, 100, 3), (sfu.Region, sfu.Version, sfu.State, sfu.Load, sfu.Capacity, sfu.Rooms));
        Assert.Equal(0.45, sfu.Media!.Cpu);
        Assert.Null(sfu.Drain);
    }

    [Fact]
    public async Task An_sfu_node_is_asked_for_its_counters_and_its_links()
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        await server.Nodes.AnnounceAsync(new NodeInfo("sfu-1", NodeRole.Sfu, "x"));
        await server.Nodes.AnnounceAsync(new NodeInfo("sfu-2", NodeRole.Sfu, "x"));
        await server.Nodes.AnnounceAsync(new NodeInfo("gw-1", NodeRole.Gateway, ""));
        await server.Bus.RespondAsync<ReadStatistics, SfuStatistics>(SfuSubjects.Statistics("sfu-1"), (_, _) => ValueTask.FromResult(
            new SfuStatistics(10, 30, 1, 1000, 3000, [new RelayStatistics("sfu-2", RelayDirection.Sending, 2, 0, 20, 0, 1, 0.4)])));
        SfuStatistics told = await DirectorServer.ReadAsync<SfuStatistics>(await server.SendAsync(HttpMethod.Get, "/v1/nodes/sfu-1/statistics"));
        Assert.Equal((30, "sfu-2", RelayDirection.Sending, 20), (told.PacketsForwarded, told.Relays[0].Node, told.Relays[0].Direction, told.Relays[0].PacketsSent));
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Get, "/v1/nodes/sfu-2/statistics"), HttpStatusCode.ServiceUnavailable, "unavailable");
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Get, "/v1/nodes/gw-1/statistics"), HttpStatusCode.NotFound, "not_found");
    }

    [Fact]
    public async Task A_node_is_drained_with_status_and_the_order_withdrawn()
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        var node = new NodeInfo("sfu-1", NodeRole.Sfu, "x", Load: 7);
        await server.Nodes.AnnounceAsync(node);
        var told = new List<NodeState>();
        await server.Bus.RespondAsync<SetNodeState, Pong>(NodeSubjects.State(NodeRole.Sfu, "sfu-1"), (set, _) =>
        {
            told.Add(set.State);
            return ValueTask.FromResult(new Pong("sfu-1", set.State));
        });
        HttpResponseMessage answer = await server.SendAsync(HttpMethod.Post, "/v1/nodes/sfu-1/drain", """{"deadlineSeconds":60}""");
        Assert.Equal(HttpStatusCode.Accepted, answer.StatusCode);
        Assert.Equal([NodeState.Draining], told);

        DrainStatus status = (await FindAsync(server, "sfu-1")).Drain!;
        DateTimeOffset now = server.Time.GetUtcNow();
        Assert.Equal(new DrainStatus(DrainPhase.Draining, now, now.AddSeconds(60), 7, 7, 0, "admin"), status);
        await server.Nodes.AnnounceAsync(node with { State = NodeState.Draining, Load = 0 });
        Assert.Equal((DrainPhase.Drained, 7, 0), (await FindAsync(server, "sfu-1")).Drain is { } done ? (done.Phase, done.SessionsAtStart, done.SessionsLeft) : default);

        Assert.Equal(HttpStatusCode.NoContent, (await server.SendAsync(HttpMethod.Delete, "/v1/nodes/sfu-1/drain")).StatusCode);
        Assert.Equal([NodeState.Draining, NodeState.Active], told);
        Assert.Null((await FindAsync(server, "sfu-1")).Drain);
        await server.Nodes.AnnounceAsync(node);
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Delete, "/v1/nodes/sfu-1/drain"), HttpStatusCode.NotFound, "not_found");
    }

    [Fact]
    public async Task The_drain_status_is_any_directors_to_tell()
    {
        // The order is in the state store: a Director that was not there when it was given reads it there.
        await using DirectorServer server = await DirectorServer.StartAsync();
        await server.Nodes.AnnounceAsync(new NodeInfo("a", NodeRole.Sfu, "x", Load: 7));
        await server.SendAsync(HttpMethod.Post, "/v1/nodes/a/drain", """{"deadlineSeconds":0}""");
        server.Time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal(DrainPhase.Waiting, (await FindAsync(server, "a")).Drain?.Phase);
        await server.Nodes.AnnounceAsync(new NodeInfo("b", NodeRole.Sfu, "y"));
        Assert.Equal(DrainPhase.Moving, (await FindAsync(server, "a")).Drain?.Phase);
    }

    [Fact]
    public async Task A_drain_order_that_cannot_be_is_refused()
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        await server.Nodes.AnnounceAsync(new NodeInfo("n1", NodeRole.Sfu, "x"));
        await server.Nodes.AnnounceAsync(new NodeInfo("n1", NodeRole.Signaling, "http://x"));
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Post, "/v1/nodes/nobody/drain"), HttpStatusCode.NotFound, "not_found");
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Post, "/v1/nodes/n1/drain"), HttpStatusCode.BadRequest, "node_ambiguous");
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Post, "/v1/nodes/n1/drain?role=2"), HttpStatusCode.BadRequest, "bad_request");
        await DirectorServer.AssertProblemAsync(
            await server.SendAsync(HttpMethod.Post, "/v1/nodes/n1/drain?role=sfu", """{"deadlineSeconds":-1}"""), HttpStatusCode.BadRequest, "bad_request");
        await DirectorServer.AssertProblemAsync(
            await server.SendAsync(HttpMethod.Post, "/v1/nodes/n1/drain?role=sfu", """{"deadlineSeconds":"soon"}"""), HttpStatusCode.BadRequest, "malformed_json");
        Assert.Equal(HttpStatusCode.Accepted, (await server.SendAsync(HttpMethod.Post, "/v1/nodes/n1/drain?role=signaling")).StatusCode);
    }

    [Theory]
    [InlineData("GET", "/v1/nodes")]
    [InlineData("GET", "/v1/nodes/n1/statistics")]
    [InlineData("POST", "/v1/nodes/n1/drain")]
    [InlineData("DELETE", "/v1/nodes/n1/drain")]
    [InlineData("POST", "/v1/rooms/demo/move")]
    public async Task Nodes_are_the_operators_not_a_rooms_admins(string method, string path)
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        await DirectorServer.AssertProblemAsync(await server.SendAsync(new HttpMethod(method), path, token: server.AdminToken()), HttpStatusCode.Forbidden, "not_granted");
        await DirectorServer.AssertProblemAsync(await server.SendAsync(new HttpMethod(method), path, token: ""), HttpStatusCode.Unauthorized, "credentials_missing");
    }

    [Fact]
    public async Task A_room_is_moved_to_a_node_that_can_take_it()
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        await server.Nodes.AnnounceAsync(new NodeInfo("b", NodeRole.Sfu, "x"));
        await server.Nodes.AnnounceAsync(new NodeInfo("full", NodeRole.Sfu, "x", Capacity: 5, Load: 5));
        await server.Nodes.AnnounceAsync(new NodeInfo("leaving", NodeRole.Sfu, "x", State: NodeState.Draining));
        const string Path = "/v1/rooms/demo/move";
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Post, Path, """{"node":"b"}"""), HttpStatusCode.NotFound, "not_found");
        await server.Rooms.JoinAsync("demo", "s1", "alice", null, true);
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Post, Path, """{"node":"c"}"""), HttpStatusCode.BadRequest, "node_not_found");
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Post, Path, """{"node":"full"}"""), HttpStatusCode.Conflict, "no_capacity");
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Post, Path, """{"node":"leaving"}"""), HttpStatusCode.Conflict, "node_draining");
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Post, Path, "{}"), HttpStatusCode.BadRequest, "malformed_json");
        TaskCompletionSource<MoveSessions> told = await ExpectAsync<MoveSessions>(server, SignalingSubjects.Move);
        Assert.Equal(HttpStatusCode.Accepted, (await server.SendAsync(HttpMethod.Post, Path, """{"node":"b"}""")).StatusCode);
        Assert.Equal(new MoveSessions(null, "demo", "b", "moved"), await told.Task.WaitAsync(Patience));

        // Who joins from now on goes there too.
        await server.Nodes.AnnounceAsync(new NodeInfo("empty", NodeRole.Sfu, "x"));
        await server.Nodes.AnnounceAsync(new NodeInfo("b", NodeRole.Sfu, "x", Load: 900));
        JoinInfo info = await DirectorServer.ReadAsync<JoinInfo>(await server.SendAsync(HttpMethod.Post, "/v1/join", token: server.Token("bob", grants: new Grants { Publish = true })));
        Assert.Equal("b", info.Node);
    }

    [Fact]
    public async Task An_admin_sends_a_participant_away()
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        await server.Rooms.JoinAsync("demo", "s1", "alice@example.org", null, true);
        const string Path = "/v1/rooms/demo/participants/";
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Delete, Path + "alice%40example.org", token: server.Token()), HttpStatusCode.Forbidden, "not_granted");
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Delete, Path + "bob", token: server.AdminToken()), HttpStatusCode.NotFound, "not_found");
        await DirectorServer.AssertProblemAsync(
            await server.SendAsync(HttpMethod.Delete, Path + "alice%40example.org", token: server.AdminToken("other")), HttpStatusCode.Forbidden, "wrong_room");
        TaskCompletionSource<RemoveParticipant> told = await ExpectAsync<RemoveParticipant>(server, SignalingSubjects.Remove);
        Assert.Equal(HttpStatusCode.NoContent, (await server.SendAsync(HttpMethod.Delete, Path + "alice%40example.org", token: server.AdminToken())).StatusCode);
        Assert.Equal(new RemoveParticipant("demo", "alice@example.org"), await told.Task.WaitAsync(Patience));
    }

    [Fact]
    public async Task Joining_tells_all_hubs_the_best_first()
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        await server.AnnounceNodeAsync();
        await server.Nodes.AnnounceAsync(new NodeInfo("s1", NodeRole.Signaling, "https://rtc1.example.org/", Load: 5));
        await server.Nodes.AnnounceAsync(new NodeInfo("s2", NodeRole.Signaling, "https://rtc2.example.org"));
        await server.Nodes.AnnounceAsync(new NodeInfo("s3", NodeRole.Signaling, "not a url"));
        JoinInfo info = await DirectorServer.ReadAsync<JoinInfo>(await server.SendAsync(HttpMethod.Post, "/v1/join", token: server.Token()));
        Assert.Equal("https://rtc2.example.org/rtc", info.HubUrl);
        Assert.Equal(["https://rtc2.example.org/rtc", "https://rtc1.example.org/rtc"], info.HubUrls!);
    }

    [Fact]
    public async Task A_cluster_without_a_signalling_node_says_when_to_come_back()
    {
        await using DirectorServer server = await DirectorServer.StartAsync(configure: services => services.AddSingleton<IClusterConnection>(new SwitchedConnection()));
        await server.AnnounceNodeAsync();
        await DirectorServer.AssertProblemAsync(
            await server.SendAsync(HttpMethod.Post, "/v1/join", token: server.Token()), HttpStatusCode.ServiceUnavailable, "unavailable");
        await server.Nodes.AnnounceAsync(new NodeInfo("s1", NodeRole.Signaling, "https://rtc1.example.org"));
        JoinInfo info = await DirectorServer.ReadAsync<JoinInfo>(await server.SendAsync(HttpMethod.Post, "/v1/join", token: server.Token()));
        Assert.Equal("https://rtc1.example.org/rtc", info.HubUrl);
    }

    [Fact]
    public async Task A_burst_of_joins_is_spread_and_full_nodes_are_a_clear_answer()
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        foreach (string id in (string[])["a", "b"])
            await server.Nodes.AnnounceAsync(new NodeInfo(id, NodeRole.Sfu, "x", Capacity: 10));

        var nodes = new ConcurrentBag<string>();
        await Task.WhenAll(Enumerable.Range(0, 20).Select(async i => nodes.Add((await DirectorServer.ReadAsync<JoinInfo>(
            await server.SendAsync(HttpMethod.Post, "/v1/join", token: server.Token($"p{i}", $"room-{i}")))).Node)));
        Assert.Equal(10, nodes.Count(node => node == "a"));
        HttpResponseMessage full = await server.SendAsync(HttpMethod.Post, "/v1/join", token: server.Token("late"));
        Assert.Equal(TimeSpan.FromSeconds(5), full.Headers.RetryAfter?.Delta);
        await DirectorServer.AssertProblemAsync(full, HttpStatusCode.ServiceUnavailable, "no_capacity");
    }

    [Fact]
    public async Task The_region_of_the_client_is_heeded()
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        await server.Nodes.AnnounceAsync(new NodeInfo("eu1", NodeRole.Sfu, "x", "eu"));
        await server.Nodes.AnnounceAsync(new NodeInfo("us1", NodeRole.Sfu, "x", "us", Load: 900));
        await server.Nodes.AnnounceAsync(new NodeInfo("sig-eu", NodeRole.Signaling, "https://eu.example.org", "eu"));
        await server.Nodes.AnnounceAsync(new NodeInfo("sig-us", NodeRole.Signaling, "https://us.example.org", "us", Load: 900));
        JoinInfo info = await DirectorServer.ReadAsync<JoinInfo>(await server.SendAsync(HttpMethod.Post, "/v1/join?region=us", token: server.Token()));
        Assert.Equal(("us1", "https://us.example.org/rtc"), (info.Node, info.HubUrl));
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Post, "/v1/join?region=%20", token: server.Token()), HttpStatusCode.BadRequest, "bad_request");
    }

    [Fact]
    public async Task What_gives_its_work_away_by_itself_is_moving_from_the_start_and_waits_where_nobody_has_room()
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        await server.Nodes.AnnounceAsync(new NodeInfo("g1", NodeRole.Gateway, "", Capacity: 8, Load: 3, Rooms: 3));
        await server.Nodes.AnnounceAsync(new NodeInfo("g2", NodeRole.Gateway, "", Capacity: 2, Load: 2, Rooms: 2));
        await server.Nodes.AnnounceAsync(new NodeInfo("s1", NodeRole.Signaling, "http://s1", Load: 5));
        foreach (string id in (string[])["g1", "s1"])
            await server.SendAsync(HttpMethod.Post, $"/v1/nodes/{id}/drain");

        Assert.Equal((DrainPhase.Waiting, 3, 3), Left(await FindAsync(server, "g1")));
        Assert.Equal((DrainPhase.Waiting, 5, 0), Left(await FindAsync(server, "s1")));
        await server.Nodes.AnnounceAsync(new NodeInfo("g2", NodeRole.Gateway, "", Capacity: 2, Load: 1));
        await server.Nodes.AnnounceAsync(new NodeInfo("s2", NodeRole.Signaling, "http://s2"));
        Assert.Equal((DrainPhase.Moving, 3, 3), Left(await FindAsync(server, "g1")));
        Assert.Equal((DrainPhase.Moving, 5, 0), Left(await FindAsync(server, "s1")));
        await server.Nodes.AnnounceAsync(new NodeInfo("g1", NodeRole.Gateway, "", Capacity: 8));
        Assert.Equal((DrainPhase.Drained, 0, 0), Left(await FindAsync(server, "g1")));

        static (DrainPhase, int, int) Left(NodeDescription node) => (node.Drain!.Phase, node.Drain.SessionsLeft, node.Drain.RoomsLeft);
    }

    [Fact]
    public async Task A_draining_director_answers_but_says_that_it_is_not_ready()
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        await server.AnnounceNodeAsync();
        NodeStanding standing = server.Services.GetRequiredService<NodeStandings>()[NodeRole.Director];
        Assert.Equal(HttpStatusCode.OK, (await server.SendAsync(HttpMethod.Get, "/readyz")).StatusCode);
        standing.Set(NodeState.Draining);
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Get, "/readyz"), HttpStatusCode.ServiceUnavailable, "not_ready");
        Assert.Equal(HttpStatusCode.OK, (await server.SendAsync(HttpMethod.Get, "/healthz")).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await server.SendAsync(HttpMethod.Post, "/v1/join", token: server.Token())).StatusCode);
        standing.Set(NodeState.Active);
        Assert.Equal(HttpStatusCode.OK, (await server.SendAsync(HttpMethod.Get, "/readyz")).StatusCode);
    }

    [Fact]
    public async Task A_node_that_drains_although_no_order_says_so_is_woken_too()
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        await server.Nodes.AnnounceAsync(new NodeInfo("g1", NodeRole.Gateway, "", State: NodeState.Draining));
        var told = new List<NodeState>();
        await server.Bus.RespondAsync<SetNodeState, Pong>(NodeSubjects.State(NodeRole.Gateway, "g1"), (set, _) =>
        {
            told.Add(set.State);
            return ValueTask.FromResult(new Pong("g1", set.State));
        });
        Assert.Equal(HttpStatusCode.NoContent, (await server.SendAsync(HttpMethod.Delete, "/v1/nodes/g1/drain")).StatusCode);
        Assert.Equal([NodeState.Active], told);
    }
}
