using System.Net;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Tokens;
using Transcribe.Director.Tests.Support;

namespace Transcribe.Director.Tests;

public class TokenTests
{
    [Fact]
    public async Task An_app_gets_a_token_with_the_grants_it_asked_for()
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        TokenResponse made = await DirectorServer.ReadAsync<TokenResponse>(await server.SendAsync(
            HttpMethod.Post, "/v1/rooms/demo/tokens", """{"participant":"bob","name":"Bob","publish":false,"publishData":["captions","*"],"hidden":true,"ttlSeconds":60}"""));
        Assert.Equal(("demo", "bob", server.Time.GetUtcNow().AddSeconds(60)), (made.Room, made.Participant, made.ExpiresAt));
        Assert.True(server.Tokens.TryValidate(made.Token, "demo", out AccessToken? token, out _));
        Assert.Equal(("bob", "Bob", made.ExpiresAt), (token.Participant, token.Name, token.ExpiresAt));
        Assert.True(token.Grants is { Publish: false, Subscribe: true, PublishData: true, Hidden: true, Admin: false });
        Assert.Equal(["captions"], token.Grants.PublishDataLabels);
    }

    [Fact]
    public async Task Left_out_grants_are_those_of_an_ordinary_participant()
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        HttpResponseMessage response = await server.SendAsync(HttpMethod.Post, "/v1/rooms/demo/tokens", """{"participant":"bob"}""");
        Assert.Equal("no-store", response.Headers.CacheControl?.ToString());
        TokenResponse made = await DirectorServer.ReadAsync<TokenResponse>(response);
        Assert.True(server.Tokens.TryValidate(made.Token, "demo", out AccessToken? token, out _));
        Assert.True(token.Grants is { Publish: true, Subscribe: true, PublishData: true, Hidden: false, Admin: false, PublishDataLabels.Count: 0 });
    }

    [Theory]
    [InlineData("""{"participant":"a b"}""", "bad_request")]
    [InlineData("""{"participant":""}""", "bad_request")]
    [InlineData("""{"participant":"bob","name":"a\nb"}""", "bad_request")]
    [InlineData("""{"participant":"bob","ttlSeconds":0}""", "bad_request")]
    [InlineData("""{"participant":"bob","ttlSeconds":99999999}""", "bad_request")]
    [InlineData("""{"participant":"bob","publishData":"captions"}""", "bad_request")]
    [InlineData("""{"participant":"bob","publishData":[1]}""", "bad_request")]
    [InlineData("""{"participant":"bob","publish":"yes"}""", "malformed_json")]
    [InlineData("""{"participant":null}""", "malformed_json")]
    [InlineData("""{"name":"Bob"}""", "malformed_json")]
    [InlineData("""{"participant":""", "malformed_json")]
    [InlineData("""{"participant":"\ud800"}""", "malformed_json")]
    [InlineData("null", "bad_request")]
    [InlineData("[]", "malformed_json")]
    [InlineData("", "malformed_json")]
    public async Task A_body_that_cannot_be_used_is_a_problem(string body, string code)
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Post, "/v1/rooms/demo/tokens", body), HttpStatusCode.BadRequest, code);
    }

    [Fact]
    public async Task Credentials_are_needed_and_each_way_of_failing_says_which()
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        const string Path = "/v1/rooms/demo/tokens";
        const string Body = """{"participant":"bob"}""";
        HttpResponseMessage none = await server.SendAsync(HttpMethod.Post, Path, Body, token: "");
        Assert.Equal(["Basic", "Bearer"], none.Headers.WwwAuthenticate.Select(challenge => challenge.Scheme).Order());
        await DirectorServer.AssertProblemAsync(none, HttpStatusCode.Unauthorized, "credentials_missing");
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Post, Path, Body, "forged"), HttpStatusCode.Unauthorized, "token_invalid");
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Post, Path, Body, server.AdminToken("other")), HttpStatusCode.Forbidden, "wrong_room");
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Post, Path, Body, server.Token()), HttpStatusCode.Forbidden, "not_granted");
        string old = server.AdminToken();
        server.Time.Advance(TimeSpan.FromHours(7));
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Post, Path, Body, old), HttpStatusCode.Unauthorized, "token_expired");
    }

    [Theory]
    [InlineData("key:wrong-wrong-wrong-wrong-wrong-wro")]
    [InlineData("nobody:0123456789abcdef0123456789abcdef")]
    [InlineData("key")]
    [InlineData(":")]
    public async Task A_wrong_api_key_is_refused(string credentials)
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        foreach (string header in (string[])[Convert.ToBase64String(System.Text.Encoding.UTF8.GetBytes(credentials)), "not base64!"])
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, "/v1/rooms");
            request.Headers.TryAddWithoutValidation("Authorization", "Basic " + header);
            await DirectorServer.AssertProblemAsync(await server.Http.SendAsync(request), HttpStatusCode.Unauthorized, "api_key_invalid");
        }
    }

    [Theory]
    [InlineData("""{"participant":"bob","hidden":true}""")]
    [InlineData("""{"participant":"bob","publishData":["captions"]}""")]
    public async Task An_admin_makes_tokens_but_not_those_of_a_gateway(string gateway)
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        string admin = server.AdminToken();
        Assert.Equal(HttpStatusCode.OK, (await server.SendAsync(HttpMethod.Post, "/v1/rooms/demo/tokens", """{"participant":"bob"}""", admin)).StatusCode);
        await DirectorServer.AssertProblemAsync(await server.SendAsync(HttpMethod.Post, "/v1/rooms/demo/tokens", gateway, admin), HttpStatusCode.Forbidden, "not_granted");
    }

    [Fact]
    public async Task Development_tokens_need_no_credentials_and_differ()
    {
        await using DirectorServer server = await DirectorServer.StartAsync(development: true);
        TokenResponse one = await DirectorServer.ReadAsync<TokenResponse>(
            await server.SendAsync(HttpMethod.Post, "/v1/dev/tokens", """{"room":"demo","name":"Álice B"}""", token: ""));
        TokenResponse two = await DirectorServer.ReadAsync<TokenResponse>(
            await server.SendAsync(HttpMethod.Post, "/v1/dev/tokens", """{"room":"demo"}""", token: ""));
        Assert.NotEqual(one.Participant, two.Participant);
        Assert.True(server.Tokens.TryValidate(one.Token, "demo", out AccessToken? token, out _));
        Assert.Equal("Álice B", token.Name);
        Assert.True(token.Grants is { Publish: true, Subscribe: true, Admin: true, Hidden: false });
        Assert.False(token.Grants.AllowsData("captions"));
        await DirectorServer.AssertProblemAsync(
            await server.SendAsync(HttpMethod.Post, "/v1/dev/tokens", """{"room":"a b"}""", token: ""), HttpStatusCode.BadRequest, "room_name_invalid");
    }

    [Fact]
    public async Task With_keys_of_ones_own_there_are_no_development_tokens()
    {
        await using DirectorServer server = await DirectorServer.StartAsync();
        await DirectorServer.AssertProblemAsync(
            await server.SendAsync(HttpMethod.Post, "/v1/dev/tokens", """{"room":"demo"}""", token: ""), HttpStatusCode.NotFound, "not_found");
    }
}
