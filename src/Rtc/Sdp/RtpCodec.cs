using System.Globalization;

namespace Transcribe.Rtc.Sdp;

/// <summary>An RTCP feedback capability (<c>a=rtcp-fb</c>, RFC 4585 §4.2).</summary>
/// <param name="Type">"nack", "ccm", "goog-remb", "transport-cc"…</param>
/// <param name="Parameter">"pli", "fir"…; null for none.</param>
public sealed record RtcpFeedback(string Type, string? Parameter = null)
{
    public static RtcpFeedback Nack { get; } = new("nack");

    public static RtcpFeedback PictureLoss { get; } = new("nack", "pli");

    public static RtcpFeedback FullIntraRequest { get; } = new("ccm", "fir");

    public static RtcpFeedback Remb { get; } = new("goog-remb");

    public static RtcpFeedback TransportWide { get; } = new("transport-cc");

    public override string ToString() => Parameter is null ? Type : $"{Type} {Parameter}";
}

/// <summary>A codec as an m-section describes it: <c>a=rtpmap</c>, <c>a=fmtp</c> and <c>a=rtcp-fb</c> of one payload type.</summary>
public sealed record RtpCodec
{
    /// <summary>Encoding name, in the writing of its description; compare without case.</summary>
    public required string Name { get; init; }

    /// <summary>Payload type, 0..127.</summary>
    public byte PayloadType { get; init; }

    /// <summary>RTP clock, Hz.</summary>
    public required int ClockRate { get; init; }

    /// <summary>Audio channels; 1 where none are told.</summary>
    public int Channels { get; init; } = 1;

    /// <summary>Format parameters by lower-case name, in the order of the description. A parameter without a name (telephone-event's "0-15") has the key "".</summary>
    public IReadOnlyDictionary<string, string> Parameters { get; init; } = NoParameters;

    /// <summary>Feedback that may be sent for this payload type.</summary>
    public IReadOnlyList<RtcpFeedback> Feedback { get; init; } = [];

    /// <summary>Payload type that carries this codec's retransmissions (RFC 4588), null for none.</summary>
    public byte? RtxPayloadType { get; init; }

    /// <summary>No format parameters.</summary>
    public static IReadOnlyDictionary<string, string> NoParameters { get; } = new Dictionary<string, string>();

    /// <summary>True for the retransmission format itself.</summary>
    public bool IsRtx => NameIs("rtx");

    /// <summary>True for formats that only repair or pad others: rtx, red, ulpfec, flexfec.</summary>
    public bool IsRepair => IsRtx || NameIs("red") || NameIs("ulpfec") || Name.StartsWith("flexfec", StringComparison.OrdinalIgnoreCase);

    /// <summary>The payload type an rtx format repairs (its "apt" parameter), null for other formats or a missing parameter.</summary>
    public byte? AssociatedPayloadType =>
        IsRtx && Parameters.TryGetValue("apt", out string? apt)
            && byte.TryParse(apt, NumberStyles.None, CultureInfo.InvariantCulture, out byte value) && value < 128
            ? value
            : null;

    /// <summary>Compares the encoding name without case.</summary>
    public bool NameIs(string name) => string.Equals(Name, name, StringComparison.OrdinalIgnoreCase);

    /// <summary>True where the peer of this description may send us, or be sent, this feedback.</summary>
    public bool HasFeedback(RtcpFeedback feedback) => Feedback.Contains(feedback);

    /// <summary>A parameter's value, or the fallback where it is missing.</summary>
    public string Parameter(string name, string fallback) => Parameters.GetValueOrDefault(name, fallback);

    /// <summary>Parses the parameters of an <c>a=fmtp</c> value ("a=1;b=2").</summary>
    public static IReadOnlyDictionary<string, string> ParseParameters(ReadOnlySpan<char> text)
    {
        Dictionary<string, string> parameters = new(StringComparer.Ordinal);
        foreach (Range range in text.Split(';'))
        {
            ReadOnlySpan<char> one = text[range].Trim();
            if (one.IsEmpty)
                continue;
            int equals = one.IndexOf('=');
            if (equals < 0)
                parameters.TryAdd("", one.ToString());
            else
                parameters.TryAdd(one[..equals].Trim().ToString().ToLowerInvariant(), one[(equals + 1)..].Trim().ToString());
        }

        return parameters.Count == 0 ? NoParameters : parameters;
    }

    /// <summary>Writes parameters as <c>a=fmtp</c> has them.</summary>
    public static string FormatParameters(IReadOnlyDictionary<string, string> parameters) =>
        string.Join(';', parameters.Select(p => p.Key.Length == 0 ? p.Value : $"{p.Key}={p.Value}"));

    public override string ToString() =>
        $"{PayloadType} {Name}/{ClockRate}{(Channels > 1 ? $"/{Channels}" : "")} {FormatParameters(Parameters)}".TrimEnd();
}
