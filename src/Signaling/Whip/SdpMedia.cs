using System.Text;
using Transcribe.Cluster.Rooms;

namespace Transcribe.Signaling.Whip;

/// <summary>One audio or video m-section, as far as WHIP and WHEP need it.</summary>
/// <param name="Sends">The client sends on it.</param>
/// <param name="Receives">The client receives on it.</param>
internal readonly record struct SdpMediaSection(string Mid, TrackKind Kind, bool Sends, bool Receives);

/// <summary>Looks into an SDP without judging it: the SFU node does that.</summary>
internal static class SdpMedia
{
    /// <summary>The audio and video m-sections that have a mid and are not rejected.</summary>
    public static IReadOnlyList<SdpMediaSection> Read(string sdp)
    {
        var sections = new List<SdpMediaSection>();
        bool sessionSends = true, sessionReceives = true;
        Section? section = null;
        foreach (ReadOnlySpan<char> raw in sdp.AsSpan().EnumerateLines())
        {
            ReadOnlySpan<char> line = raw.TrimEnd();
            if (line.StartsWith("m=", StringComparison.Ordinal))
            {
                Add(sections, section);
                section = new Section { Sends = sessionSends, Receives = sessionReceives, Kind = KindOf(line), Rejected = IsRejected(line) };
            }
            else if (Direction(line) is { } direction)
            {
                if (section is null)
                    (sessionSends, sessionReceives) = direction;
                else
                    (section.Sends, section.Receives) = direction;
            }
            else if (section is not null && line.StartsWith("a=mid:", StringComparison.Ordinal))
            {
                section.Mid = line["a=mid:".Length..].ToString();
            }
        }

        Add(sections, section);
        return sections;
    }

    /// <summary>The value of the first attribute of this name, anywhere in the SDP; null without one.</summary>
    public static string? FirstAttribute(string sdp, string name)
    {
        string prefix = $"a={name}:";
        foreach (ReadOnlySpan<char> line in sdp.AsSpan().EnumerateLines())
        {
            if (line.StartsWith(prefix, StringComparison.Ordinal))
                return line[prefix.Length..].Trim().ToString();
        }

        return null;
    }

    /// <summary>The same offer with other ICE credentials and without its candidates: what an ICE restart offers.</summary>
    public static string WithIce(string sdp, string ufrag, string pwd)
    {
        var text = new StringBuilder(sdp.Length);
        foreach (ReadOnlySpan<char> raw in sdp.AsSpan().EnumerateLines())
        {
            ReadOnlySpan<char> line = raw.TrimEnd();
            if (line.IsEmpty || line.StartsWith("a=candidate:", StringComparison.Ordinal) || line.SequenceEqual("a=end-of-candidates"))
                continue;

            if (line.StartsWith("a=ice-ufrag:", StringComparison.Ordinal))
                text.Append("a=ice-ufrag:").Append(ufrag);
            else if (line.StartsWith("a=ice-pwd:", StringComparison.Ordinal))
                text.Append("a=ice-pwd:").Append(pwd);
            else
                text.Append(line);

            text.Append("\r\n");
        }

        return text.ToString();
    }

    private static void Add(List<SdpMediaSection> sections, Section? section)
    {
        if (section is { Kind: { } kind, Mid: { } mid, Rejected: false })
            sections.Add(new(mid, kind, section.Sends, section.Receives));
    }

    private static TrackKind? KindOf(ReadOnlySpan<char> line) =>
        line.StartsWith("m=audio ", StringComparison.Ordinal) ? TrackKind.Audio
        : line.StartsWith("m=video ", StringComparison.Ordinal) ? TrackKind.Video
        : null;

    private static bool IsRejected(ReadOnlySpan<char> line)
    {
        int blank = line.IndexOf(' ');
        return blank > 0 && line[(blank + 1)..].StartsWith("0 ", StringComparison.Ordinal);
    }

    private static (bool Sends, bool Receives)? Direction(ReadOnlySpan<char> line) => line switch
    {
        "a=sendrecv" => (true, true),
        "a=sendonly" => (true, false),
        "a=recvonly" => (false, true),
        "a=inactive" => (false, false),
        _ => null,
    };

    private sealed class Section
    {
        public TrackKind? Kind { get; init; }

        public bool Rejected { get; init; }

        public string? Mid { get; set; }

        public bool Sends { get; set; }

        public bool Receives { get; set; }
    }
}
