using StackExchange.Redis;
using Transcribe.Cluster.State;

namespace Transcribe.Cluster.Redis;

/// <summary>State in Redis: one hash (value, version) per key, and a sorted set of all keys to list prefixes from.</summary>
/// <remarks>
/// Versions come from one counter that begins at the server's clock in microseconds, so that none is used twice even where the data was
/// lost meanwhile. Keys with a time to live are in a second set by the end of it: every write takes a few of the expired ones out of the index.
/// </remarks>
internal sealed class RedisStateStore : IStateStore
{
    private const int PageSize = 256;

    // KEYS: item, index, expiries, version. ARGV: key, value, time to live in ms or "", mode, expected version, prefix of items.
    private const string WriteScript = """
        if ARGV[4] == 'add' then
          if redis.call('EXISTS', KEYS[1]) == 1 then return false end
        elseif ARGV[4] == 'replace' then
          if redis.call('HGET', KEYS[1], 'n') ~= ARGV[5] then return false end
        end
        local time = redis.call('TIME')
        local ms = time[1] * 1000 + math.floor(time[2] / 1000)
        local version = redis.call('INCR', KEYS[4])
        if version == 1 then
          version = time[1] * 1000000 + time[2]
          redis.call('SET', KEYS[4], string.format('%.0f', version))
        end
        redis.call('HSET', KEYS[1], 'v', ARGV[2], 'n', string.format('%.0f', version))
        redis.call('ZADD', KEYS[2], 0, ARGV[1])
        if ARGV[3] == '' then
          redis.call('PERSIST', KEYS[1])
          redis.call('ZREM', KEYS[3], ARGV[1])
        else
          redis.call('PEXPIRE', KEYS[1], ARGV[3])
          redis.call('ZADD', KEYS[3], string.format('%.0f', ms + ARGV[3]), ARGV[1])
        end
        for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', string.format('%.0f', ms - 1000), 'LIMIT', 0, 8)) do
          redis.call('ZREM', KEYS[3], key)
          if redis.call('EXISTS', ARGV[6] .. key) == 0 then redis.call('ZREM', KEYS[2], key) end
        end
        return version
        """;

    // KEYS: item, index, expiries. ARGV: key, expected version or "".
    private const string DeleteScript = """
        local version = redis.call('HGET', KEYS[1], 'n')
        if not version or (ARGV[2] ~= '' and version ~= ARGV[2]) then return 0 end
        redis.call('DEL', KEYS[1])
        redis.call('ZREM', KEYS[2], ARGV[1])
        redis.call('ZREM', KEYS[3], ARGV[1])
        return 1
        """;

    // KEYS: index, expiries. ARGV: from, to, page size, prefix of items. Returns the last key of a full page, then key, value, version …
    private const string ListScript = """
        local keys = redis.call('ZRANGEBYLEX', KEYS[1], ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])
        local found = { #keys == tonumber(ARGV[3]) and keys[#keys] or '' }
        for _, key in ipairs(keys) do
          local item = redis.call('HMGET', ARGV[4] .. key, 'v', 'n')
          if item[1] then
            found[#found + 1] = key
            found[#found + 1] = item[1]
            found[#found + 1] = item[2]
          else
            redis.call('ZREM', KEYS[1], key)
            redis.call('ZREM', KEYS[2], key)
          end
        end
        return found
        """;

    private static readonly RedisValue[] Fields = ["v", "n"];

    private readonly RedisClusterConnection _redis;
    private readonly string _itemPrefix;
    private readonly RedisKey _index;
    private readonly RedisKey _expiries;
    private readonly RedisKey _version;

    public RedisStateStore(RedisClusterConnection redis)
    {
        _redis = redis;
        _itemPrefix = redis.Prefix + "state:";
        _index = redis.Prefix + "keys";
        _expiries = redis.Prefix + "expiries";
        _version = redis.Prefix + "version";
    }

    public async ValueTask<StateEntry?> GetAsync(string key, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        RedisValue[] item = await _redis.RunAsync(_redis.Database.HashGetAsync(_itemPrefix + key, Fields), cancellationToken).ConfigureAwait(false);
        return item[0].IsNull ? null : new StateEntry(key, item[0].ToString(), (long)item[1]);
    }

    public async ValueTask<StateEntry> SetAsync(
        string key, string value, TimeSpan? timeToLive = null, CancellationToken cancellationToken = default) =>
        await WriteAsync(key, value, timeToLive, "set", 0, cancellationToken).ConfigureAwait(false)
            ?? throw new InvalidOperationException($"Redis gave no version to \"{key}\".");

    public ValueTask<StateEntry?> TryAddAsync(
        string key, string value, TimeSpan? timeToLive = null, CancellationToken cancellationToken = default) =>
        WriteAsync(key, value, timeToLive, "add", 0, cancellationToken);

    public ValueTask<StateEntry?> TryReplaceAsync(
        string key, long version, string value, TimeSpan? timeToLive = null, CancellationToken cancellationToken = default) =>
        WriteAsync(key, value, timeToLive, "replace", version, cancellationToken);

    public ValueTask<bool> TryDeleteAsync(string key, long version, CancellationToken cancellationToken = default) =>
        DeleteAsync(key, version, cancellationToken);

    public ValueTask<bool> DeleteAsync(string key, CancellationToken cancellationToken = default) =>
        DeleteAsync(key, RedisValue.EmptyString, cancellationToken);

    public async ValueTask<IReadOnlyList<StateEntry>> ListAsync(string prefix, CancellationToken cancellationToken = default)
    {
        (RedisValue from, RedisValue to) = Range(prefix);
        var found = new List<StateEntry>();
        while (true)
        {
            RedisResult page = await _redis.RunAsync(ListScript, [_index, _expiries], [from, to, PageSize, _itemPrefix], cancellationToken).ConfigureAwait(false);
            var items = (RedisValue[])page!;
            for (int i = 1; i + 2 < items.Length; i += 3)
                found.Add(new StateEntry(items[i].ToString(), items[i + 1].ToString(), (long)items[i + 2]));

            if (items[0].IsNullOrEmpty)
                break;

            from = "(" + items[0].ToString();
        }

        found.Sort(static (a, b) => string.CompareOrdinal(a.Key, b.Key));
        return found;
    }

    /// <summary>The bounds for ZRANGEBYLEX of everything that begins with the prefix.</summary>
    internal static (RedisValue From, RedisValue To) Range(string prefix)
    {
        if (prefix.Length == 0)
            return ("-", "+");

        // Names are UTF-8, in which no byte is 0xFF: it is after everything that begins with the prefix.
        return ("[" + prefix, (byte[])[(byte)'[', .. System.Text.Encoding.UTF8.GetBytes(prefix), 0xFF]);
    }

    private async ValueTask<StateEntry?> WriteAsync(
        string key, string value, TimeSpan? timeToLive, string mode, long version, CancellationToken cancellationToken)
    {
        RedisValue milliseconds = timeToLive is { } ttl ? Math.Max(1, (long)ttl.TotalMilliseconds) : RedisValue.EmptyString;
        RedisResult written = await _redis.RunAsync(
            WriteScript,
            [_itemPrefix + key, _index, _expiries, _version],
            [key, value, milliseconds, mode, version, _itemPrefix],
            cancellationToken).ConfigureAwait(false);
        return written.IsNull ? null : new StateEntry(key, value, (long)written);
    }

    private async ValueTask<bool> DeleteAsync(string key, RedisValue version, CancellationToken cancellationToken) =>
        (long)await _redis.RunAsync(DeleteScript, [_itemPrefix + key, _index, _expiries], [key, version], cancellationToken).ConfigureAwait(false) == 1;
}
