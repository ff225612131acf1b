using Transcribe.Cluster.Captions;

namespace Transcribe.Cluster.Transcripts;

/// <summary>The final captions of each room, in the order they were appended. They outlive the room.</summary>
/// <remarks>
/// A room has one writer at a time, the gateway that holds its lease. <see cref="OpenAsync"/> makes somebody the writer, and
/// <see cref="TryAppendAsync"/> refuses whoever is not: a gateway that lost the room without knowing writes nothing.
/// </remarks>
public interface ITranscriptStore
{
    /// <summary>
    /// Appends a final caption. Idempotent by <see cref="CaptionMessage.IdempotencyKey"/>: a second one changes nothing and gets
    /// the first one's number.
    /// </summary>
    /// <param name="speakerName">The participant's name as the room showed it.</param>
    /// <exception cref="ArgumentException">The caption is not final.</exception>
    ValueTask<long> AppendAsync(CaptionMessage final, string? speakerName, CancellationToken cancellationToken = default);

    /// <summary>
    /// Makes somebody the only writer of the room's transcript, in place of the former one. Only who holds the room's lease may do so,
    /// and reads what was written so far afterwards.
    /// </summary>
    /// <param name="writer">Unique for a holding of the lease; see <see cref="TranscriptWriter.Of"/>.</param>
    ValueTask OpenAsync(string room, string writer, CancellationToken cancellationToken = default);

    /// <summary>The room's writer; null where it has none, as after the store lost its data.</summary>
    ValueTask<string?> GetWriterAsync(string room, CancellationToken cancellationToken = default);

    /// <summary><see cref="AppendAsync"/> by the room's writer; without one, the appender becomes it.</summary>
    /// <returns>False where another is the writer: nothing was appended.</returns>
    ValueTask<bool> TryAppendAsync(CaptionMessage final, string? speakerName, string writer, CancellationToken cancellationToken = default);

    /// <summary>Segments after a sequence number, oldest first.</summary>
    ValueTask<IReadOnlyList<TranscriptSegment>> ReadAsync(
        string room, long afterSequence = 0, int max = int.MaxValue, CancellationToken cancellationToken = default);

    /// <summary>The newest segments, oldest first.</summary>
    ValueTask<IReadOnlyList<TranscriptSegment>> ReadLastAsync(string room, int max, CancellationToken cancellationToken = default);

    /// <summary>Forgets a room's transcript.</summary>
    ValueTask DeleteAsync(string room, CancellationToken cancellationToken = default);
}

/// <param name="Sequence">1, 2, 3 … in the room's transcript.</param>
/// <param name="At">When it was appended.</param>
public sealed record TranscriptSegment(long Sequence, DateTimeOffset At, string? SpeakerName, CaptionMessage Caption);
