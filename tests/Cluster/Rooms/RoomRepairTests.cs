using Microsoft.Extensions.Logging.Abstractions;
using Transcribe.Cluster.InProcess;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;

namespace Transcribe.Cluster.Tests.Rooms;

public sealed class RoomRepairTests : IAsyncDisposable
{
    private readonly InProcessMessageBus _bus = new(NullLogger<InProcessMessageBus>.Instance, TimeProvider.System);
    private readonly InProcessStateStore _state = new(TimeProvider.System);
    private readonly RoomDirectory _rooms;

    public RoomRepairTests() => _rooms = new(_state, new InProcessEventLog(TimeProvider.System), _bus, TimeProvider.System);

    public ValueTask DisposeAsync() => _bus.DisposeAsync();

    [Fact]
    public async Task Tracks_of_one_node_are_taken_off_and_those_of_others_stay()
    {
        await _rooms.JoinAsync("demo", "s1", "alice", null, true);
        await _rooms.PublishTrackAsync("demo", "s1", Track("TR_1", "n1"));
        await _rooms.PublishTrackAsync("demo", "s1", Track("TR_2", "n2"));
        await _rooms.PublishTrackAsync("demo", "s1", Track("TR_3", "n1"));
        Assert.Equal(0, await _rooms.UnpublishTracksAsync("demo", "another", "alice", "n1"));
        Assert.Equal(2, await _rooms.UnpublishTracksAsync("demo", "s1", "alice", "n1"));
        Assert.Equal(0, await _rooms.UnpublishTracksAsync("demo", "s1", "alice", "n1"));
        Assert.Equal("TR_2", Assert.Single(Assert.Single((await _rooms.GetSnapshotAsync("demo")).Participants).Tracks).Id);
        Assert.Equal(
            ["TR_1", "TR_3"], (await _rooms.GetEventsAsync("demo", 4))!.Cast<TrackUnpublished>().Select(change => change.TrackId));
    }

    [Fact]
    public async Task A_restored_participant_is_there_with_its_tracks_and_the_time_it_joined_at()
    {
        var alice = new ParticipantInfo("alice", "Alice", true, DateTimeOffset.UnixEpoch, [Track("TR_1", "n1")]);
        Assert.True(await _rooms.RestoreAsync("demo", "s1", alice));
        Assert.Equal(1, await _rooms.GetSequenceAsync("demo"));
        Assert.Equal((1, 1), ((await _rooms.GetSummaryAsync("demo"))!.Participants, (await _rooms.GetSummaryAsync("demo"))!.Tracks));
        ParticipantInfo there = Assert.Single((await _rooms.GetSnapshotAsync("demo")).Participants);
        Assert.Equal((alice.JoinedAt, "TR_1"), (there.JoinedAt, Assert.Single(there.Tracks).Id));

        // Twice is once; a track that was missing is added; another session's participant is left alone.
        Assert.True(await _rooms.RestoreAsync("demo", "s1", alice));
        Assert.Equal(1, await _rooms.GetSequenceAsync("demo"));
        Assert.True(await _rooms.RestoreAsync("demo", "s1", alice with { Tracks = [Track("TR_1", "n1"), Track("TR_2", "n1")] }));
        Assert.IsType<TrackPublished>(Assert.Single((await _rooms.GetEventsAsync("demo", 1))!));
        Assert.False(await _rooms.RestoreAsync("demo", "s2", alice));
    }

    [Fact]
    public async Task A_mirror_of_the_events_shows_what_a_snapshot_does()
    {
        await _rooms.JoinAsync("demo", "s1", "alice", null, true);
        var mirror = new RoomMirror("demo");
        mirror.Reset(await _rooms.GetSnapshotAsync("demo"));
        await _rooms.JoinAsync("demo", "s2", "bob", null, true);
        await _rooms.PublishTrackAsync("demo", "s1", Track("TR_1", "n1"));
        await _rooms.PublishTrackAsync("demo", "s1", Track("TR_2", "n1"));
        await _rooms.SetMutedAsync("demo", "alice", "TR_1", true);
        await _rooms.UnpublishTrackAsync("demo", "alice", "TR_2");
        await _rooms.SetTranscriptionAsync("demo", true, "auto", "en");
        await _rooms.JoinAsync("demo", "s3", "carol", null, true);
        await _rooms.LeaveAsync("demo", "s3", "carol", "left");
        foreach (RoomEvent change in (await _rooms.GetEventsAsync("demo", 1))!)
            mirror.Apply(change);

        RoomSnapshot snapshot = await _rooms.GetSnapshotAsync("demo");
        Assert.Equal(ClusterJson.Serialize(snapshot), ClusterJson.Serialize(mirror.Snapshot));
        mirror.Apply(new RoomClosed("closed"));
        Assert.Equal((0, 0), (mirror.Sequence, mirror.Snapshot.Participants.Count));
    }

    [Fact]
    public void A_board_tells_changes_of_order_only_and_forgets_a_node_that_is_gone()
    {
        var board = new SpeakerBoard("demo");
        Assert.Equal(["TR_a"], Tell("n1", ("TR_a", 30)));
        Assert.Equal(["TR_b", "TR_a"], Tell("n2", ("TR_b", 20)));
        Assert.Null(Tell("n1", ("TR_a", 25)));
        Assert.Equal(["TR_a", "TR_b"], Tell("n1", ("TR_a", 10)));

        // A track heard on two nodes speaks once, as loud as it is anywhere.
        Assert.Equal(["TR_b", "TR_a"], Tell("n3", ("TR_b", 5)));
        Assert.Equal(["TR_a", "TR_b"], Ids(board.Forget("n3")));
        Assert.Equal(["TR_a"], Ids(board.Forget("n2")));
        Assert.Null(board.Forget("n2"));
        Assert.Empty(Ids(board.Clear())!);

        IEnumerable<string>? Tell(string node, params (string Track, int Level)[] speakers) => Ids(board.Update(
            new ActiveSpeakers("demo", [.. speakers.Select(speaker => new Speaker(speaker.Track, speaker.Track, speaker.Level))], node)));
    }

    private static IEnumerable<string>? Ids(ActiveSpeakers? told) => told?.Speakers.Select(speaker => speaker.TrackId);

    private static TrackInfo Track(string id, string node) => new(id, "alice", TrackKind.Audio, TrackSource.Microphone, null, false, 7, node);
}
