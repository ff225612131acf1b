using System.Security.Cryptography;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Cluster.Tokens;
using Transcribe.Rtc;
using Transcribe.Rtc.Media;
using Transcribe.Sfu.Routing;

namespace Transcribe.Sfu.Relay;

// Links to other nodes, and their slots.
internal sealed partial class RelayManager
{
    private const int FirstSlots = 4;

    /// <summary>Packets of a slot's former track may be under way for this long.</summary>
    private static readonly TimeSpan SlotRest = TimeSpan.FromSeconds(1);

    private static readonly Grants LinkGrants = new() { Subscribe = true, Hidden = true };

    /// <summary>The link to a node, opened where there is none.</summary>
    /// <exception cref="BusException">It cannot be opened.</exception>
    private async Task<RelayLink> GetLinkAsync(string peer)
    {
        if (!_links.TryGetValue(peer, out RelayLink? link))
        {
            link = new RelayLink(peer, "relay:" + Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(12))) { UsedAt = Now };
            _links.Add(peer, link);
            _linksBySession.Add(link.SessionId, link);
            Counters.LinksOut = _links.Count;
            link.Opening = OpenAsync(link);
        }

        await link.Opening;
        return link.IsLost ? throw new BusException("relay_cut", $"The link to SFU node \"{peer}\" was cut.") : link;
    }

    private async Task OpenAsync(RelayLink link)
    {
        try
        {
            string ticket = _tickets.Issue(_nodeId, link.Peer, link.SessionId);
            await _bus.RequestAsync<OpenSession, Ack>(
                SfuSubjects.Open(link.Peer),
                new OpenSession(link.SessionId, $"relay:{_nodeId}", _nodeId, LinkGrants, AutoSubscribe: false, Relay: ticket),
                RequestTimeout,
                _stopping.Token);
            var settings = new SfuSessionSettings(link.SessionId, $"relay:{link.SessionId}", link.Peer, LinkGrants)
            {
                AutoSubscribe = false,
                Relay = new RelaySession(IsClient: true, link.Peer, _options.CutAfter, this) { Loses = _options.Loses },
            };
            link.Session = await _worker.InvokeAsync(_ => _worker.OpenSession(settings));
            await NegotiateAsync(link, FirstSlots, FirstSlots);
            await link.Ready.Task.WaitAsync(_options.ConnectTimeout, _time, _stopping.Token);
            _unreachable.Remove(link.Peer);
            _dead.Remove(link.Peer);
            LogLinkUp(link.SessionId, link.Peer);
        }
        catch (Exception e) when (e is BusException or TimeoutException or InvalidOperationException)
        {
            if (e is BusException failure)
                NoteFailure(link.Peer, failure);
            Lose(link, e.Message);
            throw e as BusException ?? new BusException("relay_cut", $"No link to SFU node \"{link.Peer}\": {e.Message}");
        }
    }

    /// <summary>Offers more slots.</summary>
    private async Task NegotiateAsync(RelayLink link, int audio, int video)
    {
        SfuSession session = link.Session!;
        (string offer, IReadOnlyList<RtcMedia> media) = await _worker.InvokeAsync(now => session.OfferSlots(now, audio, video));
        SessionNegotiated answer = await _bus.RequestAsync<NegotiateSession, SessionNegotiated>(
            SfuSubjects.Negotiate(link.Peer), new NegotiateSession(link.SessionId, offer, []), RequestTimeout, _stopping.Token);
        await _worker.InvokeAsync(now =>
        {
            session.AcceptAnswer(now, answer.Sdp);
            return true;
        });
        foreach (RtcMedia added in media.Skip(link.Slots.Count))
            link.Slots.Add(new RelaySlot(link, added));
    }

    /// <summary>A free slot, taken for the track; the pool is doubled where there is none.</summary>
    private async Task<RelaySlot> TakeSlotAsync(RelayLink link, RemoteTrack track)
    {
        MediaKind kind = track.Info.Kind == TrackKind.Audio ? MediaKind.Audio : MediaKind.Video;
        await link.Negotiating.WaitAsync(_stopping.Token);
        try
        {
            RelaySlot? slot = Find();
            if (slot is null)
            {
                int more = link.Slots.Count(s => s.Media.Kind == kind);
                await NegotiateAsync(link, kind == MediaKind.Audio ? more : 0, kind == MediaKind.Video ? more : 0);
                slot = Find() ?? throw new BusException("relay_cut", "The other node grants no more slots.");
            }

            slot.Track = track;
            link.UsedAt = Now;
            return slot;
        }
        finally
        {
            link.Negotiating.Release();
        }

        RelaySlot? Find() => link.Slots.Find(s => s.Media.Kind == kind && s.Track is null && s.FreeAt <= Now);
    }

    private async Task SetSlotAsync(RelaySlot slot, string room, string? trackId) =>
        await _bus.RequestAsync<SetRelaySlot, Ack>(
            RelaySubjects.SetSlot(slot.Link.Peer), new SetRelaySlot(slot.Link.SessionId, slot.Media.Mid, room, trackId), RequestTimeout, _stopping.Token);

    /// <summary>Gives a slot back; the other node stops sending on it.</summary>
    private async Task FreeAsync(RelaySlot slot, RemoteTrack track)
    {
        slot.Track = null;
        slot.FreeAt = Now + SlotRest;
        slot.Link.UsedAt = Now;
        _worker.TryPost((_, _) => track.Origin.Detach(slot.Media), null);
        if (!slot.Link.IsReady)
            return;
        slot.IsStale = true;
        await CleanAsync(slot.Link);
    }

    /// <summary>
    /// Has the other node stop sending what nobody takes. The bus may be away: that is no reason to cut what flows, and what
    /// is stale is cleaned later.
    /// </summary>
    private async Task CleanAsync(RelayLink link)
    {
        foreach (RelaySlot slot in link.Slots.Where(s => s.IsStale).ToArray())
        {
            if (!link.IsReady)
                return;
            if (slot.Track is not null || !slot.IsStale)
                continue;
            try
            {
                slot.IsStale = false;
                slot.FreeAt = Instant.Never;
                await SetSlotAsync(slot, "", null);
            }
            catch (BusException e)
            {
                slot.IsStale = true;
                if (e.Code == "session_not_found")
                    Lose(link, e.Message);
            }
            finally
            {
                slot.FreeAt = Now + SlotRest;
            }
        }
    }

    /// <summary>The link is of no use any more: what came over it finds another way.</summary>
    private void Lose(RelayLink link, string why)
    {
        if (link.IsLost)
            return;
        Counters.LinksLost++;
        if (!_stopping.IsCancellationRequested)
            LogLinkLost(link.SessionId, link.Peer, why);
        _unreachable[link.Peer] = Now + Avoidance;
        Forget(link);
        foreach (RelaySlot slot in link.Slots)
        {
            if (slot.Track is not RemoteTrack track)
                continue;
            slot.Track = null;
            _worker.TryPost((_, _) => track.Origin.Detach(slot.Media), null);
            if (track.Slot == slot)
                track.Slot = null;
            track.Changed.Set();
        }
    }

    private void Forget(RelayLink link)
    {
        link.IsLost = true;
        link.Ready.TrySetException(new BusException("relay_cut", $"The link to SFU node \"{link.Peer}\" was given up."));
        _ = link.Ready.Task.Exception;
        if (_links.TryGetValue(link.Peer, out RelayLink? current) && current == link)
            _links.Remove(link.Peer);
        _linksBySession.Remove(link.SessionId);
        Counters.LinksOut = _links.Count;
        _data.OnLinkDown(link.SessionId);
        CloseSession(_worker, link.SessionId, "left");
        _ = Post(() => SayGoodbyeAsync(link));
    }

    /// <summary>The other node may not have noticed; whether it answers at all tells if it is gone.</summary>
    private async Task SayGoodbyeAsync(RelayLink link)
    {
        try
        {
            await _bus.RequestAsync<CloseSession, Ack>(SfuSubjects.Close(link.Peer), new CloseSession(link.SessionId, "left"), RequestTimeout, _stopping.Token);
        }
        catch (BusException e)
        {
            NoteFailure(link.Peer, e);
        }
    }
}
