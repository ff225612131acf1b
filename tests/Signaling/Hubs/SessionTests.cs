using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Cluster.Tokens;
using Transcribe.Signaling.Tests.Support;

namespace Transcribe.Signaling.Tests.Hubs;

public class SessionTests
{
    [Fact]
    public async Task An_offer_goes_to_the_node_and_its_answer_comes_back()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        server.Sfu.Assignments = [new MediaAssignment("1", "TR_x"), new MediaAssignment("2", null)];
        await using HubClient alice = await server.JoinAsync("alice");
        HubReply<NegotiateReply> reply = await alice.CallAsync<NegotiateReply>(
            HubMethods.Negotiate, new NegotiateRequest("v=0 offer", [new PublishedMedia("0", TrackSource.Microphone, "mic", true)]));
        Assert.Equal(FakeSfu.Answer, reply.Value?.Sdp);
        Assert.Equal([new NegotiatedMedia("0", "TR_0")], reply.Value!.Published);
        Assert.Equal(server.Sfu.Assignments, reply.Value.Assignments);
        NegotiateSession asked = Assert.Single(server.Sfu.Asked<NegotiateSession>());
        Assert.Equal((alice.SessionId, "v=0 offer"), (asked.SessionId, asked.Sdp));
        Assert.Equal(new PublishedMedia("0", TrackSource.Microphone, "mic", true), Assert.Single(asked.Tracks));
    }

    [Fact]
    public async Task Candidates_subscriptions_and_mutes_reach_the_node()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        await using HubClient alice = await server.JoinAsync("alice");
        Assert.Null((await alice.CallAsync<Ack>(HubMethods.Trickle, new TrickleRequest("candidate:1 1 udp 1 127.0.0.1 9 typ host"))).Error);
        Assert.Null((await alice.CallAsync<Ack>(HubMethods.Trickle, new TrickleRequest(null))).Error);
        Assert.Null((await alice.CallAsync<Ack>(HubMethods.Subscribe, new SubscribeRequest("TR_1", false))).Error);
        Assert.Null((await alice.CallAsync<Ack>(HubMethods.SetMuted, new SetMutedRequest("TR_2", true))).Error);
        string id = alice.SessionId;
        Assert.Equal(
            [new AddSessionCandidate(id, "candidate:1 1 udp 1 127.0.0.1 9 typ host"), new AddSessionCandidate(id, null)],
            server.Sfu.Asked<AddSessionCandidate>());
        Assert.Equal(new SetSubscription(id, "TR_1", false), Assert.Single(server.Sfu.Asked<SetSubscription>()));
        Assert.Equal(new SetTrackMuted(id, "TR_2", true), Assert.Single(server.Sfu.Asked<SetTrackMuted>()));
    }

    [Fact]
    public async Task What_the_token_does_not_grant_never_reaches_the_node()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        await using HubClient client = await server.JoinAsync("viewer", grants: new Grants());
        HubReply<NegotiateReply> publish = await client.CallAsync<NegotiateReply>(
            HubMethods.Negotiate, new NegotiateRequest("v=0", [new PublishedMedia("0", TrackSource.Camera)]));
        Assert.Equal("not_granted", publish.Error?.Code);
        Assert.Equal("not_granted", (await client.CallAsync<Ack>(HubMethods.Subscribe, new SubscribeRequest("TR_1", true))).Error?.Code);
        Assert.Empty(server.Sfu.Asked<NegotiateSession>());
        Assert.Empty(server.Sfu.Asked<SetSubscription>());
    }

    [Fact]
    public async Task The_nodes_refusal_reaches_the_client_with_its_code_and_the_session_goes_on()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        await using HubClient alice = await server.JoinAsync("alice");
        server.Sfu.Intercept = request => request is NegotiateSession ? throw new BusException("sdp_invalid", "The offer has no m-section.") : Task.CompletedTask;
        HubReply<NegotiateReply> reply = await alice.CallAsync<NegotiateReply>(HubMethods.Negotiate, new NegotiateRequest("nonsense", []));
        Assert.Equal(new HubError("sdp_invalid", "The offer has no m-section."), reply.Error);
        server.Sfu.Intercept = null;
        Assert.Null((await alice.CallAsync<NegotiateReply>(HubMethods.Negotiate, new NegotiateRequest("v=0", []))).Error);
    }

    [Fact]
    public async Task A_node_that_does_not_answer_is_unavailable()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        await using HubClient alice = await server.JoinAsync("alice");
        var asked = new TaskCompletionSource();
        var never = new TaskCompletionSource();
        server.Sfu.Intercept = request =>
        {
            asked.TrySetResult();
            return request is NegotiateSession ? never.Task : Task.CompletedTask;
        };
        Task<HubReply<NegotiateReply>> call = alice.CallAsync<NegotiateReply>(HubMethods.Negotiate, new NegotiateRequest("v=0", []));
        await asked.Task.WaitAsync(SignalingServer.Patience);
        server.Time.Advance(TimeSpan.FromSeconds(11));
        Assert.Equal("unavailable", (await call).Error?.Code);
        never.SetResult();
    }

    [Fact]
    public async Task A_session_that_its_node_forgot_is_opened_anew_and_the_client_told_to_negotiate()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        await using HubClient alice = await server.JoinAsync("alice");
        server.Sfu.Intercept = request => request is NegotiateSession ? throw new BusException("session_not_found", "Gone.") : Task.CompletedTask;
        HubReply<NegotiateReply> reply = await alice.CallAsync<NegotiateReply>(HubMethods.Negotiate, new NegotiateRequest("v=0", []));
        Assert.Equal("unavailable", reply.Error?.Code);
        Assert.Equal("nodeLost", (await alice.NextSessionEventAsync<SessionMoved>()).Reason);
        server.Sfu.Intercept = null;
        Assert.Equal(2, server.Sfu.Asked<OpenSession>().Count(open => open.SessionId == alice.SessionId));
        Assert.Null((await alice.CallAsync<NegotiateReply>(HubMethods.Negotiate, new NegotiateRequest("v=0", []))).Error);
        Assert.Single((await server.Rooms.GetSnapshotAsync("demo")).Participants);
    }

    [Fact]
    public async Task Session_events_and_speakers_reach_their_client_only()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        await using HubClient alice = await server.JoinAsync("alice");
        await using HubClient other = await server.JoinAsync("zoe", room: "other");
        await server.Sfu.TellAsync(alice.SessionId, new SessionConnected());
        await server.Sfu.TellAsync(alice.SessionId, new SessionAssigned([new MediaAssignment("3", "TR_9")]));
        await server.Sfu.TellAsync(alice.SessionId, new SessionNeedsMedia(1, 2));
        await server.Bus.PublishAsync(SfuSubjects.Speakers("demo"), new ActiveSpeakers("demo", [new Speaker("bob", "TR_9", 20)]));
        await alice.NextSessionEventAsync<SessionConnected>();
        Assert.Equal(new MediaAssignment("3", "TR_9"), Assert.Single((await alice.NextSessionEventAsync<SessionAssigned>()).Assignments));
        Assert.Equal(new SessionNeedsMedia(1, 2), await alice.NextSessionEventAsync<SessionNeedsMedia>());
        await SignalingServer.UntilAsync(() => !alice.Speakers.IsEmpty);
        Assert.Empty(other.Speakers);
    }

    [Fact]
    public async Task A_session_that_the_node_closed_leaves_the_room_and_the_connection_may_join_again()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        await using HubClient alice = await server.JoinAsync("alice");
        await using HubClient bob = await server.JoinAsync("bob");
        await alice.NextAsync<ParticipantJoined>();
        await server.Sfu.TellAsync(bob.SessionId, new SessionClosed("failed"));
        Assert.Equal("failed", (await bob.NextSessionEventAsync<SessionClosed>()).Reason);
        Assert.Equal("timeout", (await alice.NextAsync<ParticipantLeft>()).Reason);
        await bob.JoinAsync(new JoinRequest(server.Token("bob")));
        await alice.NextAsync<ParticipantJoined>();
    }

    [Fact]
    public async Task Closing_the_room_ends_everybodys_session_the_hidden_ones_too()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        await using HubClient alice = await server.JoinAsync("alice");
        await using HubClient gateway = await server.JoinAsync("gateway", grants: new Grants { Subscribe = true, Hidden = true });
        await server.Rooms.CloseAsync("demo", "closed");
        await alice.NextAsync<ParticipantLeft>();
        await alice.NextAsync<RoomClosed>();
        Assert.Equal("roomClosed", (await alice.NextSessionEventAsync<SessionClosed>()).Reason);
        Assert.Equal("roomClosed", (await gateway.NextSessionEventAsync<SessionClosed>()).Reason);
        await SignalingServer.UntilAsync(() => server.Sfu.Sessions.IsEmpty && server.Sessions.Count == 0 && server.Feeds.Count == 0);
    }

    [Fact]
    public async Task A_hidden_session_outlives_an_empty_room_and_hears_its_next_life_from_one()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        await using HubClient gateway = await server.JoinAsync("gateway", grants: new Grants { Subscribe = true, Hidden = true });
        await using HubClient alice = await server.JoinAsync("alice");
        await alice.LeaveAsync();
        await using HubClient bob = await server.JoinAsync("bob");
        Assert.Equal(1, (await gateway.NextAsync<ParticipantJoined>()).Sequence);
        Assert.Equal(2, (await gateway.NextAsync<ParticipantLeft>()).Sequence);
        Assert.Equal("empty", (await gateway.NextAsync<RoomClosed>()).Reason);
        Assert.Equal(1, (await gateway.NextAsync<ParticipantJoined>()).Sequence);
    }

    [Fact]
    public async Task Resync_gives_the_missed_events_or_the_room_as_it_is()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        await using HubClient alice = await server.JoinAsync("alice");
        await using HubClient bob = await server.JoinAsync("bob");
        await using HubClient carol = await server.JoinAsync("carol");
        ResyncReply? missed = (await alice.CallAsync<ResyncReply>(HubMethods.Resync, new ResyncRequest(1))).Value;
        Assert.Equal([2L, 3], missed!.Events!.Select(e => e.Sequence));
        Assert.Equal("bob", Assert.IsType<ParticipantJoined>(missed.Events![0]).Participant.Id);
        ResyncReply? ahead = (await alice.CallAsync<ResyncReply>(HubMethods.Resync, new ResyncRequest(99))).Value;
        Assert.Null(ahead!.Events);
        Assert.Equal((3L, 3), (ahead.Snapshot!.Sequence, ahead.Snapshot.Participants.Count));
    }

    [Fact]
    public async Task Events_that_the_bus_lost_are_filled_in_order()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        await using HubClient alice = await server.JoinAsync("alice");
        server.Bus.Loses = subject => subject == RoomSubjects.Events("demo");
        await using HubClient bob = await server.JoinAsync("bob");
        await bob.LeaveAsync();
        server.Bus.Loses = null;
        await using HubClient carol = await server.JoinAsync("carol");
        Assert.Equal(2, (await alice.NextAsync<ParticipantJoined>()).Sequence);
        Assert.Equal(3, (await alice.NextAsync<ParticipantLeft>()).Sequence);
        Assert.Equal("carol", (await alice.NextAsync<ParticipantJoined>()).Participant.Id);
    }

    [Fact]
    public async Task Shutting_down_tells_the_clients()
    {
        SignalingServer server = await SignalingServer.StartAsync();
        await using HubClient alice = await server.JoinAsync("alice");
        await server.DisposeAsync();
        Assert.Equal("nodeShutdown", (await alice.NextSessionEventAsync<SessionClosed>()).Reason);
    }
}
