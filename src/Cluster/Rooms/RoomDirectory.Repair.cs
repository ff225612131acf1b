using Transcribe.Cluster.State;

namespace Transcribe.Cluster.Rooms;

// What failures ask for: tracks of a dead node go, lost participants come back.
public sealed partial class RoomDirectory
{
    public async ValueTask<int> UnpublishTracksAsync(
        string room, string sessionId, string participantId, string node, CancellationToken cancellationToken = default)
    {
        Require(room, participantId);
        using IDisposable held = await LockAsync(room, cancellationToken).ConfigureAwait(false);
        TrackInfo[] gone = [];
        bool found = await UpdateAsync(
            room,
            participantId,
            record =>
            {
                gone = record.SessionId == sessionId ? [.. record.Info.Tracks.Where(track => track.Node == node)] : [];
                return gone.Length == 0
                    ? null
                    : record with { Info = record.Info with { Tracks = [.. record.Info.Tracks.Where(track => track.Node != node)] } };
            },
            cancellationToken).ConfigureAwait(false);
        if (!found)
            return 0;

        foreach (TrackInfo track in gone)
            await AppendAsync(room, new TrackUnpublished(track.Id, participantId), cancellationToken).ConfigureAwait(false);

        return gone.Length;
    }

    public async ValueTask<bool> RestoreAsync(
        string room, string sessionId, ParticipantInfo participant, CancellationToken cancellationToken = default)
    {
        Require(room, participant.Id);
        using IDisposable held = await LockAsync(room, cancellationToken).ConfigureAwait(false);
        string key = ParticipantKey(room, participant.Id);
        string value = ClusterJson.Serialize(new ParticipantRecord(sessionId, participant));
        if (await state.TryAddAsync(key, value, null, cancellationToken).ConfigureAwait(false) is not null)
        {
            bool created = await TouchRoomAsync(room, cancellationToken).ConfigureAwait(false);
            await AppendAsync(room, new ParticipantJoined(participant), cancellationToken).ConfigureAwait(false);
            if (created)
                await PublishActivityAsync(room, occupied: true, cancellationToken).ConfigureAwait(false);

            return true;
        }

        TrackInfo[] missing = [];
        bool added = await UpdateAsync(
            room,
            participant.Id,
            record =>
            {
                missing = record.SessionId == sessionId
                    ? [.. participant.Tracks.Where(track => IndexOf(record.Info.Tracks, track.Id) < 0)]
                    : [];
                return missing.Length == 0 ? null : record with { Info = record.Info with { Tracks = [.. record.Info.Tracks, .. missing] } };
            },
            cancellationToken).ConfigureAwait(false);
        if (added)
        {
            foreach (TrackInfo track in missing)
                await AppendAsync(room, new TrackPublished(track), cancellationToken).ConfigureAwait(false);

            return true;
        }

        ParticipantRecord? present = await ReadAsync<ParticipantRecord>(key, cancellationToken).ConfigureAwait(false);
        return present?.SessionId == sessionId;
    }
}
