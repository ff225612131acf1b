using System.Net;
using System.Net.Http.Headers;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Signaling.Tests.Support;

namespace Transcribe.Signaling.Tests.Cluster;

/// <summary>One signalling node, two SFU nodes.</summary>
public sealed class MoveTests : IAsyncLifetime
{
    private readonly TestCluster _cluster = new();
    private SignalingServer _server = null!;
    private FakeSfu _other = null!;

    private FakeSfu First => _server.Sfu;

    public async ValueTask InitializeAsync()
    {
        _server = await SignalingServer.StartAsync(options => (options.NodeId, options.MoveTimeout) = ("a", TimeSpan.FromSeconds(10)), cluster: _cluster);
        _other = new FakeSfu(_cluster.Bus, _cluster.Nodes, "n2");
    }

    public async ValueTask DisposeAsync()
    {
        await _other.DisposeAsync();
        await _server.DisposeAsync();
        await _cluster.DisposeAsync();
    }

    [Fact]
    public async Task Sessions_of_a_dead_node_are_opened_on_another_and_their_participants_stay()
    {
        await using HubClient alice = await _server.JoinAsync("alice");
        await using HubClient bob = await _server.JoinAsync("bob");
        await _server.Rooms.PublishTrackAsync("demo", bob.SessionId, new TrackInfo("TR_b", "bob", TrackKind.Audio, TrackSource.Microphone, null, false, 7, "n1"));
        await alice.NextAsync<ParticipantJoined>();
        await alice.NextAsync<TrackPublished>();
        await _other.StartAsync();
        await First.DieAsync();
        await _cluster.PassAsync(TimeSpan.FromSeconds(2));

        Assert.Equal("nodeLost", (await alice.NextSessionEventAsync<SessionMoved>()).Reason);
        Assert.Equal("nodeLost", (await bob.NextSessionEventAsync<SessionMoved>()).Reason);
        Assert.Equal("TR_b", (await alice.NextAsync<TrackUnpublished>()).TrackId);
        Assert.Equal(2, _other.Sessions.Count);
        Assert.Equal([[], []], (await _server.Rooms.GetSnapshotAsync("demo")).Participants.Select(info => info.Tracks));
        Assert.Null((await bob.CallAsync<NegotiateReply>(HubMethods.Negotiate, new NegotiateRequest("v=0", []))).Error);
        Assert.Equal(bob.SessionId, Assert.Single(_other.Asked<NegotiateSession>()).SessionId);

        // A late word of the dead node is not about the session any more.
        await First.TellAsync(alice.SessionId, new SessionClosed("timeout"));
        await _other.TellAsync(alice.SessionId, new SessionConnected());
        await alice.NextSessionEventAsync<SessionConnected>();
    }

    [Fact]
    public async Task Hundreds_of_sessions_move_together()
    {
        const int count = 300;
        await using HubClient watcher = await _server.JoinAsync("watcher");
        var clients = await Task.WhenAll(Enumerable.Range(0, count).Select(i => _server.JoinAsync($"p{i}", $"room{i % 10}")));
        await _other.StartAsync();
        await First.DieAsync();
        await _cluster.UntilAsync(() => _other.Sessions.Count == count + 1, "Everybody is on the other node.");
        foreach (HubClient client in clients)
        {
            await client.NextSessionEventAsync<SessionMoved>();
            await client.DisposeAsync();
        }

        Assert.Equal(count + 1, _server.Sessions.Count);
    }

    [Fact]
    public async Task Without_another_node_a_session_waits_for_one()
    {
        await using HubClient alice = await _server.JoinAsync("alice");
        await First.DieAsync();
        await _cluster.PassAsync(TimeSpan.FromSeconds(4));
        Assert.False(alice.HasSessionEvent);
        await _other.StartAsync();
        await _cluster.UntilAsync(() => alice.HasSessionEvent, "The client is told.");
        await alice.NextSessionEventAsync<SessionMoved>();
        Assert.True(_other.Sessions.ContainsKey(alice.SessionId));
    }

    [Fact]
    public async Task Without_another_node_for_long_a_session_is_closed_as_nodeLost()
    {
        await using HubClient alice = await _server.JoinAsync("alice");
        await First.DieAsync();
        await _cluster.UntilAsync(() => alice.HasSessionEvent, "The client is told.");
        Assert.Equal("nodeLost", (await alice.NextSessionEventAsync<SessionClosed>()).Reason);
        await SignalingServer.UntilAsync(() => _server.Sessions.Count == 0);
        Assert.Empty((await _server.Rooms.GetSnapshotAsync("demo")).Participants);
    }

    [Fact]
    public async Task A_node_that_drains_hands_its_sessions_over_and_is_left_by_and_by()
    {
        await using HubClient alice = await _server.JoinAsync("alice");
        await _other.StartAsync();
        await _cluster.Bus.PublishAsync(SignalingSubjects.Move, new MoveSessions("n1", null, null, "drain"));
        Assert.Equal("drain", (await alice.NextSessionEventAsync<SessionMoved>()).Reason);
        await _cluster.UntilAsync(() => First.Sessions.IsEmpty, "The former node is left.");
        await First.TellAsync(alice.SessionId, new SessionClosed("moved"));
        Assert.Null((await alice.CallAsync<NegotiateReply>(HubMethods.Negotiate, new NegotiateRequest("v=0", []))).Error);
        Assert.Single(_other.Asked<NegotiateSession>());
    }

    [Fact]
    public async Task A_node_that_shuts_down_loses_its_sessions_to_another()
    {
        await using HubClient alice = await _server.JoinAsync("alice");
        await _other.StartAsync();
        await First.TellAsync(alice.SessionId, new SessionClosed("nodeShutdown"));
        Assert.Equal("nodeLost", (await alice.NextSessionEventAsync<SessionMoved>()).Reason);
        Assert.True(_other.Sessions.ContainsKey(alice.SessionId));
    }

    [Fact]
    public async Task A_client_that_was_away_learns_of_the_move_when_it_comes_back()
    {
        HubClient alice = await _server.JoinAsync("alice");
        await alice.DisposeAsync();
        await SignalingServer.UntilAsync(() => _server.Sessions.TryGet(alice.SessionId, out var session) && session.InGrace);
        await _other.StartAsync();
        await _cluster.Bus.PublishAsync(SignalingSubjects.Move, new MoveSessions(null, "demo", "n2", "moved"));
        await SignalingServer.UntilAsync(() => _other.Sessions.ContainsKey(alice.SessionId));
        await SignalingServer.UntilAsync(() => _server.Sessions.TryGet(alice.SessionId, out var session) && session.Node == "n2");
        await using HubClient again = await _server.ConnectAsync();
        JoinReply reply = await again.JoinAsync(new JoinRequest(
            _server.Token("alice"), Resume: new ResumeSession(alice.SessionId, alice.Joined.ResumeKey, 1)));
        Assert.True(reply.Resumed);
        Assert.Equal("moved", (await again.NextSessionEventAsync<SessionMoved>()).Reason);
    }

    [Fact]
    public async Task Whip_sessions_of_a_dead_node_are_gone()
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/whip/demo") { Content = new StringContent("v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=sendonly\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\n") };
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/sdp");
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", _server.Token("cam"));
        using HttpResponseMessage created = await _server.Http.SendAsync(request, TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.Created, created.StatusCode);
        await _other.StartAsync();
        await First.DieAsync();
        await _cluster.UntilAsync(() => _server.Sessions.Count == 0, "The session ends.");
        await SignalingServer.UntilAsync(() => _server.Rooms.GetSnapshotAsync("demo").AsTask().Result.Participants.Count == 0);
        Assert.Empty(_other.Sessions);
    }

    [Fact]
    public async Task A_node_that_began_to_drain_a_moment_ago_sends_joins_and_moves_on_to_another()
    {
        await using HubClient alice = await _server.JoinAsync("alice");
        await _other.StartAsync();
        var third = new FakeSfu(_cluster.Bus, _cluster.Nodes, "n3");
        await third.StartAsync();
        First.Intercept = _other.Intercept = request => request is OpenSession
            ? throw new BusException(OpenSession.NodeDraining, "Not here.")
            : Task.CompletedTask;
        await using HubClient bob = await _server.JoinAsync("bob", "elsewhere");
        Assert.True(third.Sessions.ContainsKey(bob.SessionId));
        await _cluster.Bus.PublishAsync(SignalingSubjects.Move, new MoveSessions("n1", "demo", null, "drain"));
        Assert.Equal("drain", (await alice.NextSessionEventAsync<SessionMoved>()).Reason);
        Assert.True(third.Sessions.ContainsKey(alice.SessionId));

        // Withdrawn in between: it is one of them again.
        First.Intercept = _other.Intercept = null;
        await third.DisposeAsync();
        await using HubClient carol = await _server.JoinAsync("carol", "elsewhere");
        Assert.False(third.Sessions.ContainsKey(carol.SessionId));
    }

    [Fact]
    public async Task Where_every_node_drains_a_join_is_told_to_try_again()
    {
        First.Intercept = request => request is OpenSession ? throw new BusException(OpenSession.NodeDraining, "Not here.") : Task.CompletedTask;
        await using HubClient alice = await _server.ConnectAsync();
        HubReply<JoinReply> reply = await alice.CallAsync<JoinReply>(HubMethods.Join, new JoinRequest(_server.Token("alice")));
        Assert.Equal("unavailable", reply.Error?.Code);
    }

    [Fact]
    public async Task A_join_goes_to_the_next_node_where_the_first_does_not_answer()
    {
        await _other.StartAsync();
        await First.DisposeAsync();
        await using HubClient alice = await _server.JoinAsync("alice");
        await using HubClient bob = await _server.JoinAsync("bob");
        Assert.Equal(2, _other.Sessions.Count);
    }
}
