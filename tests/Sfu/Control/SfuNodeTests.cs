using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Net;
using Microsoft.Extensions.Logging.Abstractions;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.InProcess;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Cluster.Tokens;
using Transcribe.Rtc;
using Transcribe.Rtc.Media;
using Transcribe.Sfu.Control;
using Transcribe.Sfu.Tests.Simulation;
using Transcribe.Sfu.Workers;

namespace Transcribe.Sfu.Tests.Control;

/// <summary>A whole node: bus, worker threads, real UDP on loopback.</summary>
public sealed class SfuNodeTests : IAsyncLifetime
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);
    private static readonly Grants Everything = new() { Publish = true, Subscribe = true, PublishData = true };

    private readonly InProcessMessageBus _bus = new(NullLogger<InProcessMessageBus>.Instance, TimeProvider.System);
    private readonly RoomDirectory _rooms;
    private readonly NodeDirectory _nodes;
    private readonly ConcurrentQueue<(string Session, SfuSessionEvent Event)> _events = new();
    private readonly List<UdpPeer> _peers = [];
    private SfuNode _node;

    public SfuNodeTests()
    {
        var state = new InProcessStateStore(TimeProvider.System);
        _rooms = new RoomDirectory(state, new InProcessEventLog(TimeProvider.System), _bus, TimeProvider.System);
        _nodes = new NodeDirectory(state);
        _node = MakeNode(_ => { });
    }

    public async ValueTask InitializeAsync() => await _node.StartAsync(TestContext.Current.CancellationToken);

    public async ValueTask DisposeAsync()
    {
        foreach (UdpPeer peer in _peers)
            peer.Dispose();
        await _node.StopAsync(CancellationToken.None);
        _node.Dispose();
        await _bus.DisposeAsync();
    }

    private SfuNode MakeNode(Action<SfuOptions> configure)
    {
        var options = new SfuOptions { NodeId = "n1", UdpPort = 0, Workers = 2 };
        configure(options);
        return new SfuNode(options, _bus, _rooms, _nodes, TimeProvider.System, NullLogger<SfuNode>.Instance);
    }

    private async Task RestartAsync(Action<SfuOptions> configure)
    {
        await _node.StopAsync(CancellationToken.None);
        _node.Dispose();
        _node = MakeNode(configure);
        await _node.StartAsync(CancellationToken.None);
    }

    private Task<TReply> AskAsync<TRequest, TReply>(string subject, TRequest request) =>
        _bus.RequestAsync<TRequest, TReply>(subject, request, Patience).AsTask();

    private async Task OpenAsync(string session, string participant, string room = "demo", Grants? grants = null)
    {
        await _bus.SubscribeAsync<SfuSessionEvent>(SfuSubjects.SessionEvents(session), (e, _) =>
        {
            Assert.Equal("n1", e.Node);
            _events.Enqueue((session, e with { Node = null }));
            return ValueTask.CompletedTask;
        });
        await AskAsync<OpenSession, Ack>(SfuSubjects.Open("n1"), new OpenSession(session, room, participant, grants ?? Everything));
        await _rooms.JoinAsync(room, session, participant, null, true);
    }

    private async Task<(UdpPeer Peer, SessionNegotiated Answer)> ConnectAsync(
        string session, string participant, Func<RtcSession, PublishedMedia[]> prepare, string room = "demo")
    {
        await OpenAsync(session, participant, room);
        var peer = new UdpPeer();
        lock (_peers)
            _peers.Add(peer);
        (string offer, PublishedMedia[] tracks) = peer.Do((rtc, now) =>
        {
            PublishedMedia[] published = prepare(rtc);
            return (rtc.CreateOffer(now), published);
        });
        SessionNegotiated answer = await AskAsync<NegotiateSession, SessionNegotiated>(
            SfuSubjects.Negotiate("n1"), new NegotiateSession(session, offer, tracks));
        Assert.True(peer.Do((rtc, now) => rtc.TrySetRemoteAnswer(now, answer.Sdp, out _)));
        await peer.Connected.WaitAsync(Patience);
        return (peer, answer);
    }

    private static PublishedMedia[] Microphone(RtcSession rtc) =>
        [new(rtc.AddMedia(MediaKind.Audio, MediaDirection.SendOnly).Mid, TrackSource.Microphone)];

    private static PublishedMedia[] Slot(RtcSession rtc)
    {
        rtc.AddMedia(MediaKind.Audio, MediaDirection.RecvOnly);
        return [];
    }

    private static async Task WaitAsync(Func<bool> condition, string what)
    {
        DateTime end = DateTime.UtcNow + Patience;
        while (!condition())
        {
            Assert.True(DateTime.UtcNow < end, $"waited in vain for: {what}");
            await Task.Delay(10);
        }
    }

    [Fact]
    public async Task A_room_larger_than_a_workers_share_spreads_and_stays_one_room()
    {
        await RestartAsync(o => (o.Workers, o.SessionsOfRoomPerWorker) = (3, 1));
        (UdpPeer alice, _) = await ConnectAsync("s0", "alice", Microphone);
        var listeners = new List<UdpPeer>();
        for (int i = 1; i <= 5; i++)
            listeners.Add((await ConnectAsync($"s{i}", $"listener{i}", Slot)).Peer);
        Assert.Equal([2, 2, 2], _node.Workers.Select(w => w.Counters.Sessions));

        RtcMedia microphone = alice.Rtc.Media[0];
        uint timestamp = 0;
        await WaitAsync(
            () =>
            {
                alice.Do((_, now) => microphone.Send(now, [1, 2, 3], microphone.Codecs[0].PayloadType, false, timestamp += 960));
                return listeners.TrueForAll(l => l.PacketsReceived >= 20);
            },
            "audio at every listener");
        Assert.Equal(0, _node.Workers.Sum(w => w.Counters.DropsBecause(SfuDropReason.WorkerLinkFull)));

        var chat = alice.Do((rtc, now) => rtc.CreateDataChannel(now, "chat"));
        await WaitAsync(
            () =>
            {
                alice.Do((_, now) => chat.TrySend(now, "hello"u8, isText: true));
                return listeners.TrueForAll(l => l.Messages.Contains("hello"));
            },
            "data at every listener");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Media_and_data_flow_from_one_client_to_another(bool portable)
    {
        if (portable)
            await RestartAsync(o => o.PortableSockets = true);
        (UdpPeer alice, SessionNegotiated published) = await ConnectAsync("s1", "alice", Microphone);
        (UdpPeer bob, SessionNegotiated answer) = await ConnectAsync("s2", "bob", Slot);
        Assert.Equal(published.Published[0].TrackId, Assert.Single(answer.Assignments).TrackId);

        RtcMedia microphone = alice.Rtc.Media[0];
        uint timestamp = 123_456;
        await WaitAsync(
            () =>
            {
                alice.Do((_, now) => microphone.Send(now, [1, 2, 3], microphone.Codecs[0].PayloadType, false, timestamp += 960));
                return bob.PacketsReceived >= 20;
            },
            "audio");
        Assert.Equal(0u, (bob.LastTimestamp - 123_456) % 960);

        var chat = alice.Do((rtc, now) => rtc.CreateDataChannel(now, "chat"));
        await WaitAsync(
            () =>
            {
                alice.Do((_, now) => chat.TrySend(now, "hello"u8, isText: true));
                return bob.Messages.Contains("hello");
            },
            "data");

        TrackInfo track = Assert.Single((await _rooms.GetSnapshotAsync("demo")).Participants.Single(p => p.Id == "alice").Tracks);
        Assert.Equal((published.Published[0].TrackId, "n1", (uint?)microphone.LocalSsrc), (track.Id, track.Node, track.Ssrc));
        Assert.Contains(_events, e => e is { Session: "s1", Event: SessionConnected });
    }

    [Fact]
    public async Task A_storm_of_joins_costs_a_running_call_no_packet()
    {
        const int joins = 40;
        (UdpPeer alice, _) = await ConnectAsync("s1", "alice", Microphone);
        (UdpPeer bob, _) = await ConnectAsync("s2", "bob", Slot);
        RtcMedia microphone = alice.Rtc.Media[0];
        await WaitAsync(() => Speak() && bob.PacketsReceived > 0, "audio");
        await Task.Delay(100);
        int before = bob.PacketsReceived;

        // All at once, into the same room, on the worker that forwards.
        Task<(UdpPeer Peer, SessionNegotiated Answer)>[] storm =
            [.. Enumerable.Range(0, joins).Select(i => Task.Run(() => ConnectAsync($"j{i}", $"guest{i}", Slot)))];
        Task all = Task.WhenAll(storm);
        int spoken = 0;
        while (!all.IsCompleted || spoken < 50)
        {
            Assert.True(Speak());
            spoken++;
            await Task.Delay(5);
        }

        await all;
        await WaitAsync(() => bob.PacketsReceived - before >= spoken, "every packet");
        Assert.Equal(spoken, bob.PacketsReceived - before);
        Assert.Equal(joins + 2, _node.SessionCount);

        bool Speak() => alice.Do((_, now) => microphone.Send(now, [1, 2, 3], microphone.Codecs[0].PayloadType, false, 960));
    }

    [Fact]
    public async Task Closing_a_session_ends_it_at_the_client_and_in_the_room()
    {
        (UdpPeer alice, _) = await ConnectAsync("s1", "alice", Microphone);
        await ConnectAsync("s2", "bob", Slot);
        await AskAsync<CloseSession, Ack>(SfuSubjects.Close("n1"), new CloseSession("s1", "removed"));
        await WaitAsync(() => alice.State == RtcSessionState.Closed, "the goodbye");
        await WaitAsync(() => _events.Contains(("s1", new SessionClosed("removed"))), "the event");
        await WaitAsync(() => _node.SessionCount == 1, "the table");
        Assert.Empty((await _rooms.GetSnapshotAsync("demo")).Participants.Single(p => p.Id == "alice").Tracks);
        await WaitAsync(() => _events.Any(e => e.Session == "s2" && e.Event is SessionAssigned), "the freed slot");

        // Twice is once.
        await AskAsync<CloseSession, Ack>(SfuSubjects.Close("n1"), new CloseSession("s1", "removed"));
    }

    [Fact]
    public async Task A_session_is_described_as_its_events_told_it()
    {
        (_, SessionNegotiated alice) = await ConnectAsync("s1", "alice", Microphone);
        (_, SessionNegotiated bob) = await ConnectAsync("s2", "bob", Slot);
        await ConnectAsync("s3", "carol", Microphone);
        await WaitAsync(() => _events.Contains(("s2", new SessionNeedsMedia(1, 0))), "the wish for a slot");
        SessionDescription published = await AskAsync<DescribeSession, SessionDescription>(SfuSubjects.Describe("n1"), new DescribeSession("s1"));
        Assert.True(published.Connected);
        Assert.Equal(alice.Published, published.Published);
        SessionDescription receives = await AskAsync<DescribeSession, SessionDescription>(SfuSubjects.Describe("n1"), new DescribeSession("s2"));
        Assert.Equal(bob.Assignments, receives.Assignments);
        Assert.Equal(new SessionNeedsMedia(1, 0), receives.NeedsMedia);
    }

    [Fact]
    public async Task Muting_is_told_to_the_room()
    {
        (_, SessionNegotiated answer) = await ConnectAsync("s1", "alice", Microphone);
        string track = answer.Published[0].TrackId;
        await AskAsync<SetTrackMuted, Ack>(SfuSubjects.SetMuted("n1"), new SetTrackMuted("s1", track, true));
        await WaitAsync(
            () => _rooms.GetSnapshotAsync("demo").AsTask().Result.Participants[0].Tracks is [{ Muted: true }], "the muted track");
        var e = await Assert.ThrowsAsync<BusException>(
            () => AskAsync<SetTrackMuted, Ack>(SfuSubjects.SetMuted("n1"), new SetTrackMuted("s1", "TR_no", true)));
        Assert.Equal("bad_request", e.Code);
    }

    [Fact]
    public async Task Requests_for_unknown_sessions_say_so()
    {
        foreach (Func<Task> ask in new Func<Task>[]
        {
            () => AskAsync<NegotiateSession, SessionNegotiated>(SfuSubjects.Negotiate("n1"), new NegotiateSession("no", "v=0", [])),
            () => AskAsync<AddSessionCandidate, Ack>(SfuSubjects.AddCandidate("n1"), new AddSessionCandidate("no", null)),
            () => AskAsync<SetSubscription, Ack>(SfuSubjects.Subscribe("n1"), new SetSubscription("no", "TR_1", true)),
            () => AskAsync<SetTrackMuted, Ack>(SfuSubjects.SetMuted("n1"), new SetTrackMuted("no", "TR_1", true)),
            () => AskAsync<DescribeSession, SessionDescription>(SfuSubjects.Describe("n1"), new DescribeSession("no")),
        })
        {
            Assert.Equal("session_not_found", (await Assert.ThrowsAsync<BusException>(ask)).Code);
        }

        await AskAsync<CloseSession, Ack>(SfuSubjects.Close("n1"), new CloseSession("no", "left"));
    }

    [Fact]
    public async Task Refusals_carry_their_codes()
    {
        await OpenAsync("s1", "viewer", grants: new Grants { Subscribe = true });
        await OpenAsync("s1", "viewer", grants: new Grants { Subscribe = true });
        Assert.Equal(1, _node.SessionCount);
        var granted = await Assert.ThrowsAsync<BusException>(() => AskAsync<NegotiateSession, SessionNegotiated>(
            SfuSubjects.Negotiate("n1"), new NegotiateSession("s1", "v=0", [new PublishedMedia("0", TrackSource.Microphone)])));
        Assert.Equal("not_granted", granted.Code);
        var invalid = await Assert.ThrowsAsync<BusException>(() => AskAsync<NegotiateSession, SessionNegotiated>(
            SfuSubjects.Negotiate("n1"), new NegotiateSession("s1", "v=0", [])));
        Assert.Equal("sdp_invalid", invalid.Code);
    }

    [Fact]
    public async Task A_draining_node_takes_no_new_session_until_the_order_is_withdrawn_and_keeps_those_it_has()
    {
        await OpenAsync("s1", "alice");
        await SetStateAsync(NodeState.Draining);
        Assert.Equal(OpenSession.NodeDraining, (await Assert.ThrowsAsync<BusException>(() => OpenAsync("s2", "bob"))).Code);
        await AskAsync<OpenSession, Ack>(SfuSubjects.Open("n1"), new OpenSession("s1", "demo", "alice", Everything));
        await AskAsync<DescribeSession, SessionDescription>(SfuSubjects.Describe("n1"), new DescribeSession("s1"));
        Assert.Equal(1, _node.SessionCount);

        await SetStateAsync(NodeState.Active);
        await OpenAsync("s2", "bob");
        Assert.Equal(2, _node.SessionCount);

        async Task SetStateAsync(NodeState state) =>
            Assert.Equal(state, (await AskAsync<SetNodeState, Pong>(NodeSubjects.State(NodeRole.Sfu, "n1"), new SetNodeState(state))).State);
    }

    [Fact]
    public async Task A_room_on_several_workers_counts_once()
    {
        await RestartAsync(o => (o.Workers, o.SessionsOfRoomPerWorker) = (2, 1));
        foreach (int i in Enumerable.Range(0, 4))
            await OpenAsync($"s{i}", $"p{i}");
        await OpenAsync("s4", "p4", "other");
        Assert.True(_node.Workers.Sum(worker => worker.Counters.Rooms) > 2);
        await RepeatAsync(node => (node.Rooms, node.Load) == (2, 5), "two rooms");
        await AskAsync<CloseSession, Ack>(SfuSubjects.Close("n1"), new CloseSession("s4", "left"));
        await RepeatAsync(node => (node.Rooms, node.Load) == (1, 4), "one room");

        // The announcement comes every few seconds; an order makes the node announce itself at once.
        async Task RepeatAsync(Func<NodeInfo, bool> holds, string what)
        {
            for (int i = 0; ; i++)
            {
                await AskAsync<SetNodeState, Pong>(NodeSubjects.State(NodeRole.Sfu, "n1"), new SetNodeState(NodeState.Active));
                NodeInfo node = Assert.Single(await _nodes.ListAsync(NodeRole.Sfu));
                if (holds(node))
                    return;
                Assert.True(i < 200, $"{what}: {node}");
                await Task.Delay(20);
            }
        }
    }

    [Fact]
    public async Task A_full_node_and_a_full_room_say_so()
    {
        await RestartAsync(o => o.Limits = new SfuLimits { MaxSessions = 3, MaxSessionsPerRoom = 2 });
        await OpenAsync("s1", "a");
        await OpenAsync("s2", "b");
        Assert.Equal("room_full", (await Assert.ThrowsAsync<BusException>(() => OpenAsync("s3", "c"))).Code);
        await OpenAsync("s4", "d", "other");
        Assert.Equal("room_full", (await Assert.ThrowsAsync<BusException>(() => OpenAsync("s5", "e", "third"))).Code);
    }

    [Fact]
    public async Task Stopping_closes_every_session_and_forgets_the_node()
    {
        (UdpPeer alice, _) = await ConnectAsync("s1", "alice", Microphone);
        Assert.Single(await _nodes.ListAsync(NodeRole.Sfu));
        await _node.StopAsync(CancellationToken.None);
        await WaitAsync(() => alice.State == RtcSessionState.Closed, "the goodbye");
        await WaitAsync(() => _events.Contains(("s1", new SessionClosed("nodeShutdown"))), "the event");
        Assert.Empty(await _nodes.ListAsync(NodeRole.Sfu));
        Assert.Equal(0, _node.SessionCount);
        Assert.Equal(
            BusException.NoResponder,
            (await Assert.ThrowsAsync<BusException>(() => AskAsync<CloseSession, Ack>(SfuSubjects.Close("n1"), new CloseSession("s1", "left")))).Code);
    }

    [Fact]
    public async Task Garbage_from_the_network_is_counted_in_the_metrics()
    {
        long drops = 0;
        using var listener = new MeterListener();
        listener.InstrumentPublished = (instrument, l) =>
        {
            if (instrument.Name == "transcribe.sfu.drops")
                l.EnableMeasurementEvents(instrument);
        };
        listener.SetMeasurementEventCallback<long>((_, value, tags, _) =>
        {
            if (tags.ToArray().Contains(new KeyValuePair<string, object?>("reason", "unknownSource")))
                Interlocked.Add(ref drops, value);
        });
        listener.Start();
        using var stranger = new UdpPeer();
        foreach (int port in _node.UdpPorts)
            stranger.SendRaw([0x80, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], new IPEndPoint(IPAddress.Loopback, port));
        await WaitAsync(
            () =>
            {
                Interlocked.Exchange(ref drops, 0);
                listener.RecordObservableInstruments();
                return Interlocked.Read(ref drops) >= _node.UdpPorts.Count;
            },
            "counted drops");
    }

    [Fact]
    public async Task A_port_in_use_stops_the_start_with_a_sentence()
    {
        using SfuNode second = MakeNode(o =>
        {
            o.UdpPort = _node.UdpPorts[0];
            o.Workers = 1;
        });
        var e = await Assert.ThrowsAsync<IOException>(() => second.StartAsync(CancellationToken.None));
        Assert.Contains("in use", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_last_seconds_of_a_voice_are_kept_while_its_room_is_transcribed()
    {
        (UdpPeer alice, SessionNegotiated published) = await ConnectAsync("s1", "alice", Microphone);
        string track = published.Published[0].TrackId;
        RtcMedia microphone = alice.Rtc.Media[0];
        uint timestamp = 1000;
        Speak();
        await Task.Delay(200, TestContext.Current.CancellationToken);
        Assert.Equal("track_not_found", (await Assert.ThrowsAsync<BusException>(ReadAsync)).Code);

        await _rooms.SetTranscriptionAsync("demo", true, "auto", "en");
        await WaitAsync(() => _node.Workers.Any(w => w.IsTranscribed("demo")), "the setting");
        await Task.Delay(100, TestContext.Current.CancellationToken);
        uint first = timestamp + 960;
        for (int i = 0; i < 20; i++)
            Speak();
        TrackHistory history = await ReadAsync();
        for (int i = 0; i < 200 && history.Packets.Count < 20; i++)
        {
            await Task.Delay(10, TestContext.Current.CancellationToken);
            history = await ReadAsync();
        }

        Assert.Equal((track, "opus", 48000), (history.TrackId, history.Codec, history.ClockRate));
        Assert.Equal(Enumerable.Range(0, 20).Select(i => first + (uint)(i * 960)), history.Packets.Select(packet => packet.Timestamp));
        Assert.All(history.Packets, packet => Assert.Equal([1, 2, 3], packet.Payload));
        Assert.Equal(5, (await AskAsync<ReadHistory, TrackHistory>(SfuSubjects.History("n1"), new(track, first + (15 * 960)))).Packets.Count);

        await AskAsync<SetTrackMuted, Ack>(SfuSubjects.SetMuted("n1"), new("s1", track, true));
        Assert.Empty((await ReadAsync()).Packets);
        await _rooms.SetTranscriptionAsync("demo", false, "auto", "en");
        await WaitAsync(() => !_node.Workers.Any(w => w.IsTranscribed("demo")), "the setting");
        await Task.Delay(100, TestContext.Current.CancellationToken);
        Assert.Equal("track_not_found", (await Assert.ThrowsAsync<BusException>(ReadAsync)).Code);

        Task<TrackHistory> ReadAsync() => AskAsync<ReadHistory, TrackHistory>(SfuSubjects.History("n1"), new(track));

        void Speak() => alice.Do((_, now) => microphone.Send(now, [1, 2, 3], microphone.Codecs[0].PayloadType, false, timestamp += 960));
    }
}
