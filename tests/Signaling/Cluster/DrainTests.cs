using System.Net;
using System.Net.Http.Headers;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Sfu;
using Transcribe.Signaling.Tests.Support;

namespace Transcribe.Signaling.Tests.Cluster;

/// <summary>Two signalling nodes, of which one is being drained.</summary>
public sealed class DrainTests : TwoSignalingNodes
{
    [Fact]
    public async Task Clients_are_sent_elsewhere_one_by_one_until_the_deadline_and_resume_there_with_their_media()
    {
        HubClient[] clients = [.. await Task.WhenAll(Enumerable.Range(0, 12).Select(i => A.JoinAsync($"p{i}")))];
        await DrainAsync("a", TimeSpan.FromSeconds(60));
        List<HubClient> there = [];
        int told = 0, most = 0;
        for (int second = 0; second < 60 && A.Sessions.Count > 0; second++)
        {
            await Cluster.PassAsync(TimeSpan.FromSeconds(1));
            int now = 0;
            foreach (HubClient client in clients)
            {
                if (!client.SentAway.TryDequeue(out GoAway? order))
                    continue;
                now++;
                Assert.Equal(new Uri(B.Url, HubMethods.Path).ToString(), Assert.Single(order.HubUrls));
                there.Add(await B.ConnectAsync());
                JoinReply reply = await there[^1].JoinAsync(new JoinRequest("", Resume: new ResumeSession(client.SessionId, client.Joined.ResumeKey, 12)));
                Assert.True(reply.Resumed);
                await client.Closed.Task.WaitAsync(SignalingServer.Patience);
            }

            (told, most) = (told + now, Math.Max(most, now));
        }

        Assert.Equal((12, 0), (told, A.Sessions.Count));
        Assert.InRange(most, 1, 3);
        Assert.Empty(A.Sfu.Asked<CloseSession>());
        Assert.Equal(12, A.Sfu.Asked<OpenSession>().Count());
        Assert.Equal(12, B.Sessions.Count);
        foreach (HubClient client in there)
            await client.DisposeAsync();
    }

    [Fact]
    public async Task Who_joins_at_a_draining_node_is_refused_and_taken_again_when_the_order_is_withdrawn()
    {
        await using HubClient alice = await A.JoinAsync("alice");
        await DrainAsync("a", TimeSpan.FromMinutes(10));
        await Cluster.PassAsync(TimeSpan.FromSeconds(1.5));
        await using HubClient bob = await A.ConnectAsync();
        HubReply<JoinReply> reply = await bob.CallAsync<JoinReply>(HubMethods.Join, new JoinRequest(A.Token("bob")));
        Assert.Equal("unavailable", reply.Error?.Code);

        // Who is here and lost its connection only may come back.
        await using HubClient again = await A.ConnectAsync();
        Assert.True((await again.JoinAsync(Resume(alice))).Resumed);

        await WithdrawAsync("a");
        await Cluster.PassAsync(TimeSpan.FromSeconds(1.5));
        await bob.JoinAsync(new JoinRequest(A.Token("bob")));
        int before = again.SentAway.Count;
        await Cluster.PassAsync(TimeSpan.FromSeconds(20));
        Assert.Equal(before, again.SentAway.Count);
        Assert.Equal(2, A.Sessions.Count);
    }

    [Fact]
    public async Task Who_does_not_go_is_cut_after_the_deadline_and_comes_back_elsewhere_only()
    {
        await using HubClient alice = await A.JoinAsync("alice");
        await DrainAsync("a", TimeSpan.FromSeconds(3));
        await Cluster.PassAsync(TimeSpan.FromSeconds(2));
        Assert.False(alice.Closed.Task.IsCompleted);
        await Cluster.UntilAsync(() => alice.Closed.Task.IsCompleted, "The connection is cut.");
        Assert.NotEmpty(alice.SentAway);

        await using HubClient same = await A.ConnectAsync();
        Assert.Equal("unavailable", (await same.CallAsync<JoinReply>(HubMethods.Join, Resume(alice))).Error?.Code);
        await using HubClient other = await B.ConnectAsync();
        Assert.True((await other.JoinAsync(Resume(alice))).Resumed);
        Assert.Empty(A.Sfu.Asked<CloseSession>());
    }

    [Fact]
    public async Task While_the_store_is_away_who_was_cut_may_come_back_for_nobody_else_could_take_it()
    {
        await using HubClient alice = await A.JoinAsync("alice");
        await DrainAsync("a", TimeSpan.Zero);
        await Cluster.UntilAsync(() => alice.Closed.Task.IsCompleted, "The connection is cut.");
        A.Wire.Cut();
        B.Wire.Cut();
        await Cluster.PassAsync(TimeSpan.FromSeconds(1.5));
        await using HubClient same = await A.ConnectAsync();
        Assert.True((await same.JoinAsync(Resume(alice))).Resumed);
        A.Wire.Mend();
        B.Wire.Mend();
        await Cluster.UntilAsync(() => same.Closed.Task.IsCompleted, "It is sent away again.");
    }

    [Fact]
    public async Task Nobody_is_sent_away_and_joins_are_taken_while_there_is_no_other_active_node()
    {
        await using HubClient alice = await A.JoinAsync("alice");
        await DrainAsync("b", TimeSpan.FromMinutes(10));
        await DrainAsync("a", TimeSpan.FromSeconds(2));
        await Cluster.PassAsync(TimeSpan.FromSeconds(10));
        await using HubClient bob = await A.JoinAsync("bob");
        Assert.Empty(alice.SentAway);
        Assert.False(alice.Closed.Task.IsCompleted);

        await WithdrawAsync("b");
        await Cluster.UntilAsync(() => !alice.SentAway.IsEmpty && !bob.SentAway.IsEmpty, "They are sent away as soon as there is one.");
    }

    [Fact]
    public async Task Sessions_over_http_are_given_to_another_node_and_answer_as_before()
    {
        using HttpResponseMessage created = await SendAsync(A, HttpMethod.Post, new Uri("/v1/whip/demo", UriKind.Relative));
        Assert.Equal(HttpStatusCode.Created, created.StatusCode);
        await DrainAsync("a", TimeSpan.FromSeconds(10));
        await Cluster.UntilAsync(() => (A.Sessions.Count, B.Sessions.Count) == (0, 1), "The other node has the session.");
        Assert.Empty(A.Sfu.Asked<CloseSession>());
        using HttpResponseMessage deleted = await SendAsync(A, HttpMethod.Delete, created.Headers.Location!);
        Assert.Equal(HttpStatusCode.OK, deleted.StatusCode);
        Assert.Single(A.Sfu.Asked<CloseSession>());
    }

    private Task DrainAsync(string node, TimeSpan within) =>
        TellAsync(node, new SetNodeState(NodeState.Draining, Cluster.Time.GetUtcNow() + within));

    private Task WithdrawAsync(string node) => TellAsync(node, new SetNodeState(NodeState.Active));

    private async Task TellAsync(string node, SetNodeState order) =>
        await Cluster.Bus.RequestAsync<SetNodeState, Pong>(NodeSubjects.State(NodeRole.Signaling, node), order, SignalingServer.Patience);

    private static JoinRequest Resume(HubClient client) => new("", Resume: new ResumeSession(client.SessionId, client.Joined.ResumeKey, 1));

    private static async Task<HttpResponseMessage> SendAsync(SignalingServer server, HttpMethod method, Uri uri)
    {
        using var request = new HttpRequestMessage(method, uri);
        request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", server.Token("cam"));
        if (method == HttpMethod.Post)
        {
            request.Content = new StringContent("v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=sendonly\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\n");
            request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/sdp");
        }

        return await server.Http.SendAsync(request, TestContext.Current.CancellationToken);
    }
}
