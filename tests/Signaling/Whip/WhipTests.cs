using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Cluster.Tokens;
using Transcribe.Signaling.Tests.Support;

namespace Transcribe.Signaling.Tests.Whip;

public class WhipTests
{
    private const string SendOffer =
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n"
        + "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=sendonly\r\na=ice-ufrag:abcd\r\na=ice-pwd:clientpasswordclientpass\r\na=candidate:9 1 udp 1 127.0.0.1 9 typ host\r\n"
        + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=sendonly\r\na=ice-ufrag:abcd\r\na=ice-pwd:clientpasswordclientpass\r\n";

    private static readonly string ReceiveOffer = SendOffer.Replace("sendonly", "recvonly", StringComparison.Ordinal);

    [Fact]
    public async Task Publishing_answers_201_with_everything_a_client_needs()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        HttpResponseMessage response = await PostAsync(server, "/v1/whip/demo", server.Token("cam", name: "Camera 1"));
        Assert.Equal(HttpStatusCode.Created, response.StatusCode);
        Assert.Equal("application/sdp", response.Content.Headers.ContentType?.MediaType);
        Assert.Equal(FakeSfu.Answer, await response.Content.ReadAsStringAsync());
        Assert.StartsWith("/v1/sessions/", response.Headers.Location?.OriginalString, StringComparison.Ordinal);
        Assert.NotNull(response.Headers.ETag);
        Assert.False(response.Headers.ETag.IsWeak);
        Assert.Equal(
            ["<stun:stun.example.org>; rel=\"ice-server\"", "<turn:turn.example.org>; rel=\"ice-server\"; username=\"u\"; credential=\"c\"; credential-type=\"password\""],
            response.Headers.GetValues("Link"));
        Assert.Equal("*", response.Headers.GetValues("Access-Control-Allow-Origin").Single());
        Assert.Contains("Location", response.Headers.GetValues("Access-Control-Expose-Headers").Single(), StringComparison.Ordinal);

        ParticipantInfo participant = Assert.Single((await server.Rooms.GetSnapshotAsync("demo")).Participants);
        Assert.Equal(("cam", "Camera 1"), (participant.Id, participant.Name));
        NegotiateSession asked = Assert.Single(server.Sfu.Asked<NegotiateSession>());
        Assert.Equal([new PublishedMedia("0", TrackSource.Microphone), new PublishedMedia("1", TrackSource.Camera)], asked.Tracks);
    }

    [Fact]
    public async Task Watching_makes_a_viewer_that_is_in_no_roster()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        await using HubClient alice = await server.JoinAsync("alice");
        HttpResponseMessage one = await PostAsync(server, "/v1/whep/demo/alice", server.Token("v1"), ReceiveOffer);
        HttpResponseMessage any = await PostAsync(server, "/v1/whep/demo", server.Token("v2"), ReceiveOffer);
        Assert.Equal((HttpStatusCode.Created, HttpStatusCode.Created), (one.StatusCode, any.StatusCode));
        Assert.Equal(["*", "alice"], server.Sfu.Sessions.Values.Select(s => s.OnlyParticipant).OfType<string>().Order());
        Assert.All(server.Sfu.Sessions.Values.Where(s => s.OnlyParticipant is not null), s => Assert.True(s.Grants is { Hidden: true, Publish: false, PublishData: false }));
        RoomSummary? summary = await server.Rooms.GetSummaryAsync("demo");
        Assert.Equal((1, 2), (summary!.Participants, summary.Viewers));
        Assert.False(alice.HasRoomEvent);
        await DeleteAsync(server, one, server.Token("v1"));
        Assert.Equal(1, (await server.Rooms.GetSummaryAsync("demo"))!.Viewers);
    }

    [Fact]
    public async Task Deleting_ends_the_session()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        await using HubClient alice = await server.JoinAsync("alice");
        HttpResponseMessage created = await PostAsync(server, "/v1/whip/demo", server.Token("cam"));
        await alice.NextAsync<ParticipantJoined>();
        Assert.Equal(HttpStatusCode.OK, (await DeleteAsync(server, created, server.Token("cam"))).StatusCode);
        Assert.Equal("left", (await alice.NextAsync<ParticipantLeft>()).Reason);
        await AssertProblemAsync(await DeleteAsync(server, created, server.Token("cam")), HttpStatusCode.NotFound, "session_not_found");
        Assert.Single(server.Sfu.Sessions);
    }

    [Fact]
    public async Task A_session_that_the_node_closed_is_gone()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        HttpResponseMessage created = await PostAsync(server, "/v1/whip/demo", server.Token("cam"));
        await server.Sfu.TellAsync(created.Headers.Location!.OriginalString.Split('/')[^1], new SessionClosed("timeout"));
        await SignalingServer.UntilAsync(() => server.Sessions.Count == 0);
        Assert.Empty(await server.Rooms.ListAsync());
        await AssertProblemAsync(await PatchAsync(server, created, "\"x\"", "a=end-of-candidates\r\n"), HttpStatusCode.NotFound, "session_not_found");
    }

    [Fact]
    public async Task Candidates_trickle_under_the_sessions_etag()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        HttpResponseMessage created = await PostAsync(server, "/v1/whip/demo", server.Token("cam"));
        string etag = created.Headers.ETag!.Tag;
        const string Fragment = "a=ice-ufrag:abcd\r\na=ice-pwd:clientpasswordclientpass\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1 1 udp 1 127.0.0.1 5000 typ host\r\na=end-of-candidates\r\n";
        Assert.Equal(HttpStatusCode.NoContent, (await PatchAsync(server, created, etag, Fragment)).StatusCode);
        Assert.Equal(["candidate:1 1 udp 1 127.0.0.1 5000 typ host", null], server.Sfu.Asked<AddSessionCandidate>().Select(c => c.Candidate));
        await AssertProblemAsync(await PatchAsync(server, created, "\"other\"", Fragment), HttpStatusCode.PreconditionFailed, "precondition_failed");
        await AssertProblemAsync(await PatchAsync(server, created, null, Fragment), HttpStatusCode.PreconditionRequired, "precondition_required");
        await AssertProblemAsync(await PatchAsync(server, created, etag, Fragment.Replace("abcd", "efgh", StringComparison.Ordinal)), HttpStatusCode.PreconditionFailed, "precondition_failed");
        await AssertProblemAsync(await PatchAsync(server, created, etag, "nonsense"), HttpStatusCode.BadRequest, "bad_request");
        await AssertProblemAsync(await PatchAsync(server, created, etag, Fragment, "application/sdp"), HttpStatusCode.UnsupportedMediaType, "unsupported_media_type");
    }

    [Fact]
    public async Task An_ice_restart_offers_again_with_the_new_credentials_and_changes_the_etag()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        HttpResponseMessage created = await PostAsync(server, "/v1/whip/demo", server.Token("cam"));
        const string Fragment = "a=ice-ufrag:newu\r\na=ice-pwd:anotherpasswordanother\r\na=candidate:1 1 udp 1 127.0.0.1 5001 typ host\r\n";
        HttpResponseMessage restarted = await PatchAsync(server, created, "*", Fragment);
        Assert.Equal(HttpStatusCode.OK, restarted.StatusCode);
        Assert.Equal("application/trickle-ice-sdpfrag", restarted.Content.Headers.ContentType?.MediaType);
        Assert.NotEqual(created.Headers.ETag, restarted.Headers.ETag);
        string body = await restarted.Content.ReadAsStringAsync();
        Assert.Equal(
            "a=ice-lite\r\na=ice-ufrag:srvu\r\na=ice-pwd:serverpasswordserverpass\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=candidate:1 1 udp 2130706431 127.0.0.1 7882 typ host\r\na=end-of-candidates\r\n",
            body);
        NegotiateSession again = server.Sfu.Asked<NegotiateSession>().Last();
        Assert.DoesNotContain("abcd", again.Sdp, StringComparison.Ordinal);
        Assert.DoesNotContain("a=candidate", again.Sdp, StringComparison.Ordinal);
        Assert.Equal(2, again.Sdp.Split("a=ice-ufrag:newu\r\na=ice-pwd:anotherpasswordanother\r\n").Length - 1);
        Assert.Equal(2, again.Tracks.Count);
        await AssertProblemAsync(await PatchAsync(server, created, created.Headers.ETag!.Tag, Fragment), HttpStatusCode.PreconditionFailed, "precondition_failed");
        Assert.Equal(HttpStatusCode.NoContent, (await PatchAsync(server, created, restarted.Headers.ETag!.Tag, Fragment)).StatusCode);
        await AssertProblemAsync(await PatchAsync(server, created, "*", "a=end-of-candidates\r\n"), HttpStatusCode.BadRequest, "bad_request");
    }

    [Fact]
    public async Task Somebody_elses_session_is_not_found_and_ones_own_can_be_ended_with_an_expired_token()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        string token = server.Token("cam", timeToLive: TimeSpan.FromSeconds(5));
        HttpResponseMessage created = await PostAsync(server, "/v1/whip/demo", token);
        await AssertProblemAsync(await DeleteAsync(server, created, server.Token("mallory")), HttpStatusCode.NotFound, "session_not_found");
        await AssertProblemAsync(await DeleteAsync(server, created, server.Token("cam", room: "other")), HttpStatusCode.NotFound, "session_not_found");
        await AssertProblemAsync(await DeleteAsync(server, created, null), HttpStatusCode.Unauthorized, "token_invalid");
        await AssertProblemAsync(await DeleteAsync(server, created, "forged"), HttpStatusCode.Unauthorized, "token_invalid");
        server.Time.Advance(TimeSpan.FromSeconds(6));
        Assert.Equal(HttpStatusCode.OK, (await DeleteAsync(server, created, token)).StatusCode);
    }

    [Fact]
    public async Task Requests_that_cannot_be_served_are_refused_before_the_node_is_asked()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        string good = server.Token("cam");
        HttpResponseMessage none = await PostAsync(server, "/v1/whip/demo", null);
        Assert.Equal("Bearer", none.Headers.WwwAuthenticate.Single().ToString());
        await AssertProblemAsync(none, HttpStatusCode.Unauthorized, "token_invalid");
        await AssertProblemAsync(await PostAsync(server, "/v1/whip/demo", "forged"), HttpStatusCode.Unauthorized, "token_invalid");
        await AssertProblemAsync(await PostAsync(server, "/v1/whip/other", good), HttpStatusCode.Forbidden, "wrong_room");
        await AssertProblemAsync(await PostAsync(server, "/v1/whip/a%20b", good), HttpStatusCode.BadRequest, "bad_request");
        await AssertProblemAsync(await PostAsync(server, "/v1/whip/demo", server.Token("v", grants: new Grants { Subscribe = true })), HttpStatusCode.Forbidden, "not_granted");
        await AssertProblemAsync(await PostAsync(server, "/v1/whep/demo", server.Token("p", grants: new Grants { Publish = true }), ReceiveOffer), HttpStatusCode.Forbidden, "not_granted");
        await AssertProblemAsync(await PostAsync(server, "/v1/whip/demo", good, "{}", "application/json"), HttpStatusCode.UnsupportedMediaType, "unsupported_media_type");
        await AssertProblemAsync(await PostAsync(server, "/v1/whip/demo", good, ""), HttpStatusCode.BadRequest, "bad_request");
        await AssertProblemAsync(await PostAsync(server, "/v1/whip/demo", good, new string('x', 300_000)), HttpStatusCode.RequestEntityTooLarge, "too_large");
        await AssertProblemAsync(await PostAsync(server, "/v1/whip/demo", good, "nonsense"), HttpStatusCode.BadRequest, "sdp_invalid");
        await AssertProblemAsync(await PostAsync(server, "/v1/whip/demo", good, ReceiveOffer), HttpStatusCode.BadRequest, "sdp_invalid");
        await AssertProblemAsync(await PostAsync(server, "/v1/whep/demo", good, SendOffer), HttpStatusCode.BadRequest, "sdp_invalid");
        Assert.Empty(server.Sfu.Requests);
        server.Time.Advance(TimeSpan.FromHours(7));
        await AssertProblemAsync(await PostAsync(server, "/v1/whip/demo", good), HttpStatusCode.Unauthorized, "token_expired");
    }

    [Fact]
    public async Task An_offer_that_the_node_refuses_leaves_nothing_behind()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        server.Sfu.Intercept = request => request is NegotiateSession ? throw new BusException("sdp_invalid", "No fingerprint.") : Task.CompletedTask;
        await AssertProblemAsync(await PostAsync(server, "/v1/whip/demo", server.Token("cam")), HttpStatusCode.BadRequest, "sdp_invalid");
        Assert.Empty(server.Sfu.Sessions);
        Assert.Empty(await server.Rooms.ListAsync());
        Assert.Equal((0, 0), (server.Sessions.Count, server.Feeds.Count));
    }

    [Fact]
    public async Task Without_a_node_the_client_is_told_when_to_come_back()
    {
        await using SignalingServer server = await SignalingServer.StartAsync(withSfu: false);
        HttpResponseMessage response = await PostAsync(server, "/v1/whip/demo", server.Token("cam"));
        Assert.NotNull(response.Headers.RetryAfter);
        await AssertProblemAsync(response, HttpStatusCode.ServiceUnavailable, "unavailable");
    }

    [Theory]
    [InlineData("/v1/whip/demo", "Accept-Post", "application/sdp")]
    [InlineData("/v1/whep/demo", "Accept-Post", "application/sdp")]
    [InlineData("/v1/whep/demo/alice", "Accept-Post", "application/sdp")]
    [InlineData("/v1/sessions/S_1", "Accept-Patch", "application/trickle-ice-sdpfrag")]
    public async Task Browsers_of_any_origin_may_ask_first(string path, string header, string value)
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        using var request = new HttpRequestMessage(HttpMethod.Options, path);
        request.Headers.Add("Origin", "https://example.org");
        request.Headers.Add("Access-Control-Request-Method", "POST");
        HttpResponseMessage response = await server.Http.SendAsync(request);
        Assert.Equal(HttpStatusCode.NoContent, response.StatusCode);
        Assert.Equal("*", response.Headers.GetValues("Access-Control-Allow-Origin").Single());
        Assert.Contains("PATCH", response.Headers.GetValues("Access-Control-Allow-Methods").Single(), StringComparison.Ordinal);
        Assert.Contains("If-Match", response.Headers.GetValues("Access-Control-Allow-Headers").Single(), StringComparison.Ordinal);
        Assert.Equal(value, response.Headers.GetValues(header).Single());
    }

    private static Task<HttpResponseMessage> PostAsync(
        SignalingServer server, string path, string? token, string body = SendOffer, string type = "application/sdp") =>
        SendAsync(server, HttpMethod.Post, path, token, body, type);

    private static Task<HttpResponseMessage> DeleteAsync(SignalingServer server, HttpResponseMessage created, string? token) =>
        SendAsync(server, HttpMethod.Delete, created.Headers.Location!.OriginalString, token, null, "");

    private static Task<HttpResponseMessage> PatchAsync(
        SignalingServer server, HttpResponseMessage created, string? ifMatch, string body, string type = "application/trickle-ice-sdpfrag") =>
        SendAsync(server, HttpMethod.Patch, created.Headers.Location!.OriginalString, server.Token("cam"), body, type, ifMatch);

    private static async Task<HttpResponseMessage> SendAsync(
        SignalingServer server, HttpMethod method, string path, string? token, string? body, string type, string? ifMatch = null)
    {
        using var request = new HttpRequestMessage(method, path);
        if (token is not null)
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", token);

        if (ifMatch is not null)
            request.Headers.TryAddWithoutValidation("If-Match", ifMatch);

        if (body is not null)
        {
            request.Content = new StringContent(body);
            request.Content.Headers.ContentType = new MediaTypeHeaderValue(type);
        }

        return await server.Http.SendAsync(request);
    }

    private static async Task AssertProblemAsync(HttpResponseMessage response, HttpStatusCode status, string code)
    {
        string body = await response.Content.ReadAsStringAsync();
        Assert.True(status == response.StatusCode, $"{response.StatusCode}: {body}");
        Assert.Equal("application/problem+json", response.Content.Headers.ContentType?.MediaType);
        using JsonDocument problem = JsonDocument.Parse(body);
        Assert.Equal(code, problem.RootElement.GetProperty("code").GetString());
        Assert.Equal((int)status, problem.RootElement.GetProperty("status").GetInt32());
        Assert.NotEqual("", problem.RootElement.GetProperty("detail").GetString());
        Assert.Equal("*", response.Headers.GetValues("Access-Control-Allow-Origin").Single());
    }
}
