using System.Buffers;
using System.Globalization;

namespace Transcribe.Rtc.Sdp;

/// <summary>One pass over the lines of a description.</summary>
internal sealed partial class SdpParser(SdpLimits limits)
{
    private readonly List<CodecDraft> _drafts = [];

    // The format lines of the m-section, separated by LF, and where they stand.
    private readonly List<int> _formatLines = [];
    private char[] _formatText = [];
    private int _formatLength;
    private int _line;
    private string? _fingerprint;
    private SdpFingerprint? _parsedFingerprint;
    private string _ufrag = "";
    private string _password = "";
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

        _formatText = ArrayPool<char>.Shared.Rent(sdp.Length + 1);
        try
        {
            return ParseLines(sdp);
        }
        finally
        {
            ArrayPool<char>.Shared.Return(_formatText);
            _formatText = [];
        }
    }

    private string? ParseLines(ReadOnlySpan<char> rest)
    {
        while (!rest.IsEmpty)
        {
            int end = rest.IndexOf('\n');
            ReadOnlySpan<char> line = end < 0 ? rest : rest[..end];
            rest = end < 0 ? default : rest[(end + 1)..];
            if (line.Length > 0 && line[^1] == '\r')
                line = line[..^1];

            _line++;
            if (_line > limits.MaxLines)
                return $"The session description has more than {limits.MaxLines} lines.";
            if (line.IsEmpty)
                continue;
            if (line.Length > limits.MaxLineLength)
                return $"Line {_line} of the session description is longer than {limits.MaxLineLength} characters.";
            string? problem = ParseLine(line);
            if (problem is not null)
                return $"Line {_line} of the session description: {problem}";
        }

        if (!_sawVersion || !_sawOrigin)
            return "The session description has no v= or no o= line.";
        return EndMedia() is string last ? $"Line {_line} of the session description: {last}" : null;
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
        Section.ConnectionAddress = Known(address);
        return null;
    }

    private string? ParseMedia(ReadOnlySpan<char> value)
    {
        if (EndMedia() is string problem)
            return problem;
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
        _media = new MediaDescription { Type = Known(type), Port = portNumber, Protocol = Known(protocol) };
        Description.Media.Add(_media);
        if (_media.IsRtp)
        {
            DeferFormatLine(words.Rest);
            return null;
        }

        while (words.Next(out ReadOnlySpan<char> format))
            _media.Formats.Add(Known(format));
        return null;
    }

    /// <summary>The format lines of an RTP m-section are looked at together, at its end.</summary>
    private void DeferFormatLine(ReadOnlySpan<char> text)
    {
        if (_formatLines.Count > 0)
            _formatText[_formatLength++] = '\n';
        text.CopyTo(_formatText.AsSpan(_formatLength));
        _formatLength += text.Length;
        _formatLines.Add(_line);
    }

    /// <summary>Makes the codecs of the m-section that ends, in the order of its formats.</summary>
    private string? EndMedia()
    {
        if (_media is null)
            return null;
        if (_formatLines.Count > 0)
        {
            ReadOnlySpan<char> text = _formatText.AsSpan(0, _formatLength);
            if (!SdpFormatsCache.TryGet(text, out SdpFormats? formats))
            {
                int here = _line;
                if (ParseFormats(text, out formats) is string problem)
                    return problem;
                _line = here;
                SdpFormatsCache.Add(text, formats!);
            }

            _media.Take(formats!);
        }

        _formatLines.Clear();
        _formatLength = 0;
        _media = null;
        return null;
    }

    /// <summary>Leaves the number of the line that is wrong in <see cref="_line"/>.</summary>
    private string? ParseFormats(ReadOnlySpan<char> text, out SdpFormats? formats)
    {
        formats = null;
        _drafts.Clear();
        List<string> names = [];
        List<RtcpFeedback> wildcard = [];
        List<SdpExtMap> extMaps = [];
        for (int i = 0; i < _formatLines.Count; i++)
        {
            int end = text.IndexOf('\n');
            ReadOnlySpan<char> line = end < 0 ? text : text[..end];
            text = end < 0 ? default : text[(end + 1)..];
            _line = _formatLines[i];
            string? problem = i == 0 ? ParsePayloadTypes(line, names) : ParseFormatAttribute(line, wildcard, extMaps);
            if (problem is not null)
                return problem;
        }

        List<RtpCodec> codecs = [];
        foreach (CodecDraft draft in _drafts)
        {
            if (draft.Build(wildcard) is { } codec)
                codecs.Add(codec);
        }

        for (int i = 0; i < codecs.Count; i++)
        {
            RtpCodec codec = codecs[i];
            RtpCodec? rtx = codec.IsRtx ? null : codecs.Find(c => c.AssociatedPayloadType == codec.PayloadType);
            if (rtx is not null)
                codecs[i] = codec with { RtxPayloadType = rtx.PayloadType };
        }

        formats = new SdpFormats([.. names], [.. codecs], [.. wildcard], [.. extMaps]);
        return null;
    }

    private string? ParsePayloadTypes(ReadOnlySpan<char> text, List<string> names)
    {
        Words words = new(text);
        while (words.Next(out ReadOnlySpan<char> format))
        {
            if (!TryNumber(format, 127, out int payloadType))
                return "a format of an RTP m-section must be a payload type, 0 to 127.";
            names.Add(format.ToString());
            if (!_drafts.Exists(d => d.PayloadType == payloadType))
                _drafts.Add(new CodecDraft((byte)payloadType));
        }

        return null;
    }

    private string? ParseAttribute(ReadOnlySpan<char> text)
    {
        int colon = text.IndexOf(':');
        ReadOnlySpan<char> name = colon < 0 ? text : text[..colon];
        ReadOnlySpan<char> value = colon < 0 ? default : text[(colon + 1)..].Trim(' ');
        if (name.IsEmpty)
            return "a= needs a name.";
        if (_media is { IsRtp: true } && name is "rtpmap" or "fmtp" or "rtcp-fb" or "extmap")
        {
            DeferFormatLine(text);
            return null;
        }

        bool known = _media is null
            ? TryParseSessionAttribute(name, value, out string? problem)
            : TryParseMediaAttribute(name, value, out problem);
        if (!known)
            known = TryParseSharedAttribute(name, value, out problem);
        if (!known)
            Section.OtherAttributes.Add(new SdpAttribute(name.ToString(), colon < 0 ? null : text[(colon + 1)..].ToString()));
        return problem;
    }

    private CodecDraft? Draft(int payloadType) => _drafts.Find(d => d.PayloadType == payloadType);

    /// <summary>Words that nearly every description has, without a string of their own.</summary>
    private static string Known(ReadOnlySpan<char> text) => text switch
    {
        "audio" => "audio",
        "video" => "video",
        "application" => "application",
        "UDP/TLS/RTP/SAVPF" => "UDP/TLS/RTP/SAVPF",
        "UDP/DTLS/SCTP" => "UDP/DTLS/SCTP",
        "webrtc-datachannel" => "webrtc-datachannel",
        "0.0.0.0" => "0.0.0.0",
        _ => text.ToString(),
    };

    /// <summary>The same string again where the text is the same: the m-sections of a bundle repeat their transport.</summary>
    private static string Again(ref string last, ReadOnlySpan<char> text) =>
        last = text.SequenceEqual(last) ? last : text.ToString();

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

        public RtpCodec? Build(List<RtcpFeedback> wildcard)
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
