using System.Net.WebSockets;
using System.Text;
using Microsoft.AspNetCore.SignalR.Client;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Signaling.Tests.Support;

namespace Transcribe.Signaling.Tests.Hubs;

public class BadInputTests
{
    public static TheoryData<string, string> Malformed => new()
    {
        { HubMethods.Join, "5" },
        { HubMethods.Join, "null" },
        { HubMethods.Join, "[]" },
        { HubMethods.Join, "{}" },
        { HubMethods.Join, """{"token":null}""" },
        { HubMethods.Join, """{"token":7}""" },
        { HubMethods.Join, """{"token":"x","kinds":["smell"]}""" },
        { HubMethods.Join, """{"token":"x","kinds":[7]}""" },
        { HubMethods.Join, """{"token":"x","kinds":[]}""" },
        { HubMethods.Join, """{"token":"x","name":"a\u0000b"}""" },
        { HubMethods.Join, """{"token":"x","resume":{"sessionId":"a"}}""" },
        { HubMethods.Join, """{"token":"x","resume":{"sessionId":"a","resumeKey":"b","sequence":-1}}""" },
        { HubMethods.Negotiate, "{}" },
        { HubMethods.Negotiate, """{"sdp":"v=0"}""" },
        { HubMethods.Negotiate, """{"sdp":"v=0","tracks":null}""" },
        { HubMethods.Negotiate, """{"sdp":"v=0","tracks":[null]}""" },
        { HubMethods.Negotiate, """{"sdp":"v=0","tracks":[{"mid":"","source":"camera"}]}""" },
        { HubMethods.Negotiate, """{"sdp":"v=0","tracks":[{"mid":"0","source":99}]}""" },
        { HubMethods.Negotiate, """{"sdp":"v=0","tracks":[{"mid":"0","source":"camera"},{"mid":"0","source":"camera"}]}""" },
        { HubMethods.Negotiate, """{"sdp":7,"tracks":[]}""" },
        { HubMethods.Trickle, "\"candidate:1\"" },
        { HubMethods.Trickle, """{"candidate":{}}""" },
        { HubMethods.Subscribe, """{"trackId":"TR","enabled":"yes"}""" },
        { HubMethods.Subscribe, """{"trackId":"","enabled":true}""" },
        { HubMethods.Subscribe, """{"trackId":"a b","enabled":true}""" },
        { HubMethods.SetMuted, """{"trackId":"TR"}""" },
        { HubMethods.Resync, """{"afterSequence":-1}""" },
        { HubMethods.Resync, """{"afterSequence":1e99}""" },
    };

    [Theory]
    [MemberData(nameof(Malformed))]
    public async Task A_malformed_argument_is_refused_with_a_sentence_and_harms_nobody(string method, string json)
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        await using HubClient alice = await server.JoinAsync("alice");
        await using HubClient bad = method == HubMethods.Join ? await server.ConnectAsync() : await server.JoinAsync("bad");
        HubError error = await bad.RefusedAsync(method, json);
        Assert.Equal("bad_request", error.Code);
        Assert.EndsWith(".", error.Message.TrimEnd(')'), StringComparison.Ordinal);
        Assert.DoesNotContain(server.Sfu.Requests, request => request is not OpenSession);
        await AssertAliveAsync(alice);
    }

    [Fact]
    public async Task Too_long_a_candidate_or_sdp_is_refused()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        await using HubClient bad = await server.JoinAsync("bad");
        Assert.Equal("bad_request", (await bad.CallAsync<Ack>(HubMethods.Trickle, new TrickleRequest(new string('c', 1025)))).Error?.Code);
        HubReply<NegotiateReply> reply = await bad.CallAsync<NegotiateReply>(HubMethods.Negotiate, new NegotiateRequest(new string('v', 300_000), []));
        Assert.Equal("too_large", reply.Error?.Code);
        await AssertAliveAsync(bad);
    }

    [Fact]
    public async Task An_oversize_message_costs_its_sender_the_connection_with_a_reason_and_nobody_else()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        await using HubClient alice = await server.JoinAsync("alice");
        await using HubClient bad = await server.JoinAsync("bad");
        await Assert.ThrowsAnyAsync<Exception>(
            () => bad.CallAsync<NegotiateReply>(HubMethods.Negotiate, new NegotiateRequest(new string('v', 600_000), [])));
        Exception? reason = await bad.Closed.Task.WaitAsync(SignalingServer.Patience);
        Assert.Contains("maximum message size", reason?.ToString(), StringComparison.Ordinal);
        await AssertAliveAsync(alice);
        Assert.True(server.Sfu.Sessions.ContainsKey(alice.SessionId));
    }

    [Theory]
    [InlineData("this is not a handshake\u001e")]
    [InlineData("{\"protocol\":\"json\",\"version\":1}\u001e{\"type\":1,\u001e")]
    [InlineData("{\"protocol\":\"json\",\"version\":1}\u001e{\"type\":1,\"target\":\"join\",\"arguments\":7}\u001e")]
    [InlineData("{\"protocol\":\"json\",\"version\":1}\u001e[[[[\u001e")]
    public async Task Bytes_that_are_no_hub_messages_end_their_connection_only(string bytes)
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        await using HubClient alice = await server.JoinAsync("alice");
        using var socket = new ClientWebSocket();
        await socket.ConnectAsync(new UriBuilder(server.Url) { Scheme = "ws", Path = HubMethods.Path }.Uri, CancellationToken.None);
        await socket.SendAsync(Encoding.UTF8.GetBytes(bytes), WebSocketMessageType.Text, true, CancellationToken.None);
        using var patience = new CancellationTokenSource(SignalingServer.Patience);
        byte[] buffer = new byte[4096];
        WebSocketReceiveResult received;
        do
            received = await socket.ReceiveAsync(buffer, patience.Token);
        while (received.MessageType != WebSocketMessageType.Close);

        await AssertAliveAsync(alice);
    }

    [Fact]
    public async Task Unknown_methods_and_wrong_argument_counts_are_errors_of_that_call_only()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        await using HubClient alice = await server.JoinAsync("alice");
        await Assert.ThrowsAnyAsync<Exception>(() => alice.CallAsync<Ack>("nothing", new { }));
        await Assert.ThrowsAnyAsync<Exception>(() => alice.Connection.InvokeAsync<HubReply<Ack>>(HubMethods.Trickle));
        await AssertAliveAsync(alice);
    }

    [Fact]
    public async Task Who_calls_too_often_is_told_to_wait_and_others_are_not_slowed()
    {
        await using SignalingServer server = await SignalingServer.StartAsync(options => options.CallBurst = 10);
        await using HubClient alice = await server.JoinAsync("alice");
        await using HubClient eager = await server.JoinAsync("eager");
        string? code = null;
        for (int i = 0; i < 11 && code is null; i++)
            code = (await eager.CallAsync<Ack>(HubMethods.Trickle, new TrickleRequest(null))).Error?.Code;

        Assert.Equal("rate_limited", code);
        Assert.Equal(9, server.Sfu.Asked<AddSessionCandidate>().Count());
        await AssertAliveAsync(alice);
        server.Time.Advance(TimeSpan.FromSeconds(1));
        await AssertAliveAsync(eager);
    }

    [Fact]
    public async Task Who_goes_on_calling_is_cut_off()
    {
        await using SignalingServer server = await SignalingServer.StartAsync(options => options.CallBurst = 10);
        await using HubClient eager = await server.JoinAsync("eager");
        await Assert.ThrowsAnyAsync<Exception>(async () =>
        {
            for (int i = 0; i < 1000; i++)
                await eager.CallAsync<Ack>(HubMethods.Trickle, new TrickleRequest(null));
        });
        await eager.Closed.Task.WaitAsync(SignalingServer.Patience);
    }

    [Fact]
    public async Task An_exception_in_the_room_directory_is_internal_and_tells_no_details()
    {
        await using SignalingServer server = await SignalingServer.StartAsync();
        server.Sfu.Intercept = _ => throw new InvalidOperationException("secret detail");
        await using HubClient client = await server.ConnectAsync();
        HubReply<JoinReply> reply = await client.CallAsync<JoinReply>(HubMethods.Join, new JoinRequest(server.Token("alice")));
        Assert.Equal("internal", reply.Error?.Code);
        Assert.DoesNotContain("secret", reply.Error!.Message, StringComparison.Ordinal);
        server.Sfu.Intercept = null;
        await client.JoinAsync(new JoinRequest(server.Token("alice")));
    }

    private static async Task AssertAliveAsync(HubClient client) =>
        Assert.Null((await client.CallAsync<ResyncReply>(HubMethods.Resync, new ResyncRequest(0))).Error);
}
