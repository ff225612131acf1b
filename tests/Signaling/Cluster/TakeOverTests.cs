using System.Net;
using System.Net.Http.Headers;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Signaling.Tests.Support;

namespace Transcribe.Signaling.Tests.Cluster;

/// <summary>Two signalling nodes over one bus and one store.</summary>
public sealed class TakeOverTests : TwoSignalingNodes
{
    private protected override TimeSpan? GracePeriod => TimeSpan.FromSeconds(5);

    [Fact]
    public async Task A_client_resumes_on_another_node_and_its_media_is_untouched()
    {
        A.Sfu.Connected = true;
        A.Sfu.Assignments = [new MediaAssignment("1", "TR_x", 3)];
        await using HubClient alice = await A.JoinAsync("alice");
        await using HubClient bob = await B.JoinAsync("bob");
        await alice.NextAsync<ParticipantJoined>();
        await using HubClient carol = await B.JoinAsync("carol");

        await using HubClient again = await B.ConnectAsync();
        JoinReply reply = await again.JoinAsync(Resume(B, alice, 2));
        Assert.True(reply.Resumed);
        Assert.Equal((alice.SessionId, alice.Joined.ResumeKey), (reply.SessionId, reply.ResumeKey));
        Assert.Equal("carol", (await again.NextAsync<ParticipantJoined>()).Participant.Id);
        await again.NextSessionEventAsync<SessionConnected>();
        Assert.Equal(new MediaAssignment("1", "TR_x", 3), Assert.Single((await again.NextSessionEventAsync<SessionAssigned>()).Assignments));
        await alice.Closed.Task.WaitAsync(SignalingServer.Patience);
        await SignalingServer.UntilAsync(() => A.Sessions.Count == 0);

        // Events of its SFU node and its room reach it here, calls go through, and nothing was closed or opened for it.
        await A.Sfu.TellAsync(alice.SessionId, new SessionNeedsMedia(1, 0));
        await again.NextSessionEventAsync<SessionNeedsMedia>();
        Assert.Null((await again.CallAsync<NegotiateReply>(HubMethods.Negotiate, new NegotiateRequest("v=0", []))).Error);
        await Cluster.PassAsync(TimeSpan.FromSeconds(8));
        Assert.Empty(A.Sfu.Asked<CloseSession>());
        Assert.Equal(3, (await B.Rooms.GetSnapshotAsync("demo")).Participants.Count);
        Assert.Equal(3, A.Sfu.Asked<OpenSession>().Count());
    }

    [Fact]
    public async Task A_wrong_key_takes_nothing_over()
    {
        await using HubClient alice = await A.JoinAsync("alice");
        await using HubClient thief = await B.ConnectAsync();
        JoinReply reply = await thief.JoinAsync(new JoinRequest(
            B.Token("mallory"), Resume: new ResumeSession(alice.SessionId, "wrong", 0)));
        Assert.False(reply.Resumed);
        Assert.True(A.Sessions.TryGet(alice.SessionId, out _));
    }

    [Fact]
    public async Task Of_concurrent_resumes_one_has_the_session_in_the_end_and_nobody_joins_anew()
    {
        for (int round = 0; round < 5; round++)
        {
            await using HubClient alice = await A.JoinAsync("alice", $"room{round}");
            await using HubClient first = await A.ConnectAsync();
            await using HubClient second = await B.ConnectAsync();
            await using HubClient third = await B.ConnectAsync();
            HubReply<JoinReply>[] replies = await Task.WhenAll(
                new[] { (first, A), (second, B), (third, B) }.Select(pair => ResumeAsync(pair.Item1, Resume(pair.Item2, alice, 1))));
            Assert.Contains(replies, reply => reply.Value?.Resumed == true);
            Assert.All(replies, reply => Assert.True(reply.Value?.Resumed == true || reply.Error?.Code == "unavailable"));
            await SignalingServer.UntilAsync(() => A.Sessions.TryGet(alice.SessionId, out _) != B.Sessions.TryGet(alice.SessionId, out _));
            Assert.Single((await A.Rooms.GetSnapshotAsync($"room{round}")).Participants);
            Assert.Empty(A.Sfu.Asked<CloseSession>());
        }
    }

    /// <summary>A connection that lost the session again is cut, perhaps before it was answered.</summary>
    private static async Task<HubReply<JoinReply>> ResumeAsync(HubClient client, JoinRequest request)
    {
        try
        {
            return await client.CallAsync<JoinReply>(HubMethods.Join, request);
        }
        catch (OperationCanceledException)
        {
            return new HubReply<JoinReply>(null, new HubError("unavailable", "The connection was cut."));
        }
    }

    [Fact]
    public async Task A_former_owner_that_did_not_hear_of_it_ends_nothing()
    {
        HubClient alice = await A.JoinAsync("alice");
        A.Bus.Loses = subject => subject.StartsWith("signaling.", StringComparison.Ordinal);
        await using HubClient again = await B.ConnectAsync();
        Assert.True((await again.JoinAsync(Resume(B, alice, 1))).Resumed);
        await alice.DisposeAsync();
        await Cluster.UntilAsync(() => A.Sessions.Count == 0, "The former owner forgets the session.");
        Assert.Empty(A.Sfu.Asked<CloseSession>());
        Assert.Single((await B.Rooms.GetSnapshotAsync("demo")).Participants);
        Assert.Null((await again.CallAsync<Ack>(HubMethods.Trickle, new TrickleRequest(null))).Error);
    }

    [Fact]
    public async Task What_a_dead_node_leaves_is_resumed_elsewhere_or_ended_once_after_the_grace_period()
    {
        HubClient alice = await A.JoinAsync("alice");
        HubClient bob = await A.JoinAsync("bob");
        await using HubClient carol = await B.JoinAsync("carol");
        await Cluster.PassAsync(TimeSpan.FromSeconds(1));
        await A.DieAsync();
        await Cluster.PassAsync(TimeSpan.FromSeconds(2));
        await using HubClient again = await B.ConnectAsync();
        Assert.True((await again.JoinAsync(Resume(B, alice, 3))).Resumed);
        Assert.False(carol.HasRoomEvent);

        await Cluster.UntilAsync(() => carol.HasRoomEvent, "bob is ended");
        ParticipantLeft left = await carol.NextAsync<ParticipantLeft>();
        Assert.Equal(("bob", "timeout"), (left.ParticipantId, left.Reason));
        await Cluster.PassAsync(TimeSpan.FromSeconds(5));
        Assert.False(carol.HasRoomEvent);
        Assert.Equal(bob.SessionId, Assert.Single(A.Sfu.Asked<CloseSession>()).SessionId);
        Assert.Equal(["alice", "carol"], (await B.Rooms.GetSnapshotAsync("demo")).Participants.Select(info => info.Id).Order());

        // A dead node that was not: what it knows is not its own any more.
        A.Wire.Mend();
        await Cluster.UntilAsync(() => A.Sessions.Count == 0, "The node that was taken for dead forgets.");
        Assert.Equal(["alice", "carol"], (await B.Rooms.GetSnapshotAsync("demo")).Participants.Select(info => info.Id).Order());
    }

    [Fact]
    public async Task A_node_that_stops_leaves_its_sessions_to_the_others()
    {
        await using HubClient alice = await A.JoinAsync("alice");
        await A.App.StopAsync(TestContext.Current.CancellationToken);
        await using HubClient again = await B.ConnectAsync();
        Assert.True((await again.JoinAsync(Resume(B, alice, 1))).Resumed);
        Assert.Empty(A.Sfu.Asked<CloseSession>());
    }

    [Fact]
    public async Task The_same_identity_on_another_node_replaces_the_session()
    {
        await using HubClient alice = await A.JoinAsync("alice");
        await using HubClient second = await B.JoinAsync("alice");
        Assert.Equal("duplicateIdentity", (await alice.NextSessionEventAsync<SessionClosed>()).Reason);
        await SignalingServer.UntilAsync(() => A.Sessions.Count == 0 && !A.Sfu.Sessions.ContainsKey(alice.SessionId));
        Assert.Single((await B.Rooms.GetSnapshotAsync("demo")).Participants);
        Assert.True(A.Sfu.Sessions.ContainsKey(second.SessionId));
    }

    [Fact]
    public async Task A_participant_is_removed_wherever_it_is()
    {
        await using HubClient alice = await A.JoinAsync("alice");
        await using HubClient bob = await B.JoinAsync("bob");
        await alice.NextAsync<ParticipantJoined>();
        await Cluster.Bus.PublishAsync(SignalingSubjects.Remove, new RemoveParticipant("demo", "bob"));
        Assert.Equal("removed", (await bob.NextSessionEventAsync<SessionClosed>()).Reason);
        Assert.Equal("removed", (await alice.NextAsync<ParticipantLeft>()).Reason);
    }

    [Fact]
    public async Task A_whip_request_may_go_to_any_node()
    {
        Uri resource = await PublishAsync();
        using HttpResponseMessage patched = await SendAsync(B, HttpMethod.Patch, resource, "a=ice-ufrag:abcd\r\na=ice-pwd:clientpasswordclientpass\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\na=end-of-candidates\r\n");
        Assert.Equal(HttpStatusCode.PreconditionFailed, patched.StatusCode);
        Assert.Equal((0, 1), (A.Sessions.Count, B.Sessions.Count));
        using HttpResponseMessage deleted = await SendAsync(A, HttpMethod.Delete, resource);
        Assert.Equal(HttpStatusCode.OK, deleted.StatusCode);
        using HttpResponseMessage again = await SendAsync(B, HttpMethod.Delete, resource);
        Assert.Equal(HttpStatusCode.NotFound, again.StatusCode);
        Assert.Empty((await A.Rooms.GetSnapshotAsync("demo")).Participants);
        Assert.Single(A.Sfu.Asked<CloseSession>());
    }

    [Fact]
    public async Task Whip_sessions_of_a_dead_node_go_on()
    {
        Uri resource = await PublishAsync();
        await Cluster.PassAsync(TimeSpan.FromSeconds(1));
        await A.DieAsync();
        await Cluster.UntilAsync(() => B.Sessions.Count == 1, "The other node takes the session over.");
        await Cluster.PassAsync(TimeSpan.FromSeconds(8));
        Assert.Empty(A.Sfu.Asked<CloseSession>());
        Assert.Single((await B.Rooms.GetSnapshotAsync("demo")).Participants);
        using HttpResponseMessage deleted = await SendAsync(B, HttpMethod.Delete, resource);
        Assert.Equal(HttpStatusCode.OK, deleted.StatusCode);
    }

    private async Task<Uri> PublishAsync()
    {
        using HttpResponseMessage created = await SendAsync(
            A, HttpMethod.Post, new Uri("/v1/whip/demo", UriKind.Relative),
            "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=sendonly\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\n");
        Assert.Equal(HttpStatusCode.Created, created.StatusCode);
        return created.Headers.Location!;
    }

    private static async Task<HttpResponseMessage> SendAsync(SignalingServer server, HttpMethod method, Uri uri, string? body = null)
    {
        using var request = new HttpRequestMessage(method, uri);
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", server.Token("cam"));
        if (body is not null)
        {
            request.Content = new StringContent(body);
            request.Content.Headers.ContentType =
                new MediaTypeHeaderValue(method == HttpMethod.Post ? "application/sdp" : "application/trickle-ice-sdpfrag");
        }

        request.Headers.TryAddWithoutValidation("If-Match", "\"old\"");
        return await server.Http.SendAsync(request, TestContext.Current.CancellationToken);
    }

    private static JoinRequest Resume(SignalingServer server, HubClient client, long sequence) =>
        new(server.Token("alice"), Resume: new ResumeSession(client.SessionId, client.Joined.ResumeKey, sequence));
}
