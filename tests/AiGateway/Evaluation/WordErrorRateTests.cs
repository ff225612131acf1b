using CsCheck;
using Transcribe.AiGateway.Evaluation;

namespace Transcribe.AiGateway.Tests.Evaluation;

public sealed class WordErrorRateTests
{
    [Theory]
    [InlineData("the test looks good", "The test, looks good.", 0, 0, 0)]
    [InlineData("the test looks good", "the test look good", 1, 0, 0)]
    [InlineData("the test looks good", "the looks good", 0, 1, 0)]
    [InlineData("the test looks good", "the best test looks so good", 0, 0, 2)]
    [InlineData("", "anything", 0, 0, 1)]
    [InlineData("don't", "dont", 1, 0, 0)]
    public void Counts_each_kind_of_error(string reference, string hypothesis, int substitutions, int deletions, int insertions)
    {
        WordErrorRate errors = WordErrorRate.Of(reference, hypothesis);

        Assert.Equal((substitutions, deletions, insertions), (errors.Substitutions, errors.Deletions, errors.Insertions));
    }

    [Fact]
    public void Is_zero_for_equal_texts_and_bounded_by_the_longer_one()
    {
        Gen<List<string>> words = Gen.Int[0, 2].Select(i => "abc".Substring(i, 1)).List[0, 12];
        Gen.Select(words, words).Sample((a, b) =>
        {
            Assert.Equal(0, WordErrorRate.Of(a, a, out _).Errors);
            WordErrorRate errors = WordErrorRate.Of(a, b, out IReadOnlyList<int> matches);
            Assert.InRange(errors.Errors, Math.Abs(a.Count - b.Count), Math.Max(a.Count, b.Count));
            Assert.Equal(a.Count - errors.Substitutions - errors.Deletions, matches.Count(m => m >= 0));
            Assert.All(matches.Select((m, i) => (m, i)).Where(p => p.m >= 0), p => Assert.Equal(a[p.i], b[p.m]));
        });
    }
}
