namespace Transcribe.Cluster.State;

/// <summary>One entry of a log. Sequence numbers start at 1 and have no gaps.</summary>
public readonly record struct LogEntry(long Sequence, DateTimeOffset At, string Value);

/// <summary>Named append-only logs: room events, transcripts, webhook queues.</summary>
public interface IEventLog
{
    /// <summary>Appends and returns the entry's sequence number.</summary>
    /// <param name="idempotencyKey">Where given, a second append with the same key to the same log changes nothing and returns the first one's number.</param>
    ValueTask<long> AppendAsync(string log, string value, string? idempotencyKey = null, CancellationToken cancellationToken = default);

    /// <summary>Entries after a sequence number, oldest first, at most <paramref name="max"/>.</summary>
    ValueTask<IReadOnlyList<LogEntry>> ReadAsync(string log, long afterSequence, int max = 1000, CancellationToken cancellationToken = default);

    /// <summary>The last sequence number; 0 for a log that does not exist.</summary>
    ValueTask<long> LastSequenceAsync(string log, CancellationToken cancellationToken = default);

    /// <summary>Forgets the oldest entries beyond <paramref name="keep"/>; numbers go on.</summary>
    ValueTask TrimAsync(string log, int keep, CancellationToken cancellationToken = default);

    ValueTask DeleteAsync(string log, CancellationToken cancellationToken = default);
}
