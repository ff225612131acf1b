using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Sfu;
using Transcribe.Rtc;
using Transcribe.Rtc.Ice;
using Transcribe.Rtc.Media;
using Transcribe.Rtc.Sctp;
using Transcribe.Sfu.Relay;

namespace Transcribe.Sfu.Routing;

// A session that is a link between two nodes.
internal sealed partial class SfuSession
{
    /// <summary>Bytes in the data channel above which further envelopes wait here.</summary>
    private const int RelayHighWater = 1 << 20;

    /// <summary>Bytes waiting here above which the link is given up: what is missing is sent again over the next one.</summary>
    private const int RelayMaxWaiting = 32 << 20;

    private readonly Queue<byte[]> _relayWaiting = new();
    private Dictionary<string, SlotWish>? _relayWishes;
    private RtcDataChannel? _relayChannel;
    private int _relayWaitingBytes;
    private bool _relayReady;

    /// <summary>The link's other node and who hears of it; null for a client's session.</summary>
    public RelaySession? Relay => _settings.Relay;

    /// <summary>Offers so many more receive-only m-sections, audio first.</summary>
    /// <returns>The offer, and all m-sections.</returns>
    public (string Sdp, IReadOnlyList<RtcMedia> Media) OfferSlots(Instant now, int audio, int video)
    {
        if (!_hasCandidates)
        {
            _hasCandidates = true;
            foreach (IceCandidate candidate in Worker.Candidates)
                _rtc.AddLocalCandidate(candidate);
            _relayChannel = _rtc.CreateDataChannel(now, RelayEnvelope.ChannelLabel);
            _relayChannel.BufferedAmountLowThreshold = RelayHighWater / 2;
        }

        for (int i = 0; i < audio; i++)
            _rtc.AddMedia(MediaKind.Audio, MediaDirection.RecvOnly);
        for (int i = 0; i < video; i++)
            _rtc.AddMedia(MediaKind.Video, MediaDirection.RecvOnly);
        string offer = _rtc.CreateOffer(now);
        Worker.RegisterUfrag(this, _rtc.LocalUfrag);
        Worker.Touch(this);
        return (offer, [.. _rtc.Media]);
    }

    /// <exception cref="BusException">"sdp_invalid".</exception>
    public void AcceptAnswer(Instant now, string sdp)
    {
        if (!_rtc.TrySetRemoteAnswer(now, sdp, out string? error))
            throw new BusException("sdp_invalid", $"The other node's answer cannot be used: {error}");
        Worker.Touch(this);
    }

    /// <summary>Sends an envelope after all those before it.</summary>
    public void SendEnvelope(byte[] envelope)
    {
        if (IsDoomed)
            return;
        _relayWaiting.Enqueue(envelope);
        _relayWaitingBytes += envelope.Length;
        SendWaiting();
        if (_relayWaitingBytes > RelayMaxWaiting)
            Worker.Doom(this, "failed");
        Worker.Touch(this);
    }

    /// <summary>Has a slot carry a track of any room, as soon as that is here; null frees it.</summary>
    /// <exception cref="BusException">"bad_request": no relay, or no such slot.</exception>
    public void SetRelaySlot(SetRelaySlot request)
    {
        if (Relay is not { IsClient: false } || _slots.Find(s => s.Media.Mid == request.Mid) is not Downtrack slot)
            throw new BusException("bad_request", $"The session has no relay slot \"{request.Mid}\".");
        _relayWishes ??= new(StringComparer.Ordinal);
        ForgetWish(slot);
        if (request.TrackId is null)
            return;
        SfuRoom room = Worker.HoldRoom(request.Room);
        room.Watch(this);
        _relayWishes[request.Mid] = new SlotWish(slot, room, request.TrackId);
        if (room.Publications.FirstOrDefault(p => p.TrackId == request.TrackId) is Publication publication)
            OnPublished(publication);
    }

    /// <summary>A track came up in a room that some slot waits for.</summary>
    public void OnPublished(Publication publication)
    {
        if (_relayWishes is null || !publication.IsAnnounced)
            return;
        foreach (SlotWish wish in _relayWishes.Values)
        {
            if (wish.TrackId == publication.TrackId && ReferenceEquals(wish.Room, publication.Room) && wish.Slot.CanCarry(publication))
                wish.Slot.Attach(publication);
        }
    }

    /// <summary>For a link.</summary>
    public RelayStatistics DescribeRelay() => new(
        Relay!.Peer, Relay.IsClient ? RelayDirection.Receiving : RelayDirection.Sending,
        Relay.IsClient ? _rtc.Media.Count(media => media.Tag is RelayOrigin) : _slots.Count(slot => slot.Source is not null),
        Statistics.PacketsReceived, Statistics.PacketsSent, Statistics.RetransmittedPacketsReceived, Statistics.RetransmittedPacketsSent,
        Statistics.RoundTripTime?.TotalMilliseconds);

    public void OnBufferedAmountLow(RtcDataChannel channel)
    {
        if (ReferenceEquals(channel, _relayChannel))
            SendWaiting();
    }

    private void ReleaseRelay()
    {
        if (_relayWishes is null)
            return;
        foreach (SlotWish wish in _relayWishes.Values.ToArray())
            ForgetWish(wish.Slot);
    }

    private void ForgetWish(Downtrack slot)
    {
        slot.Detach();
        if (!_relayWishes!.Remove(slot.Media.Mid, out SlotWish? wish))
            return;
        if (_relayWishes.Values.All(w => !ReferenceEquals(w.Room, wish.Room)))
            wish.Room.Unwatch(this);
        Worker.ReleaseRoom(wish.Room);
    }

    private void OnRelayState(RtcSessionState state)
    {
        if (state == RtcSessionState.Connected)
            TellRelayReady();
        else if (state == RtcSessionState.Disconnected && Relay is { IsClient: true } relay)
            relay.Observer.OnSilent(Id);
    }

    private void OnRelayChannelOpened(RtcDataChannel channel)
    {
        if (channel.Label != RelayEnvelope.ChannelLabel)
            return;
        _relayChannel ??= channel;
        if (!ReferenceEquals(channel, _relayChannel))
            return;
        channel.BufferedAmountLowThreshold = RelayHighWater / 2;
        TellRelayReady();
    }

    private void OnRelayEnvelope(RtcDataChannel channel, ReadOnlySpan<byte> data)
    {
        if (ReferenceEquals(channel, _relayChannel))
            Relay!.Observer.OnEnvelope(Id, data.ToArray());
    }

    private void TellRelayReady()
    {
        if (_relayReady || _rtc.State != RtcSessionState.Connected || _relayChannel is not { State: DataChannelState.Open })
            return;
        _relayReady = true;
        Relay!.Observer.OnReady(Id);
        SendWaiting();
    }

    private void SendWaiting()
    {
        if (_relayChannel is not { State: DataChannelState.Open } channel)
            return;
        while (_relayWaiting.TryPeek(out byte[]? envelope) && channel.BufferedAmount < RelayHighWater
            && channel.TrySend(Worker.Now, envelope, isText: false))
        {
            _relayWaiting.Dequeue();
            _relayWaitingBytes -= envelope.Length;
        }

        Worker.Touch(this);
    }

    private sealed record SlotWish(Downtrack Slot, SfuRoom Room, string TrackId);
}
