using Transcribe.AiGateway.Recognition;

namespace Transcribe.AiGateway.Evaluation;

/// <summary>Errors of a recognised text against the spoken one: the least number of words to substitute, delete and insert.</summary>
/// <param name="Words">Words of the reference.</param>
public readonly record struct WordErrorRate(int Words, int Substitutions, int Deletions, int Insertions)
{
    public int Errors => Substitutions + Deletions + Insertions;

    /// <summary>Errors a reference word; 0 is perfect, more than 1 is possible.</summary>
    public double Rate => Words == 0 ? (Insertions == 0 ? 0 : 1) : (double)Errors / Words;

    /// <summary>Compares word by word, without case and punctuation.</summary>
    public static WordErrorRate Of(string reference, string hypothesis) => Of(Split(reference), Split(hypothesis), out _);

    /// <summary>Errors of several texts together.</summary>
    public static WordErrorRate operator +(WordErrorRate a, WordErrorRate b) =>
        new(a.Words + b.Words, a.Substitutions + b.Substitutions, a.Deletions + b.Deletions, a.Insertions + b.Insertions);

    public static WordErrorRate Add(WordErrorRate left, WordErrorRate right) => left + right;

    /// <summary>The words of a text as they are compared: lower case, no punctuation.</summary>
    public static IReadOnlyList<string> Split(string text) =>
        [.. text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Select(word => WordText.Normalize(word)).Where(word => word.Length > 0)];

    /// <summary>Compares and aligns.</summary>
    /// <param name="matches">For every reference word the index of the equal hypothesis word it is aligned with, or -1.</param>
    public static WordErrorRate Of(IReadOnlyList<string> reference, IReadOnlyList<string> hypothesis, out IReadOnlyList<int> matches)
    {
        int rows = reference.Count + 1, columns = hypothesis.Count + 1;
        var cost = new int[rows, columns];
        for (int i = 0; i < rows; i++)
        {
            for (int j = 0; j < columns; j++)
            {
                if (i == 0 || j == 0)
                    cost[i, j] = i + j;
                else
                    cost[i, j] = Math.Min(cost[i - 1, j - 1] + (reference[i - 1] == hypothesis[j - 1] ? 0 : 1), Math.Min(cost[i - 1, j], cost[i, j - 1]) + 1);
            }
        }

        var aligned = new int[reference.Count];
        int substitutions = 0, deletions = 0, insertions = 0;
        for (int i = rows - 1, j = columns - 1; i > 0 || j > 0;)
        {
            bool equal = i > 0 && j > 0 && reference[i - 1] == hypothesis[j - 1];
            if (i > 0 && j > 0 && cost[i, j] == cost[i - 1, j - 1] + (equal ? 0 : 1))
            {
                aligned[i - 1] = equal ? j - 1 : -1;
                substitutions += equal ? 0 : 1;
                i--;
                j--;
            }
            else if (i > 0 && cost[i, j] == cost[i - 1, j] + 1)
            {
                aligned[--i] = -1;
                deletions++;
            }
            else
            {
                insertions++;
                j--;
            }
        }

        matches = aligned;
        return new(reference.Count, substitutions, deletions, insertions);
    }
}
