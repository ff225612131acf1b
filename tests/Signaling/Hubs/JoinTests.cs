using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Cluster.Tokens;
using Transcribe.Signaling.Tests.Support;

namespace Transcribe.Signaling.Tests.Hubs;

public class JoinTests
{
    [Fact]
    public async Task Joining_answers_with_the_room_and_tells_the_others()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        await using HubClient alice = await server.JoinAsync("alice");
        Assert.Equal("alice", alice.Joined.ParticipantId);
        Assert.False(alice.Joined.Resumed);
        Assert.Equal("stun:stun.example.org", alice.Joined.IceServers[0].Urls[0]);
        await using HubClient bob = await server.JoinAsync("bob");
        Assert.Equal(["alice", "bob"], bob.Joined.Room.Participants.Select(p => p.Id));
        Assert.Equal(2, bob.Joined.Room.Sequence);
        ParticipantJoined joined = await alice.NextAsync<ParticipantJoined>();
        Assert.Equal(("bob", 2L), (joined.Participant.Id, joined.Sequence));
        OpenSession opened = server.Sfu.Sessions[bob.SessionId];
        Assert.Equal(("demo", "bob", true), (opened.Room, opened.Participant, opened.Grants.Publish));
        Assert.False(bob.HasRoomEvent);
    }

    [Fact]
    public async Task The_tokens_name_wins_over_the_one_asked_for()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        await using HubClient alice = await server.ConnectAsync();
        await alice.JoinAsync(new JoinRequest(server.Token("alice", name: "Alice"), Name: "The boss"));
        await using HubClient bob = await server.ConnectAsync();
        await bob.JoinAsync(new JoinRequest(server.Token("bob"), Name: "Bobby"));
        Assert.Equal(["Alice", "Bobby"], bob.Joined.Room.Participants.Select(p => p.Name));
    }

    [Fact]
    public async Task Media_wishes_reach_the_node()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        await using HubClient client = await server.ConnectAsync();
        await client.JoinAsync(new JoinRequest(server.Token("g"), AutoSubscribe: false, Kinds: [TrackKind.Audio]));
        OpenSession opened = server.Sfu.Sessions[client.SessionId];
        Assert.False(opened.AutoSubscribe);
        Assert.Equal([TrackKind.Audio], opened.Kinds);
    }

    [Fact]
    public async Task A_hidden_participant_leaves_no_trace()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        await using HubClient alice = await server.JoinAsync("alice");
        await using HubClient gateway = await server.JoinAsync("gateway", grants: new Grants { Subscribe = true, Hidden = true, PublishDataLabels = ["captions"] });
        Assert.Equal("alice", Assert.Single(gateway.Joined.Room.Participants).Id);
        Assert.True(server.Sfu.Sessions[gateway.SessionId].Grants.Hidden);
        await gateway.LeaveAsync();
        RoomSummary summary = Assert.Single(await server.Rooms.ListAsync());
        Assert.Equal((1, 0), (summary.Participants, summary.Viewers));
        Assert.Equal(1, (await server.Rooms.GetSnapshotAsync("demo")).Sequence);
        Assert.False(alice.HasRoomEvent);
    }

    [Theory]
    [InlineData("not a token", "token_invalid")]
    [InlineData("", "token_invalid")]
    public async Task A_bad_token_is_refused_with_its_reason(string token, string code)
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        await using HubClient client = await server.ConnectAsync();
        HubReply<JoinReply> reply = await client.CallAsync<JoinReply>(HubMethods.Join, new JoinRequest(token));
        Assert.Equal(code, reply.Error?.Code);
        Assert.Empty(server.Sfu.Requests);
    }

    [Fact]
    public async Task An_expired_token_is_told_apart()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        string token = server.Token("alice", timeToLive: TimeSpan.FromSeconds(5));
        server.Time.Advance(TimeSpan.FromSeconds(6));
        await using HubClient client = await server.ConnectAsync();
        HubReply<JoinReply> reply = await client.CallAsync<JoinReply>(HubMethods.Join, new JoinRequest(token));
        Assert.Equal("token_expired", reply.Error?.Code);
    }

    [Fact]
    public async Task Without_a_media_node_joining_is_unavailable_and_leaves_nothing()
    {
        await using SignalingServer server = await SignalingServer.StartAsync(withSfu: false);
        await using HubClient client = await server.ConnectAsync();
        HubReply<JoinReply> reply = await client.CallAsync<JoinReply>(HubMethods.Join, new JoinRequest(server.Token("alice")));
        Assert.Equal("unavailable", reply.Error?.Code);
        Assert.Empty(await server.Rooms.ListAsync());
        Assert.Equal((0, 0), (server.Sessions.Count, server.Feeds.Count));

        // The same connection may try again.
        await server.Sfu.StartAsync();
        await client.JoinAsync(new JoinRequest(server.Token("alice")));
    }

    [Fact]
    public async Task A_full_room_takes_no_more_but_lets_its_members_come_back()
    {
        await using SignalingServer server = await SignalingServer.StartAsync(options => options.MaxParticipantsPerRoom = 1);
        await using HubClient alice = await server.JoinAsync("alice");
        await using HubClient bob = await server.ConnectAsync();
        HubReply<JoinReply> reply = await bob.CallAsync<JoinReply>(HubMethods.Join, new JoinRequest(server.Token("bob")));
        Assert.Equal("room_full", reply.Error?.Code);
        await using HubClient again = await server.JoinAsync("alice");
        Assert.Single(again.Joined.Room.Participants);
    }

    [Fact]
    public async Task A_connection_joins_once_and_must_join_before_anything_else()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        await using HubClient client = await server.ConnectAsync();
        Assert.Equal("session_not_found", (await client.RefusedAsync(HubMethods.Trickle, "{}")).Code);
        await client.JoinAsync(new JoinRequest(server.Token("alice")));
        HubReply<JoinReply> twice = await client.CallAsync<JoinReply>(HubMethods.Join, new JoinRequest(server.Token("alice")));
        Assert.Equal("bad_request", twice.Error?.Code);
        await client.LeaveAsync();
        await client.JoinAsync(new JoinRequest(server.Token("alice")));
    }

    [Fact]
    public async Task The_same_identity_replaces_the_older_session()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        await using HubClient bob = await server.JoinAsync("bob");
        await using HubClient first = await server.JoinAsync("alice");
        await bob.NextAsync<ParticipantJoined>();
        await using HubClient second = await server.JoinAsync("alice");
        Assert.Equal("duplicateIdentity", (await first.NextSessionEventAsync<SessionClosed>()).Reason);
        Assert.Equal("duplicateIdentity", (await bob.NextAsync<ParticipantLeft>()).Reason);
        await bob.NextAsync<ParticipantJoined>();
        await SignalingServer.UntilAsync(() => !server.Sfu.Sessions.ContainsKey(first.SessionId));
        Assert.True(server.Sfu.Sessions.ContainsKey(second.SessionId));

        // The old one's connection is free again, and its end took nobody else's place.
        Assert.Equal("session_not_found", (await first.RefusedAsync(HubMethods.Trickle, "{}")).Code);
        Assert.Equal(2, (await server.Rooms.GetSnapshotAsync("demo")).Participants.Count);
        Assert.False(bob.HasRoomEvent);
    }

    [Fact]
    public async Task Leaving_ends_the_session_everywhere_and_leaves_nothing_behind()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        await using HubClient alice = await server.JoinAsync("alice");
        await using HubClient bob = await server.JoinAsync("bob");
        await bob.LeaveAsync();
        await alice.NextAsync<ParticipantJoined>();
        Assert.Equal("left", (await alice.NextAsync<ParticipantLeft>()).Reason);
        Assert.Equal("left", server.Sfu.Asked<CloseSession>().Single().Reason);
        await alice.LeaveAsync();
        Assert.Empty(server.Sfu.Sessions);
        Assert.Empty(await server.Rooms.ListAsync());
        Assert.Equal((0, 0), (server.Sessions.Count, server.Feeds.Count));
    }

    [Fact]
    public async Task A_connection_that_never_joins_is_cut()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        await using HubClient idle = await server.ConnectAsync();
        await using HubClient joined = await server.JoinAsync("alice");
        server.Time.Advance(TimeSpan.FromSeconds(61));
        await idle.Closed.Task.WaitAsync(SignalingServer.Patience);
        Assert.False(joined.Closed.Task.IsCompleted);
    }
}
