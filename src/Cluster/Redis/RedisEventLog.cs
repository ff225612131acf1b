using System.Buffers.Text;
using System.Text;
using StackExchange.Redis;
using Transcribe.Cluster.State;

namespace Transcribe.Cluster.Redis;

/// <summary>Logs in Redis: per log the last number, a list of entries, and a hash of the idempotency keys of the entries kept.</summary>
/// <remarks>
/// An entry's number follows from its place in the list. An entry is "milliseconds length key value", with the length of the
/// idempotency key ("-" for none). A log keeps its newest <see cref="MaxEntries"/> entries.
/// </remarks>
internal sealed class RedisEventLog(RedisClusterConnection redis) : IEventLog
{
    public const int MaxEntries = 100_000;

    private const string TrimFunction = """
        local function trim(keep)
          while redis.call('LLEN', KEYS[2]) > keep do
            local entry = redis.call('LPOP', KEYS[2])
            local length, at = string.match(entry, '^%d+ (%S+) ()')
            if length ~= '-' then redis.call('HDEL', KEYS[3], string.sub(entry, at, at + tonumber(length) - 1)) end
          end
        end

        """;

    // KEYS: last, entries, keys. ARGV: value, most entries, idempotency key where there is one.
    private const string AppendScript = TrimFunction + """
        local key = ARGV[3]
        if key then
          local present = redis.call('HGET', KEYS[3], key)
          if present then return tonumber(present) end
        end
        local number = redis.call('INCR', KEYS[1])
        local time = redis.call('TIME')
        local ms = time[1] * 1000 + math.floor(time[2] / 1000)
        redis.call('RPUSH', KEYS[2], string.format('%.0f', ms) .. ' ' .. (key and #key or '-') .. ' ' .. (key or '') .. ARGV[1])
        if key then redis.call('HSET', KEYS[3], key, number) end
        trim(tonumber(ARGV[2]))
        return number
        """;

    private const string TrimScript = TrimFunction + "trim(tonumber(ARGV[1])) return 0";

    // KEYS: last, entries. ARGV: after, most. Returns the number of the first, then the entries.
    private const string ReadScript = """
        local last = tonumber(redis.call('GET', KEYS[1]) or '0')
        local count = redis.call('LLEN', KEYS[2])
        local skip = math.max(0, tonumber(ARGV[1]) - (last - count))
        if skip >= count then return {} end
        local entries = redis.call('LRANGE', KEYS[2], string.format('%.0f', skip), string.format('%.0f', skip + ARGV[2] - 1))
        table.insert(entries, 1, string.format('%.0f', last - count + skip + 1))
        return entries
        """;

    public async ValueTask<long> AppendAsync(
        string log, string value, string? idempotencyKey = null, CancellationToken cancellationToken = default)
    {
        RedisValue[] arguments = idempotencyKey is null ? [value, MaxEntries] : [value, MaxEntries, idempotencyKey];
        return (long)await redis.RunAsync(AppendScript, Keys(log), arguments, cancellationToken).ConfigureAwait(false);
    }

    public async ValueTask<IReadOnlyList<LogEntry>> ReadAsync(
        string log, long afterSequence, int max = 1000, CancellationToken cancellationToken = default)
    {
        if (max <= 0)
            return [];

        RedisResult result = await redis.RunAsync(ReadScript, Keys(log)[..2], [Math.Max(0, afterSequence), max], cancellationToken).ConfigureAwait(false);
        var read = (RedisValue[])result!;
        var entries = new List<LogEntry>(read.Length);
        for (int i = 1; i < read.Length; i++)
            entries.Add(Parse((long)read[0] + i - 1, (byte[])read[i]!));

        return entries;
    }

    public async ValueTask<long> LastSequenceAsync(string log, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        RedisValue last = await redis.RunAsync(redis.Database.StringGetAsync(Keys(log)[0]), cancellationToken).ConfigureAwait(false);
        return last.IsNull ? 0 : (long)last;
    }

    public async ValueTask TrimAsync(string log, int keep, CancellationToken cancellationToken = default) =>
        await redis.RunAsync(TrimScript, Keys(log), [Math.Max(0, keep)], cancellationToken).ConfigureAwait(false);

    public async ValueTask DeleteAsync(string log, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        await redis.RunAsync(redis.Database.KeyDeleteAsync(Keys(log)), cancellationToken).ConfigureAwait(false);
    }

    private static LogEntry Parse(long sequence, ReadOnlySpan<byte> entry)
    {
        if (!Utf8Parser.TryParse(entry, out long milliseconds, out int at) || at >= entry.Length)
            throw new InvalidDataException("An entry of a log in Redis is not as this version writes it.");

        entry = entry[(at + 1)..];
        int space = entry.IndexOf((byte)' ');
        int key = Utf8Parser.TryParse(entry[..Math.Max(0, space)], out int length, out _) ? length : 0;
        return new LogEntry(sequence, DateTimeOffset.FromUnixTimeMilliseconds(milliseconds), Encoding.UTF8.GetString(entry[(space + 1 + key)..]));
    }

    private RedisKey[] Keys(string log) =>
        [$"{redis.Prefix}log:{log}:last", $"{redis.Prefix}log:{log}:entries", $"{redis.Prefix}log:{log}:keys"];
}
