using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;

namespace Transcribe.Rtc.Sdp;

/// <summary>What the format lines of an RTP m-section come down to: its formats, rtpmap, fmtp, rtcp-fb and extmap lines. Never changed.</summary>
internal sealed record SdpFormats(string[] Formats, RtpCodec[] Codecs, RtcpFeedback[] WildcardFeedback, SdpExtMap[] ExtMaps);

/// <summary>
/// Clients of one make offer the same format lines, which are most of a description and most of the work to parse it.
/// Text that was there before is not parsed again. Bounded; thread-safe.
/// </summary>
internal static class SdpFormatsCache
{
    public const int Capacity = 128;

    /// <summary>Characters; a browser's video m-section has some 5,000.</summary>
    public const int MaxText = 8192;

    private static readonly Lock Gate = new();
    private static readonly Dictionary<string, SdpFormats> Known = new(StringComparer.Ordinal);
    private static readonly Dictionary<string, SdpFormats>.AlternateLookup<ReadOnlySpan<char>> Lookup =
        Known.GetAlternateLookup<ReadOnlySpan<char>>();

    public static int Count
    {
        get
        {
            lock (Gate)
                return Known.Count;
        }
    }

    public static bool TryGet(ReadOnlySpan<char> text, [NotNullWhen(true)] out SdpFormats? formats)
    {
        formats = null;
        if (text.Length > MaxText)
            return false;
        lock (Gate)
            return Lookup.TryGetValue(text, out formats);
    }

    public static void Add(ReadOnlySpan<char> text, SdpFormats formats)
    {
        if (text.Length > MaxText)
            return;
        lock (Gate)
        {
            if (Known.Count >= Capacity)
                Known.Clear();
            Lookup[text] = formats;
        }
    }
}

/// <summary>The format lines of an m-section as they are written.</summary>
/// <param name="PayloadTypes">Of the m-line.</param>
/// <param name="ExtMaps">Lines, each ended by CR LF.</param>
/// <param name="Codecs">Lines, each ended by CR LF.</param>
internal sealed record SdpFormatText(string PayloadTypes, string ExtMaps, string Codecs)
{
    public static SdpFormatText Of(IReadOnlyList<RtpCodec> codecs, IReadOnlyList<SdpExtMap> extMaps)
    {
        StringBuilder maps = new();
        foreach (SdpExtMap map in extMaps)
            SdpWriter.Write(maps, map);
        StringBuilder lines = new();
        foreach (RtpCodec codec in codecs)
            SdpWriter.Write(lines, codec, []);
        return new SdpFormatText(
            string.Join(' ', codecs.Select(c => c.PayloadType.ToString(CultureInfo.InvariantCulture))), maps.ToString(), lines.ToString());
    }
}
