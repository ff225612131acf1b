using System.Net;
using System.Net.Http.Headers;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Sfu;
using Transcribe.Signaling.Tests.Support;

namespace Transcribe.Signaling.Tests.Cluster;

/// <summary>Two signalling nodes, of which one is being drained.</summary>
public sealed class DrainTests : IAsyncLifetime
{
    private readonly TestCluster _cluster = new();
    private SignalingServer _a = null!;
    private SignalingServer _b = null!;

    public async ValueTask InitializeAsync()
    {
        _a = await SignalingServer.StartAsync(options => options.NodeId = "a", cluster: _cluster);
        _b = await SignalingServer.StartAsync(options => options.NodeId = "b", withSfu: false, cluster: _cluster);
    }

    public async ValueTask DisposeAsync()
    {
        await _a.DisposeAsync();
        await _b.DisposeAsync();
        await _cluster.DisposeAsync();
    }

    [Fact]
    public async Task Clients_are_sent_elsewhere_one_by_one_until_the_deadline_and_resume_there_with_their_media()
    {
        HubClient[] clients = [.. await Task.WhenAll(Enumerable.Range(0, 12).Select(i => _a.JoinAsync($"p{i}")))];
        await DrainAsync("a", TimeSpan.FromSeconds(60));
        List<HubClient> there = [];
        int told = 0, most = 0;
        for (int second = 0; second < 60 && _a.Sessions.Count > 0; second++)
        {
            await _cluster.PassAsync(TimeSpan.FromSeconds(1));
            int now = 0;
            foreach (HubClient client in clients)
            {
                if (!client.SentAway.TryDequeue(out GoAway? order))
                    continue;
                now++;
                Assert.Equal(new Uri(_b.Url, HubMethods.Path).ToString(), Assert.Single(order.HubUrls));
                there.Add(await _b.ConnectAsync());
                JoinReply reply = await there[^1].JoinAsync(new JoinRequest("", Resume: new ResumeSession(client.SessionId, client.Joined.ResumeKey, 12)));
                Assert.True(reply.Resumed);
                await client.Closed.Task.WaitAsync(SignalingServer.Patience);
            }

            (told, most) = (told + now, Math.Max(most, now));
        }

        Assert.Equal((12, 0), (told, _a.Sessions.Count));
        Assert.InRange(most, 1, 3);
        Assert.Empty(_a.Sfu.Asked<CloseSession>());
        Assert.Equal(12, _a.Sfu.Asked<OpenSession>().Count());
        Assert.Equal(12, _b.Sessions.Count);
        foreach (HubClient client in there)
            await client.DisposeAsync();
    }

    [Fact]
    public async Task Who_joins_at_a_draining_node_is_refused_and_taken_again_when_the_order_is_withdrawn()
    {
        await using HubClient alice = await _a.JoinAsync("alice");
        await DrainAsync("a", TimeSpan.FromMinutes(10));
        await _cluster.PassAsync(TimeSpan.FromSeconds(1.5));
        await using HubClient bob = await _a.ConnectAsync();
        HubReply<JoinReply> reply = await bob.CallAsync<JoinReply>(HubMethods.Join, new JoinRequest(_a.Token("bob")));
        Assert.Equal("unavailable", reply.Error?.Code);

        // Who is here and lost its connection only may come back.
        await using HubClient again = await _a.ConnectAsync();
        Assert.True((await again.JoinAsync(Resume(alice))).Resumed);

        await WithdrawAsync("a");
        await _cluster.PassAsync(TimeSpan.FromSeconds(1.5));
        await bob.JoinAsync(new JoinRequest(_a.Token("bob")));
        int before = again.SentAway.Count;
        await _cluster.PassAsync(TimeSpan.FromSeconds(20));
        Assert.Equal(before, again.SentAway.Count);
        Assert.Equal(2, _a.Sessions.Count);
    }

    [Fact]
    public async Task Who_does_not_go_is_cut_after_the_deadline_and_comes_back_elsewhere_only()
    {
        await using HubClient alice = await _a.JoinAsync("alice");
        await DrainAsync("a", TimeSpan.FromSeconds(3));
        await _cluster.PassAsync(TimeSpan.FromSeconds(2));
        Assert.False(alice.Closed.Task.IsCompleted);
        await _cluster.UntilAsync(() => alice.Closed.Task.IsCompleted, "The connection is cut.");
        Assert.NotEmpty(alice.SentAway);

        await using HubClient same = await _a.ConnectAsync();
        Assert.Equal("unavailable", (await same.CallAsync<JoinReply>(HubMethods.Join, Resume(alice))).Error?.Code);
        await using HubClient other = await _b.ConnectAsync();
        Assert.True((await other.JoinAsync(Resume(alice))).Resumed);
        Assert.Empty(_a.Sfu.Asked<CloseSession>());
    }

    [Fact]
    public async Task While_the_store_is_away_who_was_cut_may_come_back_for_nobody_else_could_take_it()
    {
        await using HubClient alice = await _a.JoinAsync("alice");
        await DrainAsync("a", TimeSpan.Zero);
        await _cluster.UntilAsync(() => alice.Closed.Task.IsCompleted, "The connection is cut.");
        _a.Wire.Cut();
        _b.Wire.Cut();
        await _cluster.PassAsync(TimeSpan.FromSeconds(1.5));
        await using HubClient same = await _a.ConnectAsync();
        Assert.True((await same.JoinAsync(Resume(alice))).Resumed);
        _a.Wire.Mend();
        _b.Wire.Mend();
        await _cluster.UntilAsync(() => same.Closed.Task.IsCompleted, "It is sent away again.");
    }

    [Fact]
    public async Task Nobody_is_sent_away_and_joins_are_taken_while_there_is_no_other_active_node()
    {
        await using HubClient alice = await _a.JoinAsync("alice");
        await DrainAsync("b", TimeSpan.FromMinutes(10));
        await DrainAsync("a", TimeSpan.FromSeconds(2));
        await _cluster.PassAsync(TimeSpan.FromSeconds(10));
        await using HubClient bob = await _a.JoinAsync("bob");
        Assert.Empty(alice.SentAway);
        Assert.False(alice.Closed.Task.IsCompleted);

        await WithdrawAsync("b");
        await _cluster.UntilAsync(() => !alice.SentAway.IsEmpty && !bob.SentAway.IsEmpty, "They are sent away as soon as there is one.");
    }

    [Fact]
    public async Task Sessions_over_http_are_given_to_another_node_and_answer_as_before()
    {
        using HttpResponseMessage created = await SendAsync(_a, HttpMethod.Post, new Uri("/v1/whip/demo", UriKind.Relative));
        Assert.Equal(HttpStatusCode.Created, created.StatusCode);
        await DrainAsync("a", TimeSpan.FromSeconds(10));
        await _cluster.UntilAsync(() => (_a.Sessions.Count, _b.Sessions.Count) == (0, 1), "The other node has the session.");
        Assert.Empty(_a.Sfu.Asked<CloseSession>());
        using HttpResponseMessage deleted = await SendAsync(_a, HttpMethod.Delete, created.Headers.Location!);
        Assert.Equal(HttpStatusCode.OK, deleted.StatusCode);
        Assert.Single(_a.Sfu.Asked<CloseSession>());
    }

    private Task DrainAsync(string node, TimeSpan within) =>
        TellAsync(node, new SetNodeState(NodeState.Draining, _cluster.Time.GetUtcNow() + within));

    private Task WithdrawAsync(string node) => TellAsync(node, new SetNodeState(NodeState.Active));

    private async Task TellAsync(string node, SetNodeState order) =>
        await _cluster.Bus.RequestAsync<SetNodeState, Pong>(NodeSubjects.State(NodeRole.Signaling, node), order, SignalingServer.Patience);

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
