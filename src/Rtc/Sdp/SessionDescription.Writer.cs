using System.Globalization;
using System.Text;

namespace Transcribe.Rtc.Sdp;

public sealed partial class SessionDescription
{
    /// <summary>The description as text, lines ended by CR LF.</summary>
    public override string ToString() => SdpWriter.Write(this);
}

/// <summary>Writes descriptions, one line a call, into a buffer that the thread keeps.</summary>
internal static class SdpWriter
{
    private const int MaxKept = 128 * 1024;

    private static readonly CultureInfo Invariant = CultureInfo.InvariantCulture;

    [ThreadStatic]
    private static StringBuilder? _kept;

    public static string Write(SessionDescription session)
    {
        StringBuilder text = Interlocked.Exchange(ref _kept, null) ?? new StringBuilder(8192);
        Write(text, session);
        string written = text.ToString();
        if (written.Length <= MaxKept)
            _kept = text.Clear();
        return written;
    }

    private static void Write(StringBuilder text, SessionDescription session)
    {
        text.Append(Invariant, $"v=0\r\n");
        SdpOrigin origin = session.Origin;
        text.Append(Invariant, $"o={origin.Username} {origin.SessionId} {origin.SessionVersion} IN {origin.AddressType} {origin.Address}\r\n");
        text.Append(Invariant, $"s={(session.Name.Length == 0 ? "-" : session.Name)}\r\n");
        if (session.ConnectionAddress is { } address)
            Connection(text, address);
        text.Append(Invariant, $"t=0 0\r\n");
        foreach (SdpGroup group in session.Groups)
        {
            text.Append(Invariant, $"a=group:{group.Semantics}");
            foreach (string mid in group.Mids)
                text.Append(' ').Append(mid);
            text.Append("\r\n");
        }

        if (session.IceLite)
            text.Append(Invariant, $"a=ice-lite\r\n");
        if (session.MsidSemantic is { } semantic)
            text.Append(Invariant, $"a=msid-semantic:{semantic}\r\n");
        Shared(text, session, null);
        foreach (MediaDescription media in session.Media)
            Write(text, media);
    }

    private static void Write(StringBuilder text, MediaDescription media)
    {
        text.Append(Invariant, $"m={media.Type} {media.Port} {media.Protocol} ");
        if (media.PreparedFormats is { } prepared)
            text.Append(prepared.PayloadTypes);
        else
            WriteFormats(text, media);
        text.Append("\r\n");
        Connection(text, media.ConnectionAddress ?? "0.0.0.0");
        if (media.IsRtp && media.Port != 0)
            text.Append(Invariant, $"a=rtcp:9 IN IP4 0.0.0.0\r\n");
        foreach (string candidate in media.Candidates)
            text.Append(Invariant, $"a=candidate:{candidate}\r\n");
        if (media.EndOfCandidates)
            text.Append(Invariant, $"a=end-of-candidates\r\n");
        if (media.Mid is { } mid)
            text.Append(Invariant, $"a=mid:{mid}\r\n");
        Shared(text, media, media.PreparedFormats);
        foreach (SdpMsid msid in media.Msids)
            text.Append(Invariant, $"a=msid:{msid.StreamId}{(msid.TrackId is null ? "" : " " + msid.TrackId)}\r\n");
        if (media.BundleOnly)
            text.Append(Invariant, $"a=bundle-only\r\n");
        if (media.RtcpMux)
            text.Append(Invariant, $"a=rtcp-mux\r\n");
        if (media.RtcpMuxOnly)
            text.Append(Invariant, $"a=rtcp-mux-only\r\n");
        if (media.RtcpReducedSize)
            text.Append(Invariant, $"a=rtcp-rsize\r\n");
        if (media.PacketTime is { } packetTime)
            text.Append(Invariant, $"a=ptime:{packetTime}\r\n");
        foreach (RtcpFeedback feedback in media.WildcardFeedback)
            text.Append(Invariant, $"a=rtcp-fb:* {feedback}\r\n");
        foreach (RtpCodec codec in media.Codecs)
            Write(text, codec, media.WildcardFeedback);
        if (media.PreparedFormats is not null)
            text.Append(media.PreparedFormats.Codecs);
        foreach (SdpRid rid in media.Rids)
            text.Append(Invariant, $"a=rid:{rid.Id} {(rid.Send ? "send" : "recv")}{(rid.Restrictions is null ? "" : " " + rid.Restrictions)}\r\n");
        if (media.Simulcast is { } simulcast)
            text.Append(Invariant, $"a=simulcast:{SdpSimulcastSyntax.Format(simulcast)}\r\n");
        foreach (SdpSourceGroup group in media.SourceGroups)
        {
            text.Append(Invariant, $"a=ssrc-group:{group.Semantics}");
            foreach (uint ssrc in group.Ssrcs)
                text.Append(Invariant, $" {ssrc}");
            text.Append("\r\n");
        }

        foreach (SdpSource source in media.Sources)
            Write(text, source);
        if (media.SctpPort is { } sctpPort)
            text.Append(Invariant, $"a=sctp-port:{sctpPort}\r\n");
        if (media.MaxMessageSize is { } size)
            text.Append(Invariant, $"a=max-message-size:{size}\r\n");
    }

    private static void WriteFormats(StringBuilder text, MediaDescription media)
    {
        IEnumerable<string> formats = media.IsRtp && media.Codecs.Count > 0
            ? media.Codecs.Select(c => c.PayloadType.ToString(Invariant)).Concat(UnmappedFormats(media))
            : media.Formats;
        text.AppendJoin(' ', formats);
    }

    /// <summary>Formats that no codec describes, which a round trip must not lose.</summary>
    private static IEnumerable<string> UnmappedFormats(MediaDescription media) =>
        media.Formats.Where(f => byte.TryParse(f, NumberStyles.None, CultureInfo.InvariantCulture, out byte type)
            && media.FindCodec(type) is null).Distinct();

    public static void Write(StringBuilder text, RtpCodec codec, IList<RtcpFeedback> wildcard)
    {
        string channels = codec.Channels > 1 ? $"/{codec.Channels}" : "";
        text.Append(Invariant, $"a=rtpmap:{codec.PayloadType} {codec.Name}/{codec.ClockRate}{channels}\r\n");
        foreach (RtcpFeedback feedback in codec.Feedback)
        {
            if (!wildcard.Contains(feedback))
                text.Append(Invariant, $"a=rtcp-fb:{codec.PayloadType} {feedback}\r\n");
        }

        if (codec.Parameters.Count > 0)
            text.Append(Invariant, $"a=fmtp:{codec.PayloadType} {RtpCodec.FormatParameters(codec.Parameters)}\r\n");
    }

    private static void Write(StringBuilder text, SdpSource source)
    {
        if (source.Attributes.Count == 0)
            text.Append(Invariant, $"a=ssrc:{source.Ssrc}\r\n");
        foreach ((string name, string? value) in source.Attributes)
            text.Append(Invariant, $"a=ssrc:{source.Ssrc} {name}{(value is null ? "" : ":" + value)}\r\n");
    }

    private static void Shared(StringBuilder text, SdpSection section, SdpFormatText? prepared)
    {
        if (section.IceUfrag is { } ufrag)
            text.Append(Invariant, $"a=ice-ufrag:{ufrag}\r\n");
        if (section.IcePwd is { } password)
            text.Append(Invariant, $"a=ice-pwd:{password}\r\n");
        if (section.IceOptions.Count > 0)
            text.Append(Invariant, $"a=ice-options:{string.Join(' ', section.IceOptions)}\r\n");
        foreach (SdpFingerprint fingerprint in section.Fingerprints)
            text.Append(Invariant, $"a=fingerprint:{fingerprint.Algorithm} {fingerprint.Value}\r\n");
        if (section.Setup is { } setup)
            text.Append(Invariant, $"a=setup:{SetupName(setup)}\r\n");
        if (section.ExtMapAllowMixed)
            text.Append(Invariant, $"a=extmap-allow-mixed\r\n");
        foreach (SdpExtMap map in section.ExtMaps)
            Write(text, map);
        text.Append(prepared?.ExtMaps);
        if (section.Direction is { } own)
            text.Append(Invariant, $"a={DirectionName(own)}\r\n");
        foreach (SdpAttribute other in section.OtherAttributes)
            text.Append(Invariant, $"a={other.Name}{(other.Value is null ? "" : ":" + other.Value)}\r\n");
    }

    public static void Write(StringBuilder text, SdpExtMap map)
    {
        string direction = map.Direction is { } d ? "/" + DirectionName(d) : "";
        text.Append(Invariant, $"a=extmap:{map.Id}{direction} {map.Uri}{(map.Attributes is null ? "" : " " + map.Attributes)}\r\n");
    }

    private static void Connection(StringBuilder text, string address) =>
        text.Append(Invariant, $"c=IN {(address.Contains(':', StringComparison.Ordinal) ? "IP6" : "IP4")} {address}\r\n");

    private static string SetupName(SdpSetup setup) => setup switch
    {
        SdpSetup.ActPass => "actpass",
        SdpSetup.Active => "active",
        SdpSetup.Passive => "passive",
        _ => "holdconn",
    };

    private static string DirectionName(MediaDirection direction) => direction switch
    {
        MediaDirection.SendRecv => "sendrecv",
        MediaDirection.SendOnly => "sendonly",
        MediaDirection.RecvOnly => "recvonly",
        _ => "inactive",
    };
}
