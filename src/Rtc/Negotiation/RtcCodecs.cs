using Transcribe.Rtc.Rtp;
using Transcribe.Rtc.Sdp;

namespace Transcribe.Rtc;

/// <summary>The codecs and header extensions a forwarder handles, ready for <see cref="RtcSessionOptions"/>.</summary>
public static class RtcCodecs
{
    private static readonly RtcpFeedback[] AudioFeedback = [RtcpFeedback.TransportWide];

    private static readonly RtcpFeedback[] VideoFeedback =
    [
        RtcpFeedback.Remb, RtcpFeedback.TransportWide, RtcpFeedback.FullIntraRequest, RtcpFeedback.Nack, RtcpFeedback.PictureLoss,
    ];

    /// <summary>Opus with in-band FEC; always 48 kHz and two channels in SDP (RFC 7587 §7).</summary>
    public static RtpCodec Opus { get; } = new()
    {
        Name = "opus",
        PayloadType = 111,
        ClockRate = 48000,
        Channels = 2,
        Parameters = RtpCodec.ParseParameters("minptime=10;useinbandfec=1"),
        Feedback = AudioFeedback,
    };

    public static RtpCodec Vp8 { get; } = MakeVideo("VP8", 96, 97, "");

    /// <summary>VP9 profile 0.</summary>
    public static RtpCodec Vp9 { get; } = MakeVideo("VP9", 98, 99, "profile-id=0");

    /// <summary>H.264 constrained baseline, packetization mode 1: what every browser has.</summary>
    public static RtpCodec H264 { get; } = MakeVideo("H264", 102, 103, H264Format("42e01f"));

    /// <summary>AV1 profile 0.</summary>
    public static RtpCodec Av1 { get; } = MakeVideo("AV1", 45, 46, "level-idx=5;profile=0;tier=0");

    /// <summary>Opus only.</summary>
    public static IReadOnlyList<RtpCodec> Audio { get; } = [Opus];

    /// <summary>VP8, H.264 in the profiles that browsers and broadcast tools send, VP9 and AV1.</summary>
    public static IReadOnlyList<RtpCodec> Video { get; } =
    [
        Vp8,
        H264,
        Vp9,
        Av1,
        MakeVideo("H264", 104, 105, H264Format("42001f")),
        MakeVideo("H264", 106, 107, H264Format("4d001f")),
        MakeVideo("H264", 108, 109, H264Format("64001f")),
        MakeVideo("H264", 112, 113, H264Format("640c1f")),
    ];

    /// <summary>Header extensions for audio.</summary>
    public static IReadOnlyList<string> AudioExtensions { get; } =
    [
        RtpExtensionUris.AudioLevel,
        RtpExtensionUris.AbsoluteSendTime,
        RtpExtensionUris.TransportSequenceNumber,
        RtpExtensionUris.Mid,
    ];

    /// <summary>Header extensions for video.</summary>
    public static IReadOnlyList<string> VideoExtensions { get; } =
    [
        RtpExtensionUris.AbsoluteSendTime,
        RtpExtensionUris.VideoOrientation,
        RtpExtensionUris.TransportSequenceNumber,
        RtpExtensionUris.PlayoutDelay,
        RtpExtensionUris.VideoContentType,
        RtpExtensionUris.Mid,
        RtpExtensionUris.RtpStreamId,
        RtpExtensionUris.RepairedRtpStreamId,
        RtpExtensionUris.DependencyDescriptor,
    ];

    private static string H264Format(string profile) => $"level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={profile}";

    private static RtpCodec MakeVideo(string name, byte payloadType, byte rtx, string format) => new()
    {
        Name = name,
        PayloadType = payloadType,
        ClockRate = 90000,
        Parameters = RtpCodec.ParseParameters(format),
        Feedback = VideoFeedback,
        RtxPayloadType = rtx,
    };
}
