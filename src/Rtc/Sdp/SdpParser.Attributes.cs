namespace Transcribe.Rtc.Sdp;

internal sealed partial class SdpParser
{
    private const int MaxSources = 256;

    private bool TryParseSessionAttribute(ReadOnlySpan<char> name, ReadOnlySpan<char> value, out string? problem)
    {
        problem = null;
        switch (name)
        {
            case "group":
                List<string> words = Split(value);
                if (words.Count == 0)
                    problem = "a=group needs its semantics.";
                else
                    Description.Groups.Add(new SdpGroup(words[0], words.GetRange(1, words.Count - 1)));
                return true;
            case "msid-semantic":
                Description.MsidSemantic = value.ToString();
                return true;
            case "ice-lite":
                Description.IceLite = true;
                return true;
            default:
                return false;
        }
    }

    private bool TryParseSharedAttribute(ReadOnlySpan<char> name, ReadOnlySpan<char> value, out string? problem)
    {
        problem = null;
        SdpSection section = Section;
        switch (name)
        {
            case "ice-ufrag":
                section.IceUfrag = Again(ref _ufrag, value);
                if (value.Length is < 4 or > 256)
                    problem = "an ICE user name fragment has 4 to 256 characters.";
                return true;
            case "ice-pwd":
                section.IcePwd = Again(ref _password, value);
                if (value.Length is < 22 or > 256)
                    problem = "an ICE password has 22 to 256 characters.";
                return true;
            case "ice-options":
                foreach (string option in Split(value))
                    section.IceOptions.Add(option);
                return true;
            case "fingerprint":
                problem = ParseFingerprint(value, section);
                return true;
            case "setup":
                section.Setup = value switch
                {
                    "actpass" => SdpSetup.ActPass,
                    "active" => SdpSetup.Active,
                    "passive" => SdpSetup.Passive,
                    "holdconn" => SdpSetup.HoldConn,
                    _ => null,
                };
                if (section.Setup is null)
                    problem = "a=setup must be actpass, active, passive or holdconn.";
                return true;
            case "sendrecv":
                section.Direction = MediaDirection.SendRecv;
                return true;
            case "sendonly":
                section.Direction = MediaDirection.SendOnly;
                return true;
            case "recvonly":
                section.Direction = MediaDirection.RecvOnly;
                return true;
            case "inactive":
                section.Direction = MediaDirection.Inactive;
                return true;
            case "extmap":
                problem = ParseExtMap(value, section.ExtMaps);
                return true;
            case "extmap-allow-mixed":
                section.ExtMapAllowMixed = true;
                return true;
            default:
                return false;
        }
    }

    private bool TryParseMediaAttribute(ReadOnlySpan<char> name, ReadOnlySpan<char> value, out string? problem)
    {
        problem = null;
        MediaDescription media = _media!;
        switch (name)
        {
            case "mid":
                media.Mid = value.ToString();
                if (value.IsEmpty || value.Contains(' '))
                    problem = "a=mid needs one token.";
                return true;
            case "rtcp":
                // The address of RTCP without multiplexing, which WebRTC does not have; the writer puts the dummy there.
                return true;
            case "rtcp-mux":
                media.RtcpMux = true;
                return true;
            case "rtcp-mux-only":
                media.RtcpMuxOnly = true;
                return true;
            case "rtcp-rsize":
                media.RtcpReducedSize = true;
                return true;
            case "bundle-only":
                media.BundleOnly = true;
                return true;
            case "candidate":
                media.Candidates.Add(value.ToString());
                return true;
            case "end-of-candidates":
                media.EndOfCandidates = true;
                return true;
            case "rtpmap" or "fmtp" or "rtcp-fb":
                // Of formats, which this m-section has none of that we know.
                return true;
            case "msid":
                Words words = new(value);
                if (words.Next(out ReadOnlySpan<char> stream))
                    media.Msids.Add(new SdpMsid(stream.ToString(), words.Next(out ReadOnlySpan<char> track) ? track.ToString() : null));
                else
                    problem = "a=msid needs a stream.";
                return true;
            case "ssrc":
                problem = ParseSource(value, media);
                return true;
            case "ssrc-group":
                problem = ParseSourceGroup(value, media);
                return true;
            case "rid":
                problem = ParseRid(value, media);
                return true;
            case "simulcast":
                problem = SdpSimulcastSyntax.TryParse(value, out SdpSimulcast? simulcast)
                    ? null
                    : "a=simulcast needs send or recv lists of rids.";
                media.Simulcast = simulcast;
                return true;
            case "sctp-port":
                if (TryNumber(value, 65535, out int sctpPort))
                    media.SctpPort = sctpPort;
                else
                    problem = "a=sctp-port must be 0 to 65535.";
                return true;
            case "max-message-size":
                if (TryNumber(value, out ulong size))
                    media.MaxMessageSize = (long)Math.Min(size, long.MaxValue);
                else
                    problem = "a=max-message-size must be a number.";
                return true;
            case "ptime":
                // Some writers put a fraction here; it is a hint, so it is no reason to refuse the call.
                if (!TryNumber(value, 10_000, out int packetTime))
                    return false;
                media.PacketTime = packetTime;
                return true;
            default:
                return false;
        }
    }

    /// <summary>A line of an RTP m-section that belongs to its formats.</summary>
    private string? ParseFormatAttribute(ReadOnlySpan<char> text, List<RtcpFeedback> wildcard, List<SdpExtMap> extMaps)
    {
        int colon = text.IndexOf(':');
        ReadOnlySpan<char> value = colon < 0 ? default : text[(colon + 1)..].Trim(' ');
        return (colon < 0 ? text : text[..colon]) switch
        {
            "rtpmap" => ParseRtpMap(value),
            "fmtp" => ParseFmtp(value),
            "rtcp-fb" => ParseFeedback(value, wildcard),
            _ => ParseExtMap(value, extMaps),
        };
    }

    private string? ParseFingerprint(ReadOnlySpan<char> value, SdpSection section)
    {
        if (_parsedFingerprint is null || !value.SequenceEqual(_fingerprint))
        {
            Words words = new(value);
            if (!words.Next(out ReadOnlySpan<char> algorithm) || !words.Next(out ReadOnlySpan<char> digest) || words.Next(out _))
                return "a=fingerprint needs a hash function and a value.";
            _parsedFingerprint = new SdpFingerprint(algorithm.ToString().ToLowerInvariant(), digest.ToString().ToUpperInvariant());
            _fingerprint = value.ToString();
        }

        section.Fingerprints.Add(_parsedFingerprint);
        return null;
    }

    private static string? ParseExtMap(ReadOnlySpan<char> value, IList<SdpExtMap> extMaps)
    {
        Words words = new(value);
        if (!words.Next(out ReadOnlySpan<char> id) || !words.Next(out ReadOnlySpan<char> uri))
            return "a=extmap needs an id and a URI.";
        MediaDirection? direction = null;
        int slash = id.IndexOf('/');
        if (slash >= 0)
        {
            direction = id[(slash + 1)..] switch
            {
                "sendrecv" => MediaDirection.SendRecv,
                "sendonly" => MediaDirection.SendOnly,
                "recvonly" => MediaDirection.RecvOnly,
                "inactive" => MediaDirection.Inactive,
                _ => null,
            };
            if (direction is null)
                return "the direction of a=extmap must be sendrecv, sendonly, recvonly or inactive.";
            id = id[..slash];
        }

        if (!TryNumber(id, 4351, out int number) || number is 0 or (> 255 and < 4096))
            return "the id of a=extmap must be 1 to 255 or 4096 to 4351.";
        string attributes = words.Rest.Trim(' ').ToString();
        extMaps.Add(new SdpExtMap(number, uri.ToString(), direction, attributes.Length == 0 ? null : attributes));
        return null;
    }

    private string? ParseRtpMap(ReadOnlySpan<char> value)
    {
        Words words = new(value);
        if (!words.Next(out ReadOnlySpan<char> payloadType) || !words.Next(out ReadOnlySpan<char> encoding)
            || !TryNumber(payloadType, 127, out int number))
        {
            return "a=rtpmap needs a payload type and an encoding.";
        }

        int slash = encoding.IndexOf('/');
        if (slash <= 0)
            return "a=rtpmap needs an encoding name and a clock rate.";
        ReadOnlySpan<char> clock = encoding[(slash + 1)..];
        int channels = 1;
        int second = clock.IndexOf('/');
        if (second >= 0)
        {
            if (!TryNumber(clock[(second + 1)..], 255, out channels) || channels == 0)
                return "the channels of a=rtpmap must be 1 to 255.";
            clock = clock[..second];
        }

        if (!TryNumber(clock, int.MaxValue, out int clockRate) || clockRate == 0)
            return "the clock rate of a=rtpmap must be a positive number.";
        if (Draft(number) is { } draft)
            (draft.Name, draft.ClockRate, draft.Channels) = (encoding[..slash].ToString(), clockRate, channels);
        return null;
    }

    private string? ParseFmtp(ReadOnlySpan<char> value)
    {
        Words words = new(value);
        if (!words.Next(out ReadOnlySpan<char> payloadType) || !TryNumber(payloadType, 127, out int number))
            return "a=fmtp needs a payload type.";
        if (Draft(number) is { } draft)
            draft.Parameters = RtpCodec.ParseParameters(words.Rest);
        return null;
    }

    private string? ParseFeedback(ReadOnlySpan<char> value, List<RtcpFeedback> wildcard)
    {
        Words words = new(value);
        if (!words.Next(out ReadOnlySpan<char> payloadType) || !words.Next(out ReadOnlySpan<char> type))
            return "a=rtcp-fb needs a payload type and a feedback type.";
        string parameter = words.Rest.Trim(' ').ToString();
        RtcpFeedback feedback = new(type.ToString(), parameter.Length == 0 ? null : parameter);
        if (payloadType.SequenceEqual("*"))
            wildcard.Add(feedback);
        else if (!TryNumber(payloadType, 127, out int number))
            return "the payload type of a=rtcp-fb must be * or 0 to 127.";
        else
            Draft(number)?.Feedback.Add(feedback);
        return null;
    }

    private static string? ParseSource(ReadOnlySpan<char> value, MediaDescription media)
    {
        Words words = new(value);
        if (!words.Next(out ReadOnlySpan<char> id) || !TryNumber(id, out ulong number) || number > uint.MaxValue)
            return "a=ssrc needs an SSRC.";
        uint ssrc = (uint)number;
        SdpSource? source = media.Sources.FirstOrDefault(s => s.Ssrc == ssrc);
        if (source is null)
        {
            if (media.Sources.Count == MaxSources)
                return $"an m-section has at most {MaxSources} sources.";
            source = new SdpSource(ssrc);
            media.Sources.Add(source);
        }

        ReadOnlySpan<char> attribute = words.Rest.Trim(' ');
        if (attribute.IsEmpty)
            return null;
        int colon = attribute.IndexOf(':');
        source.Attributes.Add(colon < 0
            ? new(attribute.ToString(), null)
            : new(attribute[..colon].ToString(), attribute[(colon + 1)..].Trim(' ').ToString()));
        return null;
    }

    private static string? ParseSourceGroup(ReadOnlySpan<char> value, MediaDescription media)
    {
        Words words = new(value);
        if (!words.Next(out ReadOnlySpan<char> semantics))
            return "a=ssrc-group needs its semantics.";
        List<uint> ssrcs = [];
        while (words.Next(out ReadOnlySpan<char> id))
        {
            if (!TryNumber(id, out ulong ssrc) || ssrc > uint.MaxValue)
                return "a=ssrc-group needs SSRCs.";
            ssrcs.Add((uint)ssrc);
        }

        media.SourceGroups.Add(new SdpSourceGroup(semantics.ToString(), ssrcs));
        return null;
    }

    private static string? ParseRid(ReadOnlySpan<char> value, MediaDescription media)
    {
        Words words = new(value);
        if (!words.Next(out ReadOnlySpan<char> id) || !words.Next(out ReadOnlySpan<char> direction)
            || direction is not ("send" or "recv"))
        {
            return "a=rid needs an identifier and send or recv.";
        }

        foreach (char c in id)
        {
            if (!char.IsAsciiLetterOrDigit(c) && c is not ('-' or '_'))
                return "the identifier of a=rid is made of letters, digits, - and _.";
        }

        string restrictions = words.Rest.Trim(' ').ToString();
        media.Rids.Add(new SdpRid(id.ToString(), direction is "send", restrictions.Length == 0 ? null : restrictions));
        return null;
    }
}
