using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Signaling.Tests.Support;

namespace Transcribe.Signaling.Tests.Hubs;

public class ResumeTests
{
    [Fact]
    public async Task A_lost_connection_keeps_the_session_for_the_grace_period_and_no_longer()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        await using HubClient alice = await server.JoinAsync("alice");
        HubClient bob = await server.JoinAsync("bob");
        await alice.NextAsync<ParticipantJoined>();
        await LoseAsync(server, bob);
        server.Time.Advance(TimeSpan.FromSeconds(4.9));
        Assert.True(server.Sfu.Sessions.ContainsKey(bob.SessionId));
        Assert.Equal(2, (await server.Rooms.GetSnapshotAsync("demo")).Participants.Count);
        Assert.False(alice.HasRoomEvent);
        server.Time.Advance(TimeSpan.FromSeconds(0.2));
        Assert.Equal("timeout", (await alice.NextAsync<ParticipantLeft>()).Reason);
        await SignalingServer.UntilAsync(() => !server.Sfu.Sessions.ContainsKey(bob.SessionId));
        Assert.Equal("timeout", server.Sfu.Asked<CloseSession>().Single().Reason);
    }

    [Fact]
    public async Task A_client_that_comes_back_goes_on_with_its_session_and_hears_what_it_missed()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        server.Sfu.Assignments = [new MediaAssignment("1", "TR_a")];
        HubClient alice = await server.JoinAsync("alice");
        await alice.CallAsync<NegotiateReply>(HubMethods.Negotiate, new NegotiateRequest("v=0", []));
        await server.Sfu.TellAsync(alice.SessionId, new SessionConnected());
        await alice.NextSessionEventAsync<SessionConnected>();
        JoinReply before = alice.Joined;
        await LoseAsync(server, alice);

        await using HubClient bob = await server.JoinAsync("bob");
        await server.Sfu.TellAsync(before.SessionId, new SessionAssigned([new MediaAssignment("2", "TR_b")]));
        await server.Sfu.TellAsync(before.SessionId, new SessionNeedsMedia(0, 1));
        server.Time.Advance(TimeSpan.FromSeconds(3));

        await using HubClient again = await server.ConnectAsync();
        JoinReply reply = await again.JoinAsync(new JoinRequest(
            server.Token("alice"), Resume: new ResumeSession(before.SessionId, before.ResumeKey, before.Room.Sequence)));
        Assert.True(reply.Resumed);
        Assert.Equal(before.SessionId, reply.SessionId);
        Assert.Equal(2, reply.Room.Participants.Count);
        Assert.Equal("bob", (await again.NextAsync<ParticipantJoined>()).Participant.Id);
        await again.NextSessionEventAsync<SessionConnected>();
        Assert.Equal(
            [new MediaAssignment("1", "TR_a"), new MediaAssignment("2", "TR_b")],
            (await again.NextSessionEventAsync<SessionAssigned>()).Assignments.OrderBy(a => a.Mid));
        Assert.Equal(new SessionNeedsMedia(0, 1), await again.NextSessionEventAsync<SessionNeedsMedia>());

        // It is live again, and the grace period is over for good.
        server.Time.Advance(TimeSpan.FromSeconds(10));
        await using HubClient carol = await server.JoinAsync("carol");
        Assert.Equal("carol", (await again.NextAsync<ParticipantJoined>()).Participant.Id);
        Assert.Null((await again.CallAsync<Ack>(HubMethods.Trickle, new TrickleRequest(null))).Error);
        Assert.Equal(3, server.Sfu.Asked<OpenSession>().Count());
    }

    [Fact]
    public async Task A_resume_while_the_old_connection_lingers_takes_the_session_over()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        await using HubClient old = await server.JoinAsync("alice");
        await using HubClient next = await server.ConnectAsync();
        JoinReply reply = await next.JoinAsync(new JoinRequest(
            server.Token("alice"), Resume: new ResumeSession(old.SessionId, old.Joined.ResumeKey, 1)));
        Assert.True(reply.Resumed);
        await old.Closed.Task.WaitAsync(SignalingServer.Patience);
        server.Time.Advance(TimeSpan.FromSeconds(6));
        await using HubClient bob = await server.JoinAsync("bob");
        await next.NextAsync<ParticipantJoined>();
    }

    [Fact]
    public async Task A_wrong_resume_key_opens_nothing_that_the_token_would_not()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        await using HubClient alice = await server.JoinAsync("alice");
        await using HubClient thief = await server.ConnectAsync();
        HubReply<JoinReply> refused = await thief.CallAsync<JoinReply>(
            HubMethods.Join, new JoinRequest("no token", Resume: new ResumeSession(alice.SessionId, "wrong", 0)));
        Assert.Equal("token_invalid", refused.Error?.Code);
        JoinReply fresh = await thief.JoinAsync(new JoinRequest(server.Token("mallory"), Resume: new ResumeSession(alice.SessionId, "wrong", 0)));
        Assert.False(fresh.Resumed);
        Assert.NotEqual(alice.SessionId, fresh.SessionId);
        await alice.NextAsync<ParticipantJoined>();
        Assert.False(alice.Closed.Task.IsCompleted);
    }

    [Fact]
    public async Task After_the_grace_period_the_client_joins_anew()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        HubClient alice = await server.JoinAsync("alice");
        await LoseAsync(server, alice);
        server.Time.Advance(TimeSpan.FromSeconds(6));
        await SignalingServer.UntilAsync(() => server.Sessions.Count == 0);
        await using HubClient again = await server.ConnectAsync();
        JoinReply reply = await again.JoinAsync(new JoinRequest(
            server.Token("alice"), Resume: new ResumeSession(alice.SessionId, alice.Joined.ResumeKey, 1)));
        Assert.False(reply.Resumed);
        Assert.Single(reply.Room.Participants);
    }

    /// <summary>Cuts the connection and waits until the server has noticed: a timer for the grace period runs then.</summary>
    private static async Task LoseAsync(SignalingServer server, HubClient client)
    {
        await client.DisposeAsync();
        Assert.True(server.Sessions.TryGet(client.SessionId, out Sessions.ClientSession session));
        await SignalingServer.UntilAsync(() => session.InGrace);
    }
}
