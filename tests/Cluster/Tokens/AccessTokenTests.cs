using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text;
using CsCheck;
using Microsoft.Extensions.Time.Testing;
using Transcribe.Cluster.Tokens;

namespace Transcribe.Cluster.Tests.Tokens;

public class AccessTokenTests
{
    private const string Secret = "0123456789abcdef0123456789abcdef";
    private const string OtherSecret = "ffffffffffffffffffffffffffffffff";

    private readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 11, 22, 10, 0, 0, TimeSpan.Zero));
    private readonly ApiKeyRing _keys = new([new ApiKey("key1", Secret), new ApiKey("key2", OtherSecret)]);
    private readonly AccessTokenValidator _validator;

    public AccessTokenTests() => _validator = new(_keys, _time);

    [Fact]
    public void What_was_minted_is_read_back()
    {
        var grants = new Grants { Publish = true, Subscribe = true, PublishData = true, PublishDataLabels = ["captions"], Hidden = true, Admin = true };
        string jwt = new AccessTokenMinter(_keys, _time).Mint("demo", "älice@example.org", grants, "Alice \"A\" 🎤");
        Assert.True(_validator.TryValidate(jwt, "demo", out AccessToken? token, out _));
        Assert.Equal(("key1", "älice@example.org", "demo", "Alice \"A\" 🎤"), (token.ApiKey, token.Participant, token.Room, token.Name));
        Assert.Equal(_time.GetUtcNow() + AccessTokenMinter.DefaultTimeToLive, token.ExpiresAt);
        Assert.Equal(grants with { PublishDataLabels = [] }, token.Grants with { PublishDataLabels = [] });
        Assert.Equal(["captions"], token.Grants.PublishDataLabels);
        Assert.True(token.Grants.AllowsData("captions"));
        Assert.True(token.Grants.AllowsData("chat"));
    }

    [Fact]
    public void A_token_of_any_jwt_library_with_any_key_of_the_ring_is_accepted()
    {
        string jwt = Sign("""{"alg":"HS256","typ":"JWT"}""", Claims(iss: "key2"), OtherSecret);
        Assert.True(_validator.TryValidate(jwt, null, out AccessToken? token, out _));
        Assert.True(token.Grants.Publish);
        Assert.False(token.Grants.Admin);
        Assert.False(token.Grants.AllowsData("chat"));
    }

    [Theory]
    [InlineData("12345678")]
    [InlineData("devsecret-devsecret-devsecret")]
    [InlineData("äöüß")]
    public void A_short_secret_signs_and_is_checked_as_plain_hmac_does(string secret)
    {
        var keys = new ApiKeyRing([new ApiKey("key1", secret)]);
        var validator = new AccessTokenValidator(keys, _time);
        Assert.True(validator.TryValidate(Sign("""{"alg":"HS256","typ":"JWT"}""", Claims(), secret), "demo", out _, out _));
        Assert.False(validator.TryValidate(Sign("""{"alg":"HS256","typ":"JWT"}""", Claims(), secret + "x"), "demo", out _, out _));

        string minted = new AccessTokenMinter(keys, _time).Mint("demo", "alice", new Grants());
        int dot = minted.LastIndexOf('.');
        byte[] signature = HMACSHA256.HashData(Encoding.UTF8.GetBytes(secret), Encoding.UTF8.GetBytes(minted[..dot]));
        Assert.Equal(Base64Url.EncodeToString(signature), minted[(dot + 1)..]);
        Assert.True(validator.TryValidate(minted, "demo", out _, out _));
        Assert.Equal(["key1"], keys.WeakKeys);
    }

    [Theory]
    [InlineData("true", "chat", true)]
    [InlineData("true", "captions", false)]
    [InlineData("false", "chat", false)]
    [InlineData("""["captions"]""", "captions", true)]
    [InlineData("""["captions"]""", "chat", false)]
    [InlineData("""["*"]""", "captions", false)]
    [InlineData("""["*","captions"]""", "chat", true)]
    public void Data_labels_need_their_grant(string publishData, string label, bool allowed)
    {
        Assert.True(_validator.TryValidate(Signed(Claims(more: $",\"publishData\":{publishData}")), null, out AccessToken? token, out _));
        Assert.Equal(allowed, token.Grants.AllowsData(label));
    }

    [Fact]
    public void An_expired_token_is_told_apart_from_a_forged_one()
    {
        string jwt = new AccessTokenMinter(_keys, _time).Mint("demo", "alice", new Grants(), timeToLive: TimeSpan.FromMinutes(1));
        _time.Advance(TimeSpan.FromMinutes(1));
        AssertRefused(jwt, TokenErrors.Expired);

        // Expired and forged: the signature is looked at first.
        AssertRefused(jwt[..^4] + (jwt.EndsWith("AAAA", StringComparison.Ordinal) ? "BBBB" : "AAAA"), TokenErrors.Invalid);
    }

    [Fact]
    public void A_good_token_for_another_room_says_so()
    {
        string jwt = new AccessTokenMinter(_keys, _time).Mint("demo", "alice", new Grants());
        Assert.False(_validator.TryValidate(jwt, "other", out AccessToken? token, out TokenError? error));
        Assert.Null(token);
        Assert.Equal(TokenErrors.WrongRoom, error.Code);
        Assert.Contains("demo", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Clocks_that_differ_a_little_are_tolerated_in_nbf_only()
    {
        long now = _time.GetUtcNow().ToUnixTimeSeconds();
        Assert.True(_validator.TryValidate(Signed(Claims(more: $",\"nbf\":{now + 30}")), null, out _, out _));
        AssertRefused(Signed(Claims(more: $",\"nbf\":{now + 90}")), TokenErrors.Invalid);
    }

    public static TheoryData<string, string> Forgeries => new()
    {
        { "alg none", Unsigned("""{"alg":"none"}""", Claims()) },
        { "alg None", Unsigned("""{"alg":"None","typ":"JWT"}""", Claims()) },
        { "alg none with a signature", Sign("""{"alg":"none"}""", Claims(), Secret) },
        { "no alg", Sign("""{"typ":"JWT"}""", Claims(), Secret) },
        { "empty signature", Unsigned("""{"alg":"HS256"}""", Claims()) },
        { "RS256 signed by HMAC of the key", Sign("""{"alg":"RS256"}""", Claims(), Secret) },
        { "ES256", Sign("""{"alg":"ES256"}""", Claims(), Secret) },
        { "HS512 by the same secret", Sign512("""{"alg":"HS512"}""", Claims(), Secret) },
        { "key embedded in the header", Sign("""{"alg":"HS256","jwk":{"kty":"oct","k":"ZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmY"}}""", Claims(), "ffffffffffffffffffffffffffffffff") },
        { "kid of another key", Sign("""{"alg":"HS256","kid":"key2"}""", Claims(), OtherSecret) },
        { "secret of another key of the ring", Sign("""{"alg":"HS256"}""", Claims(), OtherSecret) },
        { "unknown key", Sign("""{"alg":"HS256"}""", Claims(iss: "nobody"), Secret) },
        { "no key", Sign("""{"alg":"HS256"}""", Claims().Replace("\"iss\":\"key1\",", "", StringComparison.Ordinal), Secret) },
        { "empty secret", Sign("""{"alg":"HS256"}""", Claims(), "") },
        { "critical extension", Sign("""{"alg":"HS256","crit":["exp2"],"exp2":1}""", Claims(), Secret) },
        { "no expiry", Signed("""{"iss":"key1","sub":"alice","room":"demo"}""") },
        { "expiry as text", Signed("""{"iss":"key1","sub":"alice","room":"demo","exp":"4102444800"}""") },
        { "expiry that is no time", Signed("""{"iss":"key1","sub":"alice","room":"demo","exp":1e300}""") },
        { "negative expiry", Signed("""{"iss":"key1","sub":"alice","room":"demo","exp":-1}""") },
        { "no room", Signed("""{"iss":"key1","sub":"alice","exp":4102444800}""") },
        { "room with a path", Signed("""{"iss":"key1","sub":"alice","room":"../x","exp":4102444800}""") },
        { "no participant", Signed("""{"iss":"key1","room":"demo","exp":4102444800}""") },
        { "participant as a number", Signed("""{"iss":"key1","sub":7,"room":"demo","exp":4102444800}""") },
        { "admin as text", Signed(Claims(more: ",\"admin\":\"true\"")) },
        { "hidden as a number", Signed(Claims(more: ",\"hidden\":1")) },
        { "labels of numbers", Signed(Claims(more: ",\"publishData\":[1]")) },
        { "label that is no text", Signed(Claims(more: ",\"publishData\":[\"\\ud800\"]")) },
        { "name that is no text", Signed(Claims(more: ",\"name\":\"\\ud800\"")) },
        { "name over two lines", Signed(Claims(more: ",\"name\":\"a\\nb\"")) },
        { "payload is a list", Signed("[]") },
        { "payload is no JSON", Signed("hello") },
        { "nothing", "" },
        { "two parts", "eyJhbGciOiJIUzI1NiJ9.e30" },
        { "five parts", "a.b.c.d.e" },
        { "dots", ".." },
        { "not base64", "ä.ö.ü" },
        { "too long", Signed(Claims(more: ",\"x\":\"" + new string('x', 5000) + "\"")) },
    };

    [Theory]
    [MemberData(nameof(Forgeries))]
    public void A_forged_token_is_refused(string what, string jwt)
    {
        Assert.NotEmpty(what);
        AssertRefused(jwt, TokenErrors.Invalid);
    }

    [Fact]
    public void A_token_with_one_changed_character_is_refused()
    {
        string jwt = Signed(Claims());
        Gen.Select(Gen.Int[0, jwt.Length - 2], Gen.Char['!', '~']).Sample((at, c) =>
        {
            // The last character of a base64url part carries unused bits; a decoder may accept it changed.
            bool unusedBits = at + 1 == jwt.Length || jwt[at + 1] == '.';
            if (jwt[at] != c && !unusedBits)
                Assert.False(_validator.TryValidate(jwt[..at] + c + jwt[(at + 1)..], null, out _, out _));
        });
    }

    [Fact]
    public void Any_text_is_refused_without_an_exception() =>
        Gen.String.Sample(text => Assert.False(_validator.TryValidate(text, null, out _, out _)));

    [Fact]
    public void Any_signed_payload_is_judged_without_an_exception() =>
        Gen.String.Sample(text => Assert.False(_validator.TryValidate(Signed(text), null, out _, out _)));

    [Fact]
    public void A_refusal_never_shows_the_token_or_a_secret()
    {
        string jwt = Sign("""{"alg":"HS256"}""", Claims(), OtherSecret);
        Assert.False(_validator.TryValidate(jwt, null, out _, out TokenError? error));
        Assert.DoesNotContain(jwt[..20], error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(Secret, error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(Secret, _keys.Signing.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Minting_refuses_what_validation_would()
    {
        var minter = new AccessTokenMinter(_keys, _time);
        Assert.Throws<ArgumentException>(() => minter.Mint("a/b", "alice", new Grants()));
        Assert.Throws<ArgumentException>(() => minter.Mint("demo", "", new Grants()));
        Assert.Throws<ArgumentOutOfRangeException>(() => minter.Mint("demo", "alice", new Grants(), timeToLive: TimeSpan.Zero));
        Assert.Throws<ArgumentOutOfRangeException>(() => minter.Mint("demo", "alice", new Grants(), timeToLive: TimeSpan.FromDays(365)));
    }

    private void AssertRefused(string jwt, string code)
    {
        Assert.False(_validator.TryValidate(jwt, null, out AccessToken? token, out TokenError? error));
        Assert.Null(token);
        Assert.Equal(code, error.Code);
        Assert.EndsWith(".", error.Message, StringComparison.Ordinal);
    }

    private static string Claims(string iss = "key1", string more = "") =>
        $$"""{"iss":"{{iss}}","sub":"alice","room":"demo","exp":4102444800,"publish":true{{more}}}""";

    private static string Signed(string payload) => Sign("""{"alg":"HS256","typ":"JWT"}""", payload, Secret);

    private static string Unsigned(string header, string payload) => Encode(header) + "." + Encode(payload) + ".";

    private static string Sign(string header, string payload, string secret)
    {
        string body = Encode(header) + "." + Encode(payload);
        return body + "." + Base64Url.EncodeToString(HMACSHA256.HashData(Encoding.UTF8.GetBytes(secret), Encoding.UTF8.GetBytes(body)));
    }

    private static string Sign512(string header, string payload, string secret)
    {
        string body = Encode(header) + "." + Encode(payload);
        return body + "." + Base64Url.EncodeToString(HMACSHA512.HashData(Encoding.UTF8.GetBytes(secret), Encoding.UTF8.GetBytes(body)));
    }

    private static string Encode(string text) => Base64Url.EncodeToString(Encoding.UTF8.GetBytes(text));
}

public class ApiKeyRingTests
{
    private const string Secret = "0123456789abcdef0123456789abcdef";

    [Fact]
    public void Only_the_key_with_its_own_secret_matches()
    {
        var ring = new ApiKeyRing([new ApiKey("a", Secret), new ApiKey("b", new string('b', 32))]);
        Assert.True(ring.Matches("a", Secret));
        Assert.True(ring.Matches("b", new string('b', 32)));
        Assert.False(ring.Matches("b", Secret));
        Assert.False(ring.Matches("a", Secret + "x"));
        Assert.False(ring.Matches("c", Secret));
        Assert.False(ring.Matches(null, null));
    }

    [Theory]
    [InlineData("", Secret, "TRANSCRIBE_API_KEY")]
    [InlineData("a b", Secret, "TRANSCRIBE_API_KEY")]
    [InlineData("a", "short", "openssl rand -hex 32")]
    public void A_key_that_cannot_be_used_is_refused_with_the_fix(string key, string secret, string says)
    {
        ArgumentException e = Assert.Throws<ArgumentException>(() => new ApiKeyRing([new ApiKey(key, secret)]));
        Assert.Contains(says, e.Message, StringComparison.Ordinal);
        if (secret == "short")
            Assert.DoesNotContain("short", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Only_secrets_under_32_bytes_are_weak()
    {
        var ring = new ApiKeyRing([new ApiKey("a", Secret), new ApiKey("b", Secret[1..]), new ApiKey("c", "12345678")]);
        Assert.Equal(["b", "c"], ring.WeakKeys);
    }

    [Fact]
    public void Development_keys_differ_every_time()
    {
        ApiKeyRing a = ApiKeyRing.CreateDevelopment();
        Assert.True(a.IsDevelopment);
        Assert.NotEqual(a.Signing.Secret, ApiKeyRing.CreateDevelopment().Signing.Secret);
    }
}
