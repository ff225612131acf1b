using Transcribe.Cluster.State;

namespace Transcribe.Cluster.InProcess;

/// <summary>The logs of the all-in-one process. A log keeps its newest <see cref="MaxEntries"/> entries.</summary>
public sealed class InProcessEventLog(TimeProvider time) : IEventLog
{
    public const int MaxEntries = 100_000;

    private readonly Lock _lock = new();
    private readonly Dictionary<string, Log> _logs = new(StringComparer.Ordinal);

    public ValueTask<long> AppendAsync(
        string log, string value, string? idempotencyKey = null, CancellationToken cancellationToken = default)
    {
        lock (_lock)
        {
            if (!_logs.TryGetValue(log, out Log? found))
                _logs[log] = found = new Log();

            if (idempotencyKey is not null && found.Keys.TryGetValue(idempotencyKey, out long present))
                return ValueTask.FromResult(present);

            long sequence = ++found.Last;
            found.Entries.Enqueue((new LogEntry(sequence, time.GetUtcNow(), value), idempotencyKey));
            if (idempotencyKey is not null)
                found.Keys[idempotencyKey] = sequence;

            found.Trim(MaxEntries);
            return ValueTask.FromResult(sequence);
        }
    }

    public ValueTask<IReadOnlyList<LogEntry>> ReadAsync(
        string log, long afterSequence, int max = 1000, CancellationToken cancellationToken = default)
    {
        lock (_lock)
        {
            IReadOnlyList<LogEntry> entries = _logs.TryGetValue(log, out Log? found)
                ? [.. found.Entries.Skip(found.Before(afterSequence)).Take(max).Select(entry => entry.Entry)]
                : [];
            return ValueTask.FromResult(entries);
        }
    }

    public ValueTask<long> LastSequenceAsync(string log, CancellationToken cancellationToken = default)
    {
        lock (_lock)
            return ValueTask.FromResult(_logs.TryGetValue(log, out Log? found) ? found.Last : 0);
    }

    public ValueTask TrimAsync(string log, int keep, CancellationToken cancellationToken = default)
    {
        lock (_lock)
        {
            if (_logs.TryGetValue(log, out Log? found))
                found.Trim(keep);
        }

        return ValueTask.CompletedTask;
    }

    public ValueTask DeleteAsync(string log, CancellationToken cancellationToken = default)
    {
        lock (_lock)
            _logs.Remove(log);

        return ValueTask.CompletedTask;
    }

    private sealed class Log
    {
        public Queue<(LogEntry Entry, string? Key)> Entries { get; } = new();

        public Dictionary<string, long> Keys { get; } = new(StringComparer.Ordinal);

        public long Last { get; set; }

        /// <summary>How many kept entries are not after the sequence number.</summary>
        public int Before(long sequence) => (int)Math.Clamp(sequence - (Last - Entries.Count), 0, Entries.Count);

        public void Trim(int keep)
        {
            while (Entries.Count > keep)
            {
                if (Entries.Dequeue().Key is { } key)
                    Keys.Remove(key);
            }
        }
    }
}
