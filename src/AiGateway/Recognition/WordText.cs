using System.Text;

namespace Transcribe.AiGateway.Recognition;

/// <summary>Words to text and back to what two texts have in common.</summary>
internal static class WordText
{
    public static string Join(IReadOnlyList<RecognizedWord> words)
    {
        var text = new StringBuilder();
        foreach (RecognizedWord word in words)
        {
            if (text.Length > 0 && !word.Joined)
                text.Append(' ');
            text.Append(word.Text);
        }

        return text.ToString();
    }

    /// <summary>Lower case, letters, digits and apostrophes only: equal for "Budget," and "budget".</summary>
    public static string Normalize(ReadOnlySpan<char> word)
    {
        var text = new StringBuilder(word.Length);
        foreach (char c in word)
        {
            if (char.IsLetterOrDigit(c))
                text.Append(char.ToLowerInvariant(c));
            else if (c is '\'' or '’' && text.Length > 0)
                text.Append('\'');
        }

        while (text.Length > 0 && text[^1] == '\'')
            text.Length--;
        return text.ToString();
    }

    /// <summary>The word without the punctuation at its end.</summary>
    public static string Core(string word)
    {
        int length = word.Length;
        while (length > 0 && !char.IsLetterOrDigit(word[length - 1]))
            length--;
        return length == 0 ? word : word[..length];
    }
}
