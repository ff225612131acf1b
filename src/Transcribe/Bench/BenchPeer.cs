using System.Buffers.Binary;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Rtc;
using Transcribe.Rtc.Ice;
using Transcribe.Rtc.Media;
using Transcribe.Rtc.Rtp;
using Transcribe.Rtc.Sctp;
using Transcribe.Sfu.Workers;

namespace Transcribe.Bench;

/// <summary>What one client sends and receives.</summary>
internal sealed record BenchPeerPlan(
    string Room, bool PublishAudio = false, bool PublishVideo = false, int AudioSlots = 0, int VideoSlots = 0, bool Data = false)
{
    /// <summary>See <see cref="BenchDriver.Groups"/>.</summary>
    public int Group { get; init; }
}

/// <summary>A client: a whole <see cref="RtcSession"/> with ICE, DTLS, SRTP, RTCP and SCTP; everything runs on the driver's thread.</summary>
internal sealed class BenchPeer : WheelTimer, IRtcSessionObserver, IDisposable
{
    /// <summary>Where the time of sending is in a payload: behind anything a forwarder looks at.</summary>
    public const int StampOffset = 16;

    private readonly BenchDriver _driver;
    private readonly BenchPeerPlan _plan;
    private readonly RtcSession _rtc;
    private readonly List<PublishedMedia> _published = [];
    private bool _done;

    public BenchPeer(BenchDriver driver, int index, BenchPeerPlan plan, RtcSessionOptions options)
    {
        (_driver, _plan, Index) = (driver, plan, index);
        Address = BenchDriver.AddressOf(index, driver.Port);
        _rtc = new RtcSession(options with { Wake = () => driver.WakePeer(this) }, this);
        _rtc.AddLocalCandidate(IceCandidate.CreateHost(Address));
        if (plan.PublishAudio)
            Audio = Publish(MediaKind.Audio, TrackSource.Microphone);
        if (plan.PublishVideo)
            Video = Publish(MediaKind.Video, TrackSource.Camera);
        for (int i = 0; i < plan.AudioSlots; i++)
            _rtc.AddMedia(MediaKind.Audio, MediaDirection.RecvOnly);
        for (int i = 0; i < plan.VideoSlots; i++)
            _rtc.AddMedia(MediaKind.Video, MediaDirection.RecvOnly);
    }

    public int Index { get; }

    public string SessionId => $"b{Index}";

    public TransportAddress Address { get; }

    public RtcMedia? Audio { get; }

    public RtcMedia? Video { get; }

    public string Room => _plan.Room;

    /// <summary>Called once, when it is connected (and its data channel open, where it has one), or has failed.</summary>
    public Action<BenchPeer, bool>? Completed { get; set; }

    public BenchRequest MakeJoin(Instant now)
    {
        if (_plan.Data)
            _rtc.CreateDataChannel(now, "bench");
        return new BenchRequest(0, "join", SessionId, Room, _rtc.CreateOffer(now), _published);
    }

    public void OnAnswer(Instant now, BenchReply reply)
    {
        string? error = reply.Error;
        if (error is null && !_rtc.TrySetRemoteAnswer(now, reply.Sdp!, out error))
            error ??= "unreadable answer";
        if (error is not null)
        {
            _driver.Problem(error);
            Complete(false);
        }

        Schedule();
    }

    public void Receive(Instant now, in TransportPath path, Span<byte> datagram)
    {
        _rtc.Receive(now, path, datagram);
        Schedule();
    }

    public void Poll(Instant now)
    {
        _rtc.Poll(now);
        Schedule();
    }

    public override void Fire(Instant now)
    {
        if (_rtc.NextTimeout <= now)
            _rtc.HandleTimeout(now);
        Schedule();
    }

    public void Close(Instant now)
    {
        _rtc.Close(now);
        _driver.Wheel.Cancel(this);
    }

    public void Dispose() => _rtc.Dispose();

    public bool Send(Instant now, RtcMedia media, ReadOnlySpan<byte> payload, bool marker, uint timestamp)
    {
        bool sent = media.Send(now, payload, media.Codecs[0].PayloadType, marker, timestamp, media.Kind == MediaKind.Audio ? new AudioLevel(40, true) : null);
        Schedule();
        return sent;
    }

    public void OnSend(in TransportPath path, ReadOnlySpan<byte> datagram) => _driver.Send(new TransportPath(Address, path.Remote), datagram);

    public void OnStateChanged(RtcSessionState state)
    {
        if (state == RtcSessionState.Connected && !_plan.Data)
            Complete(true);
        else if (state is RtcSessionState.Failed or RtcSessionState.Closed)
            Complete(false);
        if (state == RtcSessionState.Failed)
            _driver.Problem($"a session failed: {_rtc.Failure}");
    }

    public void OnDataChannelOpened(RtcDataChannel channel) => Complete(true);

    public void OnRtp(RtcMedia media, in RtpPacket packet, Instant arrival)
    {
        long sent = packet.Payload.Length >= StampOffset + 8 ? BinaryPrimitives.ReadInt64LittleEndian(packet.Payload[StampOffset..]) : 0;
        _driver.OnMedia(sent, _plan.Group);
    }

    private RtcMedia Publish(MediaKind kind, TrackSource source)
    {
        RtcMedia media = _rtc.AddMedia(kind, MediaDirection.SendOnly);
        _published.Add(new PublishedMedia(media.Mid, source));
        return media;
    }

    private void Complete(bool connected)
    {
        if (_done)
            return;
        _done = true;
        Completed?.Invoke(this, connected);
    }

    private void Schedule() => _driver.Wheel.ScheduleNoLater(this, _rtc.NextTimeout);
}
