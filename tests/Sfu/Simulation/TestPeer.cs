using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Rtc;
using Transcribe.Rtc.Dtls;
using Transcribe.Rtc.Ice;
using Transcribe.Rtc.Media;
using Transcribe.Rtc.Rtcp;
using Transcribe.Rtc.Rtp;
using Transcribe.Rtc.Sctp;
using Transcribe.Sfu.Routing;

namespace Transcribe.Sfu.Tests.Simulation;

internal sealed record ReceivedPacket(string Mid, uint Ssrc, ushort SequenceNumber, uint Timestamp, byte PayloadType, bool Marker, byte[] Payload, byte? Level);

/// <summary>A real client: full ICE, DTLS, SRTP and SCTP, with a virtual network card.</summary>
internal sealed class TestPeer : IRtcSessionObserver
{
    /// <summary>How far the clients' wall clocks are behind the SFU's, if nothing else is said.</summary>
    public static readonly TimeSpan ClockError = TimeSpan.FromHours(7);

    private readonly SfuWorld _world;
    private readonly Queue<byte[]> _outbox = new();
    private readonly List<PublishedMedia> _published = [];

    public TestPeer(SfuWorld world, SfuSession session, TransportAddress address, DtlsCertificate certificate, TimeSpan clockError)
    {
        (_world, Session, Address, PublicAddress) = (world, session, address, address);
        Rtc = new RtcSession(
            new RtcSessionOptions
            {
                Certificate = certificate,
                DtlsExecutor = DtlsLockStepExecutor.Instance,
                WallClockAtZero = world.Clock.GetUtcNow() - clockError - (world.Now - Instant.Zero),
            },
            this);
        Rtc.AddLocalCandidate(IceCandidate.CreateHost(address));
    }

    public RtcSession Rtc { get; }

    /// <summary>Its session on the SFU.</summary>
    public SfuSession Session { get; }

    public TransportAddress Address { get; }

    /// <summary>Where its datagrams seem to come from.</summary>
    public TransportAddress PublicAddress { get; set; }

    /// <summary>False cuts its cable.</summary>
    public bool IsReachable { get; set; } = true;

    public List<ReceivedPacket> Packets { get; } = [];

    public List<(string Label, string Text)> Messages { get; } = [];

    public List<RtcDataChannel> Channels { get; } = [];

    public List<(string Mid, SenderReport Report)> SenderReports { get; } = [];

    public int KeyframeRequests { get; private set; }

    public Action<RtcMedia>? KeyframeWanted { get; set; }

    public List<ushort> Nacked { get; } = [];

    public SessionNegotiated? Answer { get; private set; }

    /// <summary>The last known assignment of each slot, from answers and events.</summary>
    public string? TrackAt(string mid) => Session.Slots.FirstOrDefault(s => s.Media.Mid == mid)?.Source?.TrackId;

    public RtcMedia Publish(MediaKind kind, TrackSource? source = null, bool muted = false)
    {
        RtcMedia media = Rtc.AddMedia(kind, MediaDirection.SendOnly);
        _published.Add(new PublishedMedia(
            media.Mid, source ?? (kind == MediaKind.Audio ? TrackSource.Microphone : TrackSource.Camera), null, muted));
        return media;
    }

    public RtcMedia AddSlot(MediaKind kind) => Rtc.AddMedia(kind, MediaDirection.RecvOnly);

    public SessionNegotiated Negotiate(bool describe = true)
    {
        string offer = Rtc.CreateOffer(_world.Now);
        Answer = Session.Negotiate(_world.Now, new NegotiateSession(Session.Id, offer, describe ? _published : []));
        Assert.True(Rtc.TrySetRemoteAnswer(_world.Now, Answer.Sdp, out string? error), error);
        _world.Settle();
        return Answer;
    }

    public string TrackIdOf(RtcMedia media) => Answer!.Published.Single(p => p.Mid == media.Mid).TrackId;

    public void SendAudio(RtcMedia media, uint timestamp, byte level = 30, byte[]? payload = null) =>
        Assert.True(media.Send(_world.Now, payload ?? [1, 2, 3], media.Codecs[0].PayloadType, false, timestamp, new AudioLevel(level, level < 60)));

    /// <summary>A VP8 frame of one packet.</summary>
    public void SendVideo(RtcMedia media, uint timestamp, bool keyframe, byte tag = 0) =>
        Assert.True(media.Send(
            _world.Now, keyframe ? [0x10, 0x10, 0, 0, 0x9D, 0x01, 0x2A, 64, 0, 64, 0, tag] : [0x10, 0x11, 0, 0, tag],
            media.Codecs[0].PayloadType, true, timestamp));

    public bool Flush()
    {
        bool any = false;
        while (_outbox.TryDequeue(out byte[]? datagram))
        {
            any = true;
            if (IsReachable && !_world.LoseFromPeer(this, datagram))
                _world.SocketOf(this).Deliver(PublicAddress, datagram);
        }

        return any;
    }

    public void OnSend(in TransportPath path, ReadOnlySpan<byte> datagram) => _outbox.Enqueue(datagram.ToArray());

    public void OnStateChanged(RtcSessionState state)
    {
    }

    public void OnRtp(RtcMedia media, in RtpPacket packet, Instant arrival)
    {
        byte? level = packet.TryGetExtension(media.HeaderExtensions.AudioLevel, out ReadOnlySpan<byte> data) && AudioLevel.TryRead(data, out AudioLevel read)
            ? read.Level
            : null;
        Packets.Add(new ReceivedPacket(
            media.Mid, packet.Ssrc, packet.SequenceNumber, packet.Timestamp, packet.PayloadType, packet.Marker, packet.Payload.ToArray(), level));
    }

    public void OnSenderReport(RtcMedia media, in SenderReport report, Instant arrival) => SenderReports.Add((media.Mid, report));

    public void OnKeyframeRequest(RtcMedia media)
    {
        KeyframeRequests++;
        KeyframeWanted?.Invoke(media);
    }

    public void OnNack(RtcMedia media, ReadOnlySpan<ushort> sequenceNumbers) => Nacked.AddRange(sequenceNumbers);

    public void OnDataChannelOpened(RtcDataChannel channel) => Channels.Add(channel);

    public void OnDataChannelMessage(RtcDataChannel channel, ReadOnlySpan<byte> data, bool isText) =>
        Messages.Add((channel.Label, System.Text.Encoding.UTF8.GetString(data)));
}
