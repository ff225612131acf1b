using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Cluster.Tokens;
using Transcribe.Rtc;
using Transcribe.Rtc.Media;
using Transcribe.Rtc.Negotiation;
using Transcribe.Sfu.Control;
using Transcribe.Sfu.Routing;
using Transcribe.Sfu.Tests.Simulation;
using Transcribe.Sfu.Workers;

namespace Transcribe.Sfu.Tests.Routing;

/// <summary>Who gets which track.</summary>
public sealed class SlotTests
{
    private static TestPeer Publish(SfuWorld world, string name, params MediaKind[] kinds) =>
        world.Connect(name, p =>
        {
            foreach (MediaKind kind in kinds)
                p.Publish(kind);
        });

    private static TestPeer Watch(
        SfuWorld world, string name, int audio, int video, Func<SfuSessionSettings, SfuSessionSettings>? settings = null, Grants? grants = null) =>
        world.Connect(
            name,
            p =>
            {
                for (int i = 0; i < audio; i++)
                    p.AddSlot(MediaKind.Audio);
                for (int i = 0; i < video; i++)
                    p.AddSlot(MediaKind.Video);
            },
            grants ?? new Grants { Subscribe = true },
            settings: settings);

    private static string[] Carried(TestPeer peer) =>
        [.. peer.Session.Slots.Where(s => s.Source is not null).Select(s => $"{s.Source!.Participant} {s.Kind}")];

    [Fact]
    public void Slots_take_tracks_in_the_order_of_publishing_and_the_rest_is_asked_for()
    {
        using var world = new SfuWorld();
        Publish(world, "alice", MediaKind.Audio, MediaKind.Video);
        Publish(world, "bob", MediaKind.Audio, MediaKind.Video);
        TestPeer viewer = Watch(world, "viewer", audio: 1, video: 0);
        Assert.Equal(["alice Audio"], Carried(viewer));
        Assert.Equal(new SessionNeedsMedia(1, 2), world.SessionEvents<SessionNeedsMedia>(viewer).Single());

        viewer.AddSlot(MediaKind.Audio);
        viewer.AddSlot(MediaKind.Video);
        viewer.AddSlot(MediaKind.Video);
        viewer.Negotiate();
        Assert.Equal(["alice Audio", "bob Audio", "alice Video", "bob Video"], Carried(viewer));
        Assert.Equal(4, viewer.Answer!.Assignments.Count);
        Assert.Single(world.SessionEvents<SessionNeedsMedia>(viewer));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("*")]
    public void The_nth_audio_slot_and_the_nth_video_slot_share_a_stream(string? only)
    {
        using var world = new SfuWorld();
        TestPeer viewer = Watch(world, "viewer", audio: 2, video: 2, s => s with { OnlyParticipant = only });
        string[] Streams() => [.. viewer.Rtc.Media.Where(m => !m.IsStopped).Select(m => m.RemoteStreamId!)];
        Assert.Equal(["slots0", "slots1", "slots0", "slots1"], Streams());

        // The place of a slot that is gone is taken by the next one.
        viewer.Rtc.Media[0].Stop();
        viewer.Negotiate();
        Assert.Equal(["slots1", "slots0", "slots1"], Streams());
        RtcMedia audio = viewer.AddSlot(MediaKind.Audio);
        viewer.AddSlot(MediaKind.Audio);
        viewer.Negotiate();
        Assert.Equal("slots0", audio.RemoteStreamId);
        Assert.Equal(["slots0", "slots0", "slots1", "slots1", "slots2"], Streams().Order());
    }

    [Fact]
    public void A_participants_microphone_and_camera_take_slots_of_one_stream()
    {
        using var world = new SfuWorld();
        TestPeer viewer = Watch(world, "viewer", audio: 3, video: 3);
        string[] Streams() =>
            [.. viewer.Session.Slots.Where(s => s.Source is not null)
                .GroupBy(s => s.Media.LocalStreamId, s => $"{s.Source!.Participant} {s.Kind}")
                .OrderBy(g => g.Key).Select(g => string.Join(", ", g))];
        Publish(world, "alice", MediaKind.Audio);
        Publish(world, "bob", MediaKind.Video, MediaKind.Audio);
        Assert.Equal(["alice Audio", "bob Audio, bob Video"], Streams());
        TestPeer carol = Publish(world, "carol", MediaKind.Audio, MediaKind.Video);
        Assert.Equal(["alice Audio", "bob Audio, bob Video", "carol Audio, carol Video"], Streams());

        // Only where nothing else is free do two people share one.
        Publish(world, "dave", MediaKind.Video);
        Assert.Equal(["alice Audio, dave Video", "bob Audio, bob Video", "carol Audio, carol Video"], Streams());
        world.Worker.CloseSession(carol.Session, "left");
        world.Settle();
        Publish(world, "erin", MediaKind.Video, MediaKind.Audio);
        Assert.Equal(["alice Audio, dave Video", "bob Audio, bob Video", "erin Audio, erin Video"], Streams());
    }

    [Fact]
    public void A_need_is_told_once_and_again_only_when_it_changes()
    {
        using var world = new SfuWorld();
        TestPeer viewer = Watch(world, "viewer", audio: 0, video: 1);
        Publish(world, "alice", MediaKind.Audio);
        Publish(world, "bob", MediaKind.Video);
        Publish(world, "carol", MediaKind.Audio);
        Assert.Equal(
            [new SessionNeedsMedia(1, 0), new SessionNeedsMedia(2, 0)], world.SessionEvents<SessionNeedsMedia>(viewer));
    }

    [Fact]
    public void Nobody_receives_what_they_publish_themselves()
    {
        using var world = new SfuWorld();
        TestPeer alice = world.Connect("alice", p =>
        {
            p.Publish(MediaKind.Audio);
            p.AddSlot(MediaKind.Audio);
        });
        Assert.Empty(Carried(alice));
        Assert.Empty(world.SessionEvents<SessionNeedsMedia>(alice));
    }

    [Fact]
    public void Only_the_wanted_kinds_are_assigned()
    {
        using var world = new SfuWorld();
        Publish(world, "alice", MediaKind.Audio, MediaKind.Video);
        TestPeer gateway = Watch(world, "gateway", 1, 1, s => s with { Kinds = [TrackKind.Audio] });
        Assert.Equal(["alice Audio"], Carried(gateway));
        Assert.Empty(world.SessionEvents<SessionNeedsMedia>(gateway));
    }

    [Fact]
    public void A_viewer_of_one_participant_gets_no_other()
    {
        using var world = new SfuWorld();
        Publish(world, "alice", MediaKind.Audio);
        TestPeer viewer = Watch(world, "viewer", 2, 2, s => s with { OnlyParticipant = "bob" });
        Assert.Empty(Carried(viewer));
        Publish(world, "bob", MediaKind.Audio, MediaKind.Video);
        Assert.Equal(["bob Audio", "bob Video"], Carried(viewer));
    }

    [Fact]
    public void A_viewer_of_anybody_follows_who_published_first_until_they_leave()
    {
        using var world = new SfuWorld();
        TestPeer viewer = Watch(world, "viewer", 1, 1, s => s with { OnlyParticipant = "*" });
        TestPeer alice = Publish(world, "alice", MediaKind.Audio);
        Publish(world, "bob", MediaKind.Audio, MediaKind.Video);
        Assert.Equal(["alice Audio"], Carried(viewer));
        world.Worker.CloseSession(alice.Session, "left");
        world.Settle();
        Assert.Equal(["bob Audio", "bob Video"], Carried(viewer));
    }

    [Fact]
    public void Explicit_wishes_win_over_automatic_subscription()
    {
        using var world = new SfuWorld();
        TestPeer alice = Publish(world, "alice", MediaKind.Audio, MediaKind.Video);
        string audio = alice.Session.Publications.First().TrackId;
        string video = alice.Session.Publications.Last().TrackId;
        TestPeer manual = Watch(world, "manual", 1, 1, s => s with { AutoSubscribe = false });
        Assert.Empty(Carried(manual));
        manual.Session.Subscribe(video, true);
        Assert.Equal(["alice Video"], Carried(manual));

        TestPeer automatic = Watch(world, "automatic", 1, 1);
        automatic.Session.Subscribe(audio, false);
        Assert.Equal(["alice Video"], Carried(automatic));
        automatic.Session.Subscribe(audio, true);
        Assert.Equal(["alice Audio", "alice Video"], Carried(automatic).Order());
    }

    [Fact]
    public void Wishes_are_bounded_and_those_for_gone_tracks_make_room()
    {
        using var world = new SfuWorld(new SfuLimits { MaxSubscriptionsPerSession = 4 });
        TestPeer viewer = Watch(world, "viewer", 1, 1);
        for (int i = 0; i < 50; i++)
            Assert.True(viewer.Session.Subscribe($"TR_{i}", true));
    }

    [Fact]
    public void Without_the_grant_nothing_is_received_and_nothing_asked_for()
    {
        using var world = new SfuWorld();
        Publish(world, "alice", MediaKind.Audio);
        TestPeer deaf = world.Connect("deaf", p => p.AddSlot(MediaKind.Audio), new Grants { Publish = true });
        Assert.Empty(deaf.Session.Slots);
        Assert.Empty(deaf.Answer!.Assignments);
        Assert.Empty(world.SessionEvents<SessionNeedsMedia>(deaf));
    }

    [Fact]
    public void Publishing_without_the_grant_is_refused_and_the_session_lives()
    {
        using var world = new SfuWorld();
        TestPeer viewer = world.Join("viewer", new Grants { Subscribe = true });
        RtcMedia microphone = viewer.Publish(MediaKind.Audio);
        var e = Assert.Throws<BusException>(() => viewer.Negotiate());
        Assert.Equal("not_granted", e.Code);
        viewer.Negotiate(describe: false);
        Assert.Empty(viewer.Answer!.Published);
        Assert.Equal(MediaDirection.Inactive, microphone.Direction);
    }

    [Fact]
    public void An_offer_that_is_nonsense_is_refused_and_the_session_lives()
    {
        using var world = new SfuWorld();
        TestPeer alice = world.Join("alice");
        foreach (string nonsense in new[] { "", "v=0", "{}", "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio" })
        {
            var e = Assert.Throws<BusException>(
                () => alice.Session.Negotiate(world.Now, new NegotiateSession(alice.Session.Id, nonsense, [])));
            Assert.Equal("sdp_invalid", e.Code);
        }

        alice.Publish(MediaKind.Audio);
        alice.Negotiate();
        Assert.Single(alice.Answer!.Published);
    }

    [Fact]
    public void Without_descriptions_everything_sent_is_published()
    {
        using var world = new SfuWorld();
        TestPeer whip = world.Join("whip");
        whip.Publish(MediaKind.Audio);
        whip.Publish(MediaKind.Video);
        whip.Negotiate(describe: false);
        Assert.Equal([TrackSource.Microphone, TrackSource.Camera], world.Announced.Select(t => t.Source));
    }

    [Fact]
    public void More_tracks_than_allowed_are_not_published()
    {
        using var world = new SfuWorld(new SfuLimits { MaxTracksPerSession = 1 });
        TestPeer alice = world.Join("alice");
        alice.Publish(MediaKind.Audio);
        alice.Publish(MediaKind.Video);
        alice.Negotiate();
        Assert.Single(alice.Answer!.Published);
    }

    [Fact]
    public void A_track_whose_codec_the_client_lacks_needs_no_more_slots()
    {
        using var world = new SfuWorld();
        world.Connect("alice", p => p.Publish(MediaKind.Video));
        TestPeer viewer = world.Join("viewer", new Grants { Subscribe = true });
        viewer.Rtc.AddMedia(
            MediaKind.Video, MediaDirection.RecvOnly,
            new RtcMediaOptions { Codecs = [.. RtcCodecs.Video.Where(c => c.NameIs("H264"))] });
        viewer.Negotiate();
        Assert.Empty(Carried(viewer));
        Assert.Empty(world.SessionEvents<SessionNeedsMedia>(viewer));
    }

    [Fact]
    public void A_hidden_session_is_announced_to_nobody_and_carried_by_nobody()
    {
        using var world = new SfuWorld();
        TestPeer viewer = Watch(world, "viewer", 1, 1);
        TestPeer hidden = world.Connect("gateway", p => p.Publish(MediaKind.Audio), SfuWorld.Everything with { Hidden = true });
        hidden.SendAudio(hidden.Rtc.Media[0], 1, level: 5);
        world.Run(TimeSpan.FromSeconds(2));
        Assert.Empty(world.Announced);
        Assert.Empty(Carried(viewer));
        Assert.Empty(viewer.Packets);
        Assert.Empty(world.Events.OfType<SpeakersChanged>());
        world.Worker.CloseSession(hidden.Session, "left");
        world.Settle();
        Assert.Empty(world.Events.OfType<TrackWithdrawn>());
        Assert.True(world.Events.OfType<SessionEnded>().Single().Hidden);
    }
}
