using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.SignalR;
using Microsoft.AspNetCore.SignalR.Client;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Tokens;
using Transcribe.EndToEnd.Tests.Support;
using Transcribe.Peer;

namespace Transcribe.EndToEnd.Tests;

/// <summary>
/// Everything foreign is refused with its documented code, or dropped and counted by reason, while a call on the same
/// server goes on without losing a packet.
/// </summary>
public sealed class BadInputTests(BadInputTests.Fixture fixture) : IClassFixture<BadInputTests.Fixture>
{
    private const string Drops = "transcribe.sfu.drops";
    private const string SessionDrops = "transcribe.sfu.session.drops";

    private HostedServer Server => fixture.Server;

    private RunningCall Call => fixture.Call;

    [Fact]
    public async Task Garbage_datagrams_are_counted_by_reason_and_not_answered()
    {
        await using Attacker attacker = Attacker.Outside(Server);
        IReadOnlyDictionary<string, long> before = fixture.Meter.Read();
        var random = new Random(7);
        const int Each = 150;
        for (int i = 0; i < Each; i++)
        {
            attacker.Send(RandomDatagram(random, [4, 19, 64, 79, 192, 255]));
            attacker.Send(RandomDatagram(random, [20, 22, 23, 63]));
            attacker.Send(RandomDatagram(random, [128, 144, 191]));
            byte[] rtcp = RandomDatagram(random, [128, 129], 8);
            rtcp[1] = (byte)random.Next(192, 224);
            attacker.Send(rtcp);
            byte[] stun = RandomDatagram(random, [0, 1], 20);
            BinaryPrimitives.WriteUInt16BigEndian(stun.AsSpan(2), (ushort)((stun.Length - 20) & ~3));
            BinaryPrimitives.WriteUInt32BigEndian(stun.AsSpan(4), 0x2112A442);
            attacker.Send(stun);
            attacker.Send(attacker.Check($"nosuch{i}:me", "no such password at all"));

            // The kernel's buffer is the running call's, too.
            if (i % 10 == 9)
                await Task.Delay(5, TestContext.Current.CancellationToken);
        }

        string[] reasons = [$"{Drops}/unknownProtocol", $"{Drops}/unknownSource", $"{Drops}/stunMalformed", $"{Drops}/unknownUfrag"];
        await RunningCall.Until(() => reasons.Sum(Growth) == 6 * Each);
        Assert.Equal(Each, Growth(reasons[0]));
        Assert.Equal(3 * Each, Growth(reasons[1]));
        Assert.Equal(2 * Each, Growth(reasons[2]) + Growth(reasons[3]));
        Assert.True(Growth(reasons[3]) >= Each);
        Assert.Equal(0, attacker.Waiting);
        await AssertUnharmedAsync();

        long Growth(string name) => fixture.Meter.Read()[name] - before[name];
    }

    [Fact]
    public async Task A_check_with_forged_integrity_gets_an_error_no_larger_than_itself_and_validates_nothing()
    {
        await using Attacker attacker = await Attacker.InsideAsync(Server, "mallory");
        IReadOnlyDictionary<string, long> before = fixture.Meter.Read();
        byte[] forged = attacker.Check(password: "not the password of anybody");
        attacker.Send(forged);
        byte[] answer = attacker.Receive();
        Assert.Equal([1, 0x11], answer[..2]);
        Assert.True(answer.Length <= forged.Length, $"{answer.Length} bytes for {forged.Length}");
        attacker.Send(attacker.Check($"{attacker.Ufrag}:somebodyelse"));
        Assert.Equal([1, 0x11], attacker.Receive()[..2]);

        // Still nobody the server knows.
        attacker.Send(ClientHello());
        await GrowsAsync(before, $"{SessionDrops}/stunRefused", 2);
        await GrowsAsync(before, $"{Drops}/unknownSource", 1);
        Assert.Equal(0, attacker.Waiting);
        await AssertUnharmedAsync();
    }

    [Fact]
    public async Task Broken_dtls_and_early_media_from_a_validated_address_are_dropped()
    {
        await using Attacker attacker = await Attacker.InsideAsync(Server, "mallory");
        IReadOnlyDictionary<string, long> before = fixture.Meter.Read();
        attacker.Send(attacker.Check());
        Assert.Equal([1, 1], attacker.Receive()[..2]);

        var random = new Random(3);
        byte[] hello = ClientHello();
        for (int length = 1; length < hello.Length; length += 7)
            attacker.Send(hello.AsSpan(0, length));
        for (int i = 0; i < 50; i++)
        {
            byte[] mutated = [.. hello];
            for (int n = 0; n < 4; n++)
                mutated[random.Next(13, mutated.Length)] = (byte)random.Next(256);
            attacker.Send(mutated);
            attacker.Send(RandomDatagram(random, [20, 21, 22, 23]));
        }

        for (int i = 0; i < 20; i++)
        {
            attacker.Send(RandomDatagram(random, [128], 40));
            byte[] rtcp = RandomDatagram(random, [128], 40);
            rtcp[1] = 200;
            attacker.Send(rtcp);
        }

        await GrowsAsync(before, $"{SessionDrops}/dtlsRefused", hello.Length / 7);
        await AssertUnharmedAsync();

        // Its own session bears it, too, or is closed alone: the hub still answers.
        string? code = await InvokeAsync(attacker.Hub!, HubMethods.Resync, new { afterSequence = 0 });
        Assert.True(code is null or "session_not_found", code);
    }

    [Fact]
    public async Task Media_before_keys_is_dropped()
    {
        await using Attacker attacker = await Attacker.InsideAsync(Server, "early");
        IReadOnlyDictionary<string, long> before = fixture.Meter.Read();
        attacker.Send(attacker.Check());
        Assert.Equal([1, 1], attacker.Receive()[..2]);
        var random = new Random(5);
        for (int i = 0; i < 20; i++)
        {
            byte[] rtp = RandomDatagram(random, [128], 40);
            rtp[1] = 111;
            attacker.Send(rtp);
            rtp[1] = 200;
            attacker.Send(rtp);
        }

        await GrowsAsync(before, $"{SessionDrops}/noKeysYet", 40);
        Assert.Equal(0, attacker.Waiting);
        await AssertUnharmedAsync();
    }

    [Fact]
    public async Task Sdp_that_makes_no_sense_is_refused_and_the_session_goes_on()
    {
        await using HubConnection hub = await Server.ConnectAsync();
        Assert.Null(await InvokeAsync(hub, HubMethods.Join, new { token = Server.Token(RunningCall.Room, "scribbler") }));
        string good = Attacker.Offer();
        (string Sdp, string Code)[] bad =
        [
            ("", "sdp_invalid"),
            ("Lorem ipsum dolor sit amet", "sdp_invalid"),
            ("v=0\r\n", "sdp_invalid"),
            (new string('\0', 1000), "sdp_invalid"),
            (new string('m', 100_000), "sdp_invalid"),
            (good + string.Concat(Enumerable.Repeat("m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n", 7000)), "sdp_invalid"),
            (good + new string('a', 262_144), "too_large"),
            (good.Replace("sha-256 ", "sha-256 ZZ:", StringComparison.Ordinal), "sdp_invalid"),
            (Without(good, "a=fingerprint"), "sdp_invalid"),
            (Without(good, "a=ice-ufrag"), "sdp_invalid"),
            (Without(good, "a=ice-pwd"), "sdp_invalid"),
        ];
        foreach ((string sdp, string code) in bad)
        {
            string? answered = await InvokeAsync(hub, HubMethods.Negotiate, new { sdp, tracks = Array.Empty<object>() });
            Assert.True(answered == code, $"{answered} rather than {code} for: {sdp[..Math.Min(200, sdp.Length)]}");
        }

        Assert.Null(await InvokeAsync(hub, HubMethods.Negotiate, new { sdp = good, tracks = Array.Empty<object>() }));
        await AssertUnharmedAsync();
    }

    [Fact]
    public async Task Sdp_with_random_damage_never_fails_the_server()
    {
        await using HubConnection hub = await Server.ConnectAsync();
        Assert.Null(await InvokeAsync(hub, HubMethods.Join, new { token = Server.Token(RunningCall.Room, "mutator") }));
        var random = new Random(21);
        string good = Attacker.Offer();
        for (int i = 0; i < 60; i++)
        {
            var damaged = new StringBuilder(good);
            for (int n = random.Next(1, 6); n > 0; n--)
            {
                int at = random.Next(damaged.Length);
                switch (random.Next(3))
                {
                    case 0:
                        damaged[at] = (char)random.Next(1, 128);
                        break;
                    case 1:
                        damaged.Remove(at, Math.Min(random.Next(40), damaged.Length - at));
                        break;
                    default:
                        damaged.Insert(at, good.AsSpan(random.Next(good.Length - 40), 40));
                        break;
                }
            }

            string? code = await InvokeAsync(hub, HubMethods.Negotiate, new { sdp = damaged.ToString(), tracks = Array.Empty<object>() });
            Assert.True(code is null or "sdp_invalid", $"{code} for:\n{damaged}");
        }

        await AssertUnharmedAsync();
    }

    [Fact]
    public async Task A_hub_message_that_is_too_long_costs_its_sender_the_connection()
    {
        await using HubConnection hub = await Server.ConnectAsync();
        var closed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        hub.Closed += _ =>
        {
            closed.TrySetResult();
            return Task.CompletedTask;
        };
        await Assert.ThrowsAnyAsync<Exception>(() => hub.InvokeAsync<JsonElement>(HubMethods.Join, new { token = new string('x', 600_000) }));
        await closed.Task.WaitAsync(TimeSpan.FromSeconds(10), TestContext.Current.CancellationToken);
        for (int i = 0; i < 200 && fixture.Refusals.Count("hub", "message_invalid") == 0; i++)
            await Task.Delay(10, TestContext.Current.CancellationToken);
        Assert.True(fixture.Refusals.Count("hub", "message_invalid") > 0);
        await AssertUnharmedAsync();
    }

    [Fact]
    public async Task Misuse_of_the_hub_is_answered_in_the_envelope()
    {
        await using HubConnection hub = await Server.ConnectAsync();
        foreach ((string method, object argument) in ((string, object)[])
        [
            (HubMethods.Negotiate, new { sdp = "v=0", tracks = Array.Empty<object>() }), (HubMethods.Trickle, new { candidate = "x" }),
            (HubMethods.Subscribe, new { trackId = "TR_x", enabled = true }), (HubMethods.SetMuted, new { trackId = "TR_x", muted = true }),
            (HubMethods.Resync, new { afterSequence = 0 }),
        ])
            Assert.Equal("session_not_found", await InvokeAsync(hub, method, argument));

        object?[] nonsense = [null, 5, "text", true, Array.Empty<int>(), new { }, new { token = (string?)null }, new { token = new[] { 1 } }];
        foreach (object? argument in nonsense)
            Assert.Equal("bad_request", await InvokeAsync(hub, HubMethods.Join, argument));
        await Assert.ThrowsAsync<HubException>(() => hub.InvokeAsync<JsonElement>("noSuchMethod", 1));
        await Assert.ThrowsAsync<HubException>(() => hub.InvokeAsync<JsonElement>(HubMethods.Join));
        await Assert.ThrowsAsync<HubException>(() => hub.InvokeAsync<JsonElement>(HubMethods.Join, 1, 2, 3));

        string token = Server.Token(RunningCall.Room, "misuser", new Grants { Subscribe = true });
        Assert.Equal("bad_request", await InvokeAsync(hub, HubMethods.Join, new { token, kinds = new[] { "smell" } }));
        Assert.Equal("bad_request", await InvokeAsync(hub, HubMethods.Join, new { token, kinds = Array.Empty<string>() }));
        Assert.Equal("bad_request", await InvokeAsync(hub, HubMethods.Join, new { token, name = new string('n', 5000) }));
        Assert.Null(await InvokeAsync(hub, HubMethods.Join, new { token, resume = new { sessionId = "guess", resumeKey = "guess", sequence = 5 } }));
        Assert.Equal("bad_request", await InvokeAsync(hub, HubMethods.Join, new { token }));
        Assert.Equal("bad_request", await InvokeAsync(hub, HubMethods.Resync, new { afterSequence = -1 }));
        Assert.Equal("bad_request", await InvokeAsync(hub, HubMethods.Subscribe, new { trackId = "", enabled = true }));
        Assert.Equal("bad_request", await InvokeAsync(hub, HubMethods.Subscribe, new { trackId = new string('T', 4000), enabled = true }));
        Assert.Equal("bad_request", await InvokeAsync(hub, HubMethods.Trickle, new { candidate = new string('c', 4000) }));
        Assert.Equal("bad_request", await InvokeAsync(hub, HubMethods.Negotiate, new { sdp = Attacker.Offer(), tracks = new[] { new { mid = "0", source = "nose" } } }));
        Assert.Equal("not_granted", await InvokeAsync(hub, HubMethods.Negotiate, new { sdp = Attacker.Offer(), tracks = new[] { new { mid = "0", source = "microphone" } } }));

        // Somebody else's track is not this session's to mute.
        string? muted = await InvokeAsync(hub, HubMethods.SetMuted, new { trackId = Call.TrackId, muted = true });
        Assert.True(muted is "bad_request" or "not_granted", muted);
        await AssertUnharmedAsync();
    }

    [Fact]
    public async Task A_flood_of_hub_calls_is_rate_limited()
    {
        await using HubConnection hub = await Server.ConnectAsync();
        string?[] codes = await Task.WhenAll(Enumerable.Range(0, 180).Select(_ => InvokeAsync(hub, HubMethods.Resync, new { afterSequence = 0 })));
        Assert.Contains("rate_limited", codes);
        Assert.All(codes, code => Assert.True(code is "rate_limited" or "session_not_found", code));
        await AssertUnharmedAsync();
    }

    [Fact]
    public async Task Tokens_that_are_not_good_are_refused_everywhere()
    {
        var past = new ShiftedClock(TimeSpan.FromHours(-2));
        string good = Server.Token(RunningCall.Room, "forger", new Grants { Admin = true, Publish = true, Subscribe = true });
        (string Token, string Code)[] bad =
        [
            ("", "token_invalid"),
            ("not.a.token", "token_invalid"),
            (new string('x', 100_000), "token_invalid"),
            (Server.Token(RunningCall.Room, "late", timeToLive: TimeSpan.FromHours(1), clock: past), "token_expired"),
            (good[..^3] + "AAA", "token_invalid"),
            (Resigned(good, "{\"alg\":\"none\",\"typ\":\"JWT\"}", ""), "token_invalid"),
            (Resigned(good, "{\"alg\":\"HS256\",\"typ\":\"JWT\"}", "another secret that is long enough, at 40"), "token_invalid"),
            (Resigned(good, "{\"alg\":\"HS512\",\"typ\":\"JWT\"}", "another secret that is long enough, at 40"), "token_invalid"),
        ];
        await using HubConnection hub = await Server.ConnectAsync();
        using var http = new HttpClient { BaseAddress = Server.Url };
        foreach ((string token, string code) in bad)
        {
            long before = fixture.Refusals.Count("hub", code);
            Assert.Equal(code, await InvokeAsync(hub, HubMethods.Join, new { token }));
            Assert.True(fixture.Refusals.Count("hub", code) > before);

            // Kestrel's own limit on headers comes first for the huge one.
            if (token.Length > 20_000)
                continue;
            string shown = token.Length == 0 ? "." : token;
            await RefusedAsync(http, HttpMethod.Post, $"/v1/whip/{RunningCall.Room}", shown, Sdp(Attacker.Offer()), 401, code);
            await RefusedAsync(http, HttpMethod.Post, $"/v1/whep/{RunningCall.Room}", shown, Sdp(Attacker.Offer()), 401, code);
            await RefusedAsync(http, HttpMethod.Put, $"/v1/rooms/{RunningCall.Room}/transcription", shown, Json("{\"enabled\":true}"), 401, code);
            await RefusedAsync(http, HttpMethod.Get, $"/v1/rooms/{RunningCall.Room}/transcript", shown, null, 401, code);
            await RefusedAsync(http, HttpMethod.Delete, $"/v1/rooms/{RunningCall.Room}", shown, null, 401, code);
        }

        string other = Server.Token("another", "forger", new Grants { Admin = true, Publish = true, Subscribe = true });
        await RefusedAsync(http, HttpMethod.Post, $"/v1/whip/{RunningCall.Room}", other, Sdp(Attacker.Offer()), 403, "wrong_room");
        await RefusedAsync(http, HttpMethod.Delete, $"/v1/rooms/{RunningCall.Room}", other, null, 403, "wrong_room");
        string plain = Server.Token(RunningCall.Room, "nobody", new Grants());
        await RefusedAsync(http, HttpMethod.Post, $"/v1/whip/{RunningCall.Room}", plain, Sdp(Attacker.Offer()), 403, "not_granted");
        await RefusedAsync(http, HttpMethod.Delete, $"/v1/rooms/{RunningCall.Room}", plain, null, 403, "not_granted");
        await RefusedAsync(http, HttpMethod.Delete, $"/v1/rooms/{RunningCall.Room}", null, null, 401, "credentials_missing");
        await AssertUnharmedAsync();
    }

    [Fact]
    public async Task Bodies_that_are_not_what_is_wanted_are_refused_with_a_code()
    {
        using var http = new HttpClient { BaseAddress = Server.Url };
        string admin = Server.Token(RunningCall.Room, "admin", new Grants { Admin = true, Publish = true, Subscribe = true });
        string transcription = $"/v1/rooms/{RunningCall.Room}/transcription";
        foreach (string body in (string[])["", "{", "[]", "nonsense", "{\"enabled\":\"yes\"}", "{\"enabled\":1}", "\u0000\u0001", new string('[', 5000), "{\"enabled\":true,\"language\":\"\\ud800\"}"])
            await RefusedAsync(http, HttpMethod.Put, transcription, admin, Json(body), 400, null);
        await RefusedAsync(http, HttpMethod.Put, transcription, admin, Json("{\"enabled\":true,\"engine\":\"telepathy\"}"), 400, "bad_request");
        await RefusedAsync(http, HttpMethod.Put, transcription, admin, Json("{\"enabled\":true,\"language\":\"../../etc\"}"), 400, "bad_request");
        await RefusedAsync(http, HttpMethod.Put, transcription, admin, new StringContent("enabled=true"), 415, "unsupported_media_type");
        await RefusedAsync(http, HttpMethod.Put, transcription, admin, Json($"{{\"enabled\":true,\"engine\":\"{new string('x', 500_000)}\"}}"), 413, "too_large");
        await RefusedAsync(http, HttpMethod.Get, $"/v1/rooms/{RunningCall.Room}/transcript?format=exe", admin, null, 400, "bad_request");
        await RefusedAsync(http, HttpMethod.Get, $"/v1/rooms/{RunningCall.Room}/transcript?after=-1", admin, null, 400, "bad_request");
        await RefusedAsync(http, HttpMethod.Post, $"/v1/rooms/{RunningCall.Room}/tokens", admin, Json("{\"participant\":\"x\",\"hidden\":true}"), 403, "not_granted");
        await RefusedAsync(http, HttpMethod.Post, "/v1/dev/tokens", null, Json("{\"room\":\"call\"}"), 404, "not_found");

        string whip = $"/v1/whip/{RunningCall.Room}";
        await RefusedAsync(http, HttpMethod.Post, whip, admin, Json("{}"), 415, "unsupported_media_type");
        await RefusedAsync(http, HttpMethod.Post, whip, admin, Sdp(""), 400, "bad_request");
        await RefusedAsync(http, HttpMethod.Post, whip, admin, Sdp("what is this"), 400, "sdp_invalid");
        await RefusedAsync(http, HttpMethod.Post, whip, admin, Sdp(Without(SendOnly(), "a=fingerprint")), 400, "sdp_invalid");
        await RefusedAsync(http, HttpMethod.Post, whip, admin, Sdp(new string('x', 300_000)), 413, "too_large");
        await RefusedAsync(http, HttpMethod.Patch, "/v1/sessions/guess", admin, new StringContent("a=candidate:1", Encoding.UTF8, "application/trickle-ice-sdpfrag"), 404, "session_not_found");
        await RefusedAsync(http, HttpMethod.Delete, "/v1/sessions/guess", admin, null, 404, "session_not_found");
        await AssertUnharmedAsync();
    }

    [Fact]
    public async Task Forged_captions_are_dropped_and_counted()
    {
        IReadOnlyDictionary<string, long> before = fixture.Meter.Read();
        var heard = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using RoomClient witness = await JoinAsync("witness", new RoomHandlers { Data = (label, utf8) => heard.TrySetResult($"{label}: {Encoding.UTF8.GetString(utf8)}") });
        await using RoomClient forger = await JoinAsync("forger-of-captions", new RoomHandlers());
        for (int i = 0; i < 5; i++)
            Assert.True(forger.SendData("captions", "{\"v\":1,\"type\":\"caption\",\"text\":\"I resign.\"}"u8));
        await GrowsAsync(before, $"{Drops}/dataNotGranted", 5);
        Assert.False(heard.Task.IsCompleted);
        await AssertUnharmedAsync();

        Task<RoomClient> JoinAsync(string name, RoomHandlers handlers) => RoomClient.JoinAsync(
            new PeerOptions { ServerUrl = Server.Url, Token = Server.Token(RunningCall.Room, name), InitialSlots = 1 }, handlers, cancellationToken: TestContext.Current.CancellationToken);
    }

    private static string SendOnly() => Attacker.Offer().Replace("a=recvonly", "a=sendonly", StringComparison.Ordinal);

    private static string Without(string sdp, string line) =>
        string.Join("\r\n", sdp.Split("\r\n").Where(l => !l.StartsWith(line, StringComparison.Ordinal)));

    private static StringContent Json(string body) => new(body, Encoding.UTF8, "application/json");

    private static StringContent Sdp(string body) => new(body, Encoding.UTF8, "application/sdp");

    private static async Task<string?> InvokeAsync(HubConnection hub, string method, object? argument)
    {
        JsonElement reply = await hub.InvokeCoreAsync<JsonElement>(method, [argument], TestContext.Current.CancellationToken);
        return Attacker.ErrorCode(reply);
    }

    /// <param name="code">The problem's code; null for any.</param>
    private async Task RefusedAsync(HttpClient http, HttpMethod method, string path, string? token, HttpContent? body, int status, string? code)
    {
        using var request = new HttpRequestMessage(method, path) { Content = body };
        if (token is not null)
            request.Headers.TryAddWithoutValidation("Authorization", $"Bearer {token}");
        long before = code is null ? 0 : fixture.Refusals.Count(null, code);
        using HttpResponseMessage response = await http.SendAsync(request, TestContext.Current.CancellationToken);
        string text = await response.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        Assert.True((int)response.StatusCode == status, $"{(int)response.StatusCode} rather than {status} for {method} {path}: {text}");
        Assert.Equal("application/problem+json", response.Content.Headers.ContentType?.MediaType);
        using JsonDocument problem = JsonDocument.Parse(text);
        string? told = problem.RootElement.GetProperty("code").GetString();
        Assert.True(code is null ? !string.IsNullOrEmpty(told) : told == code, $"{told} rather than {code} for {method} {path}: {text}");
        Assert.True(code is null || fixture.Refusals.Count(null, code) > before, $"The refusal \"{code}\" of {method} {path} was not counted.");
        Assert.False(string.IsNullOrWhiteSpace(problem.RootElement.GetProperty("detail").GetString()));
    }

    /// <summary>The token's claims under another header, signed with another secret; unsigned without one.</summary>
    private static string Resigned(string token, string header, string secret)
    {
        string content = $"{Base64Url(Encoding.UTF8.GetBytes(header))}.{token.Split('.')[1]}";
        byte[] signature = secret.Length == 0 ? []
            : header.Contains("HS512", StringComparison.Ordinal) ? HMACSHA512.HashData(Encoding.UTF8.GetBytes(secret), Encoding.UTF8.GetBytes(content))
            : HMACSHA256.HashData(Encoding.UTF8.GetBytes(secret), Encoding.UTF8.GetBytes(content));
        return $"{content}.{Base64Url(signature)}";
    }

    private static string Base64Url(byte[] bytes) => System.Buffers.Text.Base64Url.EncodeToString(bytes);

    private static byte[] RandomDatagram(Random random, byte[] first, int shortest = 1)
    {
        byte[] datagram = new byte[random.Next(shortest, 1400)];
        random.NextBytes(datagram);
        datagram[0] = first[random.Next(first.Length)];

        // 192 to 223 would make RTCP of RTP, which is another case.
        if (datagram.Length > 1 && datagram[0] is >= 128 and < 192)
            datagram[1] &= 0x3F;
        return datagram;
    }

    /// <summary>DTLS 1.2 (RFC 6347), one cipher suite, no extensions.</summary>
    private static byte[] ClientHello()
    {
        byte[] body = [0xFE, 0xFD, .. new byte[32], 0, 0, 0, 2, 0xC0, 0x2B, 1, 0];
        byte[] handshake = [1, 0, 0, (byte)body.Length, 0, 0, 0, 0, 0, 0, 0, (byte)body.Length, .. body];
        return [22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, (byte)handshake.Length, .. handshake];
    }

    private async Task GrowsAsync(IReadOnlyDictionary<string, long> before, string name, long by)
    {
        long growth = 0;
        for (int i = 0; i < 500; i++)
        {
            growth = fixture.Meter.Read()[name] - before[name];
            if (growth >= by)
                return;
            await Task.Delay(10, TestContext.Current.CancellationToken);
        }

        IEnumerable<string> changed = fixture.Meter.Read().Where(v => v.Value != before.GetValueOrDefault(v.Key)).Select(v => $"{v.Key} +{v.Value - before.GetValueOrDefault(v.Key)}");
        Assert.Fail($"{name} grew by {growth} rather than {by}. What grew:\n{string.Join("\n", changed)}");
    }

    private async Task AssertUnharmedAsync()
    {
        await Call.AssertUnharmedAsync();
        Assert.Equal(0, fixture.Meter.Read()["transcribe.sfu.session.faults"]);
    }

    private sealed class ShiftedClock(TimeSpan by) : TimeProvider
    {
        public override DateTimeOffset GetUtcNow() => base.GetUtcNow() + by;
    }

    /// <summary>One server and one call for all tests here; they run one after the other.</summary>
    public sealed class Fixture : IAsyncLifetime
    {
        internal MeterReader Meter { get; } = new("Transcribe.Sfu");

        internal RefusalReader Refusals { get; } = new();

        public HostedServer Server { get; private set; } = null!;

        public RunningCall Call { get; private set; } = null!;

        public async ValueTask InitializeAsync()
        {
            Server = await HostedServer.StartAsync();
            Call = await RunningCall.StartAsync(Server);
        }

        public async ValueTask DisposeAsync()
        {
            await Call.DisposeAsync();
            await Server.DisposeAsync();
            Meter.Dispose();
            Refusals.Dispose();
        }
    }
}
