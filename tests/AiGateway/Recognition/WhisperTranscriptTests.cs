using System.Text;
using CsCheck;
using Transcribe.AiGateway.Recognition;

namespace Transcribe.AiGateway.Tests.Recognition;

public sealed class WhisperTranscriptTests
{
    private static readonly WhisperFilterOptions Filter = new();

    [Fact]
    public void Joins_tokens_to_words_with_their_punctuation()
    {
        List<RecognizedWord> words = Words("en", " The", " quarter", "ly", " budget", ",", " please", ".");

        Assert.Equal(["The", "quarterly", "budget,", "please."], words.Select(word => word.Text));
        Assert.Equal("The quarterly budget, please.", WordText.Join(words));
        Assert.Equal((1000, 2900), (words[1].Start, words[1].End));
    }

    [Fact]
    public void Writes_languages_without_spaces_without_spaces()
    {
        byte[] half = Encoding.UTF8.GetBytes("議");
        WhisperToken[] tokens = [Token("会", 0), new(half[..1], 1000, 1900, 1, 0), new(half[1..], 2000, 2900, 1, 0), Token("。", 3)];

        List<RecognizedWord> words = WhisperTranscript.ToWords(tokens, 64000, "ja", Filter);

        Assert.Equal("会議。", WordText.Join(words));
        Assert.Equal(2, words.Count);
    }

    [Fact]
    public void Leaves_out_what_subtitles_say_about_sounds() =>
        Assert.Equal("hello there", WordText.Join(Words("en", " [Music]", " hello", " (laughs)", " there", " *cough*", " ♪")));

    [Fact]
    public void Ends_a_text_that_goes_in_circles() =>
        Assert.Equal("so thank you", WordText.Join(Words("en", [" so", .. Enumerable.Repeat(new[] { " thank", " you" }, 6).SelectMany(p => p)])));

    [Fact]
    public void Keeps_words_that_are_repeated_for_emphasis() =>
        Assert.Equal("no no no wait", WordText.Join(Words("en", " no", " no", " no", " wait")));

    [Fact]
    public void Refuses_more_words_than_anybody_speaks() =>
        Assert.Empty(WhisperTranscript.ToWords([.. Enumerable.Range(0, 30).Select(i => Token($" w{i}", i))], 16000, "en", Filter));

    [Theory]
    [InlineData(-0.2f, 0.1f, true)]
    [InlineData(-0.2f, 0.9f, true)] // sure of itself
    [InlineData(-0.7f, 0.9f, false)]
    [InlineData(-0.7f, 0.1f, true)]
    [InlineData(-1.5f, 0.1f, false)]
    public void Trusts_text_by_its_probability_and_that_of_silence(float logProbability, float noSpeech, bool trusted)
    {
        WhisperToken[] tokens = [Token(" a", 0) with { LogProbability = logProbability }, Token(" b", 1) with { LogProbability = logProbability }];

        Assert.Equal(trusted, WhisperTranscript.IsTrustworthy(tokens, noSpeech, Filter));
    }

    [Fact]
    public void Distrusts_a_long_text_of_few_tokens()
    {
        Assert.False(WhisperTranscript.IsTrustworthy([.. Enumerable.Range(0, 40).Select(i => Token($" {i % 3}", i))], 0, Filter));
        Assert.True(WhisperTranscript.IsTrustworthy([.. Enumerable.Range(0, 40).Select(i => Token($" {i}", i))], 0, Filter));
    }

    [Fact]
    public void Survives_arbitrary_tokens_and_keeps_words_in_order()
    {
        Gen<WhisperToken> token = Gen.Select(Gen.Byte.Array[0, 6], Gen.Int[-1, 40000], Gen.Int[-1, 40000], Gen.Float[-10, 10])
            .Select((text, start, end, p) => new WhisperToken(text, start, end, p, -p));
        Gen.Select(token.List[0, 50], Gen.Bool).Sample((tokens, japanese) =>
        {
            int previous = 0;
            foreach (RecognizedWord word in WhisperTranscript.ToWords(tokens, 32000, japanese ? "ja" : "en", Filter))
            {
                Assert.InRange(word.Start, previous, 32000);
                Assert.InRange(word.End, word.Start, 32000);
                previous = word.Start;
            }
        });
    }

    private static WhisperToken Token(string text, int index) => new(Encoding.UTF8.GetBytes(text), index * 1000, (index * 1000) + 900, 1, 0);

    private static List<RecognizedWord> Words(string language, params string[] tokens) =>
        WhisperTranscript.ToWords([.. tokens.Select(Token)], 160000, language, Filter);
}
