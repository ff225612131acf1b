using Transcribe.Cluster.Bus;
using Transcribe.Cluster.State;

namespace Transcribe.Cluster.Rooms;

/// <summary><see cref="IRoomDirectory"/> over the state store, the event log and the bus.</summary>
/// <remarks>
/// A participant with its tracks is one key; a room is one key whose version every joiner changes, so that a last leaver
/// can only delete a room that nobody came to meanwhile. The number of an event is its number in the room's log.
/// Changes of one room are serialised: within a process, and by a short lease between processes, so that the order of the log is
/// the order on the bus, and no event falls between two lives of a room.
/// </remarks>
/// <param name="leases">Null where no other process shares the state.</param>
public sealed partial class RoomDirectory(
    IStateStore state, IEventLog log, IMessageBus bus, TimeProvider time, ILeaseStore? leases = null) : IRoomDirectory
{
    /// <summary>How many events of a room are kept for resyncs, at least.</summary>
    public const int KeptEvents = 512;

    private const int TrimEvery = 64;
    private const int ReplaceAttempts = 16;

    private readonly SemaphoreSlim[] _locks = [.. Enumerable.Range(0, 64).Select(_ => new SemaphoreSlim(1, 1))];

    public async ValueTask<JoinedRoom> JoinAsync(
        string room, string sessionId, string participantId, string? name, bool canPublish, CancellationToken cancellationToken = default)
    {
        Require(room, participantId);
        using IDisposable held = await LockAsync(room, cancellationToken).ConfigureAwait(false);
        string key = ParticipantKey(room, participantId);
        ParticipantRecord? before = await ReadAsync<ParticipantRecord>(key, cancellationToken).ConfigureAwait(false);
        if (before is not null && before.SessionId == sessionId)
            return new(before.Info, await SnapshotAsync(room, cancellationToken).ConfigureAwait(false), null);

        var info = new ParticipantInfo(participantId, name, canPublish, time.GetUtcNow(), []);
        await state.SetAsync(key, ClusterJson.Serialize(new ParticipantRecord(sessionId, info)), null, cancellationToken).ConfigureAwait(false);
        bool created = await TouchRoomAsync(room, cancellationToken).ConfigureAwait(false);
        if (before is not null)
            await AppendAsync(room, new ParticipantLeft(participantId, "duplicateIdentity"), cancellationToken).ConfigureAwait(false);

        await AppendAsync(room, new ParticipantJoined(info), cancellationToken).ConfigureAwait(false);
        if (created)
            await PublishActivityAsync(room, occupied: true, cancellationToken).ConfigureAwait(false);

        return new(info, await SnapshotAsync(room, cancellationToken).ConfigureAwait(false), before?.SessionId);
    }

    public async ValueTask<bool> LeaveAsync(
        string room, string sessionId, string participantId, string reason, CancellationToken cancellationToken = default)
    {
        Require(room, participantId);
        using IDisposable held = await LockAsync(room, cancellationToken).ConfigureAwait(false);
        StateEntry? roomEntry = await state.GetAsync(RoomKey(room), cancellationToken).ConfigureAwait(false);
        string key = ParticipantKey(room, participantId);
        for (int attempt = 0; attempt < ReplaceAttempts; attempt++)
        {
            StateEntry? entry = await state.GetAsync(key, cancellationToken).ConfigureAwait(false);
            if (entry is not { } present || ClusterJson.Deserialize<ParticipantRecord>(present.Value).SessionId != sessionId)
                return false;

            if (!await state.TryDeleteAsync(key, present.Version, cancellationToken).ConfigureAwait(false))
                continue;

            await AppendAsync(room, new ParticipantLeft(participantId, reason), cancellationToken).ConfigureAwait(false);
            IReadOnlyList<StateEntry> rest = await state.ListAsync(ParticipantPrefix(room), cancellationToken).ConfigureAwait(false);
            if (rest.Count == 0 && roomEntry is { } gone
                && await state.TryDeleteAsync(gone.Key, gone.Version, cancellationToken).ConfigureAwait(false))
            {
                await EndAsync(room, "empty", cancellationToken).ConfigureAwait(false);
            }

            return true;
        }

        throw Contention(room);
    }

    public async ValueTask AddViewerAsync(string room, string sessionId, CancellationToken cancellationToken = default)
    {
        Require(room);
        await state.SetAsync(ViewerPrefix(room) + sessionId, "{}", null, cancellationToken).ConfigureAwait(false);
    }

    public async ValueTask RemoveViewerAsync(string room, string sessionId, CancellationToken cancellationToken = default)
    {
        Require(room);
        await state.DeleteAsync(ViewerPrefix(room) + sessionId, cancellationToken).ConfigureAwait(false);
    }

    public async ValueTask<bool> PublishTrackAsync(
        string room, string sessionId, TrackInfo track, CancellationToken cancellationToken = default)
    {
        Require(room, track.Participant);
        using IDisposable held = await LockAsync(room, cancellationToken).ConfigureAwait(false);
        bool changed = false;
        bool found = await UpdateAsync(
            room,
            track.Participant,
            record =>
            {
                if (record.SessionId != sessionId)
                    return null;

                int at = IndexOf(record.Info.Tracks, track.Id);
                changed = at < 0 || record.Info.Tracks[at] != track;
                TrackInfo[] tracks = [.. record.Info.Tracks.Where(other => other.Id != track.Id), track];
                return record with { Info = record.Info with { Tracks = tracks } };
            },
            cancellationToken).ConfigureAwait(false);
        if (found && changed)
            await AppendAsync(room, new TrackPublished(track), cancellationToken).ConfigureAwait(false);

        return found;
    }

    public async ValueTask<bool> UnpublishTrackAsync(
        string room, string participantId, string trackId, CancellationToken cancellationToken = default)
    {
        Require(room, participantId);
        using IDisposable held = await LockAsync(room, cancellationToken).ConfigureAwait(false);
        bool found = await UpdateAsync(
            room,
            participantId,
            record => IndexOf(record.Info.Tracks, trackId) < 0
                ? null
                : record with { Info = record.Info with { Tracks = [.. record.Info.Tracks.Where(track => track.Id != trackId)] } },
            cancellationToken).ConfigureAwait(false);
        if (found)
            await AppendAsync(room, new TrackUnpublished(trackId, participantId), cancellationToken).ConfigureAwait(false);

        return found;
    }

    public async ValueTask<bool> SetMutedAsync(
        string room, string participantId, string trackId, bool muted, CancellationToken cancellationToken = default)
    {
        Require(room, participantId);
        using IDisposable held = await LockAsync(room, cancellationToken).ConfigureAwait(false);
        bool changed = false;
        bool found = await UpdateAsync(
            room,
            participantId,
            record =>
            {
                int at = IndexOf(record.Info.Tracks, trackId);
                if (at < 0)
                    return null;

                TrackInfo[] tracks = [.. record.Info.Tracks];
                changed = tracks[at].Muted != muted;
                tracks[at] = tracks[at] with { Muted = muted };
                return record with { Info = record.Info with { Tracks = tracks } };
            },
            cancellationToken).ConfigureAwait(false);
        if (found && changed)
            await AppendAsync(room, new TrackMuted(trackId, participantId, muted), cancellationToken).ConfigureAwait(false);

        return found;
    }

    public ValueTask<TranscriptionState> SetTranscriptionAsync(
        string room, bool enabled, string engine, string language, CancellationToken cancellationToken = default) =>
        ChangeTranscriptionAsync(
            room,
            before => before.Enabled == enabled && before.Engine == engine && before.Language == language
                ? before
                : new TranscriptionState(enabled, engine, language),
            announce: true,
            cancellationToken);

    public ValueTask<TranscriptionState> ReportTranscriptionAsync(
        string room, string? activeEngine, string? notice, CancellationToken cancellationToken = default) =>
        ChangeTranscriptionAsync(
            room,
            before => before with { ActiveEngine = before.Enabled ? activeEngine : null, Notice = before.Enabled ? notice : null },
            announce: false,
            cancellationToken);

    public async ValueTask<TranscriptionState> GetTranscriptionAsync(string room, CancellationToken cancellationToken = default)
    {
        Require(room);
        return await ReadAsync<TranscriptionState>(TranscriptionKey(room), cancellationToken).ConfigureAwait(false) ?? TranscriptionState.Off;
    }

    public async ValueTask<bool> RestoreTranscriptionAsync(
        string room, TranscriptionState transcription, CancellationToken cancellationToken = default)
    {
        Require(room);
        string value = ClusterJson.Serialize(transcription);
        if (await state.TryAddAsync(TranscriptionKey(room), value, null, cancellationToken).ConfigureAwait(false) is null)
            return false;

        bool occupied = await state.GetAsync(RoomKey(room), cancellationToken).ConfigureAwait(false) is not null;
        await bus.PublishAsync(RoomSubjects.Transcription, new RoomActivity(room, occupied, transcription), cancellationToken).ConfigureAwait(false);
        return true;
    }

    public async ValueTask<IReadOnlyList<RoomActivity>> ListTranscribedAsync(CancellationToken cancellationToken = default)
    {
        IReadOnlyList<StateEntry> settings = await state.ListAsync(TranscriptionPrefix, cancellationToken).ConfigureAwait(false);
        if (settings.Count == 0)
            return [];

        HashSet<string> occupied = [.. (await state.ListAsync(RoomPrefix, cancellationToken).ConfigureAwait(false)).Select(entry => entry.Key[RoomPrefix.Length..])];
        return
        [
            .. settings
                .Select(entry => new RoomActivity(entry.Key[TranscriptionPrefix.Length..], true, ClusterJson.Deserialize<TranscriptionState>(entry.Value)))
                .Where(activity => activity.Transcription.Enabled && occupied.Contains(activity.Room))
        ];
    }

    public ValueTask<RoomSnapshot> GetSnapshotAsync(string room, CancellationToken cancellationToken = default)
    {
        Require(room);
        return SnapshotAsync(room, cancellationToken);
    }

    public ValueTask<long> GetSequenceAsync(string room, CancellationToken cancellationToken = default)
    {
        Require(room);
        return log.LastSequenceAsync(LogName(room), cancellationToken);
    }

    public async ValueTask<IReadOnlyList<RoomEvent>?> GetEventsAsync(
        string room, long afterSequence, CancellationToken cancellationToken = default)
    {
        Require(room);
        long last = await log.LastSequenceAsync(LogName(room), cancellationToken).ConfigureAwait(false);
        if (afterSequence < 0 || afterSequence > last)
            return null;

        IReadOnlyList<LogEntry> entries = await log.ReadAsync(LogName(room), afterSequence, int.MaxValue, cancellationToken).ConfigureAwait(false);
        bool complete = entries.Count == 0 ? afterSequence >= last : entries[0].Sequence == afterSequence + 1;
        return complete
            ? [.. entries.Select(entry => ClusterJson.Deserialize<RoomEvent>(entry.Value) with { Sequence = entry.Sequence })]
            : null;
    }

    public async ValueTask<IReadOnlyList<RoomSummary>> ListAsync(CancellationToken cancellationToken = default)
    {
        IReadOnlyList<StateEntry> rooms = await state.ListAsync(RoomPrefix, cancellationToken).ConfigureAwait(false);
        var summaries = new List<RoomSummary>(rooms.Count);
        foreach (StateEntry entry in rooms)
        {
            RoomSummary summary = await SummarizeAsync(entry, cancellationToken).ConfigureAwait(false);
            if (summary.Participants > 0)
                summaries.Add(summary);
            else
                await EndIfEmptyAsync(summary.Room, cancellationToken).ConfigureAwait(false);
        }

        return summaries;
    }

    public async ValueTask<RoomSummary?> GetSummaryAsync(string room, CancellationToken cancellationToken = default)
    {
        Require(room);
        StateEntry? entry = await state.GetAsync(RoomKey(room), cancellationToken).ConfigureAwait(false);
        return entry is { } present ? await SummarizeAsync(present, cancellationToken).ConfigureAwait(false) : null;
    }

    public async ValueTask<bool> CloseAsync(string room, string reason, CancellationToken cancellationToken = default)
    {
        Require(room);
        using IDisposable held = await LockAsync(room, cancellationToken).ConfigureAwait(false);
        if (!await state.DeleteAsync(RoomKey(room), cancellationToken).ConfigureAwait(false))
            return false;

        foreach (StateEntry entry in await state.ListAsync(ParticipantPrefix(room), cancellationToken).ConfigureAwait(false))
        {
            if (!await state.DeleteAsync(entry.Key, cancellationToken).ConfigureAwait(false))
                continue;

            ParticipantInfo info = ClusterJson.Deserialize<ParticipantRecord>(entry.Value).Info;
            await AppendAsync(room, new ParticipantLeft(info.Id, "roomClosed"), cancellationToken).ConfigureAwait(false);
        }

        await EndAsync(room, reason, cancellationToken).ConfigureAwait(false);
        return true;
    }

    private const string RoomPrefix = "rooms/";

    private static string RoomKey(string room) => RoomPrefix + room;

    private static string ParticipantPrefix(string room) => $"participants/{room}/";

    private static string ParticipantKey(string room, string participantId) => ParticipantPrefix(room) + participantId;

    private static string ViewerPrefix(string room) => $"viewers/{room}/";

    private const string TranscriptionPrefix = "transcription/";

    private static string TranscriptionKey(string room) => TranscriptionPrefix + room;

    private static string LogName(string room) => $"rooms/{room}";

    private static int IndexOf(IReadOnlyList<TrackInfo> tracks, string trackId)
    {
        for (int i = 0; i < tracks.Count; i++)
        {
            if (tracks[i].Id == trackId)
                return i;
        }

        return -1;
    }

    private static void Require(string room)
    {
        if (!RoomNames.IsRoom(room, out string? problem))
            throw new ArgumentException(problem, nameof(room));
    }

    private static void Require(string room, string participantId)
    {
        Require(room);
        if (!RoomNames.IsParticipant(participantId, out string? problem))
            throw new ArgumentException(problem, nameof(participantId));
    }

    private static InvalidOperationException Contention(string room) =>
        new($"Room \"{room}\" changed {ReplaceAttempts} times while one change was tried; try again.");

    private async ValueTask<TranscriptionState> ChangeTranscriptionAsync(
        string room, Func<TranscriptionState, TranscriptionState> change, bool announce, CancellationToken cancellationToken)
    {
        Require(room);
        using IDisposable held = await LockAsync(room, cancellationToken).ConfigureAwait(false);
        string key = TranscriptionKey(room);
        for (int attempt = 0; attempt < ReplaceAttempts; attempt++)
        {
            StateEntry? entry = await state.GetAsync(key, cancellationToken).ConfigureAwait(false);
            TranscriptionState before = entry is { } e ? ClusterJson.Deserialize<TranscriptionState>(e.Value) : TranscriptionState.Off;
            TranscriptionState after = change(before);
            if (after == before)
                return before;

            string value = ClusterJson.Serialize(after);
            StateEntry? written = entry is { } present
                ? await state.TryReplaceAsync(key, present.Version, value, null, cancellationToken).ConfigureAwait(false)
                : await state.TryAddAsync(key, value, null, cancellationToken).ConfigureAwait(false);
            if (written is null)
                continue;

            bool occupied = await state.GetAsync(RoomKey(room), cancellationToken).ConfigureAwait(false) is not null;
            if (occupied)
                await AppendAsync(room, new TranscriptionChanged(after), cancellationToken).ConfigureAwait(false);

            if (announce)
                await bus.PublishAsync(RoomSubjects.Transcription, new RoomActivity(room, occupied, after), cancellationToken).ConfigureAwait(false);

            return after;
        }

        throw Contention(room);
    }

    /// <summary>Changes a participant's record by compare and swap; false where it is absent or the change declines (null).</summary>
    private async ValueTask<bool> UpdateAsync(
        string room, string participantId, Func<ParticipantRecord, ParticipantRecord?> change, CancellationToken cancellationToken)
    {
        string key = ParticipantKey(room, participantId);
        for (int attempt = 0; attempt < ReplaceAttempts; attempt++)
        {
            if (await state.GetAsync(key, cancellationToken).ConfigureAwait(false) is not { } entry)
                return false;

            if (change(ClusterJson.Deserialize<ParticipantRecord>(entry.Value)) is not { } after)
                return false;

            string value = ClusterJson.Serialize(after);
            if (await state.TryReplaceAsync(key, entry.Version, value, null, cancellationToken).ConfigureAwait(false) is not null)
                return true;
        }

        throw Contention(room);
    }

    /// <summary>Creates the room, or changes its version so that no last leaver deletes it. True where it was created.</summary>
    private async ValueTask<bool> TouchRoomAsync(string room, CancellationToken cancellationToken)
    {
        string key = RoomKey(room);
        for (int attempt = 0; attempt < ReplaceAttempts; attempt++)
        {
            if (await state.GetAsync(key, cancellationToken).ConfigureAwait(false) is not { } entry)
            {
                string value = ClusterJson.Serialize(new RoomRecord(room, time.GetUtcNow()));
                if (await state.TryAddAsync(key, value, null, cancellationToken).ConfigureAwait(false) is not null)
                    return true;
            }
            else if (await state.TryReplaceAsync(key, entry.Version, entry.Value, null, cancellationToken).ConfigureAwait(false) is not null)
            {
                return false;
            }
        }

        throw Contention(room);
    }

    private async ValueTask AppendAsync(string room, RoomEvent change, CancellationToken cancellationToken)
    {
        long sequence = await log.AppendAsync(LogName(room), ClusterJson.Serialize(change), null, cancellationToken).ConfigureAwait(false);
        await bus.PublishAsync(RoomSubjects.Events(room), change with { Sequence = sequence }, cancellationToken).ConfigureAwait(false);
        if (sequence % TrimEvery == 0)
            await log.TrimAsync(LogName(room), KeptEvents, cancellationToken).ConfigureAwait(false);
    }

    private async ValueTask EndAsync(string room, string reason, CancellationToken cancellationToken)
    {
        await AppendAsync(room, new RoomClosed(reason), cancellationToken).ConfigureAwait(false);
        await log.DeleteAsync(LogName(room), cancellationToken).ConfigureAwait(false);
        await PublishActivityAsync(room, occupied: false, cancellationToken).ConfigureAwait(false);
    }

    private async ValueTask PublishActivityAsync(string room, bool occupied, CancellationToken cancellationToken)
    {
        TranscriptionState transcription = await GetTranscriptionAsync(room, cancellationToken).ConfigureAwait(false);
        await bus.PublishAsync(RoomSubjects.Transcription, new RoomActivity(room, occupied, transcription), cancellationToken).ConfigureAwait(false);
    }

    private async ValueTask<RoomSnapshot> SnapshotAsync(string room, CancellationToken cancellationToken)
    {
        // The number first: what changes while we read is then in the snapshot and comes again as an event, never is it missed.
        long sequence = await log.LastSequenceAsync(LogName(room), cancellationToken).ConfigureAwait(false);
        IReadOnlyList<StateEntry> entries = await state.ListAsync(ParticipantPrefix(room), cancellationToken).ConfigureAwait(false);
        ParticipantInfo[] participants =
            [.. entries.Select(entry => ClusterJson.Deserialize<ParticipantRecord>(entry.Value).Info).OrderBy(info => info.JoinedAt).ThenBy(info => info.Id, StringComparer.Ordinal)];
        return new(room, sequence, participants, await GetTranscriptionAsync(room, cancellationToken).ConfigureAwait(false));
    }

    private async ValueTask<RoomSummary> SummarizeAsync(StateEntry entry, CancellationToken cancellationToken)
    {
        RoomRecord record = ClusterJson.Deserialize<RoomRecord>(entry.Value);
        RoomSnapshot snapshot = await SnapshotAsync(record.Room, cancellationToken).ConfigureAwait(false);
        IReadOnlyList<StateEntry> viewers = await state.ListAsync(ViewerPrefix(record.Room), cancellationToken).ConfigureAwait(false);
        return new(
            record.Room,
            snapshot.Participants.Count,
            viewers.Count,
            snapshot.Participants.Sum(participant => participant.Tracks.Count),
            record.CreatedAt,
            snapshot.Transcription);
    }

    private async ValueTask<T?> ReadAsync<T>(string key, CancellationToken cancellationToken)
        where T : class =>
        await state.GetAsync(key, cancellationToken).ConfigureAwait(false) is { } entry ? ClusterJson.Deserialize<T>(entry.Value) : null;

    private sealed record RoomRecord(string Room, DateTimeOffset CreatedAt);

    private sealed record ParticipantRecord(string SessionId, ParticipantInfo Info);
}
