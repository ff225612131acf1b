using System.Text;

namespace Transcribe.Signaling.Whip;

/// <summary>The body of a WHIP PATCH: <c>application/trickle-ice-sdpfrag</c>, RFC 8840 §9.</summary>
internal sealed record SdpFragment(string? Ufrag, string? Pwd, IReadOnlyList<string> Candidates, bool EndOfCandidates)
{
    public const int MaxLength = 64 * 1024;

    private const int MaxCandidates = 128;
    private const int MaxCandidateLength = 1024;

    public static bool TryParse(string text, out SdpFragment? fragment)
    {
        fragment = null;
        string? ufrag = null, pwd = null;
        var candidates = new List<string>();
        bool end = false;
        foreach (ReadOnlySpan<char> raw in text.AsSpan().EnumerateLines())
        {
            ReadOnlySpan<char> line = raw.TrimEnd();
            if (line.IsEmpty)
                continue;

            if (line.Length < 3 || line[1] != '=' || !char.IsAsciiLetterLower(line[0]))
                return false;

            if (line.StartsWith("a=candidate:", StringComparison.Ordinal))
            {
                if (candidates.Count == MaxCandidates || line.Length > MaxCandidateLength)
                    return false;

                candidates.Add(line["a=".Length..].ToString());
            }
            else if (line.StartsWith("a=ice-ufrag:", StringComparison.Ordinal))
            {
                ufrag = line["a=ice-ufrag:".Length..].ToString();
            }
            else if (line.StartsWith("a=ice-pwd:", StringComparison.Ordinal))
            {
                pwd = line["a=ice-pwd:".Length..].ToString();
            }
            else if (line.SequenceEqual("a=end-of-candidates"))
            {
                end = true;
            }
        }

        // RFC 8839 §5.4: 4 to 256 and 22 to 256 characters.
        if (ufrag is not (null or { Length: >= 4 and <= 256 }) || pwd is not (null or { Length: >= 22 and <= 256 }))
            return false;

        if (ufrag is null && pwd is null && candidates.Count == 0 && !end)
            return false;

        fragment = new(ufrag, pwd, candidates, end);
        return true;
    }

    /// <summary>The server's side of an ICE restart, out of its answer.</summary>
    public static string FromAnswer(string answer)
    {
        var text = new StringBuilder();
        string? media = null, mid = null;
        var candidates = new List<string>();
        foreach (ReadOnlySpan<char> raw in answer.AsSpan().EnumerateLines())
        {
            ReadOnlySpan<char> line = raw.TrimEnd();
            if (line.StartsWith("m=", StringComparison.Ordinal))
            {
                // Only the offerer-tagged section, which BUNDLE makes the first one, carries the transport.
                if (media is not null)
                    break;

                media = line.ToString();
            }
            else if (line.StartsWith("a=mid:", StringComparison.Ordinal))
            {
                mid = line.ToString();
            }
            else if (line.StartsWith("a=candidate:", StringComparison.Ordinal))
            {
                candidates.Add(line.ToString());
            }
        }

        Append("a=ice-lite", SdpMediaHas(answer, "a=ice-lite"));
        Append("a=ice-ufrag:" + SdpMedia.FirstAttribute(answer, "ice-ufrag"));
        Append("a=ice-pwd:" + SdpMedia.FirstAttribute(answer, "ice-pwd"));
        Append(media ?? "", media is not null);
        Append(mid ?? "", mid is not null);
        foreach (string candidate in candidates)
            Append(candidate);

        Append("a=end-of-candidates", media is not null);
        return text.ToString();

        void Append(string line, bool when = true)
        {
            if (when)
                text.Append(line).Append("\r\n");
        }
    }

    private static bool SdpMediaHas(string sdp, string wanted)
    {
        foreach (ReadOnlySpan<char> line in sdp.AsSpan().EnumerateLines())
        {
            if (line.SequenceEqual(wanted))
                return true;
        }

        return false;
    }
}
