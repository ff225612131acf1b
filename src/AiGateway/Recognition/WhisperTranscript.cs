using System.Text;

namespace Transcribe.AiGateway.Recognition;

/// <summary>A text token as Whisper gave it.</summary>
/// <param name="Text">UTF-8; may hold a part of a character.</param>
/// <param name="Start">Sample, or negative.</param>
internal readonly record struct WhisperToken(byte[] Text, int Start, int End, float Probability, float LogProbability);

/// <summary>What may pass as text. Whisper answers silence and noise with fluent inventions: these rules catch them.</summary>
public sealed record WhisperFilterOptions
{
    public bool Enabled { get; init; } = true;

    /// <summary>Above this probability of "no speech" the text must be sure of itself.</summary>
    public float NoSpeechThreshold { get; init; } = 0.6f;

    /// <summary>Mean log-probability that text needs where "no speech" is likely.</summary>
    public float SureLogProbability { get; init; } = -0.5f;

    /// <summary>Mean log-probability that text needs in any case.</summary>
    public float MinLogProbability { get; init; } = -1.1f;

    /// <summary>Entropy (nats) of the last 32 tokens below which a text is a loop.</summary>
    public float MinEntropy { get; init; } = 2.4f;

    /// <summary>Nobody speaks more words in a second.</summary>
    public float MaxWordsPerSecond { get; init; } = 8;
}

/// <summary>Turns tokens into words, and refuses what was not said.</summary>
internal static class WhisperTranscript
{
    private const int EntropyWindow = 32;

    /// <summary>Languages written without spaces: every token is a word of its own.</summary>
    private static readonly HashSet<string> Unspaced = new(StringComparer.Ordinal) { "zh", "ja", "th", "lo", "my", "yue", "km", "bo" };

    public static bool IsTrustworthy(IReadOnlyList<WhisperToken> tokens, float noSpeech, WhisperFilterOptions options)
    {
        if (!options.Enabled)
            return true;
        if (tokens.Count == 0)
            return false;
        float mean = tokens.Average(token => token.LogProbability);
        if (mean < options.MinLogProbability || (noSpeech > options.NoSpeechThreshold && mean < options.SureLogProbability))
            return false;
        return tokens.Count < EntropyWindow || Entropy(tokens) >= options.MinEntropy;
    }

    public static List<RecognizedWord> ToWords(IReadOnlyList<WhisperToken> tokens, int samples, string language, WhisperFilterOptions options)
    {
        bool unspaced = Unspaced.Contains(language);
        var words = new List<RecognizedWord>();
        var bytes = new List<byte>();
        int first = 0;
        for (int i = 0; i <= tokens.Count; i++)
        {
            bool boundary = i == tokens.Count || (bytes.Count > 0 && (StartsWithSpace(tokens[i].Text) || (unspaced && IsWhole(bytes))));
            if (boundary && bytes.Count > 0)
            {
                AddWord(words, bytes, tokens, first, i, samples, joined: unspaced && bytes[0] != ' ');
                bytes.Clear();
            }

            if (i == tokens.Count)
                break;
            if (bytes.Count == 0)
                first = i;
            bytes.AddRange(tokens[i].Text);
        }

        if (!options.Enabled)
            return words;
        CutLoop(words);
        return words.Count > Math.Max(4, samples / 16000f * options.MaxWordsPerSecond) && !unspaced ? [] : words;
    }

    private static void AddWord(
        List<RecognizedWord> words, List<byte> bytes, IReadOnlyList<WhisperToken> tokens, int first, int end, int samples, bool joined)
    {
        string text = Encoding.UTF8.GetString([.. bytes]).Trim();
        if (text.Length == 0 || IsAnnotation(text))
            return;
        // Punctuation that came as a token of its own belongs to the word before it.
        if (words.Count > 0 && !text.Any(char.IsLetterOrDigit))
        {
            words[^1] = words[^1] with { Text = words[^1].Text + text };
            return;
        }

        int previous = words.Count > 0 ? words[^1].End : 0;
        int from = tokens[first].Start >= 0 ? tokens[first].Start : previous;
        int to = tokens[end - 1].End >= 0 ? tokens[end - 1].End : from;
        from = Math.Clamp(from, words.Count > 0 ? words[^1].Start : 0, samples);
        to = Math.Clamp(to, from, samples);
        float probability = 0;
        for (int i = first; i < end; i++)
            probability += tokens[i].Probability;
        words.Add(new(text, from, to, Math.Clamp(probability / (end - first), 0, 1), joined && words.Count > 0));
    }

    /// <summary>"[Music]", "(laughs)", "*sighs*": what subtitles say about sound.</summary>
    private static bool IsAnnotation(string text) =>
        (text[0] == '[' && text[^1] == ']') || (text[0] == '(' && text[^1] == ')') || (text[0] == '*' && text.Length > 1 && text[^1] == '*') || text[0] == '♪';

    /// <summary>Ends the text where up to eight words begin to come four times in a row.</summary>
    private static void CutLoop(List<RecognizedWord> words)
    {
        const int Times = 4;
        List<string> normal = [.. words.Select(word => WordText.Normalize(word.Text))];
        for (int start = 0; start < normal.Count; start++)
        {
            for (int length = 1; length <= 8 && start + (length * Times) <= normal.Count; length++)
            {
                bool loop = true;
                for (int i = start + length; loop && i < start + (length * Times); i++)
                    loop = normal[i] == normal[i - length];
                if (!loop)
                    continue;
                words.RemoveRange(start + length, words.Count - start - length);
                return;
            }
        }
    }

    private static double Entropy(IReadOnlyList<WhisperToken> tokens)
    {
        var counts = new Dictionary<string, int>();
        for (int i = tokens.Count - EntropyWindow; i < tokens.Count; i++)
        {
            string key = Convert.ToHexString(tokens[i].Text);
            counts[key] = counts.GetValueOrDefault(key) + 1;
        }

        return -counts.Values.Sum(count => (double)count / EntropyWindow * Math.Log((double)count / EntropyWindow));
    }

    private static bool StartsWithSpace(byte[] text) => text.Length > 0 && text[0] == ' ';

    private static bool IsWhole(List<byte> bytes)
    {
        int back = 1;
        while (back < 4 && back < bytes.Count && (bytes[^back] & 0xC0) == 0x80)
            back++;
        byte lead = bytes[^back];
        int length = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
        return back >= length;
    }
}
