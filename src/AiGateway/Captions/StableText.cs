using Transcribe.AiGateway.Recognition;

namespace Transcribe.AiGateway.Captions;

/// <summary>
/// LocalAgreement over the interim results of one utterance: words on which enough passes in a row agree become
/// stable, and every later text begins with them, the final one too.
/// </summary>
internal sealed class StableText(int agreement)
{
    private readonly List<RecognizedWord> _committed = [];
    private readonly List<string> _previous = [];
    private readonly List<int> _runs = [];
    private string _stable = "";

    /// <summary>The text that will not change.</summary>
    public string Stable => _stable;

    /// <summary>Takes an interim result and gives the words to show.</summary>
    public IReadOnlyList<RecognizedWord> Update(IReadOnlyList<RecognizedWord> hypothesis)
    {
        List<RecognizedWord> words = Compose(hypothesis);
        CountAgreement(words);

        // The last word is still being spoken: it never counts.
        int stable = _committed.Count;
        while (stable < words.Count - 1 && _runs[stable] >= agreement)
            stable++;
        if (stable > _committed.Count)
        {
            // What stood last can still gain punctuation; it gets frozen with its successor.
            if (_committed.Count > 0)
                _committed[^1] = words[_committed.Count - 1];
            for (int i = _committed.Count; i < stable; i++)
                _committed.Add(words[i]);
            _committed[^1] = _committed[^1] with { Text = WordText.Core(_committed[^1].Text) };
            _stable = WordText.Join(_committed);
        }

        return words;
    }

    /// <summary>Takes the final result and gives the words to show.</summary>
    public IReadOnlyList<RecognizedWord> Complete(IReadOnlyList<RecognizedWord> final) => Compose(final);

    private List<RecognizedWord> Compose(IReadOnlyList<RecognizedWord> hypothesis)
    {
        if (_committed.Count == 0)
            return [.. hypothesis];
        var words = new List<RecognizedWord>(_committed);
        if (BeginsWithCommitted(hypothesis))
        {
            // Same words: the newer times are the better ones, the text shown stays.
            for (int i = 0; i < _committed.Count; i++)
                words[i] = hypothesis[i] with { Text = _committed[i].Text, Joined = _committed[i].Joined };
            string last = hypothesis[_committed.Count - 1].Text;
            if (last.StartsWith(_committed[^1].Text, StringComparison.Ordinal))
                words[^1] = words[^1] with { Text = last };
            words.AddRange(hypothesis.Skip(_committed.Count));
            return words;
        }

        // The engine changed its mind about what was promised: keep the promise, take what lies behind it in time.
        int end = _committed[^1].End;
        words.AddRange(hypothesis.Where(word => (word.Start + word.End) / 2 >= end));
        return words;
    }

    private bool BeginsWithCommitted(IReadOnlyList<RecognizedWord> hypothesis)
    {
        if (hypothesis.Count < _committed.Count)
            return false;
        for (int i = 0; i < _committed.Count; i++)
        {
            if (WordText.Normalize(hypothesis[i].Text) != WordText.Normalize(_committed[i].Text))
                return false;
        }

        return true;
    }

    private void CountAgreement(List<RecognizedWord> words)
    {
        bool same = true;
        for (int i = 0; i < words.Count; i++)
        {
            string word = WordText.Normalize(words[i].Text);
            same = same && i < _previous.Count && _previous[i] == word;
            int run = same ? _runs[i] + 1 : 1;
            if (i < _previous.Count)
            {
                _previous[i] = word;
                _runs[i] = run;
            }
            else
            {
                _previous.Add(word);
                _runs.Add(run);
            }
        }

        if (_previous.Count > words.Count)
        {
            _previous.RemoveRange(words.Count, _previous.Count - words.Count);
            _runs.RemoveRange(words.Count, _runs.Count - words.Count);
        }
    }
}
