namespace Transcribe.AiGateway.Recognition;

/// <summary>
/// A loaded engine: one model, shared by all speakers. The seam where another library (Whisper.net, a cloud service)
/// plugs in. Thread-safe.
/// </summary>
public interface ISpeechRecognizer : IDisposable
{
    /// <summary>Engine and model, as captions name them: "whisper/base.en".</summary>
    string Name { get; }

    RecognizerTraits Traits { get; }

    /// <summary>Opens a session for one utterance. Never blocks for long and never refuses: what cannot start now is decoded at the end.</summary>
    IRecognitionSession OpenSession(RecognitionSessionOptions options);
}

/// <summary>How captions are best made with an engine.</summary>
/// <param name="InterimInterval">Sound between two interim passes.</param>
/// <param name="Agreement">Interim passes in a row that must agree on a word before it counts as stable.</param>
/// <param name="MaxUtterance">Longest utterance that the engine takes.</param>
public sealed record RecognizerTraits(TimeSpan InterimInterval, int Agreement, TimeSpan MaxUtterance);

/// <param name="Language">BCP 47 tag; the primary subtag decides.</param>
/// <param name="Speaker">Whose voice it is: engines that adapt to a voice use it again for the same one.</param>
public sealed record RecognitionSessionOptions(string Language, string Speaker);

/// <summary>One utterance of one speaker. One thread at a time.</summary>
public interface IRecognitionSession : IDisposable
{
    /// <summary>More of the utterance: 16 kHz mono.</summary>
    void Feed(ReadOnlySpan<short> samples);

    /// <summary>What it sounds like so far; null where the engine has no capacity for a guess now.</summary>
    RecognitionResult? Interim();

    /// <summary>The result. Nothing is fed after it.</summary>
    /// <param name="samples">Length of the utterance; sound fed beyond it is to be ignored where possible.</param>
    RecognitionResult Finish(int samples);
}

/// <param name="Text">The word as shown, punctuation included.</param>
/// <param name="Start">Sample (16 kHz) since the session's start.</param>
/// <param name="End">Sample after its last one.</param>
/// <param name="Probability">0..1.</param>
/// <param name="Joined">True where no space stands before it (languages without spaces).</param>
public readonly record struct RecognizedWord(string Text, int Start, int End, float Probability, bool Joined = false);

/// <param name="Words">In order of time.</param>
public sealed record RecognitionResult(IReadOnlyList<RecognizedWord> Words)
{
    public static RecognitionResult Empty { get; } = new([]);

    /// <summary>The words as one line.</summary>
    public string Text => WordText.Join(Words);
}
