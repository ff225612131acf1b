using Transcribe.Rtc;
using Transcribe.Rtc.Media;
using Transcribe.Sfu.Tests.Simulation;
using Transcribe.Sfu.Workers;

namespace Transcribe.Sfu.Tests.Routing;

public sealed class SpeakerTests
{
    private static void Talk(SfuWorld world, TimeSpan duration, params (TestPeer Peer, byte Level)[] levels)
    {
        for (TimeSpan t = TimeSpan.Zero; t < duration; t += TimeSpan.FromMilliseconds(20))
        {
            foreach ((TestPeer peer, byte level) in levels)
                peer.SendAudio(peer.Rtc.Media[0], (uint)(world.Now.Ticks / 208), level);
            world.Run(TimeSpan.FromMilliseconds(20), TimeSpan.FromMilliseconds(20));
        }
    }

    [Fact]
    public void Speakers_are_told_when_they_change_and_only_then()
    {
        using var world = new SfuWorld();
        TestPeer alice = world.Connect("alice", p => p.Publish(MediaKind.Audio));
        TestPeer bob = world.Connect("bob", p => p.Publish(MediaKind.Audio));

        Talk(world, TimeSpan.FromSeconds(3), (alice, 30), (bob, 127));
        Talk(world, TimeSpan.FromSeconds(3), (alice, 127), (bob, 20));
        Talk(world, TimeSpan.FromSeconds(5), (alice, 127), (bob, 127));

        string[] told = [.. world.Events.OfType<SpeakersChanged>().Select(e => string.Join("+", e.Speakers.Speakers.Select(s => s.ParticipantId)))];
        Assert.Equal("alice", told[0]);
        Assert.Contains("bob", told);
        Assert.Equal("", told[^1]);
        Assert.InRange(told.Length, 3, 5);
        Assert.All(world.Events.OfType<SpeakersChanged>(), e => Assert.Equal("demo", e.Speakers.Room));
    }

    [Fact]
    public void The_loudest_comes_first()
    {
        using var world = new SfuWorld();
        TestPeer alice = world.Connect("alice", p => p.Publish(MediaKind.Audio));
        TestPeer bob = world.Connect("bob", p => p.Publish(MediaKind.Audio));
        Talk(world, TimeSpan.FromSeconds(2), (alice, 35), (bob, 15));
        SpeakersChanged last = world.Events.OfType<SpeakersChanged>().Last();
        Assert.Equal(["bob", "alice"], last.Speakers.Speakers.Select(s => s.ParticipantId));
        Assert.InRange(last.Speakers.Speakers[0].Level, 10, 25);
    }

    [Fact]
    public void A_speaker_who_leaves_stops_speaking()
    {
        using var world = new SfuWorld();
        TestPeer alice = world.Connect("alice", p => p.Publish(MediaKind.Audio));
        world.Connect("bob");
        Talk(world, TimeSpan.FromSeconds(1), (alice, 20));
        world.Worker.CloseSession(alice.Session, "left");
        world.Run(TimeSpan.FromSeconds(1));
        Assert.Empty(world.Events.OfType<SpeakersChanged>().Last().Speakers.Speakers);
    }
}
