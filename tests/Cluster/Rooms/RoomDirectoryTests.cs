using System.Collections.Concurrent;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Transcribe.Cluster.InProcess;
using Transcribe.Cluster.Rooms;

namespace Transcribe.Cluster.Tests.Rooms;

public sealed class RoomDirectoryTests : IAsyncDisposable
{
    private readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 11, 22, 10, 0, 0, TimeSpan.Zero));
    private readonly InProcessMessageBus _bus;
    private readonly InProcessStateStore _state;
    private readonly InProcessEventLog _log;
    private readonly RoomDirectory _rooms;

    public RoomDirectoryTests()
    {
        _bus = new(NullLogger<InProcessMessageBus>.Instance, TimeProvider.System);
        _state = new(_time);
        _log = new(_time);
        _rooms = new(_state, _log, _bus, _time);
    }

    public ValueTask DisposeAsync() => _bus.DisposeAsync();

    [Fact]
    public async Task Joining_publishing_muting_and_leaving_are_events_numbered_from_one()
    {
        ConcurrentQueue<RoomEvent> heard = new();
        await using IAsyncDisposable subscription = await _bus.SubscribeAsync<RoomEvent>(RoomSubjects.Events("demo"), (e, _) =>
        {
            heard.Enqueue(e);
            return ValueTask.CompletedTask;
        });
        await JoinAsync("alice");
        await JoinAsync("bob");
        Assert.True(await _rooms.PublishTrackAsync("demo", "s-alice", Track("alice")));
        Assert.True(await _rooms.SetMutedAsync("demo", "alice", "TR_alice", true));
        Assert.True(await _rooms.SetMutedAsync("demo", "alice", "TR_alice", true));
        Assert.True(await _rooms.UnpublishTrackAsync("demo", "alice", "TR_alice"));
        Assert.True(await _rooms.LeaveAsync("demo", "s-alice", "alice", "left"));

        IReadOnlyList<RoomEvent>? kept = await _rooms.GetEventsAsync("demo", 0);
        Assert.NotNull(kept);
        Assert.Equal([1L, 2, 3, 4, 5, 6], kept.Select(e => e.Sequence));
        Assert.Collection(
            kept,
            e => Assert.Equal("alice", Assert.IsType<ParticipantJoined>(e).Participant.Id),
            e => Assert.Equal("bob", Assert.IsType<ParticipantJoined>(e).Participant.Id),
            e => Assert.Equal(Track("alice"), Assert.IsType<TrackPublished>(e).Track),
            e => Assert.True(Assert.IsType<TrackMuted>(e).Muted),
            e => Assert.Equal("TR_alice", Assert.IsType<TrackUnpublished>(e).TrackId),
            e => Assert.Equal("left", Assert.IsType<ParticipantLeft>(e).Reason));
        await WaitAsync(() => heard.Count == 6);
        Assert.Equal(kept.Select(e => e.Sequence), heard.Select(e => e.Sequence));
    }

    [Fact]
    public async Task A_snapshot_shows_participants_with_their_tracks_as_of_its_sequence()
    {
        await JoinAsync("alice");
        await _rooms.PublishTrackAsync("demo", "s-alice", Track("alice"));
        JoinedRoom joined = await JoinAsync("bob");
        Assert.Equal(3, joined.Room.Sequence);
        Assert.Equal(["alice", "bob"], joined.Room.Participants.Select(p => p.Id).Order());
        Assert.Equal(Track("alice"), Assert.Single(joined.Room.Participants.Single(p => p.Id == "alice").Tracks));
        Assert.Equal(0, (await _rooms.GetSnapshotAsync("nobody-here")).Sequence);
    }

    [Fact]
    public async Task The_same_identity_replaces_the_older_session_which_then_can_do_nothing()
    {
        await JoinAsync("alice");
        await _rooms.PublishTrackAsync("demo", "s-alice", Track("alice"));
        JoinedRoom second = await _rooms.JoinAsync("demo", "s-2", "alice", null, true);
        Assert.Equal("s-alice", second.ReplacedSessionId);
        Assert.Empty(Assert.Single(second.Room.Participants).Tracks);
        Assert.False(await _rooms.LeaveAsync("demo", "s-alice", "alice", "left"));
        Assert.False(await _rooms.PublishTrackAsync("demo", "s-alice", Track("alice")));
        IReadOnlyList<RoomEvent>? events = await _rooms.GetEventsAsync("demo", 2);
        Assert.Equal("duplicateIdentity", Assert.IsType<ParticipantLeft>(events![0]).Reason);
        Assert.IsType<ParticipantJoined>(events[1]);
        Assert.Equal(1, (await _rooms.GetSummaryAsync("demo"))?.Participants);
    }

    [Fact]
    public async Task Joining_twice_with_one_session_changes_nothing()
    {
        await JoinAsync("alice");
        JoinedRoom again = await JoinAsync("alice");
        Assert.Null(again.ReplacedSessionId);
        Assert.Equal(1, again.Room.Sequence);
    }

    [Fact]
    public async Task The_room_ends_with_its_last_participant_and_begins_anew_with_the_transcription_kept()
    {
        ConcurrentQueue<RoomActivity> heard = new();
        await using IAsyncDisposable subscription = await _bus.SubscribeAsync<RoomActivity>(RoomSubjects.Transcription, (a, _) =>
        {
            heard.Enqueue(a);
            return ValueTask.CompletedTask;
        });
        await _rooms.SetTranscriptionAsync("demo", true, "auto", "en");
        await JoinAsync("alice");
        await JoinAsync("bob");
        await _rooms.LeaveAsync("demo", "s-alice", "alice", "left");
        Assert.Single(await _rooms.ListAsync());
        await _rooms.LeaveAsync("demo", "s-bob", "bob", "timeout");
        Assert.Empty(await _rooms.ListAsync());
        Assert.Equal(0, (await _rooms.GetSnapshotAsync("demo")).Sequence);
        Assert.Empty(await _state.ListAsync("participants/"));

        JoinedRoom again = await JoinAsync("alice");
        Assert.Equal(1, again.Room.Sequence);
        Assert.True(again.Room.Transcription.Enabled);
        await WaitAsync(() => heard.Count == 4);
        Assert.Equal([false, true, false, true], heard.Select(a => a.Occupied));
        Assert.All(heard, a => Assert.True(a.Transcription.Enabled));
    }

    [Fact]
    public async Task Events_that_are_gone_or_not_yet_there_ask_for_a_snapshot()
    {
        await JoinAsync("alice");
        for (int i = 0; i < RoomDirectory.KeptEvents + 200; i++)
            await _rooms.PublishTrackAsync("demo", "s-alice", Track("alice") with { Name = $"{i}" });

        long last = (await _rooms.GetSnapshotAsync("demo")).Sequence;
        Assert.Null(await _rooms.GetEventsAsync("demo", 0));
        Assert.Null(await _rooms.GetEventsAsync("demo", last + 1));
        Assert.Null(await _rooms.GetEventsAsync("demo", -1));
        Assert.Empty((await _rooms.GetEventsAsync("demo", last))!);
        Assert.Equal(100, (await _rooms.GetEventsAsync("demo", last - 100))!.Count);
    }

    [Fact]
    public async Task Transcription_set_by_an_admin_and_reported_by_a_gateway_is_told_to_the_room()
    {
        await JoinAsync("alice");
        TranscriptionState set = await _rooms.SetTranscriptionAsync("demo", true, "auto", "en");
        Assert.Null(set.ActiveEngine);
        await _rooms.SetTranscriptionAsync("demo", true, "auto", "en");
        await _rooms.ReportTranscriptionAsync("demo", "pocketsphinx/en-us", "No whisper model.");
        await _rooms.SetTranscriptionAsync("demo", false, "auto", "en");

        // A report that comes late does not bring the engine back.
        TranscriptionState late = await _rooms.ReportTranscriptionAsync("demo", "pocketsphinx/en-us", "No whisper model.");
        Assert.Equal(new TranscriptionState(false, "auto", "en"), late);
        IReadOnlyList<RoomEvent>? events = await _rooms.GetEventsAsync("demo", 1);
        Assert.Equal(
            [new(true, "auto", "en"), new(true, "auto", "en", "pocketsphinx/en-us", "No whisper model."), new(false, "auto", "en")],
            events!.Select(e => Assert.IsType<TranscriptionChanged>(e).Transcription));
    }

    [Fact]
    public async Task Lists_the_rooms_with_transcription_on_and_somebody_in_them()
    {
        await JoinAsync("alice");
        await _rooms.SetTranscriptionAsync("empty", true, "auto", "en");
        Assert.Empty(await _rooms.ListTranscribedAsync());
        await _rooms.SetTranscriptionAsync("demo", true, "auto", "de");
        Assert.Equal([new RoomActivity("demo", true, new(true, "auto", "de"))], await _rooms.ListTranscribedAsync());
        await _rooms.SetTranscriptionAsync("demo", false, "auto", "de");
        Assert.Empty(await _rooms.ListTranscribedAsync());
    }

    [Fact]
    public async Task A_lost_transcription_setting_is_restored_and_one_that_is_there_is_not_overwritten()
    {
        await JoinAsync("alice");
        Assert.True(await _rooms.RestoreTranscriptionAsync("demo", new(true, "auto", "de", "fake/one")));
        Assert.Equal(new(true, "auto", "de", "fake/one"), await _rooms.GetTranscriptionAsync("demo"));
        await _rooms.SetTranscriptionAsync("demo", false, "auto", "de");
        Assert.False(await _rooms.RestoreTranscriptionAsync("demo", new(true, "auto", "de")));
        Assert.False((await _rooms.GetTranscriptionAsync("demo")).Enabled);
    }

    [Fact]
    public async Task Closing_sends_everybody_away()
    {
        await JoinAsync("alice");
        await JoinAsync("bob");
        var closed = new TaskCompletionSource<RoomClosed>();
        await using IAsyncDisposable subscription = await _bus.SubscribeAsync<RoomEvent>(RoomSubjects.Events("demo"), (e, _) =>
        {
            if (e is RoomClosed end)
                closed.TrySetResult(end);

            return ValueTask.CompletedTask;
        });
        Assert.True(await _rooms.CloseAsync("demo", "closed"));
        Assert.False(await _rooms.CloseAsync("demo", "closed"));
        Assert.Equal(new RoomClosed("closed") { Sequence = 5 }, await closed.Task.WaitAsync(TimeSpan.FromSeconds(10)));
        Assert.Null(await _rooms.GetSummaryAsync("demo"));
        Assert.False(await _rooms.LeaveAsync("demo", "s-alice", "alice", "left"));
    }

    [Fact]
    public async Task Viewers_are_counted_and_in_no_roster()
    {
        await JoinAsync("alice");
        await _rooms.AddViewerAsync("demo", "v1");
        await _rooms.AddViewerAsync("demo", "v2");
        await _rooms.RemoveViewerAsync("demo", "v1");
        RoomSummary? summary = await _rooms.GetSummaryAsync("demo");
        Assert.Equal((1, 1), (summary!.Participants, summary.Viewers));
        Assert.Single((await _rooms.GetSnapshotAsync("demo")).Participants);
    }

    [Fact]
    public async Task Concurrent_joins_and_leaves_keep_the_count_and_the_numbers()
    {
        string[] names = [.. Enumerable.Range(0, 20).Select(i => $"p{i}")];
        await JoinAsync("keeper");
        await Task.WhenAll(names.Select(name => Task.Run(async () =>
        {
            for (int i = 0; i < 5; i++)
            {
                await JoinAsync(name);
                await _rooms.LeaveAsync("demo", "s-" + name, name, "left");
            }
        })));
        Assert.Equal("keeper", Assert.Single((await _rooms.GetSnapshotAsync("demo")).Participants).Id);
        Assert.Equal(201, (await _rooms.GetSnapshotAsync("demo")).Sequence);
    }

    [Theory]
    [InlineData("")]
    [InlineData("a/b")]
    [InlineData(".hidden")]
    [InlineData("ünicode")]
    [InlineData("two words")]
    public async Task A_name_that_is_not_a_room_is_refused(string room) =>
        await Assert.ThrowsAsync<ArgumentException>(async () => await _rooms.GetSnapshotAsync(room));

    private async Task<JoinedRoom> JoinAsync(string participant) =>
        await _rooms.JoinAsync("demo", "s-" + participant, participant, participant.ToUpperInvariant(), true);

    private static TrackInfo Track(string participant) =>
        new("TR_" + participant, participant, TrackKind.Audio, TrackSource.Microphone, null, false, 1234, "n1");

    private static async Task WaitAsync(Func<bool> condition)
    {
        for (int i = 0; i < 500 && !condition(); i++)
            await Task.Delay(10);

        Assert.True(condition());
    }
}
