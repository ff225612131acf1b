using System.Text;
using Transcribe.Cluster.Rooms;
using Transcribe.Rtc;
using Transcribe.Rtc.Media;
using Transcribe.Rtc.Sctp;
using Transcribe.Sfu.Control;
using Transcribe.Sfu.Tests.Simulation;
using Transcribe.Sfu.Workers;

namespace Transcribe.Sfu.Tests.Workers;

/// <summary>A room whose sessions live on several workers is one room.</summary>
public sealed class CrossWorkerTests
{
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(20);

    [Fact]
    public void Packets_reach_the_receivers_on_every_worker_with_their_audio_timestamps()
    {
        using var world = new SfuWorld(workers: 3);
        TestPeer alice = world.Connect("alice", p => p.Publish(MediaKind.Audio), worker: 0);
        TestPeer[] viewers = [.. Enumerable.Range(0, 6).Select(i => world.Connect($"viewer{i}", p => p.AddSlot(MediaKind.Audio), worker: i % 3))];
        for (uint i = 1; i <= 20; i++)
        {
            alice.SendAudio(alice.Rtc.Media[0], i * 960, level: 20);
            world.Run(Tick);
        }

        foreach (TestPeer viewer in viewers)
        {
            Assert.Equal(Enumerable.Range(1, 20).Select(i => (uint)i * 960), viewer.Packets.Select(p => p.Timestamp));
            Assert.All(viewer.Packets.Zip(viewer.Packets.Skip(1)), pair => Assert.Equal((ushort)(pair.First.SequenceNumber + 1), pair.Second.SequenceNumber));
            Assert.All(viewer.Packets, p => Assert.Equal((byte?)20, p.Level));
        }
    }

    [Fact]
    public void Those_who_come_first_get_the_tracks_of_those_who_come_later_and_the_other_way_round()
    {
        using var world = new SfuWorld(workers: 2);
        TestPeer early = world.Connect("early", p => p.AddSlot(MediaKind.Audio), worker: 1);
        TestPeer alice = world.Connect("alice", p => p.Publish(MediaKind.Audio), worker: 0);
        world.Settle();
        TestPeer late = world.Connect("late", p => p.AddSlot(MediaKind.Audio), worker: 1);
        string track = alice.TrackIdOf(alice.Rtc.Media[0]);
        Assert.Equal(track, early.TrackAt(early.Rtc.Media[0].Mid));
        Assert.Equal(track, late.TrackAt(late.Rtc.Media[0].Mid));
        Assert.Single(world.Announced);
    }

    [Fact]
    public void A_track_crosses_only_while_somebody_over_there_receives_it()
    {
        using var world = new SfuWorld(workers: 2);
        TestPeer alice = world.Connect("alice", p => p.Publish(MediaKind.Audio), worker: 0);
        TestPeer bob = world.Connect("bob", worker: 1);
        Assert.Equal(0, world.Workers[1].ChannelCount);
        TestPeer carol = world.Connect("carol", p => p.AddSlot(MediaKind.Audio), worker: 1);
        world.Settle();
        Assert.Equal(1, world.Workers[1].ChannelCount);
        world.Workers[1].CloseSession(carol.Session, "left");
        world.Settle();
        Assert.Equal(0, world.Workers[1].ChannelCount);
        alice.SendAudio(alice.Rtc.Media[0], 960);
        world.Settle();
        Assert.Equal(RtcSessionState.Connected, bob.Rtc.State);
        Assert.True(world.Workers[0].LinkTo(world.Workers[1]).Ring.IsEmpty);
    }

    [Fact]
    public void Video_begins_with_a_keyframe_that_the_publisher_was_asked_for()
    {
        using var world = new SfuWorld(workers: 2);
        TestPeer alice = world.Connect("alice", p => p.Publish(MediaKind.Video), worker: 0);
        RtcMedia camera = alice.Rtc.Media[0];
        TestPeer bob = world.Connect("bob", p => p.AddSlot(MediaKind.Video), worker: 1);
        Assert.True(alice.KeyframeRequests > 0);
        alice.SendVideo(camera, 3000, keyframe: false);
        world.Run(Tick);
        Assert.Empty(bob.Packets);
        alice.SendVideo(camera, 6000, keyframe: true);
        alice.SendVideo(camera, 9000, keyframe: false);
        world.Run(Tick);
        Assert.Equal(2, bob.Packets.Count);
        int asked = alice.KeyframeRequests;
        world.Run(TimeSpan.FromSeconds(1));
        bob.Rtc.Media[0].RequestKeyframe(world.Now);
        world.Run(TimeSpan.FromSeconds(1));
        Assert.True(alice.KeyframeRequests > asked);
    }

    [Fact]
    public void What_a_receiver_on_another_worker_loses_is_sent_again_from_there()
    {
        using var world = new SfuWorld(workers: 2);
        TestPeer alice = world.Connect("alice", p => p.Publish(MediaKind.Video), worker: 0);
        TestPeer bob = world.Connect("bob", p => p.AddSlot(MediaKind.Video), worker: 1);
        var random = new Random(5);
        world.LoseToPeer = (peer, bytes) => ReferenceEquals(peer, bob) && bytes[0] >= 128 && random.Next(5) == 0;
        for (uint i = 0; i < 200; i++)
        {
            alice.SendVideo(alice.Rtc.Media[0], 3000 * (i + 1), keyframe: i % 50 == 0, (byte)i);
            world.Run(Tick);
        }

        world.LoseToPeer = (_, _) => false;
        alice.SendVideo(alice.Rtc.Media[0], 3000 * 201, keyframe: false);
        world.Run(TimeSpan.FromSeconds(2));
        Assert.True(world.Workers[1].Counters.PacketsRetransmitted > 10);
        Assert.Equal(0, world.Workers[0].Counters.PacketsRetransmitted);
        Assert.InRange(bob.Packets.Select(p => p.SequenceNumber).Distinct().Count(), 199, 201);
    }

    [Fact]
    public void Sender_reports_keep_the_publishers_clock()
    {
        using var world = new SfuWorld(workers: 2);
        TestPeer alice = world.Connect("alice", p => p.Publish(MediaKind.Audio), worker: 0);
        TestPeer near = world.Connect("near", p => p.AddSlot(MediaKind.Audio), worker: 0);
        TestPeer far = world.Connect("far", p => p.AddSlot(MediaKind.Audio), worker: 1);
        for (uint i = 1; i <= 500; i++)
        {
            alice.SendAudio(alice.Rtc.Media[0], i * 960);
            world.Run(Tick);
        }

        var here = near.SenderReports[^1].Report;
        var there = far.SenderReports[^1].Report;
        double ntp = (there.Ntp.ToDateTimeOffset() - here.Ntp.ToDateTimeOffset()).TotalSeconds;
        double rtp = (int)(there.RtpTimestamp - here.RtpTimestamp) / 48_000.0;
        Assert.InRange(ntp - rtp, -0.001, 0.001);
    }

    [Fact]
    public void Mute_leave_and_come_back_are_seen_everywhere()
    {
        using var world = new SfuWorld(workers: 2);
        TestPeer alice = world.Connect("alice", p => p.Publish(MediaKind.Audio), worker: 0);
        TestPeer bob = world.Connect("bob", p => p.AddSlot(MediaKind.Audio), worker: 1);
        RtcMedia microphone = alice.Rtc.Media[0];
        alice.Session.SetMuted(alice.TrackIdOf(microphone), true);
        world.Settle();
        alice.SendAudio(microphone, 960);
        world.Run(Tick);
        Assert.Empty(bob.Packets);
        alice.Session.SetMuted(alice.TrackIdOf(microphone), false);
        alice.SendAudio(microphone, 1920);
        world.Run(Tick);
        Assert.Single(bob.Packets);

        world.Workers[0].CloseSession(alice.Session, "left");
        world.Settle();
        Assert.Null(bob.TrackAt(bob.Rtc.Media[0].Mid));
        TestPeer again = world.Connect("alice", p => p.Publish(MediaKind.Audio), worker: 0);
        world.Settle();
        Assert.Equal(again.TrackIdOf(again.Rtc.Media[0]), bob.TrackAt(bob.Rtc.Media[0].Mid));
        again.SendAudio(again.Rtc.Media[0], 2880);
        world.Run(Tick);
        Assert.Equal(2, bob.Packets.Count);
    }

    [Fact]
    public void Messages_cross_in_order_and_reach_everybody_once()
    {
        using var world = new SfuWorld(workers: 3);
        TestPeer alice = world.Connect("alice", worker: 0);
        TestPeer[] others = [.. Enumerable.Range(0, 5).Select(i => world.Connect($"p{i}", worker: i % 3))];
        RtcDataChannel chat = alice.Rtc.CreateDataChannel(world.Now, "chat");
        world.Settle();
        for (int i = 0; i < 50; i++)
            chat.TrySend(world.Now, Encoding.UTF8.GetBytes($"message {i}"), isText: true);
        world.Run(TimeSpan.FromSeconds(1));
        Assert.All(others, p => Assert.Equal(Enumerable.Range(0, 50).Select(i => ("chat", $"message {i}")), p.Messages));
        Assert.Empty(alice.Messages);
    }

    [Fact]
    public void A_worker_that_lags_loses_packets_that_are_counted_and_delays_nobody_else()
    {
        using var world = new SfuWorld(new SfuLimits { WorkerLinkBytes = 65_536 }, workers: 2);
        TestPeer alice = world.Connect("alice", p => p.Publish(MediaKind.Audio), worker: 0);
        TestPeer near = world.Connect("near", p => p.AddSlot(MediaKind.Audio), worker: 0);
        TestPeer far = world.Connect("far", p => p.AddSlot(MediaKind.Audio), worker: 1);
        world.Settle();
        world.Runs = worker => worker.Index == 0;
        for (uint i = 1; i <= 1000; i++)
        {
            alice.SendAudio(alice.Rtc.Media[0], i * 960, payload: new byte[100]);
            world.Settle();
        }

        Assert.Equal(1000, near.Packets.Count);
        long dropped = world.Worker.Counters.DropsBecause(SfuDropReason.WorkerLinkFull);
        Assert.InRange(dropped, 1, 999);
        world.Runs = _ => true;
        world.Settle();
        Assert.Equal(1000 - dropped, far.Packets.Count);
    }

    [Fact]
    public void A_full_command_queue_delays_what_a_worker_must_know_and_loses_none_of_it()
    {
        using var world = new SfuWorld(new SfuLimits { MaxCommands = 64 }, workers: 2);
        TestPeer bob = world.Connect("bob", p => p.AddSlot(MediaKind.Audio), worker: 1);
        world.Runs = worker => worker.Index == 0;
        for (int i = 0; i < 64; i++)
            Assert.True(world.Workers[1].TryPost((_, _) => { }, null));
        TestPeer alice = world.Connect("alice", p => p.Publish(MediaKind.Audio), worker: 0);
        Assert.True(world.Worker.LinkTo(world.Workers[1]).Waiting > 0);
        world.Runs = _ => true;
        world.Run(Tick);
        alice.SendAudio(alice.Rtc.Media[0], 960);
        world.Run(Tick);
        Assert.Single(bob.Packets);
    }

    [Fact]
    public void When_a_rooms_last_session_leaves_nothing_of_it_stays_on_any_worker()
    {
        using var world = new SfuWorld(workers: 2);
        TestPeer alice = world.Connect("alice", p => p.Publish(MediaKind.Audio), worker: 0);
        TestPeer bob = world.Connect("bob", p => p.AddSlot(MediaKind.Audio), worker: 1);
        world.Workers[1].CloseSession(bob.Session, "left");
        world.Settle();
        Assert.Equal(0, world.Workers[1].Counters.Publications);
        Assert.Empty(alice.Session.Room.Peers);
        world.Workers[0].CloseSession(alice.Session, "left");
        world.Settle();
        foreach (SfuWorker worker in world.Workers)
        {
            WorkerCounters counters = worker.Counters;
            Assert.Equal((0, 0, 0, 0, 0), (counters.Sessions, counters.Rooms, counters.Publications, counters.Downtracks, worker.ChannelCount));
        }
    }

    [Fact]
    public void Joins_and_leaves_in_any_order_leave_everybody_with_everybodys_tracks()
    {
        var random = new Random(11);
        for (int round = 0; round < 10; round++)
        {
            using var world = new SfuWorld(workers: 3);
            var present = new List<TestPeer>();
            for (int i = 0; i < 25; i++)
            {
                world.Runs = worker => worker.Index == 0 || random.Next(2) == 0;
                if (present.Count > 0 && random.Next(3) == 0)
                {
                    TestPeer leaver = present[random.Next(present.Count)];
                    present.Remove(leaver);
                    leaver.Session.Worker.CloseSession(leaver.Session, "left");
                }
                else
                {
                    TestPeer peer = world.Join($"p{round}-{i}", worker: random.Next(3));
                    peer.Publish(MediaKind.Audio);
                    for (int slot = 0; slot < 25; slot++)
                        peer.AddSlot(MediaKind.Audio);
                    peer.Negotiate();
                    present.Add(peer);
                }
            }

            world.Runs = _ => true;
            world.Run(TimeSpan.FromMilliseconds(50));
            string[] all = [.. present.Select(p => p.Session.Publications.Single().TrackId).Order()];
            foreach (TestPeer peer in present)
            {
                Assert.Equal(
                    all.Where(id => id != peer.Session.Publications.Single().TrackId),
                    peer.Session.Slots.Where(s => s.Source is not null).Select(s => s.Source!.TrackId).Order());
            }
        }
    }

    [Fact]
    public void Forwarding_across_workers_allocates_nothing_on_either()
    {
        using var world = new SfuWorld(workers: 2);
        TestPeer alice = world.Connect("alice", p => p.Publish(MediaKind.Video), worker: 0);
        for (int i = 0; i < 6; i++)
            world.Connect($"viewer{i}", p => p.AddSlot(MediaKind.Video), worker: i % 2);
        world.Settle();
        RtcMedia camera = alice.Rtc.Media[0];
        uint timestamp = 3000;
        alice.SendVideo(camera, timestamp, keyframe: true);
        world.Settle();

        // The virtual sockets allocate, the workers must not: measure without them.
        long Round()
        {
            alice.SendVideo(camera, timestamp += 3000, keyframe: false);
            alice.Flush();
            world.SocketOf(alice).Discard = world.SocketAt(1).Discard = true;
            long before = GC.GetAllocatedBytesForCurrentThread();
            world.Workers[0].RunOnce(TimeSpan.Zero);
            world.Workers[1].RunOnce(TimeSpan.Zero);
            return GC.GetAllocatedBytesForCurrentThread() - before;
        }

        for (int i = 0; i < 300; i++)
            Round();
        long allocated = 0;
        for (int i = 0; i < 200; i++)
            allocated += Round();
        Assert.Equal(0, allocated);
        Assert.True(world.Workers[0].Counters.PacketsForwarded >= 1500);
        Assert.True(world.Workers[1].Counters.PacketsForwarded >= 1500);
    }
}
