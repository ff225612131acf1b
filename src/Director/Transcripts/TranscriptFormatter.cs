using System.Globalization;
using System.Text;
using Transcribe.Cluster.Captions;
using Transcribe.Cluster.Transcripts;

namespace Transcribe.Director.Transcripts;

/// <summary>A transcript as JSON.</summary>
/// <param name="Start">Wall-clock time that offsets count from: the start of the first segment; null for an empty transcript.</param>
public sealed record TranscriptDocument(string Room, DateTimeOffset? Start, IReadOnlyList<TranscriptLine> Segments);

/// <param name="Sequence">Its number in the room's transcript; "after" takes it.</param>
/// <param name="OffsetMs">Milliseconds since the transcript's start.</param>
public sealed record TranscriptLine(
    long Sequence, string Segment, string Participant, string Name, string Track, DateTimeOffset Start, DateTimeOffset End, long OffsetMs,
    long DurationMs, string Lang, string Text, IReadOnlyList<CaptionWord> Words, CaptionRtp Rtp, string Engine);

/// <summary>Writes transcripts as WebVTT, SubRip, plain text; in the order people spoke.</summary>
internal static class TranscriptFormatter
{
    public static TranscriptDocument Document(string room, IReadOnlyList<TranscriptSegment> segments)
    {
        var timed = segments.Select(segment => (segment, times: Times(segment))).OrderBy(item => item.times.Start).ThenBy(item => item.segment.Sequence).ToList();
        if (timed.Count == 0)
            return new TranscriptDocument(room, null, []);

        DateTimeOffset start = timed[0].times.Start;
        return new TranscriptDocument(room, start, [.. timed.Select(item => Line(item.segment, item.times, start))]);
    }

    /// <summary>W3C WebVTT: cue text escaped, speaker as voice span.</summary>
    public static string WebVtt(TranscriptDocument transcript)
    {
        var text = new StringBuilder("WEBVTT\n\n");
        if (transcript.Start is { } start)
            text.Append(CultureInfo.InvariantCulture, $"NOTE Room {transcript.Room}; 00:00:00.000 is {start.UtcDateTime:yyyy-MM-dd'T'HH:mm:ss.fff'Z'}\n\n");

        foreach (TranscriptLine line in transcript.Segments)
        {
            text.Append(OneLine(line.Segment).Replace("-->", "--", StringComparison.Ordinal)).Append('\n')
                .Append(Clock(line.OffsetMs, '.')).Append(" --> ").Append(Clock(line.OffsetMs + line.DurationMs, '.')).Append('\n')
                .Append("<v ").Append(VttEscape(line.Name)).Append('>').Append(VttEscape(line.Text)).Append("</v>\n\n");
        }

        return text.ToString();
    }

    /// <summary>SubRip. It has no escapes, and players read tags in it: brackets become typographic ones.</summary>
    public static string SubRip(TranscriptDocument transcript)
    {
        var text = new StringBuilder();
        int number = 0;
        foreach (TranscriptLine line in transcript.Segments)
        {
            text.Append(CultureInfo.InvariantCulture, $"{++number}\n")
                .Append(Clock(line.OffsetMs, ',')).Append(" --> ").Append(Clock(line.OffsetMs + line.DurationMs, ',')).Append('\n')
                .Append(SrtText(line.Name)).Append(": ").Append(SrtText(line.Text)).Append("\n\n");
        }

        return text.ToString();
    }

    public static string Plain(TranscriptDocument transcript)
    {
        var text = new StringBuilder();
        foreach (TranscriptLine line in transcript.Segments)
            text.Append('[').Append(Clock(line.OffsetMs, '.')[..8]).Append("] ").Append(OneLine(line.Name)).Append(": ").Append(OneLine(line.Text)).Append('\n');

        return text.ToString();
    }

    private static TranscriptLine Line(TranscriptSegment segment, (DateTimeOffset Start, DateTimeOffset End) times, DateTimeOffset start)
    {
        CaptionMessage caption = segment.Caption;
        return new(
            segment.Sequence,
            caption.Segment,
            caption.Participant,
            segment.SpeakerName is { Length: > 0 } name ? name : caption.Participant,
            caption.Track,
            times.Start,
            times.End,
            (long)(times.Start - start).TotalMilliseconds,
            (long)(times.End - times.Start).TotalMilliseconds,
            caption.Lang,
            caption.Text,
            caption.Words,
            caption.Rtp,
            caption.Engine);
    }

    /// <summary>The publisher's own times; before its first sender report, when the segment came minus how long it is.</summary>
    private static (DateTimeOffset Start, DateTimeOffset End) Times(TranscriptSegment segment)
    {
        CaptionMessage caption = segment.Caption;
        uint ticks = unchecked(caption.Rtp.End - caption.Rtp.Start);
        TimeSpan spoken = caption.Rtp.Clock > 0 ? TimeSpan.FromSeconds((double)ticks / caption.Rtp.Clock) : TimeSpan.Zero;
        (DateTimeOffset start, DateTimeOffset end) = caption.Ntp is { } ntp ? (ntp.Start, ntp.End) : (segment.At - spoken, segment.At);

        // A cue ends after it starts.
        return (start, end > start ? end : start + TimeSpan.FromMilliseconds(1));
    }

    private static string Clock(long milliseconds, char point)
    {
        var time = TimeSpan.FromMilliseconds(milliseconds);
        return string.Create(
            CultureInfo.InvariantCulture, $"{(int)time.TotalHours:00}:{time.Minutes:00}:{time.Seconds:00}{point}{time.Milliseconds:000}");
    }

    private static string VttEscape(string text) => OneLine(text)
        .Replace("&", "&amp;", StringComparison.Ordinal)
        .Replace("<", "&lt;", StringComparison.Ordinal)
        .Replace(">", "&gt;", StringComparison.Ordinal);

    private static string SrtText(string text) => OneLine(text)
        .Replace('<', '‹')
        .Replace('>', '›')
        .Replace("{\\", "{ \\", StringComparison.Ordinal);

    private static string OneLine(string text) => string.Join(' ', text.Split(['\r', '\n', '\u2028', '\u2029', '\u0085', '\0'], StringSplitOptions.RemoveEmptyEntries));
}
