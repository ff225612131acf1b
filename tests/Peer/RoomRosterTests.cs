using Transcribe.Cluster.Rooms;

namespace Transcribe.Peer.Tests;

/// <summary>As src/Client/tests/roster.test.ts: both clients must follow a room alike.</summary>
public sealed class RoomRosterTests
{
    private static readonly ParticipantInfo Alice = new("alice", "Alice", CanPublish: true, DateTimeOffset.UnixEpoch, []);
    private static readonly TrackInfo Track = new("TR_1", "alice", TrackKind.Audio, TrackSource.Microphone, null, Muted: false, 7, "n1");

    [Fact]
    public void Follows_numbered_events()
    {
        RoomRoster roster = Create();
        Assert.Equal(RosterChange.Applied, roster.Apply(new TrackPublished(Track) { Sequence = 6 }));
        Assert.Equal(RosterChange.Applied, roster.Apply(new TrackMuted("TR_1", "alice", Muted: true) { Sequence = 7 }));
        Assert.True(roster.FindTrack("TR_1")?.Muted);
        Assert.Equal(RosterChange.Applied, roster.Apply(new TrackUnpublished("TR_1", "alice") { Sequence = 8 }));
        Assert.Null(roster.FindTrack("TR_1"));
        Assert.Equal(RosterChange.Applied, roster.Apply(new ParticipantLeft("alice", "left") { Sequence = 9 }));
        Assert.Empty(roster.Participants);
        Assert.Equal(9, roster.Sequence);
    }

    [Fact]
    public void Reports_a_gap_and_does_not_apply_what_comes_after_it()
    {
        RoomRoster roster = Create();
        Assert.Equal(RosterChange.Gap, roster.Apply(new ParticipantLeft("alice", "left") { Sequence = 8 }));
        Assert.Single(roster.Participants);
        Assert.Equal(5, roster.Sequence);
    }

    [Fact]
    public void Ignores_what_it_has_seen()
    {
        RoomRoster roster = Create();
        Assert.Equal(RosterChange.Old, roster.Apply(new RoomClosed("x") { Sequence = 5 }));
        Assert.Single(roster.Participants);
    }

    [Fact]
    public void Does_not_share_its_tracks_with_the_snapshot_it_was_given()
    {
        RoomRoster roster = Create();
        roster.Apply(new TrackPublished(Track) { Sequence = 6 });
        Assert.Empty(Alice.Tracks);
    }

    [Fact]
    public void A_track_that_is_announced_twice_is_there_once()
    {
        RoomRoster roster = Create();
        roster.Apply(new TrackPublished(Track) { Sequence = 6 });
        roster.Apply(new TrackPublished(Track with { Muted = true }) { Sequence = 7 });
        Assert.True(Assert.Single(Assert.Single(roster.Participants).Tracks).Muted);
    }

    [Fact]
    public void Events_about_strangers_change_nothing_but_the_number()
    {
        RoomRoster roster = Create();
        Assert.Equal(RosterChange.Applied, roster.Apply(new TrackPublished(Track with { Participant = "mallory" }) { Sequence = 6 }));
        Assert.Equal(RosterChange.Applied, roster.Apply(new ParticipantLeft("mallory", "left") { Sequence = 7 }));
        Assert.Equal("alice", Assert.Single(roster.Participants).Id);
    }

    [Fact]
    public void A_snapshot_replaces_everything()
    {
        RoomRoster roster = Create();
        TranscriptionState on = TranscriptionState.Off with { Enabled = true };
        roster.Reset(new RoomSnapshot("demo", 20, [Alice with { Id = "bob" }], on));
        Assert.Equal(20, roster.Sequence);
        Assert.Equal("bob", Assert.Single(roster.Participants).Id);
        Assert.Equal(on, roster.Transcription);
    }

    /// <summary>Telling a snapshot as events must lead to the room that the snapshot shows, whatever was known before.</summary>
    [Fact]
    public void The_differences_to_a_snapshot_lead_to_it()
    {
        var random = new Random(11);
        for (int round = 0; round < 200; round++)
        {
            RoomSnapshot before = RandomRoom(random, 5), after = RandomRoom(random, 30);
            var roster = new RoomRoster();
            roster.Reset(before);
            var follower = new RoomRoster();
            follower.Reset(before);
            long sequence = before.Sequence;
            foreach (RoomEvent change in roster.Differences(after))
            {
                Assert.Equal(30, change.Sequence);
                Assert.Equal(RosterChange.Applied, follower.Apply(change with { Sequence = ++sequence }));
            }

            Assert.Equal(Describe(after.Participants), Describe(follower.Participants));
            Assert.Equal(after.Transcription, follower.Transcription);
        }
    }

    private static RoomRoster Create()
    {
        var roster = new RoomRoster();
        roster.Reset(new RoomSnapshot("demo", 5, [Alice], TranscriptionState.Off));
        return roster;
    }

    private static RoomSnapshot RandomRoom(Random random, long sequence)
    {
        var participants = new List<ParticipantInfo>();
        foreach (string id in (string[])["alice", "bob", "carol"])
        {
            if (random.Next(2) == 0)
                continue;
            TrackInfo[] tracks = [.. Enumerable.Range(0, 3).Where(_ => random.Next(2) == 0)
                .Select(i => Track with { Id = $"TR_{id}{i}", Participant = id, Muted = random.Next(2) == 0 })];
            participants.Add(Alice with { Id = id, Tracks = tracks });
        }

        return new RoomSnapshot("demo", sequence, participants, TranscriptionState.Off with { Enabled = random.Next(2) == 0 });
    }

    private static string[] Describe(IEnumerable<ParticipantInfo> participants) =>
        [.. participants.Select(p => $"{p.Id}: {string.Join(" ", p.Tracks.Select(t => $"{t.Id}/{t.Muted}").Order())}").Order()];
}
