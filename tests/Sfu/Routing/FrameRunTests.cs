using Transcribe.Rtc;
using Transcribe.Rtc.Media;
using Transcribe.Sfu.Tests.Simulation;
using Transcribe.Sfu.Workers;

namespace Transcribe.Sfu.Tests.Routing;

/// <summary>Which packets leave together, in which order, and how long they may wait for one another.</summary>
public sealed class FrameRunTests
{
    private static readonly TimeSpan Frame = TimeSpan.FromMilliseconds(20);

    private static (TestPeer Peer, RtcMedia Camera, RtcMedia Microphone) Publisher(SfuWorld world)
    {
        (RtcMedia? camera, RtcMedia? microphone) = (null, null);
        TestPeer peer = world.Connect("alice", p => (camera, microphone) = (p.Publish(MediaKind.Video), p.Publish(MediaKind.Audio)));
        return (peer, camera!, microphone!);
    }

    private static List<TestPeer> Viewers(SfuWorld world, int count) =>
    [
        .. Enumerable.Range(0, count).Select(i => world.Connect($"viewer{i}", p =>
        {
            p.AddSlot(MediaKind.Video);
            p.AddSlot(MediaKind.Audio);
        }))
    ];

    /// <summary>A keyframe, so that every viewer's picture has started.</summary>
    private static void Begin(SfuWorld world, TestPeer alice, RtcMedia camera)
    {
        alice.SendVideo(camera, 1, keyframe: true);
        world.Run(Frame);
        world.Socket.Outbox.Clear();
    }

    private static void Packet(SfuWorld world, TestPeer alice, RtcMedia camera, uint timestamp, bool marker)
    {
        Assert.True(camera.Send(world.Now, [0x10, 0x11, 0, 0, 7], camera.Codecs[0].PayloadType, marker, timestamp));
        alice.Flush();
    }

    private static List<TransportAddress> Sent(SfuWorld world) => [.. world.Socket.Outbox.Where(d => IsRtp(d.Bytes)).Select(d => d.To)];

    private static bool IsRtp(byte[] datagram) => datagram[0] >> 6 == 2 && datagram[1] is < 192 or > 223;

    [Fact]
    public void A_frame_leaves_in_one_piece_for_each_subscriber()
    {
        using var world = new SfuWorld();
        (TestPeer alice, RtcMedia camera, _) = Publisher(world);
        List<TestPeer> viewers = Viewers(world, 5);
        Begin(world, alice, camera);
        for (int i = 0; i < 6; i++)
            Packet(world, alice, camera, 3000, marker: i == 5);
        world.Worker.RunOnce(TimeSpan.Zero);

        List<TransportAddress> sent = Sent(world);
        Assert.Equal(30, sent.Count);
        Assert.All(sent.Chunk(6), piece => Assert.Single(piece.Distinct()));
        Assert.Equal(viewers.Select(v => v.Address).ToHashSet(), sent.ToHashSet());
    }

    [Fact]
    public void An_incomplete_frame_waits_for_its_rest()
    {
        using var world = new SfuWorld();
        (TestPeer alice, RtcMedia camera, _) = Publisher(world);
        List<TestPeer> viewers = Viewers(world, 5);
        Begin(world, alice, camera);
        Packet(world, alice, camera, 3000, marker: false);
        world.Worker.RunOnce(TimeSpan.Zero);
        Packet(world, alice, camera, 3000, marker: false);
        world.Worker.RunOnce(TimeSpan.Zero);
        Assert.Empty(Sent(world));

        Packet(world, alice, camera, 3000, marker: true);
        world.Worker.RunOnce(TimeSpan.Zero);
        List<TransportAddress> sent = Sent(world);
        Assert.Equal(15, sent.Count);
        Assert.All(sent.Chunk(3), piece => Assert.Single(piece.Distinct()));
        world.Run(Frame);
        Assert.All(viewers, v => Assert.Equal([1u, 3000u, 3000u, 3000u], v.Packets.Select(p => p.Timestamp)));
        Assert.All(viewers, v => Assert.Equal([0x10, 0x11, 0, 0, 7], v.Packets[^2].Payload));
    }

    [Fact]
    public void No_packet_waits_as_long_as_a_millisecond()
    {
        using var world = new SfuWorld();
        (TestPeer alice, RtcMedia camera, _) = Publisher(world);
        Viewers(world, 5);
        Begin(world, alice, camera);
        Packet(world, alice, camera, 3000, marker: false);
        world.Worker.RunOnce(TimeSpan.Zero);
        Assert.Empty(Sent(world));
        world.Clock.Advance(TimeSpan.FromMilliseconds(0.6));
        world.Worker.RunOnce(TimeSpan.Zero);
        Assert.Equal(5, Sent(world).Count);
    }

    [Fact]
    public void For_few_subscribers_nothing_waits()
    {
        using var world = new SfuWorld();
        (TestPeer alice, RtcMedia camera, _) = Publisher(world);
        Viewers(world, 2);
        Begin(world, alice, camera);
        Packet(world, alice, camera, 3000, marker: false);
        world.Worker.RunOnce(TimeSpan.Zero);
        Assert.Equal(2, Sent(world).Count);
    }

    [Fact]
    public void Audio_is_not_held_back_by_video_that_came_before_it()
    {
        using var world = new SfuWorld();
        (TestPeer alice, RtcMedia camera, RtcMedia microphone) = Publisher(world);
        List<TestPeer> viewers = Viewers(world, 5);
        alice.SendAudio(microphone, 1);
        Begin(world, alice, camera);
        Packet(world, alice, camera, 3000, marker: false);
        alice.SendAudio(microphone, 960);
        alice.Flush();
        world.Worker.RunOnce(TimeSpan.Zero);
        Assert.Equal(5, Sent(world).Count);
        world.Socket.Outbox.Clear();

        // In one batch, audio is first although the frame is complete.
        Packet(world, alice, camera, 3000, marker: true);
        alice.SendAudio(microphone, 1920, payload: [1]);
        alice.Flush();
        world.Worker.RunOnce(TimeSpan.Zero);
        foreach (TestPeer viewer in viewers)
        {
            int[] lengths = [.. world.Socket.Outbox.Where(d => d.To == viewer.Address && IsRtp(d.Bytes)).Select(d => d.Bytes.Length)];
            Assert.Equal(3, lengths.Length);
            Assert.Equal(lengths.Min(), lengths[0]);
        }
    }

    [Fact]
    public void A_track_that_ends_or_is_muted_while_packets_wait_takes_them_along()
    {
        using var world = new SfuWorld();
        (TestPeer alice, RtcMedia camera, _) = Publisher(world);
        Viewers(world, 5);
        Begin(world, alice, camera);
        Packet(world, alice, camera, 3000, marker: false);
        world.Worker.RunOnce(TimeSpan.Zero);
        Assert.True(alice.Session.SetMuted(alice.TrackIdOf(camera), true));
        world.Clock.Advance(TimeSpan.FromMilliseconds(1));
        world.Worker.RunOnce(TimeSpan.Zero);
        Assert.Empty(Sent(world));

        Assert.True(alice.Session.SetMuted(alice.TrackIdOf(camera), false));
        Begin(world, alice, camera);
        Packet(world, alice, camera, 6000, marker: false);
        world.Worker.RunOnce(TimeSpan.Zero);
        world.Worker.CloseSession(alice.Session, "left");
        world.Socket.Outbox.Clear();
        world.Clock.Advance(TimeSpan.FromMilliseconds(1));
        world.Worker.RunOnce(TimeSpan.Zero);
        Assert.Empty(Sent(world));
        Assert.Equal(0, world.Worker.Counters.SessionFaults);
    }

    [Fact]
    public void Video_with_repair_held_frames_and_reports_allocates_nothing_on_the_worker()
    {
        using var world = new SfuWorld();
        (TestPeer alice, RtcMedia camera, RtcMedia microphone) = Publisher(world);
        List<TestPeer> viewers = Viewers(world, 6);
        Begin(world, alice, camera);
        uint timestamp = 10_000;
        int round = 0;

        // The peers and the virtual socket allocate, the worker must not: only those of its turns are measured whose datagrams go nowhere.
        long Turn()
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            world.Worker.RunOnce(TimeSpan.Zero);
            return world.Socket.Discard ? GC.GetAllocatedBytesForCurrentThread() - before : 0;
        }

        long Round()
        {
            long allocated = 0;
            timestamp += 3000;
            // All rounds together stay within the consent of clients whose checks go unanswered.
            world.Clock.Advance(TimeSpan.FromMilliseconds(15));
            world.Socket.Discard = round % 4 != 0;
            for (int i = 0; i < 4; i++)
            {
                Packet(world, alice, camera, timestamp, marker: i == 3);
                if (i != 2)
                    allocated += Turn();
            }

            alice.SendAudio(microphone, timestamp);
            alice.Flush();
            allocated += Turn();

            // Of what was let through, viewers miss the frames in between, and ask for them.
            while (world.Socket.Outbox.TryDequeue(out var sent))
            {
                if (viewers.Find(v => v.Address == sent.To) is TestPeer viewer)
                    viewer.Rtc.Receive(world.Now, new TransportPath(viewer.Address, world.Socket.LocalAddress), sent.Bytes);
            }

            foreach (TestPeer viewer in viewers)
            {
                if (viewer.Rtc.NextTimeout <= world.Now)
                    viewer.Rtc.HandleTimeout(world.Now);
                viewer.Flush();
            }

            if (alice.Rtc.NextTimeout <= world.Now)
                alice.Rtc.HandleTimeout(world.Now);
            alice.Flush();
            round++;
            return allocated + Turn();
        }

        for (int i = 0; i < 600; i++)
            Round();

        // The run-time may still put a compiled method in place once; what a packet costs, every block of rounds would show.
        long least = long.MaxValue;
        for (int block = 0; block < 3 && least != 0; block++)
        {
            long total = 0;
            for (int i = 0; i < 300; i++)
                total += Round();
            least = Math.Min(least, total);
        }

        Assert.Equal(0, least);
        WorkerCounters counters = world.Worker.Counters;
        Assert.True(counters.PacketsForwarded > 900 * 5 * 6 * 9 / 10, $"{counters.PacketsForwarded} forwarded");
        Assert.True(counters.PacketsRetransmitted > 1000, $"{counters.PacketsRetransmitted} retransmitted of {counters.PacketsNacked}");
    }
}
