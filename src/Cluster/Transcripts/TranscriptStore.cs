using Transcribe.Cluster.Captions;
using Transcribe.Cluster.State;

namespace Transcribe.Cluster.Transcripts;

/// <summary><see cref="ITranscriptStore"/> over the event log.</summary>
public sealed class TranscriptStore(IEventLog log) : ITranscriptStore
{
    private const int PageSize = 1000;

    public ValueTask<long> AppendAsync(CaptionMessage final, string? speakerName, CancellationToken cancellationToken = default)
    {
        if (!final.Final)
            throw new ArgumentException("Only the final revision of a segment goes into the transcript.", nameof(final));

        return log.AppendAsync(LogName(final.Room), ClusterJson.Serialize(new Stored(speakerName, final)), final.IdempotencyKey, cancellationToken);
    }

    public async ValueTask<IReadOnlyList<TranscriptSegment>> ReadAsync(
        string room, long afterSequence = 0, int max = int.MaxValue, CancellationToken cancellationToken = default)
    {
        var segments = new List<TranscriptSegment>();
        while (segments.Count < max)
        {
            int page = Math.Min(PageSize, max - segments.Count);
            IReadOnlyList<LogEntry> entries = await log.ReadAsync(LogName(room), afterSequence, page, cancellationToken).ConfigureAwait(false);
            foreach (LogEntry entry in entries)
            {
                Stored stored = ClusterJson.Deserialize<Stored>(entry.Value);
                segments.Add(new(entry.Sequence, entry.At, stored.SpeakerName, stored.Caption));
                afterSequence = entry.Sequence;
            }

            if (entries.Count < page)
                break;
        }

        return segments;
    }

    public ValueTask DeleteAsync(string room, CancellationToken cancellationToken = default) =>
        log.DeleteAsync(LogName(room), cancellationToken);

    private static string LogName(string room) => $"transcripts/{room}";

    private sealed record Stored(string? SpeakerName, CaptionMessage Caption);
}
