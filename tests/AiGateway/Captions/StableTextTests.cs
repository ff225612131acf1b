using CsCheck;
using Transcribe.AiGateway.Captions;
using Transcribe.AiGateway.Recognition;

namespace Transcribe.AiGateway.Tests.Captions;

public sealed class StableTextTests
{
    [Fact]
    public void Words_become_stable_when_enough_passes_agree_and_a_word_follows()
    {
        var stable = new StableText(2);

        stable.Update(Words("the"));
        stable.Update(Words("the quarter"));
        Assert.Equal("the", stable.Stable);
        stable.Update(Words("the quarterly budget"));
        Assert.Equal("the", stable.Stable);
        stable.Update(Words("the quarterly budget is"));
        Assert.Equal("the quarterly budget", stable.Stable);
    }

    [Fact]
    public void A_final_that_disagrees_keeps_the_promise_and_takes_the_rest()
    {
        var stable = new StableText(2);
        stable.Update(Words("let us start with"));
        stable.Update(Words("let us start with"));

        Assert.Equal("let us start", stable.Stable);
        Assert.Equal("let us start with the budget", WordText.Join(stable.Complete(Words("lettuce us start with the budget"))));
    }

    [Fact]
    public void Punctuation_and_case_may_come_later_at_the_edge_only()
    {
        var stable = new StableText(2);
        stable.Update(Words("Good morning everyone"));
        stable.Update(Words("Good morning everyone"));

        Assert.Equal("Good morning", stable.Stable);
        Assert.Equal("Good morning, everyone.", WordText.Join(stable.Complete(Words("good morning, everyone."))));
    }

    [Fact]
    public void Every_later_text_begins_with_what_was_stable()
    {
        Gen<string> word = Gen.Int[0, 5].Select(i => new[] { "a", "b", "A,", "c.", "d", "b" }[i]);
        Gen.Select(word.Array[0, 8].Array[1, 15], Gen.Int[1, 4]).Sample((passes, agreement) =>
        {
            var stable = new StableText(agreement);
            string before = "";
            for (int i = 0; i < passes.Length; i++)
            {
                RecognizedWord[] words = Words(string.Join(' ', passes[i]));
                string text = WordText.Join(i == passes.Length - 1 ? stable.Complete(words) : stable.Update(words));
                Assert.StartsWith(before, text, StringComparison.Ordinal);
                Assert.StartsWith(before, stable.Stable, StringComparison.Ordinal);
                Assert.StartsWith(stable.Stable, text, StringComparison.Ordinal);
                before = stable.Stable;
            }
        }, iter: 5000);
    }

    private static RecognizedWord[] Words(string text) =>
        [.. text.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select((word, i) => new RecognizedWord(word, i * 1000, (i * 1000) + 900, 1))];
}
