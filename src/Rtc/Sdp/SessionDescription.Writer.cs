using System.Globalization;
using System.Text;

namespace Transcribe.Rtc.Sdp;

public sealed partial class SessionDescription
{
    /// <summary>The description as text, lines ended by CR LF.</summary>
    public override string ToString()
    {
        SdpWriter writer = new();
        writer.Write(this);
        return writer.ToString();
    }
}

/// <summary>Writes descriptions, one line a call.</summary>
internal sealed class SdpWriter
{
    private readonly StringBuilder _text = new(4096);

    public override string ToString() => _text.ToString();

    public void Write(SessionDescription session)
    {
        Line($"v=0");
        SdpOrigin origin = session.Origin;
        Line($"o={origin.Username} {origin.SessionId} {origin.SessionVersion} IN {origin.AddressType} {origin.Address}");
        Line($"s={(session.Name.Length == 0 ? "-" : session.Name)}");
        if (session.ConnectionAddress is { } address)
            Connection(address);
        Line($"t=0 0");
        foreach (SdpGroup group in session.Groups)
            Line($"a=group:{group.Semantics}{string.Concat(group.Mids.Select(m => " " + m))}");
        if (session.IceLite)
            Line($"a=ice-lite");
        if (session.MsidSemantic is { } semantic)
            Line($"a=msid-semantic:{semantic}");
        Shared(session);
        foreach (MediaDescription media in session.Media)
            Write(media);
    }

    private void Write(MediaDescription media)
    {
        IEnumerable<string> formats = media.IsRtp && media.Codecs.Count > 0
            ? media.Codecs.Select(c => c.PayloadType.ToString(CultureInfo.InvariantCulture)).Concat(UnmappedFormats(media))
            : media.Formats;
        Line($"m={media.Type} {media.Port} {media.Protocol} {string.Join(' ', formats)}");
        Connection(media.ConnectionAddress ?? "0.0.0.0");
        if (media.IsRtp && media.Port != 0)
            Line($"a=rtcp:9 IN IP4 0.0.0.0");
        foreach (string candidate in media.Candidates)
            Line($"a=candidate:{candidate}");
        if (media.EndOfCandidates)
            Line($"a=end-of-candidates");
        if (media.Mid is { } mid)
            Line($"a=mid:{mid}");
        Shared(media);
        foreach (SdpMsid msid in media.Msids)
            Line($"a=msid:{msid.StreamId}{(msid.TrackId is null ? "" : " " + msid.TrackId)}");
        if (media.BundleOnly)
            Line($"a=bundle-only");
        if (media.RtcpMux)
            Line($"a=rtcp-mux");
        if (media.RtcpMuxOnly)
            Line($"a=rtcp-mux-only");
        if (media.RtcpReducedSize)
            Line($"a=rtcp-rsize");
        if (media.PacketTime is { } packetTime)
            Line($"a=ptime:{packetTime}");
        foreach (RtcpFeedback feedback in media.WildcardFeedback)
            Line($"a=rtcp-fb:* {feedback}");
        foreach (RtpCodec codec in media.Codecs)
            Write(codec, media.WildcardFeedback);
        foreach (SdpRid rid in media.Rids)
            Line($"a=rid:{rid.Id} {(rid.Send ? "send" : "recv")}{(rid.Restrictions is null ? "" : " " + rid.Restrictions)}");
        if (media.Simulcast is { } simulcast)
            Line($"a=simulcast:{SdpSimulcastSyntax.Format(simulcast)}");
        foreach (SdpSourceGroup group in media.SourceGroups)
            Line($"a=ssrc-group:{group.Semantics} {string.Join(' ', group.Ssrcs)}");
        foreach (SdpSource source in media.Sources)
            Write(source);
        if (media.SctpPort is { } sctpPort)
            Line($"a=sctp-port:{sctpPort}");
        if (media.MaxMessageSize is { } size)
            Line($"a=max-message-size:{size}");
    }

    /// <summary>Formats that no codec describes, which a round trip must not lose.</summary>
    private static IEnumerable<string> UnmappedFormats(MediaDescription media) =>
        media.Formats.Where(f => byte.TryParse(f, NumberStyles.None, CultureInfo.InvariantCulture, out byte type)
            && media.FindCodec(type) is null).Distinct();

    private void Write(RtpCodec codec, IList<RtcpFeedback> wildcard)
    {
        string channels = codec.Channels > 1 ? $"/{codec.Channels}" : "";
        Line($"a=rtpmap:{codec.PayloadType} {codec.Name}/{codec.ClockRate}{channels}");
        foreach (RtcpFeedback feedback in codec.Feedback)
        {
            if (!wildcard.Contains(feedback))
                Line($"a=rtcp-fb:{codec.PayloadType} {feedback}");
        }

        if (codec.Parameters.Count > 0)
            Line($"a=fmtp:{codec.PayloadType} {RtpCodec.FormatParameters(codec.Parameters)}");
    }

    private void Write(SdpSource source)
    {
        if (source.Attributes.Count == 0)
            Line($"a=ssrc:{source.Ssrc}");
        foreach ((string name, string? value) in source.Attributes)
            Line($"a=ssrc:{source.Ssrc} {name}{(value is null ? "" : ":" + value)}");
    }

    private void Shared(SdpSection section)
    {
        if (section.IceUfrag is { } ufrag)
            Line($"a=ice-ufrag:{ufrag}");
        if (section.IcePwd is { } password)
            Line($"a=ice-pwd:{password}");
        if (section.IceOptions.Count > 0)
            Line($"a=ice-options:{string.Join(' ', section.IceOptions)}");
        foreach (SdpFingerprint fingerprint in section.Fingerprints)
            Line($"a=fingerprint:{fingerprint.Algorithm} {fingerprint.Value}");
        if (section.Setup is { } setup)
            Line($"a=setup:{SetupName(setup)}");
        if (section.ExtMapAllowMixed)
            Line($"a=extmap-allow-mixed");
        foreach (SdpExtMap map in section.ExtMaps)
        {
            string direction = map.Direction is { } d ? "/" + DirectionName(d) : "";
            Line($"a=extmap:{map.Id}{direction} {map.Uri}{(map.Attributes is null ? "" : " " + map.Attributes)}");
        }

        if (section.Direction is { } own)
            Line($"a={DirectionName(own)}");
        foreach (SdpAttribute other in section.OtherAttributes)
            Line($"a={other.Name}{(other.Value is null ? "" : ":" + other.Value)}");
    }

    private void Connection(string address) =>
        Line($"c=IN {(address.Contains(':', StringComparison.Ordinal) ? "IP6" : "IP4")} {address}");

    private void Line(FormattableString line) =>
        _text.Append(line.ToString(CultureInfo.InvariantCulture)).Append("\r\n");

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
