using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.State;
using Transcribe.Cluster.Tests.Support;

namespace Transcribe.Cluster.Tests.Rooms;

/// <summary>Two processes change one room over one real Redis, at the same time.</summary>
public sealed class SharedRoomTests(RedisFixture redis) : IAsyncLifetime
{
    private const string Room = "demo";
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly List<RoomEvent> _heard = [];
    private readonly List<string> _problems = [];
    private RedisMember _a = null!;
    private RedisMember _b = null!;
    private RedisMember _listener = null!;

    public async ValueTask InitializeAsync()
    {
        RedisServer server = await redis.Server;
        string prefix = "rooms-" + Guid.NewGuid().ToString("N");
        (_a, _b, _listener) = (new RedisMember(server, prefix), new RedisMember(server, prefix), new RedisMember(server, prefix));
        await _listener.Bus.SubscribeAsync<RoomEvent>(RoomSubjects.Events(Room), (change, _) =>
        {
            lock (_heard)
            {
                long expected = _heard.Count == 0 || _heard[^1] is RoomClosed ? 1 : _heard[^1].Sequence + 1;
                if (change.Sequence != expected)
                    _problems.Add($"{change} came where number {expected} was due");
                _heard.Add(change);
            }

            return ValueTask.CompletedTask;
        });
    }

    public async ValueTask DisposeAsync()
    {
        foreach (RedisMember member in new[] { _a, _b, _listener })
            await member.DisposeAsync();
    }

    [Fact]
    public async Task Of_two_sessions_that_take_one_identity_one_is_told_to_go()
    {
        for (int round = 0; round < 20; round++)
        {
            string id = $"p{round}";
            JoinedRoom[] joined = await BothAsync(
                () => _a.Rooms.JoinAsync(Room, "s-a", id, null, true).AsTask(), () => _b.Rooms.JoinAsync(Room, "s-b", id, null, true).AsTask());
            Assert.Equal(["s-a", "s-b"], [.. joined.Select((j, i) => j.ReplacedSessionId ?? (i == 0 ? "s-b" : "s-a")).Order()]);
            Assert.Single(joined, j => j.ReplacedSessionId is null);
        }

        await ConsistentAsync();
    }

    [Fact]
    public async Task A_last_leaver_never_ends_a_room_that_somebody_comes_to()
    {
        for (int round = 0; round < 40; round++)
        {
            await _a.Rooms.JoinAsync(Room, "s-alice", "alice", null, true);
            await BothAsync(
                () => _a.Rooms.LeaveAsync(Room, "s-alice", "alice", "left").AsTask(), () => IgnoreAsync(_b.Rooms.JoinAsync(Room, "s-bob", "bob", null, true).AsTask()));
            Assert.Equal(["bob"], (await _a.Rooms.GetSnapshotAsync(Room)).Participants.Select(participant => participant.Id));
            Assert.Single(await _a.Rooms.ListAsync());
            await ConsistentAsync();
            Assert.True(await _a.Rooms.LeaveAsync(Room, "s-bob", "bob", "left"));
            Assert.Empty(await _b.Rooms.ListAsync());
        }
    }

    [Fact]
    public async Task Whatever_two_processes_do_the_events_tell_it_in_order()
    {
        async Task<bool> ChurnAsync(RedisMember member, string name)
        {
            for (int i = 0; i < 25; i++)
            {
                string session = $"{name}{i % 3}";
                string id = $"p-{session}";
                await member.Rooms.JoinAsync(Room, session, id, null, true);
                await member.Rooms.PublishTrackAsync(Room, session, new TrackInfo("TR_" + session, id, TrackKind.Audio, TrackSource.Microphone, null, false, null, name));
                await member.Rooms.SetTranscriptionAsync(Room, i % 2 == 0, "auto", name);
                if (i % 3 != 0)
                    await member.Rooms.LeaveAsync(Room, session, id, "left");
            }

            for (int i = 0; i < 3; i++)
                await member.Rooms.LeaveAsync(Room, $"{name}{i}", $"p-{name}{i}", "left");

            return true;
        }

        await BothAsync(() => ChurnAsync(_a, "a"), () => ChurnAsync(_b, "b"));
        Assert.Empty(await _a.Rooms.ListAsync());
        await _b.Rooms.JoinAsync(Room, "s-last", "last", null, true);
        await ConsistentAsync();
    }

    [Fact]
    public async Task A_process_that_died_in_the_middle_of_a_change_holds_up_the_others_only_for_a_while()
    {
        Assert.NotNull(await _a.Leases.TryAcquireAsync(RoomDirectory.LeaseName(Room), "the dead", TimeSpan.FromMilliseconds(500)));
        JoinedRoom joined = await _b.Rooms.JoinAsync(Room, "s-bob", "bob", null, true).AsTask().WaitAsync(Patience);
        Assert.Equal(1, joined.Room.Sequence);
    }

    [Fact]
    public async Task A_room_whose_last_leaver_died_before_ending_it_is_ended_by_whoever_lists_it()
    {
        await _a.Rooms.JoinAsync(Room, "s-alice", "alice", null, true);
        await _a.State.DeleteAsync($"participants/{Room}/alice");
        Assert.Empty(await _b.Rooms.ListAsync());
        Assert.Null(await _b.Rooms.GetSummaryAsync(Room));
        Assert.Equal(1, (await _b.Rooms.JoinAsync(Room, "s-bob", "bob", null, true)).Room.Sequence);
    }

    /// <summary>The events that were heard add up to the room as it is.</summary>
    private async Task ConsistentAsync()
    {
        RoomSnapshot snapshot = await _a.Rooms.GetSnapshotAsync(Room);
        using var patience = new CancellationTokenSource(Patience);
        while (true)
        {
            lock (_heard)
            {
                Assert.Empty(_problems);
                if (_heard.Count > 0 && _heard[^1] is not RoomClosed && _heard[^1].Sequence == snapshot.Sequence)
                    break;
            }

            await Task.Delay(5, patience.Token);
        }

        var roster = new Dictionary<string, HashSet<string>>();
        lock (_heard)
        {
            foreach (RoomEvent change in _heard)
            {
                switch (change)
                {
                    case ParticipantJoined joined:
                        Assert.True(roster.TryAdd(joined.Participant.Id, []), $"{joined.Participant.Id} came twice");
                        break;
                    case ParticipantLeft left:
                        Assert.True(roster.Remove(left.ParticipantId), $"{left.ParticipantId} left twice");
                        break;
                    case TrackPublished published:
                        Assert.True(roster[published.Track.Participant].Add(published.Track.Id));
                        break;
                    case RoomClosed:
                        Assert.Empty(roster);
                        break;
                }
            }
        }

        Assert.Equal(
            snapshot.Participants.Select(participant => (participant.Id, participant.Tracks.Count)).Order(),
            roster.Select(pair => (pair.Key, pair.Value.Count)).Order());
    }

    private static async Task<bool> IgnoreAsync<T>(Task<T> task)
    {
        await task;
        return true;
    }

    private static Task<T[]> BothAsync<T>(Func<Task<T>> first, Func<Task<T>> second) =>
        Task.WhenAll(Task.Run(first), Task.Run(second)).WaitAsync(Patience);
}
