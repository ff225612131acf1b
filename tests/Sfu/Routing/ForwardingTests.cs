using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Rtc;
using Transcribe.Rtc.Media;
using Transcribe.Rtc.Rtcp;
using Transcribe.Sfu.Routing;
using Transcribe.Sfu.Tests.Simulation;
using Transcribe.Sfu.Workers;

namespace Transcribe.Sfu.Tests.Routing;

/// <summary>Media from publishers to subscribers, over real sessions.</summary>
public sealed class ForwardingTests
{
    private static readonly TimeSpan Frame = TimeSpan.FromMilliseconds(20);

    private static (TestPeer Peer, RtcMedia Media) Publisher(SfuWorld world, MediaKind kind, string name = "alice")
    {
        RtcMedia? media = null;
        TestPeer peer = world.Connect(name, p => media = p.Publish(kind));
        return (peer, media!);
    }

    private static (TestPeer Peer, RtcMedia Slot) Subscriber(SfuWorld world, MediaKind kind, string name = "bob")
    {
        RtcMedia? slot = null;
        TestPeer peer = world.Connect(name, p => slot = p.AddSlot(kind));
        return (peer, slot!);
    }

    [Fact]
    public void Audio_arrives_with_the_publishers_timestamps_payload_and_level()
    {
        using var world = new SfuWorld();
        (TestPeer alice, RtcMedia microphone) = Publisher(world, MediaKind.Audio);
        (TestPeer bob, RtcMedia slot) = Subscriber(world, MediaKind.Audio);
        uint first = uint.MaxValue - 2000;

        for (uint i = 0; i < 10; i++)
        {
            alice.SendAudio(microphone, unchecked(first + (i * 960)), level: (byte)(20 + i), payload: [(byte)i, 9]);
            world.Run(Frame);
        }

        Assert.Equal(10, bob.Packets.Count);
        Assert.Equal(Enumerable.Range(0, 10).Select(i => unchecked(first + ((uint)i * 960))), bob.Packets.Select(p => p.Timestamp));
        Assert.Equal(Enumerable.Range(0, 10).Select(i => (byte)i), bob.Packets.Select(p => p.Payload[0]));
        Assert.Equal(Enumerable.Range(0, 10).Select(i => (byte?)(20 + i)), bob.Packets.Select(p => p.Level));
        Assert.All(bob.Packets, p => Assert.Equal(slot.Mid, p.Mid));
        Assert.Single(bob.Packets.Select(p => p.Ssrc).Distinct());
        Assert.NotEqual(microphone.LocalSsrc, bob.Packets[0].Ssrc);
        AssertContinuous(bob.Packets);
    }

    [Fact]
    public void The_answer_tells_which_track_a_slot_carries()
    {
        using var world = new SfuWorld();
        (TestPeer alice, RtcMedia microphone) = Publisher(world, MediaKind.Audio);
        (TestPeer bob, RtcMedia slot) = Subscriber(world, MediaKind.Audio);
        Assert.Equal([new MediaAssignment(slot.Mid, alice.TrackIdOf(microphone))], Unnumbered(bob.Answer!.Assignments));
    }

    [Fact]
    public void A_later_assignment_has_a_higher_revision_whether_an_answer_or_an_event_tells_it()
    {
        using var world = new SfuWorld();
        (TestPeer bob, RtcMedia slot) = Subscriber(world, MediaKind.Audio);
        MediaAssignment before = bob.Answer!.Assignments.Single(a => a.Mid == slot.Mid);
        Publisher(world, MediaKind.Audio);
        MediaAssignment after = world.SessionEvents<SessionAssigned>(bob).Single().Assignments.Single();
        Assert.True(after.Revision > before.Revision);
    }

    [Fact]
    public void A_track_is_announced_with_its_ssrc_and_description()
    {
        using var world = new SfuWorld();
        (TestPeer alice, RtcMedia microphone) = Publisher(world, MediaKind.Audio);
        TrackInfo track = world.Announced.Last();
        Assert.Equal(
            new TrackInfo(alice.TrackIdOf(microphone), "alice", TrackKind.Audio, TrackSource.Microphone, null, false, microphone.LocalSsrc, "n1"), track);
        Assert.StartsWith("TR_", track.Id, StringComparison.Ordinal);
    }

    [Fact]
    public void A_later_subscriber_and_an_earlier_one_both_receive()
    {
        using var world = new SfuWorld();
        (TestPeer early, RtcMedia slot) = Subscriber(world, MediaKind.Audio, "early");
        (TestPeer alice, RtcMedia microphone) = Publisher(world, MediaKind.Audio);
        Assert.Equal(
            [new MediaAssignment(slot.Mid, alice.TrackIdOf(microphone))],
            Unnumbered(world.SessionEvents<SessionAssigned>(early).Single().Assignments));
        (TestPeer late, _) = Subscriber(world, MediaKind.Audio, "late");

        alice.SendAudio(microphone, 1);
        world.Run(Frame);

        Assert.Single(early.Packets);
        Assert.Single(late.Packets);
        Assert.Empty(alice.Packets);
    }

    [Fact]
    public void Rooms_do_not_hear_each_other()
    {
        using var world = new SfuWorld();
        (TestPeer alice, RtcMedia microphone) = Publisher(world, MediaKind.Audio);
        TestPeer other = world.Connect("bob", p => p.AddSlot(MediaKind.Audio), room: "other");
        alice.SendAudio(microphone, 1);
        world.Run(Frame);
        Assert.Empty(other.Packets);
        Assert.Equal(2, world.Worker.Counters.Rooms);
    }

    [Fact]
    public void Video_starts_at_a_keyframe_which_is_asked_for()
    {
        using var world = new SfuWorld();
        (TestPeer alice, RtcMedia camera) = Publisher(world, MediaKind.Video);
        for (uint i = 0; i < 5; i++)
        {
            alice.SendVideo(camera, i * 3000, keyframe: i == 0);
            world.Run(Frame);
        }

        Assert.Equal(0, alice.KeyframeRequests);
        (TestPeer bob, _) = Subscriber(world, MediaKind.Video);
        world.Run(Frame);
        Assert.Equal(1, alice.KeyframeRequests);

        alice.SendVideo(camera, 15_000, keyframe: false);
        world.Run(Frame);
        Assert.Empty(bob.Packets);

        alice.SendVideo(camera, 18_000, keyframe: true);
        alice.SendVideo(camera, 21_000, keyframe: false);
        world.Run(Frame);
        Assert.Equal([18_000u, 21_000u], bob.Packets.Select(p => p.Timestamp));
        AssertContinuous(bob.Packets);
    }

    [Fact]
    public void A_keyframe_that_does_not_come_is_asked_for_again()
    {
        using var world = new SfuWorld();
        (TestPeer alice, RtcMedia camera) = Publisher(world, MediaKind.Video);
        alice.SendVideo(camera, 0, keyframe: true);
        Subscriber(world, MediaKind.Video);
        for (uint i = 1; i < 200; i++)
        {
            alice.SendVideo(camera, i * 1800, keyframe: false);
            world.Run(Frame);
        }

        Assert.InRange(alice.KeyframeRequests, 3, 6);
    }

    [Fact]
    public void Many_subscribers_that_start_at_once_cost_the_publisher_few_keyframes()
    {
        using var world = new SfuWorld();
        (TestPeer alice, RtcMedia camera) = Publisher(world, MediaKind.Video);
        alice.SendVideo(camera, 0, keyframe: true);
        world.Run(Frame);
        TestPeer[] subscribers = [.. Enumerable.Range(0, 8).Select(i => Subscriber(world, MediaKind.Video, $"bob{i}").Peer)];
        world.Run(TimeSpan.FromMilliseconds(500));
        alice.SendVideo(camera, 90_000, keyframe: true);
        world.Run(Frame);
        Assert.All(subscribers, s => Assert.Single(s.Packets));
        Assert.True(alice.KeyframeRequests < 8, $"{alice.KeyframeRequests} requests");
    }

    [Fact]
    public void A_lost_video_packet_is_repaired_from_the_cache()
    {
        using var world = new SfuWorld();
        (TestPeer alice, RtcMedia camera) = Publisher(world, MediaKind.Video);
        alice.SendVideo(camera, 0, keyframe: true);
        (TestPeer bob, _) = Subscriber(world, MediaKind.Video);
        world.Run(Frame);
        alice.SendVideo(camera, 3000, keyframe: true, tag: 1);
        world.Run(Frame);

        world.LoseToPeer = (peer, bytes) => ReferenceEquals(peer, bob) && bytes[0] >= 128 && bytes[1] is < 192 or > 223;
        alice.SendVideo(camera, 6000, keyframe: false, tag: 2);
        world.Settle();
        world.LoseToPeer = (_, _) => false;
        for (byte i = 3; i < 12; i++)
        {
            alice.SendVideo(camera, i * 3000u, keyframe: false, tag: i);
            world.Run(Frame);
        }

        Assert.Equal(1, world.Worker.Counters.PacketsRetransmitted);
        Assert.Equal(Enumerable.Range(1, 11), bob.Packets.OrderBy(p => p.SequenceNumber).Select(p => (int)p.Payload[^1]));
        Assert.Empty(alice.Nacked);
    }

    [Fact]
    public void Video_starts_with_a_keyframe_whose_first_packet_came_late_and_gets_the_rest_by_repair()
    {
        using var world = new SfuWorld();
        (TestPeer alice, RtcMedia camera) = Publisher(world, MediaKind.Video);
        (TestPeer bob, _) = Subscriber(world, MediaKind.Video);
        alice.SendVideo(camera, 0, keyframe: false, tag: 1);
        world.Run(Frame);
        world.LoseFromPeer = (peer, bytes) => ReferenceEquals(peer, alice) && bytes[0] >= 128 && bytes[1] is < 192 or > 223;
        alice.SendVideo(camera, 3000, keyframe: true, tag: 2);
        world.Settle();
        world.LoseFromPeer = (_, _) => false;
        alice.SendVideo(camera, 3000, keyframe: false, tag: 3);
        alice.SendVideo(camera, 3000, keyframe: false, tag: 4);
        for (byte tag = 5; tag < 15; tag++)
        {
            world.Run(Frame);
            alice.SendVideo(camera, tag * 3000u, keyframe: false, tag);
        }

        world.Run(TimeSpan.FromSeconds(1));
        Assert.Equal(Enumerable.Range(2, 13), bob.Packets.OrderBy(p => p.SequenceNumber).Select(p => (int)p.Payload[^1]));
        AssertContinuous([.. bob.Packets.OrderBy(p => p.SequenceNumber)]);
    }

    [Fact]
    public void A_slots_reports_never_tell_the_former_tracks_clock_for_the_new_one()
    {
        using var world = new SfuWorld();
        TestPeer bob = world.Connect("bob", p => p.AddSlot(MediaKind.Audio));
        TestPeer alice = world.Connect("alice", p => p.Publish(MediaKind.Audio));
        for (uint i = 0; i < 100; i++)
        {
            alice.SendAudio(alice.Rtc.Media[0], 1_000_000 + (i * 960));
            world.Run(TimeSpan.FromMilliseconds(20));
        }

        world.Worker.CloseSession(alice.Session, "left");
        TestPeer carol = world.Connect("carol", p => p.Publish(MediaKind.Audio));
        bob.SenderReports.Clear();
        world.Run(TimeSpan.FromSeconds(10));
        Assert.Empty(bob.SenderReports);
        for (uint i = 0; i < 500; i++)
        {
            carol.SendAudio(carol.Rtc.Media[0], 2_000_000_000 + (i * 960));
            world.Run(TimeSpan.FromMilliseconds(20));
        }

        Assert.NotEmpty(bob.SenderReports);
        Assert.All(bob.SenderReports, r => Assert.InRange(r.Report.RtpTimestamp, 1_999_900_000u, 2_001_000_000u));
    }

    [Fact]
    public void A_freed_slot_carries_the_next_track_without_a_break_in_its_numbers()
    {
        using var world = new SfuWorld();
        (TestPeer alice, RtcMedia camera) = Publisher(world, MediaKind.Video);
        (TestPeer bob, RtcMedia slot) = Subscriber(world, MediaKind.Video);
        alice.SendVideo(camera, 500_000, keyframe: true);
        world.Run(Frame);
        alice.SendVideo(camera, 503_000, keyframe: false);
        world.Run(Frame);

        (TestPeer carol, RtcMedia second) = Publisher(world, MediaKind.Video, "carol");
        Assert.Equal(new SessionNeedsMedia(0, 1), world.SessionEvents<SessionNeedsMedia>(bob).Single());

        world.Worker.CloseSession(alice.Session, "left");
        world.Run(Frame);
        Assert.Equal(carol.TrackIdOf(second), bob.TrackAt(slot.Mid));
        Assert.Equal(
            [new MediaAssignment(slot.Mid, carol.TrackIdOf(second))], Unnumbered(world.SessionEvents<SessionAssigned>(bob).Last().Assignments));

        world.Run(TimeSpan.FromSeconds(1));
        carol.SendVideo(second, 7, keyframe: true);
        world.Run(Frame);
        carol.SendVideo(second, 3007, keyframe: false);
        world.Run(Frame);

        Assert.Equal(4, bob.Packets.Count);
        AssertContinuous(bob.Packets);
        Assert.Single(bob.Packets.Select(p => p.Ssrc).Distinct());
        uint pause = bob.Packets[2].Timestamp - bob.Packets[1].Timestamp;
        Assert.InRange(pause, 90_000u, 120_000u);
        Assert.Equal(3000u, bob.Packets[3].Timestamp - bob.Packets[2].Timestamp);
    }

    [Fact]
    public void An_audio_slot_keeps_each_publishers_own_timestamps()
    {
        using var world = new SfuWorld();
        (TestPeer alice, RtcMedia first) = Publisher(world, MediaKind.Audio);
        (TestPeer carol, RtcMedia second) = Publisher(world, MediaKind.Audio, "carol");
        (TestPeer bob, _) = Subscriber(world, MediaKind.Audio);
        alice.SendAudio(first, 1_000_000);
        world.Run(Frame);
        world.Worker.CloseSession(alice.Session, "left");
        world.Run(Frame);
        carol.SendAudio(second, 77);
        world.Run(Frame);
        Assert.Equal([1_000_000u, 77u], bob.Packets.Select(p => p.Timestamp));
        AssertContinuous(bob.Packets);
    }

    [Fact]
    public void Sender_reports_carry_the_publishers_clocks()
    {
        using var world = new SfuWorld();
        (TestPeer alice, RtcMedia microphone) = Publisher(world, MediaKind.Audio);
        (TestPeer bob, _) = Subscriber(world, MediaKind.Audio);
        uint timestamp = 4_000_000_000;
        for (int i = 0; i < 250; i++)
        {
            alice.SendAudio(microphone, timestamp);
            timestamp = unchecked(timestamp + 960);
            world.Run(Frame);
        }

        Assert.NotEmpty(bob.SenderReports);
        SenderReport report = bob.SenderReports[^1].Report;
        DateTimeOffset told = report.Ntp.ToDateTimeOffset();
        DateTimeOffset publisher = world.Clock.GetUtcNow() - TestPeer.ClockError;
        Assert.InRange((publisher - told).TotalSeconds, -0.5, 3);
        double behind = unchecked((int)(timestamp - report.RtpTimestamp)) / 48_000.0;
        Assert.InRange(behind - (publisher - told).TotalSeconds, -0.1, 0.1);
    }

    /// <summary>Browsers sync what shares a stream id by these times: another publisher's clock would hold it back for seconds.</summary>
    [Fact]
    public void Video_beside_somebody_elses_voice_is_reported_on_the_clock_of_that_voice()
    {
        using var world = new SfuWorld();
        (TestPeer alice, RtcMedia microphone) = Publisher(world, MediaKind.Audio);
        world.ClockError = TestPeer.ClockError - TimeSpan.FromMinutes(1);
        TestPeer carol = world.Connect("carol", p => p.Publish(MediaKind.Video));
        RtcMedia camera = carol.Rtc.Media[0];
        TestPeer bob = world.Connect("bob", p =>
        {
            p.AddSlot(MediaKind.Audio);
            p.AddSlot(MediaKind.Video);
        });
        for (uint i = 0; i < 500; i++)
        {
            alice.SendAudio(microphone, i * 960);
            carol.SendVideo(camera, i * 1800, keyframe: i % 50 == 0);
            world.Run(Frame);
        }

        double Behind(RtcMedia media) => (world.Clock.GetUtcNow() - TestPeer.ClockError
            - bob.SenderReports.Last(r => r.Mid == media.Mid).Report.Ntp.ToDateTimeOffset()).TotalSeconds;
        Assert.InRange(Behind(bob.Rtc.Media[0]), 0, 6);
        Assert.InRange(Behind(bob.Rtc.Media[1]), 0, 6);
        uint sent = 499 * 1800;
        SenderReport video = bob.SenderReports.Last(r => r.Mid == bob.Rtc.Media[1].Mid).Report;
        Assert.InRange((int)(sent - video.RtpTimestamp) / 90_000.0 - Behind(bob.Rtc.Media[1]), -0.1, 0.1);
    }

    [Fact]
    public void Reports_rest_while_nothing_is_sent_and_come_back_with_it()
    {
        using var world = new SfuWorld();
        (TestPeer alice, RtcMedia microphone) = Publisher(world, MediaKind.Audio);
        (TestPeer bob, _) = Subscriber(world, MediaKind.Audio);
        uint timestamp = 0;
        void Talk()
        {
            for (int i = 0; i < 150; i++)
            {
                alice.SendAudio(microphone, timestamp += 960);
                world.Run(Frame);
            }
        }

        Talk();
        int first = bob.SenderReports.Count;
        Assert.InRange(first, 2, 5);
        world.Run(TimeSpan.FromSeconds(10), TimeSpan.FromMilliseconds(20));
        Assert.InRange(bob.SenderReports.Count, first, first + 1);

        int rested = bob.SenderReports.Count;
        timestamp += 480_000;
        Talk();
        Assert.InRange(bob.SenderReports.Count - rested, 2, 5);
    }

    [Fact]
    public void Nothing_of_a_muted_track_is_forwarded_and_it_goes_on_without_a_gap()
    {
        using var world = new SfuWorld();
        (TestPeer alice, RtcMedia microphone) = Publisher(world, MediaKind.Audio);
        (TestPeer bob, _) = Subscriber(world, MediaKind.Audio);
        alice.SendAudio(microphone, 0);
        world.Run(Frame);
        Assert.True(alice.Session.SetMuted(alice.TrackIdOf(microphone), true));
        alice.SendAudio(microphone, 960);
        world.Run(Frame);
        Assert.True(alice.Session.SetMuted(alice.TrackIdOf(microphone), false));
        alice.SendAudio(microphone, 1920);
        world.Run(Frame);

        Assert.Equal([0u, 1920u], bob.Packets.Select(p => p.Timestamp));
        AssertContinuous(bob.Packets);
        Assert.Equal([true, false], world.Events.OfType<TrackMuteChanged>().Select(e => e.Muted));
        Assert.Equal(1, world.Worker.Counters.DropsBecause(SfuDropReason.Muted));
        Assert.False(bob.Session.SetMuted(alice.TrackIdOf(microphone), true));
    }

    [Fact]
    public void A_track_that_is_no_longer_offered_is_withdrawn()
    {
        using var world = new SfuWorld();
        (TestPeer alice, RtcMedia microphone) = Publisher(world, MediaKind.Audio);
        (TestPeer bob, RtcMedia slot) = Subscriber(world, MediaKind.Audio);
        string track = alice.TrackIdOf(microphone);
        microphone.AllowedDirection = MediaDirection.Inactive;
        alice.Negotiate();
        world.Run(Frame);
        Assert.Equal(track, world.Events.OfType<TrackWithdrawn>().Single().TrackId);
        Assert.Equal([new MediaAssignment(slot.Mid, null)], Unnumbered(world.SessionEvents<SessionAssigned>(bob).Last().Assignments));
        Assert.Empty(alice.Answer!.Published);
    }

    private static void AssertContinuous(List<ReceivedPacket> packets) =>
        Assert.Equal(
            Enumerable.Range(0, packets.Count).Select(i => (ushort)(packets[0].SequenceNumber + i)), packets.Select(p => p.SequenceNumber));

    private static IEnumerable<MediaAssignment> Unnumbered(IEnumerable<MediaAssignment> assignments) =>
        assignments.Select(a => a with { Revision = 0 });
}
