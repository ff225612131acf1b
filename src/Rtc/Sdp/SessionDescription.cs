namespace Transcribe.Rtc.Sdp;

/// <summary>Limits on a description from outside.</summary>
public sealed record SdpLimits
{
    /// <summary>Characters.</summary>
    public int MaxLength { get; init; } = 512 * 1024;

    /// <summary>Lines.</summary>
    public int MaxLines { get; init; } = 20_000;

    /// <summary>Characters in a line.</summary>
    public int MaxLineLength { get; init; } = 4096;

    /// <summary>m-sections.</summary>
    public int MaxMedia { get; init; } = 512;

    /// <summary>The defaults.</summary>
    public static SdpLimits Default { get; } = new();
}

/// <summary>Attributes that may stand at session or at media level.</summary>
public abstract class SdpSection
{
    /// <summary>ICE user name fragment (RFC 8839).</summary>
    public string? IceUfrag { get; set; }

    /// <summary>ICE password.</summary>
    public string? IcePwd { get; set; }

    /// <summary>ICE options: "trickle", "renomination", "ice2".</summary>
    public IList<string> IceOptions { get; } = [];

    /// <summary>Certificate fingerprints.</summary>
    public IList<SdpFingerprint> Fingerprints { get; } = [];

    /// <summary>DTLS role.</summary>
    public SdpSetup? Setup { get; set; }

    /// <summary>Direction as written; null where no line says so, which means send and receive.</summary>
    public MediaDirection? Direction { get; set; }

    /// <summary>Header extensions.</summary>
    public IList<SdpExtMap> ExtMaps { get; } = new List<SdpExtMap>();

    /// <summary>One- and two-byte header extensions may be mixed in a stream (RFC 8285 §6).</summary>
    public bool ExtMapAllowMixed { get; set; }

    /// <summary>The address of the <c>c=</c> line, null for none.</summary>
    public string? ConnectionAddress { get; set; }

    /// <summary>Attributes without a property here, in order.</summary>
    public IList<SdpAttribute> OtherAttributes { get; } = [];
}

/// <summary>
/// A session description (RFC 8866) with the attributes WebRTC uses (RFC 8829). Parsing keeps what it does not know;
/// writing puts attributes in a fixed order.
/// </summary>
public sealed partial class SessionDescription : SdpSection
{
    /// <summary>The <c>o=</c> line.</summary>
    public SdpOrigin Origin { get; set; } = new("-", 0, 0);

    /// <summary>The <c>s=</c> line.</summary>
    public string Name { get; set; } = "-";

    /// <summary>Groups of m-sections.</summary>
    public IList<SdpGroup> Groups { get; } = [];

    /// <summary>Value of <c>a=msid-semantic</c>, trimmed: "WMS", "WMS *"; null without the line.</summary>
    public string? MsidSemantic { get; set; }

    /// <summary>The writer is an ICE-lite agent.</summary>
    public bool IceLite { get; set; }

    /// <summary>The m-sections in order.</summary>
    public IList<MediaDescription> Media { get; } = [];

    /// <summary>The first BUNDLE group, null without one.</summary>
    public SdpGroup? Bundle => Groups.FirstOrDefault(g => g.Semantics == "BUNDLE");

    /// <summary>The m-section of a mid, null for none.</summary>
    public MediaDescription? FindMedia(string mid)
    {
        foreach (MediaDescription media in Media)
        {
            if (media.Mid == mid)
                return media;
        }

        return null;
    }

    /// <summary>Transport attributes in force for an m-section. A media-level line hides the session's of the same name.</summary>
    public SdpTransport TransportOf(MediaDescription media) => new(
        media.IceUfrag ?? IceUfrag,
        media.IcePwd ?? IcePwd,
        [.. media.IceOptions.Count > 0 ? media.IceOptions : IceOptions],
        media.Setup ?? Setup,
        [.. media.Fingerprints.Count > 0 ? media.Fingerprints : Fingerprints]);

    /// <summary>Direction in force for an m-section, as its writer sees it.</summary>
    public MediaDirection DirectionOf(MediaDescription media) =>
        media.Direction ?? Direction ?? MediaDirection.SendRecv;

    /// <summary>Header extensions in force for an m-section: the session's and its own.</summary>
    public IEnumerable<SdpExtMap> ExtMapsOf(MediaDescription media) => ExtMaps.Concat(media.ExtMaps);

    /// <summary>True where one- and two-byte header extensions may be mixed in an m-section.</summary>
    public bool AllowsMixedExtMaps(MediaDescription media) => ExtMapAllowMixed || media.ExtMapAllowMixed;
}

/// <summary>An m-section.</summary>
public sealed class MediaDescription : SdpSection
{
    /// <summary>The media type: "audio", "video", "application"…</summary>
    public string Type { get; set; } = "audio";

    /// <summary>Port; 0 rejects the m-section, unless it is bundle-only in an offer.</summary>
    public int Port { get; set; } = 9;

    /// <summary>Transport protocol: "UDP/TLS/RTP/SAVPF", "UDP/DTLS/SCTP"…</summary>
    public string Protocol { get; set; } = "UDP/TLS/RTP/SAVPF";

    /// <summary>The formats of the m-line: payload types, or "webrtc-datachannel".</summary>
    public IList<string> Formats { get; } = new List<string>();

    /// <summary>Media identification (RFC 5888).</summary>
    public string? Mid { get; set; }

    /// <summary>Codecs in the order of the formats. The writer makes the format list of an RTP m-section from them.</summary>
    public IList<RtpCodec> Codecs { get; } = new List<RtpCodec>();

    /// <summary>Feedback for all payload types (<c>a=rtcp-fb:*</c>); the parser adds it to each codec too.</summary>
    public IList<RtcpFeedback> WildcardFeedback { get; } = new List<RtcpFeedback>();

    /// <summary>RTP and RTCP share the transport.</summary>
    public bool RtcpMux { get; set; }

    /// <summary>Only a shared transport is offered (RFC 8858).</summary>
    public bool RtcpMuxOnly { get; set; }

    /// <summary>Reduced-size RTCP (RFC 5506).</summary>
    public bool RtcpReducedSize { get; set; }

    /// <summary>Meaningful only as part of a bundle (RFC 8843 §6).</summary>
    public bool BundleOnly { get; set; }

    /// <summary>Values of <c>a=candidate</c>: "1 1 udp 2122260223 192.0.2.1 …", without the "candidate:" in front of the foundation.</summary>
    public IList<string> Candidates { get; } = [];

    /// <summary>No further candidates follow.</summary>
    public bool EndOfCandidates { get; set; }

    /// <summary>Streams and track this m-section sends.</summary>
    public IList<SdpMsid> Msids { get; } = [];

    /// <summary>Sources.</summary>
    public IList<SdpSource> Sources { get; } = [];

    /// <summary>Source groups.</summary>
    public IList<SdpSourceGroup> SourceGroups { get; } = [];

    /// <summary>Restriction identifiers.</summary>
    public IList<SdpRid> Rids { get; } = [];

    /// <summary>Simulcast streams, null without the line.</summary>
    public SdpSimulcast? Simulcast { get; set; }

    /// <summary>SCTP port (RFC 8841), null without the line.</summary>
    public int? SctpPort { get; set; }

    /// <summary>Largest SCTP user message the writer takes, bytes; null without the line, which means 65536. 0 is "any".</summary>
    public long? MaxMessageSize { get; set; }

    /// <summary>Packet duration, ms (<c>a=ptime</c>).</summary>
    public int? PacketTime { get; set; }

    /// <summary>Audio or video over RTP; null for anything else.</summary>
    public MediaKind? Kind => !IsRtp ? null : Type switch
    {
        "audio" => MediaKind.Audio,
        "video" => MediaKind.Video,
        _ => null,
    };

    /// <summary>True where the protocol is a profile of RTP.</summary>
    public bool IsRtp => Protocol.Contains("RTP/", StringComparison.Ordinal);

    /// <summary>True for a data channel m-section (RFC 8841).</summary>
    public bool IsDataChannel =>
        Type == "application" && Protocol.EndsWith("DTLS/SCTP", StringComparison.Ordinal) && Formats.Contains("webrtc-datachannel");

    /// <summary>True for port 0 without <c>a=bundle-only</c>.</summary>
    public bool IsRejected => Port == 0 && !BundleOnly;

    /// <summary>The source that retransmits another (FID group), null for none.</summary>
    public uint? RtxSourceOf(uint ssrc) =>
        SourceGroups.FirstOrDefault(g => g.Semantics == "FID" && g.Ssrcs.Count == 2 && g.Ssrcs[0] == ssrc)?.Ssrcs[1];

    /// <summary>The parsed format lines, shared with other descriptions; null where the description was not parsed.</summary>
    internal SdpFormats? ParsedFormats { get; private set; }

    /// <summary>Lines the writer writes in place of <see cref="Codecs"/> and <see cref="SdpSection.ExtMaps"/>; null for none.</summary>
    internal SdpFormatText? PreparedFormats { get; set; }

    internal void Take(SdpFormats formats)
    {
        ParsedFormats = formats;
        ((List<string>)Formats).AddRange(formats.Formats);
        ((List<RtpCodec>)Codecs).AddRange(formats.Codecs);
        ((List<RtcpFeedback>)WildcardFeedback).AddRange(formats.WildcardFeedback);
        ((List<SdpExtMap>)ExtMaps).AddRange(formats.ExtMaps);
    }

    /// <summary>The codec of a payload type, null for none.</summary>
    public RtpCodec? FindCodec(byte payloadType) => Codecs.FirstOrDefault(c => c.PayloadType == payloadType);
}
