using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Rooms;
using Transcribe.Rtc;
using Transcribe.Sfu.Routing;

namespace Transcribe.Sfu.Relay;

// The tracks of other nodes, as the room directory tells them.
internal sealed partial class RelayManager
{
    /// <summary>
    /// A track that a snapshot lacks and no event took away stays for this long: a store that lost its data shows nothing for
    /// a while.
    /// </summary>
    private static readonly TimeSpan MissingGrace = TimeSpan.FromSeconds(20);

    private Task EnterRoomAsync(string name)
    {
        (RemoteRoom? room, Task opening) = OpenRoom(name, toHelp: false);
        if (room is not null)
            room.IsHere = true;
        return opening;
    }

    private async Task LeaveRoomAsync(string name)
    {
        if (!_rooms.TryGetValue(name, out RemoteRoom? room))
            return;
        room.IsHere = false;
        if (room.AssistedUntil <= Now)
            await CloseRoomAsync(name);
    }

    /// <summary>The room, which has its place among the rooms from here on.</summary>
    private (RemoteRoom? Room, Task Opening) OpenRoom(string name, bool toHelp)
    {
        if (_rooms.TryGetValue(name, out RemoteRoom? present) || _stopping.IsCancellationRequested)
            return (present, Task.CompletedTask);
        var room = new RemoteRoom(name);
        _rooms.Add(name, room);
        _data.OpenRoom(name, withPast: toHelp);
        return (room, OpenRoomAsync(room));
    }

    private async Task OpenRoomAsync(RemoteRoom room)
    {
        string name = room.Name;
        room.Part = await _worker.InvokeAsync(_ =>
        {
            SfuRoom part = _worker.HoldRoom(name);
            part.Relayed = (in message, data) => OnLocalMessage(name, message, data.ToArray());
            return part;
        });
        if (room.IsClosed)
        {
            ReleasePart(room);
            return;
        }

        _ = Post(() => KeepPlaceAsync(room));
        TimeSpan retry = FirstRetry;
        while (!room.IsClosed && room.Subscription is null)
        {
            try
            {
                room.Subscription = await _bus.SubscribeAsync<RoomEvent>(
                    RoomSubjects.Events(name),
                    (happened, _) => new ValueTask(Post(() => OnEventAsync(room, happened))),
                    _stopping.Token);
            }
            catch (Exception e) when (e is not OperationCanceledException)
            {
                LogResyncFailed(name, e.Message);
                await Task.Delay(retry, _time, _stopping.Token);
                retry = retry * 2 < LongestRetry ? retry * 2 : LongestRetry;
            }
        }

        if (room.IsClosed)
            await EndSubscriptionAsync(room);
        else
            await ResyncAsync(room);
    }

    private async Task CloseRoomAsync(string name)
    {
        if (!_rooms.Remove(name, out RemoteRoom? room))
            return;
        room.IsClosed = true;
        room.Uplink?.Rooms.Remove(name);
        _data.CloseRoom(name);
        foreach (RemoteTrack track in room.Tracks.Values.ToArray())
            Remove(track);
        ReleasePart(room);
        room.Changed.Set();
        await EndSubscriptionAsync(room);
        await LeaveTreeAsync(RelayTree.RoomKey(name));

        // Opened again meanwhile: its place was taken back with the old one's.
        if (_rooms.TryGetValue(name, out RemoteRoom? again))
            again.Changed.Set();
    }

    private static async Task EndSubscriptionAsync(RemoteRoom room)
    {
        if (room.Subscription is not IAsyncDisposable subscription)
            return;
        room.Subscription = null;

        // Not waited for here: its handler may be waiting for this scheduler.
        _ = Task.Run(async () => await subscription.DisposeAsync());
        await Task.CompletedTask;
    }

    private void ReleasePart(RemoteRoom room)
    {
        if (room.Part is not SfuRoom part)
            return;
        room.Part = null;
        _worker.TryPost(
            (_, _) =>
            {
                part.Relayed = null;
                _worker.ReleaseRoom(part);
            },
            null);
    }

    private void OnLocalMessage(string room, DataMessage message, byte[] payload) =>
        PostData(() => _data.OnLocal(Now, room, message, payload));

    private async Task OnEventAsync(RemoteRoom room, RoomEvent happened)
    {
        if (room.IsClosed)
            return;
        if (room.IsResyncing)
            room.MissedSequence = happened.Sequence;
        else if (happened is RoomClosed)
        {
            foreach (RemoteTrack track in room.Tracks.Values.ToArray())
                Remove(track);
            room.Sequence = 0;
        }
        else if (happened.Sequence == room.Sequence + 1)
        {
            Apply(room, happened);
            room.Sequence = happened.Sequence;
        }
        else if (happened.Sequence > room.Sequence || happened.Sequence == 1)
        {
            await ResyncAsync(room);
        }
    }

    /// <summary>Events may have been lost without any coming after them.</summary>
    private async Task CatchUpAsync(RemoteRoom room)
    {
        if (room.IsClosed || room.IsResyncing || room.Subscription is null)
            return;
        try
        {
            IReadOnlyList<RoomEvent>? events = await _directory.GetEventsAsync(room.Name, room.Sequence, _stopping.Token);
            if (events is not { Count: 0 } || room.Tracks.Values.Any(track => track.MissingSince is not null))
                await ResyncAsync(room);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            LogResyncFailed(room.Name, e.Message);
        }
    }

    private async Task ResyncAsync(RemoteRoom room)
    {
        if (room.IsResyncing)
            return;
        room.IsResyncing = true;
        room.MissedSequence = 0;
        try
        {
            RoomSnapshot snapshot = await _directory.GetSnapshotAsync(room.Name, _stopping.Token);
            if (room.IsClosed)
                return;
            Dictionary<string, TrackInfo> there = snapshot.Participants.SelectMany(p => p.Tracks).ToDictionary(t => t.Id, StringComparer.Ordinal);
            foreach (TrackInfo info in there.Values)
                Add(room, info);
            foreach (RemoteTrack track in room.Tracks.Values.ToArray())
            {
                if (there.TryGetValue(track.Info.Id, out TrackInfo? info))
                {
                    track.MissingSince = null;
                    SetMuted(track, info.Muted);
                }
                else if (snapshot.Participants.Count > 0 && track.MissingSince is null && snapshot.Sequence > room.Sequence)
                {
                    // The room goes on, and events were missed: one of them took it away.
                    Remove(track);
                }
                else if (_time.GetUtcNow() - (track.MissingSince ??= _time.GetUtcNow()) > MissingGrace)
                {
                    Remove(track);
                }
            }

            room.Sequence = snapshot.Sequence;
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            // The next sweep tries again.
            LogResyncFailed(room.Name, e.Message);
        }
        finally
        {
            room.IsResyncing = false;
        }

        if (room.MissedSequence > room.Sequence)
            await ResyncAsync(room);
    }

    private void Apply(RemoteRoom room, RoomEvent happened)
    {
        switch (happened)
        {
            case ParticipantJoined joined:
                foreach (TrackInfo info in joined.Participant.Tracks)
                    Add(room, info);
                break;
            case ParticipantLeft left:
                foreach (RemoteTrack track in room.Tracks.Values.Where(t => t.Info.Participant == left.ParticipantId).ToArray())
                    Remove(track);
                break;
            case TrackPublished published:
                Add(room, published.Track);
                break;
            case TrackUnpublished unpublished:
                if (room.Tracks.TryGetValue(unpublished.TrackId, out RemoteTrack? gone))
                    Remove(gone);
                break;
            case TrackMuted muted:
                if (room.Tracks.TryGetValue(muted.TrackId, out RemoteTrack? known))
                    SetMuted(known, muted.Muted);
                break;
            default:
                break;
        }
    }

    private void Add(RemoteRoom room, TrackInfo info)
    {
        if (info.Node == _nodeId || room.Tracks.ContainsKey(info.Id) || room.Part is not SfuRoom part)
            return;
        var track = new RemoteTrack(room, info);
        track.Origin = new RelayOrigin(
            info, info.Kind == TrackKind.Audio ? _formats.Audio : _formats.Video, wanted => OnWanted(track, wanted));
        room.Tracks.Add(info.Id, track);
        _worker.TryPost(
            (_, _) =>
            {
                var publication = new Publication(part, info, track.Origin, owner: null);
                track.Origin.Target = publication;
                part.Publish(publication);
                part.Reassign();
            },
            null);
    }

    private void SetMuted(RemoteTrack track, bool muted) =>
        _worker.TryPost((_, _) => track.Origin.Target?.SetMuted(muted), null);

    private void Remove(RemoteTrack track)
    {
        track.IsRemoved = true;
        track.Room.Tracks.Remove(track.Info.Id);
        track.Changed.Set();
        if (track.Room.Part is SfuRoom part)
        {
            _worker.TryPost(
                (_, _) =>
                {
                    if (track.Origin.Target is Publication publication)
                        part.Unpublish([publication]);
                },
                null);
        }
    }
}
