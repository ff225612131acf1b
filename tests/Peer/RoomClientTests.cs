using System.Net;
using System.Net.Sockets;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Peer.Tests.Support;
using Transcribe.Rtc;
using Transcribe.Rtc.Media;

namespace Transcribe.Peer.Tests;

/// <summary>The client against a signalling server whose answers the test decides, with real ICE, DTLS, SRTP and SCTP.</summary>
public sealed class RoomClientTests
{
    private static readonly ParticipantInfo Alice = new("alice", "Alice", CanPublish: true, DateTimeOffset.UnixEpoch, []);

    [Fact]
    public async Task Joins_when_media_and_data_can_flow()
    {
        await using FakeServer server = await FakeServer.StartAsync();
        server.Room = new RoomSnapshot("demo", 3, [Alice], TranscriptionState.Off with { Enabled = true });
        await using RoomClient client = await JoinAsync(server, new Recorder());

        Assert.Equal(RtcSessionState.Connected, server.Sfu.State);
        Assert.True(client.SendData("captions", "hello"u8));
        Assert.Equal("me", client.ParticipantId);
        Assert.Equal("alice", Assert.Single(client.Participants).Id);
        Assert.True(client.Transcription.Enabled);
        await Eventually.TrueAsync(() => server.Sfu.Messages.Contains(("captions", "hello")));
        JoinRequest asked = Assert.Single(server.Joins);
        Assert.Equal("the token", asked.Token);
        Assert.Equal([TrackKind.Audio], asked.Kinds);
        Assert.Equal(2, server.Sfu.Slots(MediaKind.Audio).Count);
        Assert.Empty(server.Sfu.Slots(MediaKind.Video));
    }

    [Fact]
    public async Task Publishes_a_track_with_the_timestamps_it_is_given()
    {
        await using FakeServer server = await FakeServer.StartAsync();
        await using RoomClient client = await JoinAsync(server, new Recorder());
        LocalAudioTrack track = await client.PublishAudioAsync(TrackSource.Microphone, "mic", TestContext.Current.CancellationToken);
        PublishedMedia published = Assert.Single(server.Offers.Last().Tracks);
        Assert.Equal((TrackSource.Microphone, "mic"), (published.Source, published.Name));
        Assert.Equal($"TR_{published.Mid}", track.Id);

        for (uint i = 0; i < 20; i++)
            Assert.True(track.Send([(byte)i, 2, 3], uint.MaxValue - 2000 + (i * 960), marker: i == 0, audioLevel: 30));
        await Eventually.TrueAsync(() => server.Sfu.Packets.Count == 20);
        ushort first = server.Sfu.Packets[0].Sequence;
        for (int i = 0; i < 20; i++)
        {
            Assert.Equal(published.Mid, server.Sfu.Packets[i].Mid);
            Assert.Equal((ushort)(first + i), server.Sfu.Packets[i].Sequence);
            Assert.Equal(unchecked((uint)(uint.MaxValue - 2000 + (i * 960))), server.Sfu.Packets[i].Timestamp);
            Assert.Equal([(byte)i, 2, 3], server.Sfu.Packets[i].Payload);
        }

        await client.SetMutedAsync(track, muted: true, TestContext.Current.CancellationToken);
        Assert.Contains($"setMuted {track.Id} True", server.Calls);
        await client.UnpublishAsync(track, TestContext.Current.CancellationToken);
        Assert.Empty(server.Offers.Last().Tracks);
        Assert.False(track.Send([1], 5));
    }

    [Fact]
    public async Task A_track_the_server_refuses_is_not_asked_for_again()
    {
        await using FakeServer server = await FakeServer.StartAsync();
        await using RoomClient client = await JoinAsync(server, new Recorder());
        server.EditAnswer = answer => answer with { Published = [] };
        PeerException refused = await Assert.ThrowsAsync<PeerException>(() => client.PublishAudioAsync(cancellationToken: TestContext.Current.CancellationToken));
        Assert.Equal("not_granted", refused.Code);

        server.EditAnswer = answer => answer;
        await server.TellAsync(new SessionNeedsMedia(1, 0));
        await Eventually.TrueAsync(() => server.Offers.Count == 3 && server.Sfu.Slots(MediaKind.Audio).Count == 3);
        Assert.Empty(server.Offers.Last().Tracks);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Receives_a_track_whether_it_is_assigned_before_or_after_it_is_announced(bool assignedFirst)
    {
        await using FakeServer server = await FakeServer.StartAsync();
        server.Room = new RoomSnapshot("demo", 1, [Alice], TranscriptionState.Off);
        var heard = new Recorder();
        await using RoomClient client = await JoinAsync(server, heard);
        string mid = server.Sfu.Slots(MediaKind.Audio)[0];
        var announced = new TrackPublished(Track("TR_a")) { Sequence = 2 };
        var assigned = new SessionAssigned([new MediaAssignment(mid, "TR_a")]);
        if (assignedFirst)
        {
            await server.TellAsync(assigned);
            await server.TellAsync(announced);
        }
        else
        {
            await server.TellAsync(announced);
            await server.TellAsync(assigned);
        }

        await Eventually.TrueAsync(() => heard.Tracks.Contains("+TR_a"));
        Assert.True(server.Sfu.SendRtp(mid, 4_000_000_000, 9, 8, 7));
        await Eventually.TrueAsync(() => !heard.Rtp.IsEmpty);
        (string track, _, uint timestamp, byte[] payload) = Assert.Single(heard.Rtp);
        Assert.Equal("TR_a", track);
        Assert.Equal(4_000_000_000, timestamp);
        Assert.Equal([9, 8, 7], payload);

        await server.TellAsync(new SessionAssigned([new MediaAssignment(mid, null)]));
        await Eventually.TrueAsync(() => heard.Tracks.Count == 2);
        Assert.Equal(["+TR_a", "-TR_a"], heard.Tracks);
    }

    [Fact]
    public async Task A_track_that_moves_to_another_slot_ends_before_it_starts_again()
    {
        await using FakeServer server = await FakeServer.StartAsync();
        server.Room = new RoomSnapshot("demo", 1, [Alice with { Tracks = [Track("TR_a"), Track("TR_b")] }], TranscriptionState.Off);
        var heard = new Recorder();
        await using RoomClient client = await JoinAsync(server, heard);
        IReadOnlyList<string> mids = server.Sfu.Slots(MediaKind.Audio);
        await server.TellAsync(new SessionAssigned([new MediaAssignment(mids[1], "TR_a")]));
        await server.TellAsync(new SessionAssigned([new MediaAssignment(mids[0], "TR_a"), new MediaAssignment(mids[1], "TR_b")]));
        await Eventually.TrueAsync(() => heard.Tracks.Count == 4);
        Assert.Equal(["+TR_a", "-TR_a", "+TR_a", "+TR_b"], heard.Tracks);

        server.Sfu.SendRtp(mids[0], 1, 0xAA);
        server.Sfu.SendRtp(mids[1], 2, 0xBB);
        await Eventually.TrueAsync(() => heard.Rtp.Count == 2);
        Assert.Equal(["TR_a", "TR_b"], heard.Rtp.Select(p => p.Track).Order());
    }

    [Fact]
    public async Task An_assignment_that_a_newer_one_overtook_changes_nothing()
    {
        await using FakeServer server = await FakeServer.StartAsync();
        server.Room = new RoomSnapshot("demo", 1, [Alice with { Tracks = [Track("TR_a"), Track("TR_b")] }], TranscriptionState.Off);
        var heard = new Recorder();
        await using RoomClient client = await JoinAsync(server, heard);
        string mid = server.Sfu.Slots(MediaKind.Audio)[0];
        await server.TellAsync(new SessionAssigned([new MediaAssignment(mid, "TR_b", 7)]));
        await server.TellAsync(new SessionAssigned([new MediaAssignment(mid, "TR_a", 6)]));
        await server.TellAsync(new SessionAssigned([new MediaAssignment(mid, null, 8)]));
        await Eventually.TrueAsync(() => heard.Tracks.Count == 2);
        Assert.Equal(["+TR_b", "-TR_b"], heard.Tracks);
    }

    [Fact]
    public async Task A_sender_report_of_the_slots_last_track_is_not_told_as_the_new_ones()
    {
        await using FakeServer server = await FakeServer.StartAsync();
        server.Room = new RoomSnapshot("demo", 1, [Alice with { Tracks = [Track("TR_a"), Track("TR_b")] }], TranscriptionState.Off);
        var heard = new Recorder();
        await using RoomClient client = await JoinAsync(server, heard);
        string mid = server.Sfu.Slots(MediaKind.Audio)[0];
        await server.TellAsync(new SessionAssigned([new MediaAssignment(mid, "TR_a", 1)]));
        await Eventually.TrueAsync(() => heard.Tracks.Contains("+TR_a"));
        server.Sfu.SendRtp(mid, 1_000_000, 1);
        await server.TellAsync(new SessionAssigned([new MediaAssignment(mid, "TR_b", 2)]));
        await Eventually.TrueAsync(() => heard.Tracks.Contains("+TR_b"));

        // The next report is due within a second and a half of the packet above.
        await Task.Delay(1600, TestContext.Current.CancellationToken);
        server.Sfu.SendRtp(mid, 3_000_000_000, 1);
        await Eventually.TrueAsync(() => heard.Clocks.Any(c => c is { Track: "TR_b", RtpTimestamp: >= 3_000_000_000 }));
        Assert.DoesNotContain(heard.Clocks, c => c is { Track: "TR_b", RtpTimestamp: < 3_000_000_000 });
    }

    [Fact]
    public async Task Adds_receive_transceivers_and_offers_again_when_the_server_asks()
    {
        await using FakeServer server = await FakeServer.StartAsync();
        await using RoomClient client = await JoinAsync(server, new Recorder());
        await server.TellAsync(new SessionNeedsMedia(3, 1));
        await Eventually.TrueAsync(() => server.Sfu.Slots(MediaKind.Audio).Count == 5 && server.Sfu.Slots(MediaKind.Video).Count == 1);
        Assert.Equal(2, server.Offers.Count);
        Assert.Equal(RtcSessionState.Connected, server.Sfu.State);
    }

    [Fact]
    public async Task Delivers_data_messages()
    {
        await using FakeServer server = await FakeServer.StartAsync();
        var heard = new Recorder();
        await using RoomClient client = await JoinAsync(server, heard);
        Assert.True(server.Sfu.SendText("captions", "{\"text\":\"grüß dich\"}"));
        await Eventually.TrueAsync(() => !heard.Data.IsEmpty);
        Assert.Equal(("captions", "{\"text\":\"grüß dich\"}"), Assert.Single(heard.Data));
        Assert.False(client.SendData("chat", "no such channel"u8));
    }

    [Fact]
    public async Task Asks_for_missed_events_after_a_gap_and_tells_them_in_order()
    {
        await using FakeServer server = await FakeServer.StartAsync();
        server.Room = new RoomSnapshot("demo", 1, [], TranscriptionState.Off);
        RoomEvent[] missed =
        [
            new ParticipantJoined(Alice) { Sequence = 2 }, new TrackPublished(Track("TR_a")) { Sequence = 3 }, new TrackMuted("TR_a", "alice", true) { Sequence = 4 },
        ];
        server.Resync = after => new ResyncReply([.. missed.Where(e => e.Sequence > after)], null);
        var heard = new Recorder();
        await using RoomClient client = await JoinAsync(server, heard);
        await server.TellAsync(missed[2]);
        await Eventually.TrueAsync(() => heard.Events.Count == 3);
        Assert.Equal([2L, 3L, 4L], heard.Events.Select(e => e.Sequence));
        Assert.Equal([1L], server.Resyncs);
        Assert.True(Assert.Single(Assert.Single(client.Participants).Tracks).Muted);
    }

    [Fact]
    public async Task Tells_what_a_snapshot_changed()
    {
        await using FakeServer server = await FakeServer.StartAsync();
        server.Room = new RoomSnapshot("demo", 1, [Alice], TranscriptionState.Off);
        ParticipantInfo bob = Alice with { Id = "bob", Tracks = [Track("TR_b") with { Participant = "bob" }] };
        server.Resync = _ => new ResyncReply(null, new RoomSnapshot("demo", 500, [bob], TranscriptionState.Off with { Enabled = true }));
        var heard = new Recorder();
        await using RoomClient client = await JoinAsync(server, heard);
        await server.TellAsync(new SessionAssigned([new MediaAssignment(server.Sfu.Slots(MediaKind.Audio)[0], "TR_b")]));
        await server.TellAsync(new RoomClosed("x") { Sequence = 499 });
        await Eventually.TrueAsync(() => heard.Events.Count == 3 && heard.Tracks.Contains("+TR_b"));
        Assert.Equal([typeof(ParticipantLeft), typeof(ParticipantJoined), typeof(TranscriptionChanged)], heard.Events.Select(e => e.GetType()));
        Assert.Equal("bob", Assert.Single(client.Participants).Id);
    }

    [Fact]
    public async Task An_event_that_overtakes_the_answer_to_join_is_not_lost()
    {
        await using FakeServer server = await FakeServer.StartAsync();
        server.BeforeJoinReply = () => server.TellAsync(new ParticipantJoined(Alice) { Sequence = 1 });
        var heard = new Recorder();
        await using RoomClient client = await JoinAsync(server, heard);
        Assert.Equal("alice", Assert.Single(client.Participants).Id);
        Assert.IsType<ParticipantJoined>(Assert.Single(heard.Events));
        Assert.Empty(server.Resyncs);
    }

    [Fact]
    public async Task Resumes_after_the_signalling_connection_broke_and_keeps_its_media()
    {
        await using FakeServer server = await FakeServer.StartAsync();
        server.Room = new RoomSnapshot("demo", 1, [Alice], TranscriptionState.Off);
        var heard = new Recorder();
        await using RoomClient client = await JoinAsync(server, heard);
        string mid = server.Sfu.Slots(MediaKind.Audio)[0];
        await server.TellAsync(new TrackPublished(Track("TR_a")) { Sequence = 2 });
        await server.TellAsync(new SessionAssigned([new MediaAssignment(mid, "TR_a")]));
        await Eventually.TrueAsync(() => heard.Tracks.Contains("+TR_a"));

        server.Room = new RoomSnapshot("demo", 7, [Alice with { Tracks = [Track("TR_a")] }], TranscriptionState.Off with { Enabled = true });
        server.Cut();
        await Eventually.TrueAsync(() => server.Joins.Count == 2);
        Assert.Equal(new ResumeSession("S1", "secret", 2), server.Joins.Last().Resume);
        await Eventually.TrueAsync(() => heard.Events.OfType<TranscriptionChanged>().Any());
        server.Sfu.SendRtp(mid, 960, 1);
        await Eventually.TrueAsync(() => !heard.Rtp.IsEmpty);
        Assert.Equal(["+TR_a"], heard.Tracks);
        Assert.Empty(heard.Closed);
        Assert.Single(server.Offers);
    }

    [Fact]
    public async Task An_offer_that_was_lost_with_the_connection_is_made_again()
    {
        await using FakeServer server = await FakeServer.StartAsync();
        await using RoomClient client = await JoinAsync(server, new Recorder());
        server.BeforeAnswer = () =>
        {
            // This offer is lost; the next one, however soon it comes, is answered.
            server.BeforeAnswer = () =>
            {
                server.RefuseOffer = null;
                return Task.CompletedTask;
            };
            server.RefuseOffer = new HubError("unavailable", "gone");
            server.Cut();
            return Task.CompletedTask;
        };
        await server.TellAsync(new SessionNeedsMedia(1, 0));
        await Eventually.TrueAsync(() => server.Sfu.Slots(MediaKind.Audio).Count == 3);
        Assert.Equal(3, server.Offers.Count);
    }

    [Fact]
    public async Task Says_once_why_the_server_closed_the_session()
    {
        await using FakeServer server = await FakeServer.StartAsync();
        var heard = new Recorder();
        RoomClient client = await JoinAsync(server, heard);
        await server.TellAsync(new SessionClosed("removed"));
        await Eventually.TrueAsync(() => !heard.Closed.IsEmpty);
        server.Sfu.Close();
        await client.DisposeAsync();
        await client.DisposeAsync();
        Assert.Equal(["removed"], heard.Closed);
    }

    [Theory]
    [InlineData("token_expired")]
    [InlineData("room_full")]
    [InlineData("unavailable")]
    public async Task A_refused_join_is_an_exception_with_the_servers_code(string code)
    {
        await using FakeServer server = await FakeServer.StartAsync();
        server.RefuseJoin = new HubError(code, "Because.");
        PeerException refused = await Assert.ThrowsAsync<PeerException>(() => JoinAsync(server, new Recorder()));
        Assert.Equal((code, "Because."), (refused.Code, refused.Message));
        await Eventually.TrueAsync(() => server.Connections == 0);
    }

    [Fact]
    public async Task A_refused_offer_is_an_exception_with_the_servers_code()
    {
        await using FakeServer server = await FakeServer.StartAsync();
        server.RefuseOffer = new HubError("sdp_invalid", "No.");
        Assert.Equal("sdp_invalid", (await Assert.ThrowsAsync<PeerException>(() => JoinAsync(server, new Recorder()))).Code);
    }

    [Fact]
    public async Task An_answer_that_is_nonsense_is_refused()
    {
        await using FakeServer server = await FakeServer.StartAsync();
        server.EditAnswer = answer => answer with { Sdp = "v=0\r\nnonsense" };
        Assert.Equal("sdp_invalid", (await Assert.ThrowsAsync<PeerException>(() => JoinAsync(server, new Recorder()))).Code);
    }

    [Fact]
    public async Task A_server_out_of_reach_is_an_exception_that_says_so()
    {
        using var closed = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        closed.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        var options = new PeerOptions { ServerUrl = new Uri($"http://{closed.LocalEndPoint}"), Token = "t" };
        PeerException unreachable = await Assert.ThrowsAsync<PeerException>(() => RoomClient.JoinAsync(options, new RoomHandlers(), cancellationToken: TestContext.Current.CancellationToken));
        Assert.Equal("unreachable", unreachable.Code);
    }

    [Fact]
    public async Task Media_that_does_not_get_through_ends_the_join_in_time()
    {
        await using FakeServer server = await FakeServer.StartAsync(deafSfu: true);
        PeerException unreachable = await Assert.ThrowsAsync<PeerException>(() => JoinAsync(server, new Recorder(), o => o with { ConnectTimeout = TimeSpan.FromSeconds(1) }));
        Assert.Equal("unreachable", unreachable.Code);
        Assert.Contains("UDP", unreachable.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_connection_lost_while_joining_is_an_exception()
    {
        await using FakeServer server = await FakeServer.StartAsync();
        server.BeforeAnswer = () =>
        {
            server.Client!.Abort();
            return Task.CompletedTask;
        };
        Assert.Equal("unreachable", (await Assert.ThrowsAsync<PeerException>(() => JoinAsync(server, new Recorder()))).Code);
    }

    [Fact]
    public async Task The_callers_own_cancellation_stays_a_cancellation()
    {
        await using FakeServer server = await FakeServer.StartAsync(deafSfu: true);
        using var soon = new CancellationTokenSource(TimeSpan.FromMilliseconds(300));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => RoomClient.JoinAsync(Options(server), new RoomHandlers(), cancellationToken: soon.Token));
    }

    [Fact]
    public async Task Whoever_wants_no_media_still_gets_data()
    {
        await using FakeServer server = await FakeServer.StartAsync();
        var heard = new Recorder();
        await using RoomClient client = await JoinAsync(server, heard, o => o with { Kinds = [] });
        JoinRequest asked = Assert.Single(server.Joins);
        Assert.Null(asked.Kinds);
        Assert.False(asked.AutoSubscribe);
        server.Sfu.SendText("captions", "x");
        await Eventually.TrueAsync(() => !heard.Data.IsEmpty);
    }

    [Fact]
    public async Task Leaves_nothing_behind()
    {
        await using FakeServer server = await FakeServer.StartAsync();
        RoomClient first = await JoinAsync(server, new Recorder());
        await first.LeaveAsync();
        Assert.Contains("leave", server.Calls);
        await Eventually.TrueAsync(() => server.Sfu.State == RtcSessionState.Closed && server.Connections == 0);

        await using FakeServer other = await FakeServer.StartAsync();
        int before = await SettledSocketsAsync();
        RoomClient second = await JoinAsync(other, new Recorder());
        LocalAudioTrack track = await second.PublishAudioAsync(cancellationToken: TestContext.Current.CancellationToken);
        if (OperatingSystem.IsLinux())
            Assert.True(OpenSockets() > before);
        await second.DisposeAsync();

        // The server is told by DTLS, not by a time-out.
        await Eventually.TrueAsync(() => other.Sfu.State == RtcSessionState.Closed && other.Connections == 0);
        await Eventually.TrueAsync(() => OpenSockets() <= before);
        Assert.False(track.Send([1], 1));
        Assert.False(second.SendData("captions", "x"u8));
        await Assert.ThrowsAsync<ObjectDisposedException>(() => second.PublishAudioAsync(cancellationToken: TestContext.Current.CancellationToken));
    }

    /// <summary>The first client's server closes its side in its own time.</summary>
    private static async Task<int> SettledSocketsAsync()
    {
        int sockets = OpenSockets();
        for (int same = 0; same < 15; same++)
        {
            await Task.Delay(20, TestContext.Current.CancellationToken);
            if (OpenSockets() != sockets)
                (sockets, same) = (OpenSockets(), 0);
        }

        return sockets;
    }

    private static int OpenSockets() => OperatingSystem.IsLinux()
        ? Directory.GetFiles("/proc/self/fd").Count(f => new FileInfo(f).LinkTarget?.StartsWith("socket:", StringComparison.Ordinal) == true)
        : 0;

    private static TrackInfo Track(string id) => new(id, "alice", TrackKind.Audio, TrackSource.Microphone, null, Muted: false, 1234, "n1");

    private static PeerOptions Options(FakeServer server) => new() { ServerUrl = server.Url, Token = "the token", InitialSlots = 2 };

    private static Task<RoomClient> JoinAsync(FakeServer server, Recorder recorder, Func<PeerOptions, PeerOptions>? edit = null) =>
        RoomClient.JoinAsync((edit ?? (o => o))(Options(server)), recorder.Handlers, cancellationToken: TestContext.Current.CancellationToken);
}
