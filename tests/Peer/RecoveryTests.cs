using System.Net;
using System.Net.Sockets;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Peer.Tests.Support;
using Transcribe.Rtc;
using Transcribe.Rtc.Media;

namespace Transcribe.Peer.Tests;

/// <summary>The client when nodes are lost, replaced and moved away from, with real ICE, DTLS, SRTP and SCTP.</summary>
public sealed class RecoveryTests
{
    private static readonly ParticipantInfo Alice = new("alice", "Alice", CanPublish: true, DateTimeOffset.UnixEpoch, [Track("TR_a")]);

    [Fact]
    public async Task A_moved_session_connects_anew_publishes_again_and_receives_again()
    {
        await using FakeServer server = await FakeServer.StartAsync();
        server.Room = new RoomSnapshot("demo", 4, [Alice], TranscriptionState.Off);
        var heard = new Recorder();
        await using RoomClient client = await JoinAsync(server, heard);
        LocalAudioTrack track = await client.PublishAudioAsync(TrackSource.Microphone, "mic", TestContext.Current.CancellationToken);
        await client.SetMutedAsync(track, muted: true, TestContext.Current.CancellationToken);
        await server.TellAsync(new SessionAssigned([new MediaAssignment(server.Sfu.Slots(MediaKind.Audio)[0], "TR_a", 900)]));
        await Eventually.TrueAsync(() => heard.Tracks.Contains("+TR_a"));
        FakeSfu old = server.Sfu;

        server.EditAnswer = answer => answer with { Published = [.. answer.Published.Select(p => p with { TrackId = "TR_new" })] };
        await server.MoveAsync("drain");
        await Eventually.TrueAsync(() => heard.Changes.Contains("reconnected"));
        Assert.Equal(["reconnecting", "moved drain", "reconnected"], heard.Changes);
        Assert.Equal(["+TR_a", "-TR_a"], heard.Tracks);
        Assert.NotSame(old, server.Sfu);
        Assert.Equal(RtcSessionState.Connected, server.Sfu.State);
        await Eventually.TrueAsync(() => old.State == RtcSessionState.Closed);

        PublishedMedia again = Assert.Single(server.Offers.Last().Tracks);
        Assert.Equal((TrackSource.Microphone, "mic", true), (again.Source, again.Name, again.Muted));
        Assert.Equal("TR_new", track.Id);
        Assert.True(track.Send([7], 48_000));
        await Eventually.TrueAsync(() => server.Sfu.Packets.Any(p => p.Timestamp == 48_000));

        // Revisions begin again with the new media session.
        string mid = server.Sfu.Slots(MediaKind.Audio)[1];
        await server.TellAsync(new SessionAssigned([new MediaAssignment(mid, "TR_a", 1)]));
        await Eventually.TrueAsync(() => heard.Tracks.Count == 3);
        server.Sfu.SendRtp(mid, 960, 5);
        await Eventually.TrueAsync(() => !heard.Rtp.IsEmpty);
        Assert.True(client.SendData("captions", "still here"u8));
        await Eventually.TrueAsync(() => server.Sfu.Messages.Contains(("captions", "still here")));
        Assert.Single(server.Joins);
        Assert.Empty(heard.Closed);
        Assert.Equal(["alice"], client.Participants.Select(p => p.Id));
    }

    [Fact]
    public async Task An_offer_in_flight_when_the_session_moves_is_abandoned_and_its_track_published_on_the_new_node()
    {
        await using FakeServer server = await FakeServer.StartAsync();
        var heard = new Recorder();
        await using RoomClient client = await JoinAsync(server, heard);
        var late = new TaskCompletionSource();
        FakeSfu old = server.Sfu;
        server.BeforeAnswer = () =>
        {
            server.BeforeAnswer = null;
            return late.Task;
        };
        Task<LocalAudioTrack> publishing = client.PublishAudioAsync(cancellationToken: TestContext.Current.CancellationToken);
        await Eventually.TrueAsync(() => server.Offers.Count == 2);
        await server.MoveAsync();
        await Eventually.TrueAsync(() => heard.Changes.Contains("moved nodeLost"));

        // The old node's answer comes now; the hub takes one call after the other.
        late.SetResult();
        LocalAudioTrack track = await publishing.WaitAsync(TimeSpan.FromSeconds(10), TestContext.Current.CancellationToken);
        await Eventually.TrueAsync(() => track.Send([1], 960));
        await Eventually.TrueAsync(() => server.Sfu.Packets.Count > 0);
        Assert.Empty(old.Packets);
        Assert.Empty(heard.Closed);
    }

    [Fact]
    public async Task Offers_again_while_the_new_node_is_not_ready()
    {
        await using FakeServer server = await FakeServer.StartAsync();
        var heard = new Recorder();
        await using RoomClient client = await JoinAsync(server, heard);
        int refused = 0;
        server.BeforeAnswer = () =>
        {
            server.RefuseOffer = refused++ < 3 ? new HubError("unavailable", "Not yet.") : null;
            return Task.CompletedTask;
        };
        await server.MoveAsync();
        await Eventually.TrueAsync(() => heard.Changes.Contains("reconnected"));
        Assert.Equal(4, refused);
        Assert.Single(server.Joins);
    }

    [Fact]
    public async Task Subscriptions_are_told_again_to_the_new_node()
    {
        await using FakeServer server = await FakeServer.StartAsync();
        server.Room = new RoomSnapshot("demo", 1, [Alice], TranscriptionState.Off);
        await using RoomClient client = await JoinAsync(server, new Recorder());
        await client.SubscribeAsync("TR_a", enabled: false, TestContext.Current.CancellationToken);
        await client.SubscribeAsync("TR_gone", enabled: false, TestContext.Current.CancellationToken);
        await server.MoveAsync();
        await Eventually.TrueAsync(() => server.Calls.Count(c => c == "subscribe TR_a False") == 2);
        Assert.Single(server.Calls, c => c.StartsWith("subscribe TR_gone", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Resumes_at_the_next_node_when_its_signalling_node_dies_and_keeps_its_media()
    {
        await using FakeServer first = await FakeServer.StartAsync();
        await using FakeServer second = await FakeServer.StartAsync(sfu: first.Sfu);
        first.Room = new RoomSnapshot("demo", 5, [Alice], TranscriptionState.Off);
        second.Room = new RoomSnapshot("demo", 6, [Alice], TranscriptionState.Off with { Enabled = true });
        var heard = new Recorder();
        await using RoomClient client = await JoinAsync(first, heard, o => o with { SignalingUrls = [first.Url, new Uri(second.Url, "/rtc")] });
        await first.TellAsync(new SessionAssigned([new MediaAssignment(first.Sfu.Slots(MediaKind.Audio)[0], "TR_a", 3)]));
        await Eventually.TrueAsync(() => heard.Tracks.Contains("+TR_a"));

        await first.KillAsync();
        await Eventually.TrueAsync(() => heard.Changes.Contains("reconnected"));
        Assert.Equal(new ResumeSession("S1", "secret", 5), Assert.Single(second.Joins).Resume);
        Assert.Equal(["reconnecting", "reconnected"], heard.Changes);
        Assert.Equal(["+TR_a"], heard.Tracks);
        Assert.Equal(new Uri(second.Url, "/rtc"), client.SignalingUrl);
        Assert.Single(first.Offers);
        Assert.Empty(second.Offers);
        Assert.True(client.Transcription.Enabled);
        first.Sfu.SendRtp(first.Sfu.Slots(MediaKind.Audio)[0], 960, 1);
        await Eventually.TrueAsync(() => !heard.Rtp.IsEmpty);
    }

    [Fact]
    public async Task Goes_to_another_node_when_asked_to_with_its_media_and_nobody_notices()
    {
        await using FakeServer first = await FakeServer.StartAsync();
        await using FakeServer second = await FakeServer.StartAsync(sfu: first.Sfu);
        first.Room = new RoomSnapshot("demo", 5, [Alice], TranscriptionState.Off);
        second.Room = new RoomSnapshot("demo", 6, [Alice], TranscriptionState.Off with { Enabled = true });
        var heard = new Recorder();
        await using RoomClient client = await JoinAsync(first, heard);
        await first.TellAsync(new SessionAssigned([new MediaAssignment(first.Sfu.Slots(MediaKind.Audio)[0], "TR_a", 3)]));
        await Eventually.TrueAsync(() => heard.Tracks.Contains("+TR_a"));

        // The node that takes the session over has the former one cut its connection, before the answer is there.
        second.BeforeJoinReply = () =>
        {
            first.Cut();
            return Task.Delay(200, TestContext.Current.CancellationToken);
        };
        await first.TellAsync(HubMethods.GoAway, new GoAway(["not a url", new Uri(second.Url, "/rtc").ToString()]));
        await Eventually.TrueAsync(() => !second.Joins.IsEmpty);
        Task<LocalAudioTrack> publishing = client.PublishAudioAsync(cancellationToken: TestContext.Current.CancellationToken);
        await Eventually.TrueAsync(() => client.SignalingUrl == new Uri(second.Url, "/rtc"));
        Assert.Equal(new ResumeSession("S1", "secret", 5), Assert.Single(second.Joins).Resume);
        Assert.NotEqual(0u, (await publishing).Ssrc);
        first.Sfu.SendRtp(first.Sfu.Slots(MediaKind.Audio)[0], 960, 1);
        await Eventually.TrueAsync(() => !heard.Rtp.IsEmpty);
        Assert.True(client.Transcription.Enabled);
        Assert.Empty(heard.Changes);
        Assert.Equal(["+TR_a"], heard.Tracks);
        Assert.Equal(1, first.SfuCount);
        await Eventually.TrueAsync(() => first.Connections == 0);
    }

    [Fact]
    public async Task Stays_where_it_is_asked_to_leave_and_nobody_takes_it()
    {
        await using FakeServer first = await FakeServer.StartAsync();
        await using FakeServer second = await FakeServer.StartAsync(sfu: first.Sfu);
        second.RefuseJoin = new HubError("unavailable", "Not now.");
        var heard = new Recorder();
        await using RoomClient client = await JoinAsync(first, heard);
        await first.TellAsync(HubMethods.GoAway, new GoAway([second.Url.ToString()]));
        await Eventually.TrueAsync(() => second.Joins.Count == 1 && second.Connections == 0);
        Assert.Equal(new Uri(first.Url, "/rtc"), client.SignalingUrl);
        LocalAudioTrack track = await client.PublishAudioAsync(cancellationToken: TestContext.Current.CancellationToken);
        Assert.NotEqual(0u, track.Ssrc);
        Assert.Empty(heard.Changes);

        // Asked again, it goes.
        second.RefuseJoin = null;
        await first.TellAsync(HubMethods.GoAway, new GoAway([second.Url.ToString()]));
        await Eventually.TrueAsync(() => client.SignalingUrl == new Uri(second.Url, "/rtc"));
        Assert.Empty(heard.Changes);
    }

    [Fact]
    public async Task A_dead_node_at_the_head_of_the_list_does_not_keep_it_from_joining()
    {
        using var closed = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        closed.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        await using FakeServer server = await FakeServer.StartAsync();
        await using RoomClient client = await JoinAsync(server, new Recorder(), o => o with { SignalingUrls = [new Uri($"http://{closed.LocalEndPoint}"), server.Url] });
        Assert.Single(server.Joins);
    }

    [Fact]
    public async Task Asks_the_director_for_the_signalling_nodes()
    {
        await using FakeServer director = await FakeServer.StartAsync();
        await using FakeServer server = await FakeServer.StartAsync();
        string hub = new Uri(server.Url, "/rtc").ToString();
        director.Info = new JoinInfo("demo", "me", hub, "n1", [], [hub]);
        await using RoomClient client = await JoinAsync(director, new Recorder());
        Assert.Empty(director.Joins);
        Assert.Single(server.Joins);
    }

    [Fact]
    public async Task A_session_that_cannot_be_resumed_is_replaced_by_a_new_one()
    {
        await using FakeServer server = await FakeServer.StartAsync();
        server.Room = new RoomSnapshot("demo", 9, [Alice], TranscriptionState.Off);
        var heard = new Recorder();
        await using RoomClient client = await JoinAsync(server, heard);
        LocalAudioTrack track = await client.PublishAudioAsync(cancellationToken: TestContext.Current.CancellationToken);
        server.Resumable = false;
        server.Room = new RoomSnapshot("demo", 2, [Alice with { Id = "bob", Tracks = [] }], TranscriptionState.Off);
        server.Cut();
        await Eventually.TrueAsync(() => heard.Changes.Contains("reconnected"));
        Assert.Equal(2, server.SfuCount);
        Assert.Equal("S2", client.SessionId);
        Assert.Equal(["bob"], client.Participants.Select(p => p.Id));
        Assert.True(track.Send([1], 960));
        await server.TellAsync(new ParticipantLeft("bob", "left") { Sequence = 3 });
        await Eventually.TrueAsync(() => client.Participants.Count == 0);
        Assert.Empty(server.Resyncs);
        Assert.Empty(heard.Closed);
    }

    [Theory]
    [InlineData("nodeLost")]
    [InlineData("failed")]
    [InlineData("timeout")]
    [InlineData("nodeShutdown")]
    public async Task A_session_the_server_lost_is_joined_anew(string reason)
    {
        await using FakeServer server = await FakeServer.StartAsync();
        var heard = new Recorder();
        await using RoomClient client = await JoinAsync(server, heard);
        await server.TellAsync(new SessionClosed(reason));
        await Eventually.TrueAsync(() => heard.Changes.Contains("reconnected"));
        Assert.Null(server.Joins.Last().Resume);
        Assert.Equal(["reconnecting", "moved rejoined", "reconnected"], heard.Changes);
        Assert.Empty(heard.Closed);
    }

    [Fact]
    public async Task Media_lost_without_a_word_is_joined_anew()
    {
        await using FakeServer server = await FakeServer.StartAsync();
        var heard = new Recorder();
        await using RoomClient client = await JoinAsync(server, heard);
        server.Sfu.Close();
        await Eventually.TrueAsync(() => heard.Changes.Contains("reconnected"));
        Assert.Equal(2, server.Joins.Count);
        Assert.Equal(["reconnecting", "moved rejoined", "reconnected"], heard.Changes);
    }

    [Fact]
    public async Task Media_lost_shortly_before_the_server_says_moved_needs_no_new_session()
    {
        await using FakeServer server = await FakeServer.StartAsync();
        var heard = new Recorder();
        await using RoomClient client = await JoinAsync(server, heard);
        server.Sfu.Close();
        await Eventually.TrueAsync(() => heard.Changes.Contains("reconnecting"));
        await server.MoveAsync();
        await Eventually.TrueAsync(() => heard.Changes.Contains("reconnected"));
        Assert.Single(server.Joins);
    }

    [Fact]
    public async Task A_room_that_cannot_be_come_back_to_is_closed()
    {
        FakeServer server = await FakeServer.StartAsync();
        var heard = new Recorder();
        await using RoomClient client = await JoinAsync(server, heard, o => o with { ReconnectTimeout = TimeSpan.FromSeconds(1) });
        await server.DisposeAsync();
        await Eventually.TrueAsync(() => !heard.Closed.IsEmpty);
        Assert.Equal(["connectionLost"], heard.Closed);
    }

    [Fact]
    public async Task A_refusal_while_coming_back_closes_the_room_with_its_code()
    {
        await using FakeServer server = await FakeServer.StartAsync();
        var heard = new Recorder();
        await using RoomClient client = await JoinAsync(server, heard);
        server.RefuseJoin = new HubError("token_expired", "It was good once.");
        server.Cut();
        await Eventually.TrueAsync(() => !heard.Closed.IsEmpty);
        Assert.Equal(["token_expired"], heard.Closed);
    }

    [Fact]
    public async Task A_room_that_begins_again_is_taken_as_it_is_told_and_its_numbers_too()
    {
        await using FakeServer server = await FakeServer.StartAsync();
        server.Room = new RoomSnapshot("demo", 400, [Alice], TranscriptionState.Off);
        var heard = new Recorder();
        await using RoomClient client = await JoinAsync(server, heard);
        await server.TellAsync(new RoomSnapshot("demo", 1, [Alice with { Id = "bob" }], TranscriptionState.Off));
        await server.TellAsync(new ParticipantJoined(Alice with { Id = "carol" }) { Sequence = 2 });
        await Eventually.TrueAsync(() => heard.Events.Count == 3);
        Assert.Equal(["bob", "carol"], client.Participants.Select(p => p.Id).Order());
        Assert.Equal([typeof(ParticipantLeft), typeof(ParticipantJoined), typeof(ParticipantJoined)], heard.Events.Select(e => e.GetType()));
        Assert.Empty(server.Resyncs);
    }

    [Fact]
    public async Task What_it_does_not_know_it_does_not_mind()
    {
        await using FakeServer server = await FakeServer.StartAsync();
        server.Room = new RoomSnapshot("demo", 1, [], TranscriptionState.Off);
        var heard = new Recorder();
        await using RoomClient client = await JoinAsync(server, heard);
        await server.TellAsync("weather", new { sunny = true });
        await server.TellAsync(HubMethods.SessionEvent, new { type = "levitated", height = 3 });
        await server.TellAsync(HubMethods.RoomEvent, new { type = "doorPainted", sequence = 2 });
        await server.TellAsync(new ParticipantJoined(Alice) { Sequence = 2 });
        await Eventually.TrueAsync(() => client.Participants.Count == 1);
        Assert.Empty(heard.Closed);
        Assert.Empty(heard.Changes);
    }

    private static TrackInfo Track(string id) => new(id, "alice", TrackKind.Audio, TrackSource.Microphone, null, Muted: false, 1234, "n1");

    private static Task<RoomClient> JoinAsync(FakeServer server, Recorder recorder, Func<PeerOptions, PeerOptions>? edit = null) => RoomClient.JoinAsync(
        (edit ?? (o => o))(new PeerOptions { ServerUrl = server.Url, Token = "the token", InitialSlots = 2 }), recorder.Handlers,
        cancellationToken: TestContext.Current.CancellationToken);
}
