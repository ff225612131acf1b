namespace Transcribe.Rtc;

/// <summary>Why a datagram or a part of it was thrown away.</summary>
public enum RtcDropReason
{
    /// <summary>First byte in no range of RFC 7983, or shorter than the smallest packet of its kind.</summary>
    NotAProtocol,

    /// <summary>Starts like STUN, but is no well-formed STUN message, or was refused (forged, wrong user name).</summary>
    StunRefused,

    /// <summary>DTLS, RTP or RTCP from an address that ICE has not validated.</summary>
    UnvalidatedAddress,

    /// <summary>A DTLS datagram that the DTLS endpoint did not take (malformed, or its queue was full).</summary>
    DtlsRefused,

    /// <summary>RTP or RTCP before the DTLS handshake is done.</summary>
    NoKeysYet,

    /// <summary>The RTP header is malformed.</summary>
    RtpMalformed,

    /// <summary>SRTP or SRTCP authentication failed.</summary>
    AuthenticationFailed,

    /// <summary>SRTP or SRTCP packet already seen, or older than the replay window.</summary>
    Replayed,

    /// <summary>RTP whose SSRC, MID and payload type lead to no m-section that may receive.</summary>
    UnknownStream,

    /// <summary>RTP with a payload type that was not negotiated for its m-section.</summary>
    UnknownPayloadType,

    /// <summary>A packet delivered before (retransmitted, or duplicated by the network with fresh authentication).</summary>
    Duplicate,

    /// <summary>More streams than <see cref="RtcSessionLimits.MaxStreams"/>.</summary>
    TooManyStreams,

    /// <summary>RTCP that is malformed.</summary>
    RtcpMalformed,

    /// <summary>The session is closed or has failed.</summary>
    Closed,
}

/// <summary>
/// Drops of many sessions that share one thread, for totals that outlive each of them. One writer; may be read from
/// other threads.
/// </summary>
public sealed class RtcDropTotals
{
    private readonly long[] _drops = new long[Enum.GetValues<RtcDropReason>().Length];

    /// <summary>Number of drops for a reason.</summary>
    public long DropsBecause(RtcDropReason reason) => Volatile.Read(ref _drops[(int)reason]);

    internal void Drop(RtcDropReason reason) => _drops[(int)reason]++;
}

/// <summary>Counters of one session since it was made; names follow webrtc-stats.</summary>
public sealed class RtcSessionStatistics
{
    private readonly RtcDropTotals? _totals;

    internal RtcSessionStatistics(RtcDropTotals? totals = null) => _totals = totals;

    private readonly long[] _drops = new long[Enum.GetValues<RtcDropReason>().Length];

    /// <summary>Datagrams received, of any protocol.</summary>
    public long DatagramsReceived { get; internal set; }

    /// <summary>Bytes of all datagrams received.</summary>
    public long BytesReceived { get; internal set; }

    /// <summary>Datagrams sent, of any protocol.</summary>
    public long DatagramsSent { get; internal set; }

    /// <summary>Bytes of all datagrams sent.</summary>
    public long BytesSent { get; internal set; }

    /// <summary>RTP packets received and delivered, retransmissions included.</summary>
    public long PacketsReceived { get; internal set; }

    /// <summary>RTP packets sent, retransmissions included.</summary>
    public long PacketsSent { get; internal set; }

    /// <summary>RTP packets that came as an RTX retransmission and filled a gap.</summary>
    public long RetransmittedPacketsReceived { get; internal set; }

    /// <summary>RTP packets sent as retransmissions.</summary>
    public long RetransmittedPacketsSent { get; internal set; }

    /// <summary>Generic NACK messages sent.</summary>
    public long NackCountSent { get; internal set; }

    /// <summary>Generic NACK messages received.</summary>
    public long NackCountReceived { get; internal set; }

    /// <summary>Picture loss indications sent.</summary>
    public long PliCountSent { get; internal set; }

    /// <summary>Picture loss indications received.</summary>
    public long PliCountReceived { get; internal set; }

    /// <summary>Full intra requests received.</summary>
    public long FirCountReceived { get; internal set; }

    /// <summary>Latest round-trip time measured from a receiver report; null before the first one.</summary>
    public TimeSpan? RoundTripTime { get; internal set; }

    /// <summary>Sum of all drops.</summary>
    public long Drops => _drops.Sum();

    /// <summary>Number of drops for a reason.</summary>
    public long DropsBecause(RtcDropReason reason) => _drops[(int)reason];

    internal void Drop(RtcDropReason reason)
    {
        _drops[(int)reason]++;
        _totals?.Drop(reason);
    }
}
