using System.Text.Json.Serialization;
using Transcribe.Cluster.Captions;

namespace Transcribe.AiGateway.Evaluation;

/// <param name="Caption">As received.</param>
/// <param name="Seconds">When, in seconds since the moment the recording's first sample was sent.</param>
public readonly record struct ReceivedCaption(CaptionMessage Caption, double Seconds);

/// <summary>Percentiles of a measurement, in milliseconds.</summary>
public sealed record Percentiles(
    [property: JsonPropertyName("p50")] double P50, [property: JsonPropertyName("p95")] double P95, [property: JsonPropertyName("max")] double Max)
{
    public static Percentiles Of(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted.Length == 0
            ? new(0, 0, 0)
            : new(At(sorted, 0.5), At(sorted, 0.95), Math.Round(sorted[^1], 1));
    }

    private static double At(double[] sorted, double share) =>
        Math.Round(sorted[Math.Min((int)(share * sorted.Length), sorted.Length - 1)], 1);
}

/// <summary>How good the captions of a known recording are.</summary>
/// <param name="InterimLatencyMs">From the end of a spoken word to the first caption that shows it, over the words that were recognised.</param>
/// <param name="FinalLatencyMs">From the end of a sentence to its final.</param>
/// <param name="RtpErrorMs">Distance of a recognised word's start from where it was spoken.</param>
/// <param name="Duplicates">Finals beyond the first of a sentence, or over no sentence at all.</param>
/// <param name="Missing">Sentences without a final.</param>
public sealed record CaptionScore(
    [property: JsonPropertyName("engine")] string Engine,
    [property: JsonPropertyName("segments_final")] int SegmentsFinal,
    [property: JsonPropertyName("wer")] double Wer,
    [property: JsonPropertyName("interim_latency_ms")] Percentiles InterimLatencyMs,
    [property: JsonPropertyName("final_latency_ms")] Percentiles FinalLatencyMs,
    [property: JsonPropertyName("rtp_error_ms")] Percentiles RtpErrorMs,
    [property: JsonPropertyName("duplicates")] int Duplicates,
    [property: JsonPropertyName("missing")] int Missing)
{
    // A word of a partial text counts as the spoken one only where it also stands at about the right time.
    private const double SameWordSeconds = 0.5;

    /// <summary>Whether every sentence got exactly one final.</summary>
    [JsonIgnore]
    public bool Complete => Duplicates == 0 && Missing == 0;

    /// <summary>Scores the captions of one pass over a recording.</summary>
    /// <param name="rtpOrigin">RTP timestamp of the recording's first sample.</param>
    public static CaptionScore Of(SpeechFixture fixture, uint rtpOrigin, IReadOnlyList<ReceivedCaption> received)
    {
        var finals = received.Where(r => r.Caption.Final).ToLookup(r => Sentence(fixture, rtpOrigin, r.Caption));
        List<double> interim = [], final = [], rtp = [];
        WordErrorRate errors = default;
        int duplicates = finals[-1].Count(), missing = 0;
        foreach (ReceivedCaption stray in finals[-1])
            errors += WordErrorRate.Of("", stray.Caption.Text);

        for (int s = 0; s < fixture.Sentences.Count; s++)
        {
            SpokenSentence sentence = fixture.Sentences[s];
            ReceivedCaption[] own = [.. finals[s].OrderBy(r => unchecked((int)(r.Caption.Rtp.Start - rtpOrigin)))];
            CaptionWord[] words = [.. own.SelectMany(r => r.Caption.Words)];
            List<string> spoken = [.. sentence.Words.Select(word => WordErrorRate.Split(word.W)[0])];
            errors += WordErrorRate.Of(spoken, [.. words.SelectMany(word => WordErrorRate.Split(word.W))], out _);
            if (own.Length == 0)
            {
                missing++;
                continue;
            }

            duplicates += own.Length - 1;
            final.Add((own.Max(r => r.Seconds) - sentence.End) * 1000);
            _ = Match(sentence, spoken, words, rtpOrigin, (i, word) => rtp.Add(Math.Abs(Seconds(word.S, rtpOrigin) - sentence.Words[i].Start) * 1000));

            var seen = new HashSet<int>();
            foreach (ReceivedCaption r in received.Where(r => own.Any(o => o.Caption.Segment == r.Caption.Segment)).OrderBy(r => r.Seconds))
            {
                _ = Match(sentence, spoken, r.Caption.Words, rtpOrigin, (i, _) =>
                {
                    if (seen.Add(i))
                        interim.Add((r.Seconds - sentence.Words[i].End) * 1000);
                });
            }
        }

        return new(
            received.Count > 0 ? received[0].Caption.Engine : "none", received.Count(r => r.Caption.Final), Math.Round(errors.Rate, 4),
            Percentiles.Of(interim), Percentiles.Of(final), Percentiles.Of(rtp), duplicates, missing);
    }

    private static int Match(
        SpokenSentence sentence, IReadOnlyList<string> spoken, IReadOnlyList<CaptionWord> words, uint rtpOrigin, Action<int, CaptionWord> matched)
    {
        WordErrorRate.Of(spoken, [.. words.Select(word => string.Concat(WordErrorRate.Split(word.W)))], out IReadOnlyList<int> matches);
        int count = 0;
        for (int i = 0; i < matches.Count; i++)
        {
            if (matches[i] < 0 || Math.Abs(Seconds(words[matches[i]].S, rtpOrigin) - sentence.Words[i].Start) > SameWordSeconds)
                continue;
            matched(i, words[matches[i]]);
            count++;
        }

        return count;
    }

    /// <summary>The sentence a caption overlaps most; -1 for none.</summary>
    private static int Sentence(SpeechFixture fixture, uint rtpOrigin, CaptionMessage caption)
    {
        double start = Seconds(caption.Rtp.Start, rtpOrigin), end = Seconds(caption.Rtp.End, rtpOrigin);
        int best = -1;
        double most = 0;
        for (int i = 0; i < fixture.Sentences.Count; i++)
        {
            double overlap = Math.Min(end, fixture.Sentences[i].End) - Math.Max(start, fixture.Sentences[i].Start);
            if (overlap > most)
                (best, most) = (i, overlap);
        }

        return best;
    }

    private static double Seconds(uint timestamp, uint origin) => unchecked((int)(timestamp - origin)) / 48000.0;
}
