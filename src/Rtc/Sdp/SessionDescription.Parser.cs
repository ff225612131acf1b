using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace Transcribe.Rtc.Sdp;

public sealed partial class SessionDescription
{
    /// <summary>Parses a description. Unknown attributes are kept; a line that is no SDP, or a malformed attribute that matters, is an error.</summary>
    /// <param name="sdp">Lines ended by CR LF or LF.</param>
    /// <param name="description">The description.</param>
    /// <param name="error">A sentence that names the line and what is wrong with it. It never quotes the line.</param>
    /// <param name="limits">Limits; null for the defaults.</param>
    public static bool TryParse(
        [NotNullWhen(true)] string? sdp,
        [NotNullWhen(true)] out SessionDescription? description,
        [NotNullWhen(false)] out string? error,
        SdpLimits? limits = null)
    {
        SdpParser parser = new(limits ?? SdpLimits.Default);
        error = parser.Parse(sdp);
        description = error is null ? parser.Description : null;
        return error is null;
    }
}

/// <summary>One pass over the lines of a description.</summary>
internal sealed class SdpParser(SdpLimits limits)
{
    private readonly List<CodecDraft> _drafts = [];
    private MediaDescription? _media;
    private bool _sawVersion;
    private bool _sawOrigin;

    public SessionDescription Description { get; } = new();

    private SdpSection Section => _media is null ? Description : _media;

    public string? Parse(string? sdp)
    {
        if (string.IsNullOrEmpty(sdp))
            return "The session description is empty.";
        if (sdp.Length > limits.MaxLength)
            return $"The session description has {sdp.Length} characters, more than the {limits.MaxLength} allowed.";

        int number = 0;
        ReadOnlySpan<char> rest = sdp;
        while (!rest.IsEmpty)
        {
            int end = rest.IndexOf('\n');
            ReadOnlySpan<char> line = end < 0 ? rest : rest[..end];
            rest = end < 0 ? default : rest[(end + 1)..];
            if (line.Length > 0 && line[^1] == '\r')
                line = line[..^1];

            number++;
            if (number > limits.MaxLines)
                return $"The session description has more than {limits.MaxLines} lines.";
            if (line.IsEmpty)
                continue;
            if (line.Length > limits.MaxLineLength)
                return $"Line {number} of the session description is longer than {limits.MaxLineLength} characters.";
            string? problem = ParseLine(line);
            if (problem is not null)
                return $"Line {number} of the session description: {problem}";
        }

        if (!_sawVersion || !_sawOrigin)
            return "The session description has no v= or no o= line.";
        EndMedia();
        return null;
    }

    private string? ParseLine(ReadOnlySpan<char> line)
    {
        if (line.Length < 2 || line[1] != '=' || line[0] is < 'a' or > 'z')
            return "a line is a lower-case letter, \"=\" and a value.";
        if (line.ContainsAny('\0', '\r'))
            return "control characters are not allowed.";
        ReadOnlySpan<char> value = line[2..];
        if (!_sawVersion && line[0] != 'v')
            return "the first line must be v=0.";
        switch (line[0])
        {
            case 'v':
                if (_sawVersion || !value.SequenceEqual("0"))
                    return "there must be one v= line and it must be v=0.";
                _sawVersion = true;
                return null;
            case 'o':
                return ParseOrigin(value);
            case 's':
                if (_media is null)
                    Description.Name = value.ToString();
                return null;
            case 'c':
                return ParseConnection(value);
            case 'm':
                return ParseMedia(value);
            case 'a':
                return ParseAttribute(value);
            default:
                return null;
        }
    }

    private string? ParseOrigin(ReadOnlySpan<char> value)
    {
        Words words = new(value);
        if (_sawOrigin || _media is not null)
            return "there must be one o= line, before the media.";
        if (!words.Next(out ReadOnlySpan<char> user)
            || !words.Next(out ReadOnlySpan<char> id)
            || !words.Next(out ReadOnlySpan<char> version)
            || !words.Next(out ReadOnlySpan<char> _)
            || !words.Next(out ReadOnlySpan<char> _)
            || !words.Next(out ReadOnlySpan<char> address)
            || !TryNumber(id, out ulong sessionId)
            || !TryNumber(version, out ulong sessionVersion))
        {
            return "o= needs user, session id, version, \"IN\", address type and address.";
        }

        Description.Origin = new SdpOrigin(user.ToString(), sessionId, sessionVersion, address.ToString());
        _sawOrigin = true;
        return null;
    }

    private string? ParseConnection(ReadOnlySpan<char> value)
    {
        Words words = new(value);
        if (!words.Next(out _) || !words.Next(out _) || !words.Next(out ReadOnlySpan<char> address))
            return "c= needs \"IN\", address type and address.";
        Section.ConnectionAddress = address.ToString();
        return null;
    }

    private string? ParseMedia(ReadOnlySpan<char> value)
    {
        EndMedia();
        if (Description.Media.Count == limits.MaxMedia)
            return $"there are more than {limits.MaxMedia} m-sections.";
        Words words = new(value);
        if (!words.Next(out ReadOnlySpan<char> type)
            || !words.Next(out ReadOnlySpan<char> port)
            || !words.Next(out ReadOnlySpan<char> protocol))
        {
            return "m= needs media type, port, protocol and formats.";
        }

        int slash = port.IndexOf('/');
        if (!TryNumber(slash < 0 ? port : port[..slash], 65535, out int portNumber))
            return "the port of m= must be 0 to 65535.";
        _media = new MediaDescription { Type = type.ToString(), Port = portNumber, Protocol = protocol.ToString() };
        while (words.Next(out ReadOnlySpan<char> format))
            _media.Formats.Add(format.ToString());
        Description.Media.Add(_media);

        if (!_media.IsRtp)
            return null;
        foreach (string format in _media.Formats)
        {
            if (!TryNumber(format, 127, out int payloadType))
                return "a format of an RTP m-section must be a payload type, 0 to 127.";
            if (!_drafts.Exists(d => d.PayloadType == payloadType))
                _drafts.Add(new CodecDraft((byte)payloadType));
        }

        return null;
    }

    /// <summary>Makes the codecs of the m-section that ends, in the order of its formats.</summary>
    private void EndMedia()
    {
        if (_media is null)
            return;
        foreach (CodecDraft draft in _drafts)
        {
            if (draft.Build(_media.WildcardFeedback) is { } codec)
                _media.Codecs.Add(codec);
        }

        for (int i = 0; i < _media.Codecs.Count; i++)
        {
            RtpCodec codec = _media.Codecs[i];
            RtpCodec? rtx = codec.IsRtx ? null : _media.Codecs.FirstOrDefault(c => c.AssociatedPayloadType == codec.PayloadType);
            if (rtx is not null)
                _media.Codecs[i] = codec with { RtxPayloadType = rtx.PayloadType };
        }

        _drafts.Clear();
        _media = null;
    }

    private string? ParseAttribute(ReadOnlySpan<char> text)
    {
        int colon = text.IndexOf(':');
        ReadOnlySpan<char> name = colon < 0 ? text : text[..colon];
        ReadOnlySpan<char> value = colon < 0 ? default : text[(colon + 1)..].Trim(' ');
        if (name.IsEmpty)
            return "a= needs a name.";
        bool known = _media is null
            ? TryParseSessionAttribute(name, value, out string? problem)
            : TryParseMediaAttribute(name, value, out problem);
        if (!known)
            known = TryParseSharedAttribute(name, value, out problem);
        if (!known)
            Section.OtherAttributes.Add(new SdpAttribute(name.ToString(), colon < 0 ? null : text[(colon + 1)..].ToString()));
        return problem;
    }

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
                section.IceUfrag = value.ToString();
                if (value.Length is < 4 or > 256)
                    problem = "an ICE user name fragment has 4 to 256 characters.";
                return true;
            case "ice-pwd":
                section.IcePwd = value.ToString();
                if (value.Length is < 22 or > 256)
                    problem = "an ICE password has 22 to 256 characters.";
                return true;
            case "ice-options":
                foreach (string option in Split(value))
                    section.IceOptions.Add(option);
                return true;
            case "fingerprint":
                List<string> parts = Split(value);
                if (parts.Count != 2)
                    problem = "a=fingerprint needs a hash function and a value.";
                else
                    section.Fingerprints.Add(new SdpFingerprint(parts[0].ToLowerInvariant(), parts[1].ToUpperInvariant()));
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
                problem = ParseExtMap(value, section);
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
            case "rtpmap":
                problem = ParseRtpMap(value);
                return true;
            case "fmtp":
                problem = ParseFmtp(value);
                return true;
            case "rtcp-fb":
                problem = ParseFeedback(value, media);
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

    private static string? ParseExtMap(ReadOnlySpan<char> value, SdpSection section)
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
        section.ExtMaps.Add(new SdpExtMap(number, uri.ToString(), direction, attributes.Length == 0 ? null : attributes));
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
            return _media!.IsRtp ? "a=fmtp needs a payload type." : null;
        if (Draft(number) is { } draft)
            draft.Parameters = RtpCodec.ParseParameters(words.Rest);
        return null;
    }

    private string? ParseFeedback(ReadOnlySpan<char> value, MediaDescription media)
    {
        Words words = new(value);
        if (!words.Next(out ReadOnlySpan<char> payloadType) || !words.Next(out ReadOnlySpan<char> type))
            return "a=rtcp-fb needs a payload type and a feedback type.";
        string parameter = words.Rest.Trim(' ').ToString();
        RtcpFeedback feedback = new(type.ToString(), parameter.Length == 0 ? null : parameter);
        if (payloadType.SequenceEqual("*"))
            media.WildcardFeedback.Add(feedback);
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

    private const int MaxSources = 256;

    private CodecDraft? Draft(int payloadType) => _drafts.Find(d => d.PayloadType == payloadType);

    private static List<string> Split(ReadOnlySpan<char> value)
    {
        List<string> list = [];
        Words words = new(value);
        while (words.Next(out ReadOnlySpan<char> word))
            list.Add(word.ToString());
        return list;
    }

    private static bool TryNumber(ReadOnlySpan<char> text, out ulong number) =>
        ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number);

    private static bool TryNumber(ReadOnlySpan<char> text, int maximum, out int number) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number) && number <= maximum;

    /// <summary>Words between blanks.</summary>
    private ref struct Words(ReadOnlySpan<char> text)
    {
        public ReadOnlySpan<char> Rest { get; private set; } = text;

        public bool Next(out ReadOnlySpan<char> word)
        {
            Rest = Rest.TrimStart(' ');
            int end = Rest.IndexOf(' ');
            word = end < 0 ? Rest : Rest[..end];
            Rest = end < 0 ? default : Rest[end..];
            return !word.IsEmpty;
        }
    }

    /// <summary>What the lines of a payload type have said so far.</summary>
    private sealed class CodecDraft(byte payloadType)
    {
        public byte PayloadType { get; } = payloadType;

        public string? Name { get; set; }

        public int ClockRate { get; set; }

        public int Channels { get; set; } = 1;

        public IReadOnlyDictionary<string, string> Parameters { get; set; } = RtpCodec.NoParameters;

        public List<RtcpFeedback> Feedback { get; } = [];

        public RtpCodec? Build(IList<RtcpFeedback> wildcard)
        {
            // Static payload types (RFC 3551 §6) that browsers may send without an rtpmap.
            (string? name, int clock) = Name is not null ? (Name, ClockRate) : PayloadType switch
            {
                0 => ("PCMU", 8000),
                8 => ("PCMA", 8000),
                9 => ("G722", 8000),
                13 => ("CN", 8000),
                _ => (null, 0),
            };
            if (name is null)
                return null;
            return new RtpCodec
            {
                Name = name,
                PayloadType = PayloadType,
                ClockRate = clock,
                Channels = Channels,
                Parameters = Parameters,
                Feedback = [.. Feedback.Concat(wildcard).Distinct()],
            };
        }
    }
}
