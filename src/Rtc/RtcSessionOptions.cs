using System.Security.Cryptography;
using Transcribe.Rtc.Dtls;
using Transcribe.Rtc.Ice;
using Transcribe.Rtc.Negotiation;
using Transcribe.Rtc.Rtp;
using Transcribe.Rtc.Sdp;
using Transcribe.Rtc.Srtp;

namespace Transcribe.Rtc;

/// <summary>Settings of an <see cref="RtcSession"/>.</summary>
public sealed record RtcSessionOptions
{
    /// <summary>This side's DTLS certificate; may be shared by all sessions of a process.</summary>
    public required DtlsCertificate Certificate { get; init; }

    /// <summary>Where DTLS handshakes run.</summary>
    public required IDtlsExecutor DtlsExecutor { get; init; }

    /// <summary>
    /// Called from a handshake's thread when it has produced something: arrange for <see cref="RtcSession.Poll"/> on
    /// the session's thread. Must not block. Not needed with a lock-step executor.
    /// </summary>
    public Action? Wake { get; init; }

    /// <summary>ICE-lite: a server on a reachable address that answers checks and never sends any. Default false.</summary>
    public bool IceLite { get; init; }

    /// <summary>
    /// UTC time at <see cref="Instant.Zero"/>, for the NTP times of sender reports of our own media.
    /// </summary>
    public DateTimeOffset WallClockAtZero { get; init; } = DateTimeOffset.UnixEpoch;

    /// <summary>RTCP canonical name (RFC 7022); null makes a random one.</summary>
    public string? Cname { get; init; }

    /// <summary>SRTP profiles, the preferred first.</summary>
    public IReadOnlyList<SrtpProfile> SrtpProfiles { get; init; } = [SrtpProfile.AeadAes128Gcm, SrtpProfile.Aes128CmHmacSha1Tag80];

    /// <summary>
    /// Audio codecs accepted, and offered in this order. An answer uses the offerer's payload types; in an offer a
    /// payload type of 0 (other than PCMU's) is replaced by a free dynamic one. Feedback listed is what this side can do.
    /// </summary>
    public IReadOnlyList<RtpCodec> AudioCodecs { get; init; } = RtcCodecs.Audio;

    /// <summary>Video codecs accepted, and offered in this order; as <see cref="AudioCodecs"/>.</summary>
    public IReadOnlyList<RtpCodec> VideoCodecs { get; init; } = RtcCodecs.Video;

    /// <summary>URIs of header extensions accepted and offered on audio m-sections.</summary>
    public IReadOnlyList<string> AudioExtensions { get; init; } = RtcCodecs.AudioExtensions;

    /// <summary>URIs of header extensions accepted and offered on video m-sections.</summary>
    public IReadOnlyList<string> VideoExtensions { get; init; } = RtcCodecs.VideoExtensions;

    /// <summary>Data channels are accepted in an answer and offered in an offer. Default true.</summary>
    public bool DataChannels { get; init; } = true;

    /// <summary>Mean time between RTCP reports. Default 1 s.</summary>
    public TimeSpan ReportInterval { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>
    /// Bitrate told to senders by REMB once a second while they send video and negotiated it, in bits per second; null
    /// sends none. A fixed, generous figure, so that senders ramp up.
    /// </summary>
    public long? ReceiverEstimatedMaximumBitrate { get; init; } = 5_000_000;

    /// <summary>
    /// Accept transport-wide feedback also on m-sections where the peer only receives. False where nothing is done with
    /// it: it costs a packet every 50 ms of each receiver. Default true.
    /// </summary>
    public bool TransportFeedbackOnSending { get; init; } = true;

    /// <summary>Time between transport-wide feedback packets where negotiated. Default 50 ms.</summary>
    public TimeSpan TransportFeedbackInterval { get; init; } = TimeSpan.FromMilliseconds(50);

    /// <summary>Shortest time between two keyframe requests for one stream. Default 300 ms.</summary>
    public TimeSpan KeyframeRequestInterval { get; init; } = TimeSpan.FromMilliseconds(300);

    /// <summary>Largest datagram sent, in bytes of UDP payload. Default 1460, which leaves room for what SRTP and our header extensions add to a sender's 1200.</summary>
    public int MaxDatagram { get; init; } = 1460;

    /// <summary>Time-outs and randomness of ICE; <see cref="IceAgentOptions.IceLite"/> and the role are set by the session.</summary>
    public IceAgentOptions Ice { get; init; } = new();

    /// <summary>The DTLS handshake fails after this time. Default 30 s.</summary>
    public TimeSpan DtlsHandshakeTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Source of SSRCs, sequence numbers, SDP session ids and jitter. Cryptographically strong outside tests.</summary>
    public RandomNumberGenerator Random { get; init; } = RandomNumberGenerator.Create();

    /// <summary>Bounds on what the peer can make the session hold.</summary>
    public RtcSessionLimits Limits { get; init; } = new();

    /// <summary>Every drop is counted here, too. To be shared only by sessions that run on one thread.</summary>
    public RtcDropTotals? DropTotals { get; init; }

    /// <summary>What sessions with these options, and copies of them, have alike.</summary>
    internal NegotiationCache Negotiations { get; } = new();

    internal void Validate()
    {
        Limits.Validate();
        if (ReportInterval < TimeSpan.FromMilliseconds(100) || ReportInterval > TimeSpan.FromSeconds(30))
            throw new ArgumentException($"RtcSessionOptions.ReportInterval is {ReportInterval}; choose 0.1 to 30 seconds.");
        if (TransportFeedbackInterval < TimeSpan.FromMilliseconds(10) || TransportFeedbackInterval > TimeSpan.FromSeconds(1))
            throw new ArgumentException($"RtcSessionOptions.TransportFeedbackInterval is {TransportFeedbackInterval}; choose 10 to 1000 ms.");
        if (MaxDatagram is < 576 or > 9000)
            throw new ArgumentException($"RtcSessionOptions.MaxDatagram is {MaxDatagram}; choose 576 to 9000 bytes.");
        if (AudioCodecs.Count == 0 && VideoCodecs.Count == 0)
            throw new ArgumentException("RtcSessionOptions has neither AudioCodecs nor VideoCodecs; name at least one codec.");
        if (SrtpProfiles.Count == 0)
            throw new ArgumentException("RtcSessionOptions.SrtpProfiles is empty; name at least one profile.");
        if (Cname is { Length: > 255 })
            throw new ArgumentException($"RtcSessionOptions.Cname has {Cname.Length} characters; use at most 255.");
    }
}
