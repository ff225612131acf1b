using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Sfu;
using Transcribe.Rtc;
using Transcribe.Rtc.Rtcp;
using Transcribe.Sfu.Control;
using Transcribe.Sfu.Relay;
using static Transcribe.Sfu.Tests.Relay.RelayCluster;

namespace Transcribe.Sfu.Tests.Relay;

/// <summary>Whole nodes and their links: real threads, real UDP.</summary>
public sealed class RelayNodeTests : IAsyncLifetime
{
    private readonly RelayCluster _cluster = new();

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public ValueTask DisposeAsync() => _cluster.DisposeAsync();

    private static async Task HearAsync(Member speaker, string what, params Member[] listeners)
    {
        int[] before = [.. listeners.Select(l => l.Peer.PacketsReceived)];
        uint timestamp = 960;
        await WaitAsync(
            () =>
            {
                speaker.Speak(timestamp += 960);
                return listeners.Zip(before).All(pair => pair.First.Peer.PacketsReceived >= pair.Second + 20);
            },
            what);
    }

    [Fact]
    public async Task Audio_of_one_node_is_heard_on_another_with_the_publishers_timestamps()
    {
        await _cluster.StartAsync("a");
        await _cluster.StartAsync("b");
        Member alice = await _cluster.JoinAsync("a", "alice", publishAudio: 1);
        Member bob = await _cluster.JoinAsync("b", "bob", audioSlots: 1);
        await HearAsync(alice, "audio over the link", bob);
        Assert.True(bob.Receives(alice.TrackId()));
        Assert.Equal(0u, bob.Peer.LastTimestamp % 960);
    }

    [Fact]
    public async Task Links_are_counted_apart_from_sessions_and_a_draining_or_full_node_is_still_linked_to()
    {
        SfuNode a = await _cluster.StartAsync("a", options => options.Limits.MaxSessions = 1);
        await _cluster.StartAsync("b");
        Member alice = await _cluster.JoinAsync("a", "alice", publishAudio: 1);
        Assert.Equal("room_full", (await Assert.ThrowsAsync<BusException>(() => _cluster.JoinAsync("a", "eve"))).Code);
        await _cluster.AskAsync<SetNodeState, Pong>(NodeSubjects.State(NodeRole.Sfu, "a"), new SetNodeState(NodeState.Draining));
        Member bob = await _cluster.JoinAsync("b", "bob", audioSlots: 1);
        await HearAsync(alice, "audio over the link", bob);
        Assert.Equal((1, 1), (a.SessionCount, a.LinkCount));
        await _cluster.AskAsync<SetNodeState, Pong>(NodeSubjects.State(NodeRole.Sfu, "a"), new SetNodeState(NodeState.Active));
        NodeInfo announced = await _cluster.DescribeAsync("a");
        Assert.Equal((1, 1, 1), (announced.Load, announced.Rooms, announced.Links));
    }

    [Fact]
    public async Task Both_nodes_take_from_one_another()
    {
        await _cluster.StartAsync("a");
        await _cluster.StartAsync("b");
        Member alice = await _cluster.JoinAsync("a", "alice", publishAudio: 1, audioSlots: 1);
        Member bob = await _cluster.JoinAsync("b", "bob", publishAudio: 1, audioSlots: 1);
        await HearAsync(alice, "alice", bob);
        await HearAsync(bob, "bob", alice);
    }

    [Fact]
    public async Task However_many_viewers_one_copy_crosses_each_link()
    {
        foreach (string id in (string[])["a", "b", "c"])
            await _cluster.StartAsync(id);
        Member alice = await _cluster.JoinAsync("a", "alice", publishAudio: 1);
        var viewers = new List<Member>();
        for (int i = 0; i < 8; i++)
            viewers.Add(await _cluster.JoinAsync(i % 2 == 0 ? "b" : "c", $"viewer{i}", audioSlots: 1));
        await HearAsync(alice, "everybody", [.. viewers]);

        // What is under way arrives first.
        await Task.Delay(200);
        Assert.Equal(2, _cluster.Nodes["a"].Workers.Sum(w => w.Counters.Downtracks));
        long forwarded = _cluster.Nodes["a"].Workers.Sum(w => w.Counters.PacketsForwarded);
        long taken = _cluster.Nodes["a"].Workers.Sum(w => w.Counters.PacketsIn);
        for (uint i = 0; i < 100; i++)
        {
            alice.Speak(1_000_000 + (i * 960));
            await Task.Delay(2);
        }

        await WaitAsync(() => viewers.TrueForAll(v => v.Peer.LastTimestamp == 1_000_000 + (99 * 960)), "the last packet");
        Assert.Equal(
            2 * (_cluster.Nodes["a"].Workers.Sum(w => w.Counters.PacketsIn) - taken),
            _cluster.Nodes["a"].Workers.Sum(w => w.Counters.PacketsForwarded) - forwarded);
        foreach (Member viewer in viewers)
            Assert.Equal(100, viewer.Peer.Do((_, _) => viewer.Peer.Received.Count(r => r.Timestamp >= 1_000_000)));
    }

    [Fact]
    public async Task A_node_tells_what_each_of_its_links_carried()
    {
        await _cluster.StartAsync("a");
        await _cluster.StartAsync("b");
        Member alice = await _cluster.JoinAsync("a", "alice", publishAudio: 1);
        Member bob = await _cluster.JoinAsync("b", "bob", audioSlots: 1);
        await HearAsync(alice, "audio over the link", bob);
        await Task.Delay(200);
        RelayStatistics sent = Assert.Single((await StatisticsAsync("a")).Relays);
        SfuStatistics taker = await StatisticsAsync("b");
        RelayStatistics taken = Assert.Single(taker.Relays);
        Assert.Equal(("b", RelayDirection.Sending, 1), (sent.Node, sent.Direction, sent.Tracks));
        Assert.Equal(("a", RelayDirection.Receiving, 1), (taken.Node, taken.Direction, taken.Tracks));
        Assert.InRange(sent.PacketsSent, 20, long.MaxValue);
        Assert.Equal(sent.PacketsSent, taken.PacketsReceived);
        Assert.Equal(bob.Peer.PacketsReceived, taker.PacketsForwarded);

        Task<SfuStatistics> StatisticsAsync(string node) => _cluster.AskAsync<ReadStatistics, SfuStatistics>(SfuSubjects.Statistics(node), new ReadStatistics());
    }

    [Fact]
    public async Task Over_two_hops_timestamps_and_sender_reports_stay_the_publishers()
    {
        foreach (string id in (string[])["a", "b", "c"])
            await _cluster.StartAsync(id, o => o.Relay.MaxRelaysPerTrack = 1);
        Member alice = await _cluster.JoinAsync("a", "alice", publishAudio: 1);
        Member bob = await _cluster.JoinAsync("b", "bob", audioSlots: 1);
        await WaitAsync(() => alice.SpeakNow() && bob.Peer.PacketsReceived > 20, "one hop");
        Member carol = await _cluster.JoinAsync("c", "carol", audioSlots: 1);
        await WaitAsync(() => alice.SpeakNow() && carol.Peer.PacketsReceived > 20, "two hops");
        Assert.Equal(2, (await _cluster.Tree.ReadAsync(RelayTree.TrackKey(alice.TrackId()))).Depths()["c"]);
        Assert.Equal(1, _cluster.Nodes["a"].Workers.Sum(w => w.Counters.Downtracks));

        // Until every hop has been told by the one before it.
        await WaitAsync(
            () => alice.SpeakNow() && bob.Peer.SenderReports.Count >= 5 && carol.Peer.SenderReports.Count >= 5, "sender reports");
        SenderReport near = bob.Peer.Do((_, _) => bob.Peer.SenderReports[^1].Report);
        SenderReport far = carol.Peer.Do((_, _) => carol.Peer.SenderReports[^1].Report);
        double apart = (far.Ntp.ToDateTimeOffset() - near.Ntp.ToDateTimeOffset()).TotalSeconds;
        double ticks = unchecked((int)(far.RtpTimestamp - near.RtpTimestamp)) / 48_000.0;
        Assert.InRange(ticks - apart, -0.02, 0.02);
    }

    [Fact]
    public async Task Video_starts_with_a_keyframe_asked_for_over_the_link()
    {
        await _cluster.StartAsync("a");
        await _cluster.StartAsync("b");
        Member alice = await _cluster.JoinAsync("a", "alice", publishVideo: 1);
        Member bob = await _cluster.JoinAsync("b", "bob", videoSlots: 1);
        uint timestamp = 0;
        int asked = 0;
        await WaitAsync(
            () =>
            {
                bool keyframe = alice.Peer.KeyframeRequests > asked;
                asked = alice.Peer.KeyframeRequests;
                alice.Show(timestamp += 3000, keyframe);
                return bob.Peer.PacketsReceived >= 20;
            },
            "video");
        Assert.True(asked > 0);
        Assert.Equal(0u, bob.Peer.LastTimestamp % 3000);
    }

    [Fact]
    public async Task What_a_link_loses_is_sent_again()
    {
        var random = new Random(7);
        await _cluster.StartAsync("a");

        // A tenth of the media that comes over the link.
        await _cluster.StartAsync("b", o => o.Relay.Loses = (_, first) => first >= 128 && random.Next(10) == 0);
        Member alice = await _cluster.JoinAsync("a", "alice", publishAudio: 1);
        Member bob = await _cluster.JoinAsync("b", "bob", audioSlots: 1);
        await HearAsync(alice, "audio", bob);
        for (uint i = 0; i < 300; i++)
        {
            alice.Speak(1_000_000 + (i * 960));
            await Task.Delay(5);
        }

        await WaitAsync(
            () => bob.Peer.Do((_, _) => bob.Peer.Received.Where(r => r.Timestamp is >= 1_000_000 and < 1_000_000 + (290 * 960)).Select(r => r.Timestamp).Distinct().Count()) >= 288,
            "nearly every packet");
        Assert.True(_cluster.Nodes["a"].Workers.Sum(w => w.Counters.PacketsRetransmitted) > 10);
    }

    [Fact]
    public async Task A_cut_link_is_replaced_by_another_way()
    {
        bool cut = false;
        foreach (string id in (string[])["a", "b", "c"])
        {
            await _cluster.StartAsync(id, o => o.Relay.Loses = (peer, _) =>
                Volatile.Read(ref cut) && ((id == "a" && peer == "c") || (id == "c" && peer == "a")));
        }

        Member alice = await _cluster.JoinAsync("a", "alice", publishAudio: 1);
        Member bob = await _cluster.JoinAsync("b", "bob", audioSlots: 1);
        Member carol = await _cluster.JoinAsync("c", "carol", audioSlots: 1);
        await HearAsync(alice, "audio", bob, carol);
        Assert.Equal(1, (await _cluster.Tree.ReadAsync(RelayTree.TrackKey(alice.TrackId()))).Depths()["c"]);
        Volatile.Write(ref cut, true);
        DateTime at = DateTime.UtcNow;
        uint timestamp = 5_000_000;
        await WaitAsync(
            () =>
            {
                alice.Speak(timestamp += 960);
                return carol.Peer.Do((_, _) => carol.Peer.Received.Count(r => r.At > at.AddMilliseconds(1000))) > 20;
            },
            "another way");
        TestContext.Current.TestOutputHelper?.WriteLine($"re-routed after {(DateTime.UtcNow - at).TotalMilliseconds:F0} ms");
        Assert.Equal(2, (await _cluster.Tree.ReadAsync(RelayTree.TrackKey(alice.TrackId()))).Depths()["c"]);

        // What it sent under one number it does not send under it again, and no voice goes back in time.
        var heard = carol.Peer.Do((_, _) => carol.Peer.Received.ToArray());
        Assert.Equal(heard.Length, heard.Select(h => h.SequenceNumber).Distinct().Count());
    }

    [Fact]
    public async Task A_cut_path_is_gone_around_over_a_node_that_nobody_of_the_room_is_on()
    {
        bool cut = false;
        foreach (string id in (string[])["a", "b", "idle"])
        {
            await _cluster.StartAsync(id, o => o.Relay.Loses = (peer, _) =>
                Volatile.Read(ref cut) && ((id == "a" && peer == "b") || (id == "b" && peer == "a")));
        }

        Member alice = await _cluster.JoinAsync("a", "alice", publishAudio: 1, audioSlots: 1);
        Member bob = await _cluster.JoinAsync("b", "bob", publishAudio: 1, audioSlots: 1);
        await HearAsync(alice, "alice", bob);
        await HearAsync(bob, "bob", alice);
        var captions = alice.Peer.Do((rtc, now) => rtc.CreateDataChannel(now, "captions"));
        int said = 0;
        await WaitAsync(() => Say() && bob.Peer.Do((_, _) => bob.Peer.Messages.Count > 0), "captions over the link");

        Volatile.Write(ref cut, true);
        DateTime at = DateTime.UtcNow;
        foreach ((Member speaker, Member listener) in ((Member, Member)[])[(alice, bob), (bob, alice)])
        {
            await WaitAsync(
                () => Say() && speaker.SpeakNow() && listener.Peer.Do((_, _) => listener.Peer.Received.Count(r => r.At > at.AddMilliseconds(1000))) > 20,
                "the way around");
            TestContext.Current.TestOutputHelper?.WriteLine($"re-routed after {(DateTime.UtcNow - at).TotalMilliseconds:F0} ms");
        }

        Say();
        await WaitAsync(() => bob.Peer.Do((_, _) => bob.Peer.Messages.Contains($"{said}")), "captions over the way around");
        string[] read = bob.Peer.Do((_, _) => bob.Peer.Messages.ToArray());
        Assert.Equal(Enumerable.Range(int.Parse(read[0], System.Globalization.CultureInfo.InvariantCulture), read.Length).Select(i => $"{i}"), read);
        Assert.Equal(2, (await _cluster.Tree.ReadAsync(RelayTree.TrackKey(alice.TrackId()))).Depths()["b"]);
        Assert.Equal((0, 2), (_cluster.Nodes["idle"].SessionCount, _cluster.Nodes["idle"].Relay!.Counters.LinksIn));

        bool Say() => alice.Peer.Do((_, now) => captions.TrySend(now, System.Text.Encoding.UTF8.GetBytes($"{++said}"), isText: true)) || --said >= 0;
    }

    [Fact]
    public async Task Who_was_moved_from_another_node_reads_the_captions_of_the_meantime()
    {
        await _cluster.StartAsync("a");
        await _cluster.StartAsync("b");
        Member gateway = await _cluster.JoinAsync("a", "gateway");
        var captions = gateway.Peer.Do((rtc, now) => rtc.CreateDataChannel(now, "captions"));
        await WaitAsync(() => gateway.Peer.Do((_, now) => captions.TrySend(now, "while it was away"u8, isText: true)), "the channel");
        var chat = gateway.Peer.Do((rtc, now) => rtc.CreateDataChannel(now, "chat"));
        await WaitAsync(() => gateway.Peer.Do((_, now) => chat.TrySend(now, "a joke"u8, isText: true)), "the other channel");
        await Task.Delay(100);
        Member viewer = await _cluster.JoinAsync("b", "viewer", moved: true);
        viewer.Peer.Do((rtc, now) => rtc.CreateDataChannel(now, "captions"));
        await WaitAsync(() => viewer.Peer.Do((_, _) => viewer.Peer.Messages.Contains("while it was away")), "the caption");

        // A newcomer reads what is said from now on.
        Member newcomer = await _cluster.JoinAsync("b", "newcomer");
        newcomer.Peer.Do((rtc, now) => rtc.CreateDataChannel(now, "captions"));
        await WaitAsync(() => gateway.Peer.Do((_, now) => captions.TrySend(now, "now"u8, isText: true)) && newcomer.Peer.Do((_, _) => newcomer.Peer.Messages.Contains("now")), "captions");
        Assert.DoesNotContain("while it was away", newcomer.Peer.Do((_, _) => newcomer.Peer.Messages.ToArray()));
        Assert.DoesNotContain("a joke", viewer.Peer.Do((_, _) => viewer.Peer.Messages.ToArray()));
    }

    [Fact]
    public async Task A_room_that_nobody_needs_help_with_any_more_is_given_up()
    {
        await _cluster.StartAsync("idle", o => o.Relay.AssistTime = TimeSpan.FromSeconds(1));
        await _cluster.AskAsync<AssistRelay, Ack>(RelaySubjects.Assist("idle"), new AssistRelay("demo"));
        await WaitAsync(() => HasRoom(), "a place in the room's tree");
        await WaitAsync(() => !HasRoom(), "the room is given up");
        Assert.Equal(0, _cluster.Nodes["idle"].RelayWorker!.Counters.Rooms);

        bool HasRoom() => _cluster.Tree.ReadAsync(RelayTree.RoomKey("demo")).AsTask().GetAwaiter().GetResult().Nodes.Any(node => node.Id == "idle");
    }

    [Fact]
    public async Task The_children_of_a_node_that_goes_find_another_parent()
    {
        foreach (string id in (string[])["a", "b", "c"])
            await _cluster.StartAsync(id, o => o.Relay.MaxRelaysPerTrack = 1);
        Member alice = await _cluster.JoinAsync("a", "alice", publishAudio: 1);
        Member bob = await _cluster.JoinAsync("b", "bob", audioSlots: 1);
        await HearAsync(alice, "one hop", bob);
        Member carol = await _cluster.JoinAsync("c", "carol", audioSlots: 1);
        await HearAsync(alice, "two hops", carol);
        await _cluster.StopAsync("b");
        await HearAsync(alice, "the short way", carol);
        Assert.Equal(1, (await _cluster.Tree.ReadAsync(RelayTree.TrackKey(alice.TrackId()))).Depths()["c"]);
    }

    [Fact]
    public async Task Over_a_cut_link_captions_are_neither_lost_nor_doubled()
    {
        bool cut = false;
        foreach (string id in (string[])["a", "b"])
            await _cluster.StartAsync(id, o => o.Relay.Loses = (_, _) => Volatile.Read(ref cut));
        Member alice = await _cluster.JoinAsync("a", "alice", publishAudio: 1);
        Member bob = await _cluster.JoinAsync("b", "bob", audioSlots: 1);
        await HearAsync(alice, "audio", bob);
        var captions = alice.Peer.Do((rtc, now) => rtc.CreateDataChannel(now, "captions"));
        var said = new List<string>();
        for (int i = 0; i < 150; i++)
        {
            if (i == 40)
                Volatile.Write(ref cut, true);
            if (i == 110)
                Volatile.Write(ref cut, false);
            string text = $"caption {i}";
            if (i >= 10)
                said.Add(text);
            Assert.True(alice.Peer.Do((_, now) => captions.TrySend(now, System.Text.Encoding.UTF8.GetBytes(text), isText: true)));
            await Task.Delay(i < 10 ? 50 : 30);
        }

        await WaitAsync(() => bob.Peer.Do((_, _) => bob.Peer.Messages.Contains(said[^1])), "the last caption");
        Assert.Equal(said, bob.Peer.Do((_, _) => bob.Peer.Messages.SkipWhile(m => m != said[0]).ToArray()));
        Assert.True(_cluster.Nodes["b"].Relay!.Counters.LinksLost > 0);
    }

    [Fact]
    public async Task What_nobody_receives_any_more_is_given_up_and_then_the_link()
    {
        foreach (string id in (string[])["a", "b"])
        {
            await _cluster.StartAsync(id, o =>
            {
                o.Relay.TrackLinger = TimeSpan.FromMilliseconds(100);
                o.Relay.LinkLinger = TimeSpan.FromSeconds(1);
            });
        }

        Member alice = await _cluster.JoinAsync("a", "alice", publishAudio: 1);
        Member bob = await _cluster.JoinAsync("b", "bob", audioSlots: 1);
        await HearAsync(alice, "audio", bob);
        await bob.LeaveAsync();
        await WaitAsync(() => _cluster.Nodes["a"].Workers.Sum(w => w.Counters.Downtracks) == 0, "the freed slot");
        await WaitAsync(() => _cluster.Nodes["b"].Relay!.Counters.LinksOut == 0 && _cluster.Nodes["a"].Relay!.Counters.LinksIn == 0, "the closed link");
        Assert.Null((await _cluster.Tree.ReadAsync(RelayTree.TrackKey(alice.TrackId()))).Nodes.FirstOrDefault(n => n.Id == "b"));
    }

    [Fact]
    public async Task While_the_store_is_away_links_stay_and_a_new_need_goes_to_the_origin()
    {
        foreach (string id in (string[])["a", "b", "c"])
            await _cluster.StartAsync(id, o => o.Relay.MaxRelaysPerTrack = 1);
        Member alice = await _cluster.JoinAsync("a", "alice", publishAudio: 1);
        Member bob = await _cluster.JoinAsync("b", "bob", audioSlots: 1);
        await HearAsync(alice, "before", bob);
        _cluster.StoreIsAway = true;
        Member carol = await _cluster.JoinAsync("c", "carol", audioSlots: 1);
        await HearAsync(alice, "meanwhile", bob, carol);
        Assert.Equal(2, _cluster.Nodes["a"].Workers.Sum(w => w.Counters.Downtracks));
        _cluster.StoreIsAway = false;
    }

    [Fact]
    public async Task More_tracks_than_slots_are_offered_more()
    {
        await _cluster.StartAsync("a");
        await _cluster.StartAsync("b");
        Member alice = await _cluster.JoinAsync("a", "alice", publishAudio: 10);
        Member bob = await _cluster.JoinAsync("b", "bob", audioSlots: 10);
        await WaitAsync(() => bob.Assignments.Values.Count(t => t is not null) == 10, "ten tracks");
        await WaitAsync(() => _cluster.Nodes["a"].Workers.Sum(w => w.Counters.Downtracks) == 10, "ten slots");
        await HearAsync(alice, "audio", bob);
    }

    [Fact]
    public async Task A_muted_track_is_muted_there_too()
    {
        await _cluster.StartAsync("a");
        await _cluster.StartAsync("b");
        Member alice = await _cluster.JoinAsync("a", "alice", publishAudio: 1);
        Member bob = await _cluster.JoinAsync("b", "bob", audioSlots: 1);
        await HearAsync(alice, "audio", bob);
        SfuNode b = _cluster.Nodes["b"];
        await _cluster.AskAsync<SetTrackMuted, Ack>(SfuSubjects.SetMuted("a"), new SetTrackMuted(alice.Session, alice.TrackId(), true));
        await WaitAsync(() => b.RelayWorker!.InvokeAsync(_ => b.RelayWorker.FindRoom("demo")!.Publications.Single().IsMuted).Result, "muted");
        await _cluster.AskAsync<SetTrackMuted, Ack>(SfuSubjects.SetMuted("a"), new SetTrackMuted(alice.Session, alice.TrackId(), false));
        await HearAsync(alice, "audio again", bob);
    }

    [Fact]
    public async Task A_relay_without_the_clusters_key_is_refused()
    {
        await _cluster.StartAsync("a");
        await _cluster.StartAsync("plain", withKey: false);
        foreach ((string node, string ticket) in ((string, string)[])
        [
            ("a", new RelayTickets("another-key-another-key-another-key", TimeProvider.System).Issue("b", "a", "S")),
            ("a", new RelayTickets(Key, TimeProvider.System).Issue("b", "c", "S")),
            ("a", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJldmUifQ.c2lnbmF0dXJl"),
            ("plain", new RelayTickets(Key, TimeProvider.System).Issue("b", "plain", "S")),
        ])
        {
            var refused = await Assert.ThrowsAsync<BusException>(() => _cluster.AskAsync<OpenSession, Ack>(
                SfuSubjects.Open(node), new OpenSession("S", "relay:b", "b", Everything, Relay: ticket)));
            Assert.Equal(RelayTickets.Refused, refused.Code);
        }

        Assert.Equal(3, _cluster.Nodes["a"].Relay!.Counters.Refused);
        Assert.Equal((0, 0), (_cluster.Nodes["a"].SessionCount, _cluster.Nodes["a"].LinkCount));

        // An ordinary session is no relay.
        Member eve = await _cluster.JoinAsync("a", "eve", audioSlots: 1);
        var error = await Assert.ThrowsAsync<BusException>(() => _cluster.AskAsync<SetRelaySlot, Ack>(
            RelaySubjects.SetSlot("a"), new SetRelaySlot(eve.Session, "0", "demo", "TR_x")));
        Assert.Equal("bad_request", error.Code);
    }
}
