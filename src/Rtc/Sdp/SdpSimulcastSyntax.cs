using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace Transcribe.Rtc.Sdp;

/// <summary>The value of <c>a=simulcast</c> (RFC 8853 §5.1): "send a;~b,c recv d".</summary>
internal static class SdpSimulcastSyntax
{
    public static bool TryParse(ReadOnlySpan<char> text, [NotNullWhen(true)] out SdpSimulcast? simulcast)
    {
        simulcast = null;
        List<IReadOnlyList<SdpSimulcastRid>>? send = null;
        List<IReadOnlyList<SdpSimulcastRid>>? receive = null;
        ReadOnlySpan<char> rest = text.Trim(' ');
        while (!rest.IsEmpty)
        {
            int blank = rest.IndexOf(' ');
            if (blank < 0)
                return false;
            ReadOnlySpan<char> direction = rest[..blank];
            rest = rest[blank..].TrimStart(' ');
            int end = rest.IndexOf(' ');
            ReadOnlySpan<char> list = end < 0 ? rest : rest[..end];
            rest = end < 0 ? default : rest[end..].TrimStart(' ');
            if (direction is "send" && send is null)
            {
                send = ParseList(list);
                if (send is null)
                    return false;
            }
            else if (direction is "recv" && receive is null)
            {
                receive = ParseList(list);
                if (receive is null)
                    return false;
            }
            else
            {
                return false;
            }
        }

        if (send is null && receive is null)
            return false;
        simulcast = new SdpSimulcast(send ?? [], receive ?? []);
        return true;
    }

    public static string Format(SdpSimulcast simulcast)
    {
        StringBuilder text = new();
        Append(text, "send", simulcast.Send);
        Append(text, "recv", simulcast.Receive);
        return text.ToString();
    }

    private static List<IReadOnlyList<SdpSimulcastRid>>? ParseList(ReadOnlySpan<char> text)
    {
        // The draft that browsers first shipped wrote "send rid=a;b".
        if (text.StartsWith("rid="))
            text = text[4..];
        List<IReadOnlyList<SdpSimulcastRid>> streams = [];
        foreach (Range range in text.Split(';'))
        {
            List<SdpSimulcastRid> alternatives = [];
            ReadOnlySpan<char> stream = text[range];
            foreach (Range one in stream.Split(','))
            {
                ReadOnlySpan<char> rid = stream[one];
                bool paused = rid.Length > 0 && rid[0] == '~';
                if (paused)
                    rid = rid[1..];
                if (rid.IsEmpty)
                    return null;
                alternatives.Add(new SdpSimulcastRid(rid.ToString(), paused));
            }

            streams.Add(alternatives);
        }

        return streams;
    }

    private static void Append(StringBuilder text, string direction, IReadOnlyList<IReadOnlyList<SdpSimulcastRid>> streams)
    {
        if (streams.Count == 0)
            return;
        if (text.Length > 0)
            text.Append(' ');
        text.Append(direction).Append(' ');
        text.AppendJoin(';', streams.Select(s => string.Join(',', s.Select(r => r.Paused ? "~" + r.Rid : r.Rid))));
    }
}
