using Transcribe.Cluster.Bus;
using Transcribe.Rtc;
using Transcribe.Sfu.Routing;

namespace Transcribe.Sfu.Relay;

// Where each wanted track comes from, and each room's place in its tree.
internal sealed partial class RelayManager
{
    private static readonly TimeSpan FirstRetry = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan LongestRetry = TimeSpan.FromSeconds(1);

    private void OnWanted(RemoteTrack track, bool wanted) => Post(async () =>
    {
        track.IsWanted = wanted;
        track.Changed.Set();
        if (!wanted || track.IsServed || track.IsRemoved)
            return;
        track.IsServed = true;
        Counters.Tracks++;
        try
        {
            while (track.IsWanted && !track.IsRemoved && !_stopping.IsCancellationRequested)
                await ServeAsync(track);
        }
        finally
        {
            track.IsServed = false;
            Counters.Tracks--;
        }
    });

    /// <summary>Has the track come here as long as somebody wants it, and a while longer.</summary>
    private async Task ServeAsync(RemoteTrack track)
    {
        TimeSpan retry = FirstRetry;
        while (!track.IsRemoved && !_stopping.IsCancellationRequested)
        {
            if (!track.IsWanted)
            {
                await track.Changed.WaitAsync(_options.TrackLinger, _time, _stopping.Token);
                if (!track.IsWanted)
                    break;
                continue;
            }

            try
            {
                string parent = await FindParentAsync(track);
                if (track.Slot is not { Link.IsLost: false } || track.Slot.Link.Peer != parent)
                    await AttachAsync(track, parent);
                retry = FirstRetry;
                if (track.Slot is not null)
                    await track.Changed.WaitAsync(RelayTree.RefreshInterval, _time, _stopping.Token);
            }
            catch (Exception e) when (e is BusException or InvalidOperationException)
            {
                LogTrackFailed(track.Info.Id, e.Message);
                await Task.Delay(retry, _time, _stopping.Token);
                retry = retry * 2 < LongestRetry ? retry * 2 : LongestRetry;
            }
        }

        if (track.Slot is RelaySlot slot)
        {
            track.Slot = null;
            await FreeAsync(slot, track);
        }

        await LeaveTreeAsync(RelayTree.TrackKey(track.Info.Id));
    }

    /// <summary>The node to take the track from. While the store is away: as now, else the origin.</summary>
    private async Task<string> FindParentAsync(RemoteTrack track)
    {
        try
        {
            RelayPlace place = await JoinTreeAsync(
                RelayTree.TrackKey(track.Info.Id),
                track.Room.Name,
                new RelayJoin(
                    _nodeId, _region, track.Info.Node, Current(_dead), Current(_unreachable),
                    track.Slot is { Link.IsLost: false } present ? present.Link.Peer : null));
            return place.Parent ?? track.Info.Node;
        }
        catch (Exception e) when (e is not OperationCanceledException && e is not BusException { Code: RelayTree.Full })
        {
            return track.Slot is { Link.IsLost: false } slot ? slot.Link.Peer : track.Info.Node;
        }
    }

    /// <summary>Takes the track from this node from now on; the former way is given up when the new one stands.</summary>
    private async Task AttachAsync(RemoteTrack track, string parent)
    {
        RelayLink link = await GetLinkAsync(parent);
        RelaySlot slot = await TakeSlotAsync(link, track);
        try
        {
            SfuSession session = link.Session!;
            RtcMedia media = slot.Media;
            await _worker.InvokeAsync(_ =>
            {
                track.Origin.Attach(session, media);
                return true;
            });
            await SetSlotAsync(slot, track.Room.Name, track.Info.Id);
        }
        catch (Exception e)
        {
            slot.Track = null;
            slot.FreeAt = Now + SlotRest;
            slot.IsStale = true;
            _worker.TryPost((_, _) => track.Origin.Detach(slot.Media), null);
            if (e is BusException { Code: "session_not_found" })
                Lose(link, e.Message);
            throw;
        }

        if (link.IsLost)
            throw new BusException("relay_cut", $"The link to SFU node \"{parent}\" was cut.");
        RelaySlot? former = track.Slot;
        track.Slot = slot;
        LogTrackAttached(track.Info.Id, parent);
        if (former is not null && former != slot)
            await FreeAsync(former, track);
    }

    /// <summary>Keeps the room's place in its tree, and the link towards its root.</summary>
    private async Task KeepPlaceAsync(RemoteRoom room)
    {
        TimeSpan retry = FirstRetry;
        string key = RelayTree.RoomKey(room.Name);
        while (!room.IsClosed && !_stopping.IsCancellationRequested)
        {
            try
            {
                string? parent = await FindRoomParentAsync(room, key);
                room.Refused.Clear();
                if (room.IsClosed)
                    break;
                if (parent is null)
                {
                    room.Uplink?.Rooms.Remove(room.Name);
                    room.Uplink = null;
                    _data.SetUplink(room.Name, null);
                }
                else if (room.Uplink is not { IsLost: false } || room.Uplink.Peer != parent)
                {
                    RelayLink link = await GetLinkAsync(parent);
                    if (room.IsClosed)
                        break;
                    room.Uplink?.Rooms.Remove(room.Name);
                    room.Uplink = link;
                    link.Rooms.Add(room.Name);
                    _data.SetUplink(room.Name, link.SessionId);
                }

                retry = FirstRetry;
                await room.Changed.WaitAsync(RelayTree.RefreshInterval, _time, _stopping.Token);
                if (room.Refused.Count > 0)
                    await Task.Delay(FirstRetry, _time, _stopping.Token);
            }
            catch (Exception e) when (e is BusException or InvalidOperationException)
            {
                LogRoomFailed(room.Name, e.Message);
                await Task.Delay(retry, _time, _stopping.Token);
                retry = retry * 2 < LongestRetry ? retry * 2 : LongestRetry;
            }
        }
    }

    private async Task<string?> FindRoomParentAsync(RemoteRoom room, string key)
    {
        try
        {
            string[] dead = [.. Current(_dead).Union(room.Refused)];
            string? current = room.Uplink is { IsLost: false } uplink ? uplink.Peer : null;
            RelayPlace place = await JoinTreeAsync(key, room.Name, new RelayJoin(_nodeId, _region, null, dead, Current(_unreachable), current));
            room.Place = place;
            return place.Parent;
        }
        catch (Exception e) when (
            e is not OperationCanceledException && e is not BusException { Code: RelayTree.Full }
            && room.Place is { } last && (last.Parent is null || !room.Refused.Contains(last.Parent)))
        {
            // The store is away: everybody stays where it was.
            return last.Parent;
        }
        catch (Exception e) when (e is not OperationCanceledException and not BusException)
        {
            throw new BusException("unavailable", e.Message);
        }
    }

    private async Task LeaveTreeAsync(string key)
    {
        try
        {
            await _tree.LeaveAsync(key, _nodeId);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            // The place ends by itself when it is not confirmed any more.
            LogRoomFailed(key, e.Message);
        }
    }
}
