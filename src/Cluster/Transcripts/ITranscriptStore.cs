using Transcribe.Cluster.Captions;

namespace Transcribe.Cluster.Transcripts;

/// <summary>The final captions of each room, in the order they were appended. They outlive the room.</summary>
public interface ITranscriptStore
{
    /// <summary>
    /// Appends a final caption. Idempotent by <see cref="CaptionMessage.IdempotencyKey"/>: a second one changes nothing and gets
    /// the first one's number.
    /// </summary>
    /// <param name="speakerName">The participant's name as the room showed it.</param>
    /// <exception cref="ArgumentException">The caption is not final.</exception>
    ValueTask<long> AppendAsync(CaptionMessage final, string? speakerName, CancellationToken cancellationToken = default);

    /// <summary>Segments after a sequence number, oldest first.</summary>
    ValueTask<IReadOnlyList<TranscriptSegment>> ReadAsync(
        string room, long afterSequence = 0, int max = int.MaxValue, CancellationToken cancellationToken = default);

    /// <summary>Forgets a room's transcript.</summary>
    ValueTask DeleteAsync(string room, CancellationToken cancellationToken = default);
}

/// <param name="Sequence">1, 2, 3 … in the room's transcript.</param>
/// <param name="At">When it was appended.</param>
public sealed record TranscriptSegment(long Sequence, DateTimeOffset At, string? SpeakerName, CaptionMessage Caption);
