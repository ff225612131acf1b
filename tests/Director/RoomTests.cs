using System.Net;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.State;
using Transcribe.Cluster.Tokens;
using Transcribe.Director.Tests.Support;

namespace Transcribe.Director.Tests;

public class RoomTests
{
    [Fact]
    public async Task Joining_says_where_to_go()
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        await server.AnnounceNodeAsync();
        JoinInfo info = await DirectorServer.ReadAsync<JoinInfo>(await server.SendAsync(HttpMethod.Post, "/v1/join", token: server.Token()));
        Assert.Equal(("demo", "alice", "http://localhost/rtc", "n1"), (info.Room, info.Participant, info.HubUrl, info.Node));
        Assert.Equal("stun:stun.example.org", info.IceServers[0].Urls[0]);
    }

    [Fact]
    public async Task Without_a_node_joining_says_when_to_come_back()
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        HttpResponseMessage response = await server.SendAsync(HttpMethod.Post, "/v1/join", token: server.Token());
        Assert.NotNull(response.Headers.RetryAfter);
        await DirectorServer.AssertProblemAsync(response, HttpStatusCode.ServiceUnavailable, "no_capacity");

        // An API key is no participant.
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Post, "/v1/join"), HttpStatusCode.Unauthorized, "credentials_missing");
    }

    [Fact]
    public async Task Apps_see_all_rooms_and_admins_their_own()
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        await server.Rooms.JoinAsync("demo", "s1", "alice", null, true);
        await server.Rooms.JoinAsync("other", "s2", "bob", null, true);
        await server.Rooms.AddViewerAsync("demo", "s3");
        RoomList all = await DirectorServer.ReadAsync<RoomList>(await server.SendAsync(HttpMethod.Get, "/v1/rooms"));
        Assert.Equal([("demo", 1, 1), ("other", 1, 0)], all.Rooms.Select(room => (room.Room, room.Participants, room.Viewers)));
        RoomList own = await DirectorServer.ReadAsync<RoomList>(await server.SendAsync(HttpMethod.Get, "/v1/rooms", token: server.AdminToken()));
        Assert.Equal("demo", Assert.Single(own.Rooms).Room);
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Get, "/v1/rooms", token: server.Token()), HttpStatusCode.Forbidden, "not_granted");
    }

    [Fact]
    public async Task An_admin_closes_the_room()
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        await server.Rooms.JoinAsync("demo", "s1", "alice", null, true);
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Delete, "/v1/rooms/demo", token: server.Token()), HttpStatusCode.Forbidden, "not_granted");
        Assert.Equal(HttpStatusCode.NoContent, (await server.SendAsync(HttpMethod.Delete, "/v1/rooms/demo", token: server.AdminToken())).StatusCode);
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Delete, "/v1/rooms/demo"), HttpStatusCode.NotFound, "not_found");
    }

    [Fact]
    public async Task Transcription_is_switched_by_admins_and_seen_by_all()
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        const string Path = "/v1/rooms/demo/transcription";
        Assert.Equal(TranscriptionState.Off, await DirectorServer.ReadAsync<TranscriptionState>(await server.SendAsync(HttpMethod.Get, Path)));
        TranscriptionState set = await DirectorServer.ReadAsync<TranscriptionState>(
            await server.SendAsync(HttpMethod.Put, Path, """{"enabled":true,"engine":"auto","language":"de-AT"}""", server.AdminToken()));
        Assert.Equal(new TranscriptionState(true, "auto", "de-AT"), set);
        await server.Rooms.ReportTranscriptionAsync("demo", "pocketsphinx/en-us", "No whisper model.");
        TranscriptionState seen = await DirectorServer.ReadAsync<TranscriptionState>(await server.SendAsync(HttpMethod.Get, Path, token: server.Token()));
        Assert.Equal(("pocketsphinx/en-us", "No whisper model."), (seen.ActiveEngine, seen.Notice));
        TranscriptionState off = await DirectorServer.ReadAsync<TranscriptionState>(await server.SendAsync(HttpMethod.Put, Path, """{"enabled":false}"""));
        Assert.Equal(new TranscriptionState(false, "auto", "en"), off);
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Put, Path, """{"enabled":true}""", server.Token()), HttpStatusCode.Forbidden, "not_granted");
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Put, Path, """{"enabled":true}""", server.AdminToken("other")), HttpStatusCode.Forbidden, "wrong_room");
    }

    [Theory]
    [InlineData("""{"enabled":true,"engine":"magic"}""", "bad_request")]
    [InlineData("""{"enabled":true,"language":"English"}""", "bad_request")]
    [InlineData("""{"enabled":true,"language":"en_US"}""", "bad_request")]
    [InlineData("""{"enabled":"true"}""", "malformed_json")]
    [InlineData("""{"engine":"auto"}""", "malformed_json")]
    public async Task A_transcription_setting_that_cannot_be_is_refused(string body, string code)
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Put, "/v1/rooms/demo/transcription", body), HttpStatusCode.BadRequest, code);
    }

    [Fact]
    public async Task Everything_that_goes_wrong_is_a_problem_document()
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        Assert.Contains("/v1/nothing", await DirectorServer.AssertProblemAsync(
            await server.SendAsync(HttpMethod.Get, "/v1/nothing"), HttpStatusCode.NotFound, "not_found"), StringComparison.Ordinal);
        HttpResponseMessage method = await server.SendAsync(HttpMethod.Delete, "/v1/join");
        Assert.Equal(["POST"], method.Content.Headers.Allow);
        await DirectorServer.AssertProblemAsync(method, HttpStatusCode.MethodNotAllowed, "method_not_allowed");
        await DirectorServer.AssertProblemAsync(
            await server.SendAsync(HttpMethod.Post, "/v1/rooms/demo/tokens", "participant=bob", type: "application/x-www-form-urlencoded"),
            HttpStatusCode.UnsupportedMediaType, "unsupported_media_type");
        await DirectorServer.AssertProblemAsync(
            await server.SendAsync(HttpMethod.Post, "/v1/rooms/demo/tokens", $$"""{"participant":"{{new string('x', 70_000)}}"}"""),
            HttpStatusCode.RequestEntityTooLarge, "too_large");
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Get, "/v1/rooms/a%20b/transcription"), HttpStatusCode.BadRequest, "room_name_invalid");
        Assert.DoesNotContain("secret", await DirectorServer.AssertProblemAsync(
            await server.SendAsync(HttpMethod.Get, "/fails"), HttpStatusCode.InternalServerError, "internal"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Liveness_needs_nothing_and_readiness_needs_a_node_that_takes_work()
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        Assert.Equal(HttpStatusCode.OK, (await server.SendAsync(HttpMethod.Get, "/healthz", token: "")).StatusCode);
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Get, "/readyz", token: ""), HttpStatusCode.ServiceUnavailable, "not_ready");
        await server.AnnounceNodeAsync();
        Assert.Equal(HttpStatusCode.OK, (await server.SendAsync(HttpMethod.Get, "/readyz", token: "")).StatusCode);
        await server.Nodes.AnnounceAsync(new NodeInfo("n1", NodeRole.Sfu, "x", State: NodeState.Draining));
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Get, "/readyz", token: ""), HttpStatusCode.ServiceUnavailable, "not_ready");
    }

    [Fact]
    public async Task While_the_cluster_is_out_of_reach_the_director_lives_and_is_not_ready()
    {
        var connection = new SwitchedConnection();
        await using DirectorServer server = await DirectorServer.StartAsync(configure: services => services.AddSingleton<IClusterConnection>(connection));
        await server.AnnounceNodeAsync();
        connection.IsConnected = false;
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Get, "/readyz", token: ""), HttpStatusCode.ServiceUnavailable, "not_ready");
        Assert.Equal(HttpStatusCode.OK, (await server.SendAsync(HttpMethod.Get, "/healthz", token: "")).StatusCode);
        connection.IsConnected = true;
        Assert.Equal(HttpStatusCode.OK, (await server.SendAsync(HttpMethod.Get, "/readyz", token: "")).StatusCode);
    }

    [Theory]
    [InlineData("POST", "/v1/join", true)]
    [InlineData("GET", "/v1/rooms", false)]
    [InlineData("GET", "/v1/nodes", false)]
    [InlineData("POST", "/v1/nodes/n1/drain", false)]
    [InlineData("PUT", "/v1/rooms/demo/transcription", false)]
    [InlineData("GET", "/readyz", false)]
    public async Task While_the_store_is_out_of_reach_the_answer_is_to_come_back(string method, string path, bool bearer)
    {
        await using DirectorServer server = await DirectorServer.StartAsync(configure: services => services.AddSingleton<IStateStore>(new AbsentStore()));
        HttpResponseMessage response = await server.SendAsync(
            new HttpMethod(method), path, method == "PUT" ? """{"enabled":true}""" : null, bearer ? server.Token() : null);
        Assert.NotNull(response.Headers.RetryAfter);
        string detail = await DirectorServer.AssertProblemAsync(response, HttpStatusCode.ServiceUnavailable, path == "/readyz" ? "not_ready" : "unavailable");
        Assert.DoesNotContain("10.0.0.1", detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_page_of_another_origin_may_call()
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        using var request = new HttpRequestMessage(HttpMethod.Options, "/v1/rooms/demo/transcription");
        request.Headers.Add("Origin", "https://example.org");
        request.Headers.Add("Access-Control-Request-Method", "PUT");
        request.Headers.Add("Access-Control-Request-Headers", "authorization,content-type");
        HttpResponseMessage response = await server.Http.SendAsync(request);
        Assert.Equal("*", response.Headers.GetValues("Access-Control-Allow-Origin").Single());
        Assert.False(response.Headers.Contains("Access-Control-Allow-Credentials"));
    }

    [Fact]
    public async Task The_api_describes_itself()
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        using JsonDocument document = JsonDocument.Parse(await (await server.SendAsync(HttpMethod.Get, "/openapi/v1.json", token: "")).Content.ReadAsStringAsync());
        Assert.StartsWith("3.1", document.RootElement.GetProperty("openapi").GetString(), StringComparison.Ordinal);
        JsonElement paths = document.RootElement.GetProperty("paths");
        string[] documented = [.. paths.EnumerateObject().SelectMany(path => path.Value.EnumerateObject().Select(operation => $"{operation.Name} {path.Name}"))];
        Assert.Superset(
            new HashSet<string>
            {
                "post /v1/rooms/{room}/tokens", "post /v1/join", "get /v1/rooms", "get /v1/rooms/{room}/transcription",
                "put /v1/rooms/{room}/transcription", "get /v1/rooms/{room}/transcript", "get /healthz", "get /readyz",
                "get /v1/nodes", "post /v1/nodes/{id}/drain", "delete /v1/nodes/{id}/drain", "post /v1/rooms/{room}/move",
                "delete /v1/rooms/{room}/participants/{participant}",
            },
            documented.ToHashSet());
        HttpResponseMessage page = await server.SendAsync(HttpMethod.Get, "/docs/", token: "");
        Assert.Equal("text/html", page.Content.Headers.ContentType?.MediaType);
        Assert.DoesNotContain("https://cdn", await page.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }
}
