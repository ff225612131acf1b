using Transcribe.Cluster.Captions;
using Transcribe.Cluster.State;

namespace Transcribe.Cluster.Transcripts;

/// <summary><see cref="ITranscriptStore"/> over the event log, with the rooms' writers in the state store.</summary>
/// <remarks>
/// Looking who the writer is and appending are two steps. What slips between them was sent by somebody who held the lease a moment ago,
/// and over audio whose final its successor reads or, with the same key, cannot append again.
/// </remarks>
public sealed class TranscriptStore(IEventLog log, IStateStore state) : ITranscriptStore
{
    private const int PageSize = 1000;

    /// <summary>Longer than any gateway can stand still and come back.</summary>
    private static readonly TimeSpan WriterRemembered = TimeSpan.FromHours(1);

    public ValueTask<long> AppendAsync(CaptionMessage final, string? speakerName, CancellationToken cancellationToken = default)
    {
        if (!final.Final)
            throw new ArgumentException("Only the final revision of a segment goes into the transcript.", nameof(final));

        return log.AppendAsync(LogName(final.Room), ClusterJson.Serialize(new Stored(speakerName, final)), final.IdempotencyKey, cancellationToken);
    }

    public async ValueTask OpenAsync(string room, string writer, CancellationToken cancellationToken = default) =>
        await state.SetAsync(WriterKey(room), writer, WriterRemembered, cancellationToken).ConfigureAwait(false);

    public async ValueTask<string?> GetWriterAsync(string room, CancellationToken cancellationToken = default) =>
        (await state.GetAsync(WriterKey(room), cancellationToken).ConfigureAwait(false))?.Value;

    public async ValueTask<bool> TryAppendAsync(
        CaptionMessage final, string? speakerName, string writer, CancellationToken cancellationToken = default)
    {
        string key = WriterKey(final.Room);
        string? present = (await state.GetAsync(key, cancellationToken).ConfigureAwait(false))?.Value;
        if (present is null && await state.TryAddAsync(key, writer, WriterRemembered, cancellationToken).ConfigureAwait(false) is null)
            present = (await state.GetAsync(key, cancellationToken).ConfigureAwait(false))?.Value;
        if (present is not null && present != writer)
            return false;

        await AppendAsync(final, speakerName, cancellationToken).ConfigureAwait(false);
        return true;
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

    public async ValueTask<IReadOnlyList<TranscriptSegment>> ReadLastAsync(string room, int max, CancellationToken cancellationToken = default)
    {
        long last = await log.LastSequenceAsync(LogName(room), cancellationToken).ConfigureAwait(false);
        return last == 0 ? [] : await ReadAsync(room, Math.Max(0, last - max), int.MaxValue, cancellationToken).ConfigureAwait(false);
    }

    public ValueTask DeleteAsync(string room, CancellationToken cancellationToken = default) =>
        log.DeleteAsync(LogName(room), cancellationToken);

    private static string LogName(string room) => $"transcripts/{room}";

    private static string WriterKey(string room) => $"transcript-writers/{room}";

    private sealed record Stored(string? SpeakerName, CaptionMessage Caption);
}
