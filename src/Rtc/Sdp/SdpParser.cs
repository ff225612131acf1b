using System.Globalization;

namespace Transcribe.Rtc.Sdp;

/// <summary>One pass over the lines of a description.</summary>
internal sealed partial class SdpParser(SdpLimits limits)
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
