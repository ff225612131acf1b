using Transcribe.Rtc.Media;
using Transcribe.Rtc.Negotiation;
using Transcribe.Rtc.Rtp;
using Transcribe.Rtc.Sdp;

namespace Transcribe.Rtc;

/// <summary>How a client adds an m-section.</summary>
public sealed record RtcMediaOptions
{
    /// <summary>MediaStream id told to the peer (<c>a=msid</c>); null makes one up per m-section.</summary>
    public string? StreamId { get; init; }

    /// <summary>Track id told to the peer; null makes one up.</summary>
    public string? TrackId { get; init; }

    /// <summary>Codecs to offer, in order of preference; null offers the session's codecs of this kind.</summary>
    public IReadOnlyList<RtpCodec>? Codecs { get; init; }
}

/// <summary>
/// One m-section of a session: a transceiver. It may send one stream of ours and receive one of the peer's. Instances
/// live from their description to the end of the session, or until the m-section is stopped and recycled.
/// </summary>
public sealed partial class RtcMedia
{
    private readonly RtcSession _session;
    private readonly byte[] _mid;
    private MediaDirection _allowed = MediaDirection.SendRecv;
    private NegotiatedMedia _negotiated = NegotiatedMedia.None;
    private uint _localSsrc;

    internal RtcMedia(RtcSession session, int index, string mid, MediaKind kind, RtcMediaOptions options)
    {
        _session = session;
        Index = index;
        Mid = mid;
        Kind = kind;
        _mid = mid.Length <= SdesExtension.MaxLength ? System.Text.Encoding.ASCII.GetBytes(mid) : [];
        Options = options;
        LocalStreamId = options.StreamId ?? "s" + mid;
        LocalTrackId = options.TrackId ?? "t" + mid;
    }

    /// <summary>Position of the m-section in the descriptions; -1 for one that was not offered yet.</summary>
    public int Index { get; internal set; }

    /// <summary>The m-section's identification tag (<c>a=mid</c>).</summary>
    public string Mid { get; }

    /// <summary>Audio or video.</summary>
    public MediaKind Kind { get; }

    /// <summary>
    /// What was negotiated, as this side sees it. On the answering side it is known as soon as the offer is applied and
    /// follows <see cref="AllowedDirection"/>; on the offering side it changes with the answer.
    /// </summary>
    public MediaDirection Direction =>
        IsStopped ? MediaDirection.Inactive : RemoteDirection.Reversed() & NegotiatedLocalDirection;

    /// <summary>
    /// What this side is willing to do. A change takes effect with the next description this side makes: lowering it
    /// between <see cref="RtcSession.TrySetRemoteOffer"/> and <see cref="RtcSession.CreateAnswer"/> is how a server
    /// refuses media it does not want.
    /// </summary>
    public MediaDirection AllowedDirection
    {
        get => _allowed;
        set
        {
            _allowed = value;
            if (_session.AnswerIsDue)
                NegotiatedLocalDirection = value;
        }
    }

    /// <summary>True once the m-section is rejected or stopped (port 0). Final for this instance.</summary>
    public bool IsStopped { get; private set; }

    /// <summary>The negotiated codecs in the offerer's order of preference, without retransmission formats; payload types are those on the wire.</summary>
    public IReadOnlyList<RtpCodec> Codecs => Negotiated.Codecs;

    /// <summary>The negotiated header extensions.</summary>
    public RtpExtensionIds HeaderExtensions => Negotiated.Extensions;

    /// <summary>SSRC of what we send; the same for the whole life of the m-section, whatever is sent.</summary>
    public uint LocalSsrc
    {
        get => _localSsrc;
        internal set
        {
            _localSsrc = value;
            _prefixLength = 0;
        }
    }

    /// <summary>SSRC of our retransmissions; null where RTX was not negotiated.</summary>
    public uint? LocalRtxSsrc { get; internal set; }

    /// <summary>SSRC of the peer's primary stream; null until it was signalled or a packet of it arrived.</summary>
    public uint? RemoteSsrc { get; internal set; }

    /// <summary>SSRC of the peer's retransmissions; null until it was signalled or a packet of it arrived.</summary>
    public uint? RemoteRtxSsrc { get; internal set; }

    /// <summary>
    /// MediaStream id of what we send. May be changed until the first description that has this m-section; m-sections
    /// with the same stream id are played in sync.
    /// </summary>
    public string LocalStreamId { get; set; }

    /// <summary>Track id of what we send. May be changed until the first description that has this m-section.</summary>
    public string LocalTrackId { get; set; }

    /// <summary>MediaStream id of what the peer sends, "-" for none; null where the peer did not say.</summary>
    public string? RemoteStreamId { get; internal set; }

    /// <summary>Track id of what the peer sends; null where the peer did not say.</summary>
    public string? RemoteTrackId { get; internal set; }

    /// <summary>RTP stream ids the peer offered to send (RFC 8853), in its order; simulcast itself is declined.</summary>
    public IReadOnlyList<string> RemoteRids { get; internal set; } = [];

    /// <summary>Anything the host wants to find again with the m-section.</summary>
    public object? Tag { get; set; }

    /// <summary>Direction of the peer, from its latest description.</summary>
    internal MediaDirection RemoteDirection { get; set; }

    /// <summary>What we allowed in our latest description.</summary>
    internal MediaDirection NegotiatedLocalDirection { get; set; }

    internal NegotiatedMedia Negotiated
    {
        get => _negotiated;
        set
        {
            _negotiated = value;
            _prefixLength = 0;
        }
    }

    /// <summary>Both descriptions are in force and let us send.</summary>
    internal bool SendEnabled { get; set; }

    /// <summary>Packets of the peer are welcome; on the answering side as soon as the offer is applied.</summary>
    internal bool ReceiveEnabled { get; set; }

    /// <summary>The peer's stream that is delivered.</summary>
    internal ReceiveStream? PrimaryStream { get; set; }

    /// <summary>The one RTP stream id that is taken, null where the peer sends none.</summary>
    internal string? ActiveRid { get; set; }

    internal bool KeyframePending { get; set; }

    internal Instant NextKeyframeRequest { get; set; } = Instant.Zero;

    internal RtcMediaOptions Options { get; }

    internal ReadOnlySpan<byte> MidBytes => _mid;

    /// <summary>
    /// The payload type under which this m-section carries a codec of another one: same name, clock, channels and
    /// format as far as it matters. False where it was not negotiated here.
    /// </summary>
    public bool TryGetPayloadType(RtpCodec codec, out byte payloadType)
    {
        RtpCodec? same = CodecNegotiation.FindSame(codec, Negotiated.Codecs);
        payloadType = same?.PayloadType ?? 0;
        return same is not null;
    }

    /// <summary>The negotiated codec of a payload type; null for retransmissions and unknown ones.</summary>
    public RtpCodec? FindCodec(byte payloadType) => Negotiated.FindCodec(payloadType);

    /// <summary>
    /// Stops the m-section in both directions. The next description of this side rejects it (port 0), and its place may
    /// be recycled.
    /// </summary>
    public void Stop()
    {
        if (IsStopped)
            return;
        IsStopped = true;
        _session.OnMediaStopped(this);
    }

    /// <summary>Asks the peer for a keyframe (PLI, or FIR where only that was negotiated); at most one per 300 ms is sent.</summary>
    /// <returns>False where nothing was sent: throttled (it is sent when the time is over), nothing received yet, or not negotiated.</returns>
    public bool RequestKeyframe(Instant now) => _session.RequestKeyframe(now, this);

    public override string ToString() => $"{Mid} {Kind} {Direction}";
}
