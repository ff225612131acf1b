using System.Text.Json;
using Transcribe.Cluster;

namespace Transcribe.AiGateway.Evaluation;

/// <summary>A recording of which every word and its time is known: tests/Fixtures/meeting.json.</summary>
/// <param name="Seconds">Length of the recording.</param>
public sealed record SpeechFixture(string Voice, int SampleRate, double Seconds, IReadOnlyList<SpokenSentence> Sentences)
{
    /// <exception cref="JsonException">The text is no fixture.</exception>
    public static SpeechFixture Parse(string json) =>
        JsonSerializer.Deserialize<SpeechFixture>(json, ClusterJson.Options) is { Sentences.Count: > 0 } fixture
            ? fixture
            : throw new JsonException("The fixture names no sentences.");
}

/// <summary>Times in seconds since the start of the recording.</summary>
public sealed record SpokenSentence(string Text, double Start, double End, IReadOnlyList<SpokenWord> Words);

/// <summary>Times in seconds since the start of the recording.</summary>
public sealed record SpokenWord(string W, double Start, double End);
