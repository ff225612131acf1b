using StackExchange.Redis;
using Transcribe.Cluster.State;

namespace Transcribe.Cluster.Redis;

/// <summary>Leases in Redis: one hash (owner, token) per name, which Redis forgets at the end of its time.</summary>
/// <remarks>Tokens come from one counter that begins at the server's clock in microseconds: they grow even where the data was lost meanwhile.</remarks>
internal sealed class RedisLeaseStore(RedisClusterConnection redis, TimeProvider time) : ILeaseStore
{
    private const int PageSize = 256;

    // KEYS: lease, fence, index. ARGV: owner, time to live in ms, name.
    private const string AcquireScript = """
        local owner = redis.call('HGET', KEYS[1], 'owner')
        if owner and owner ~= ARGV[1] then return false end
        local token = owner and tonumber(redis.call('HGET', KEYS[1], 'token'))
        if not token then
          token = redis.call('INCR', KEYS[2])
          if token == 1 then
            local now = redis.call('TIME')
            token = now[1] * 1000000 + now[2]
            redis.call('SET', KEYS[2], string.format('%.0f', token))
          end
          redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'token', string.format('%.0f', token))
        end
        redis.call('PEXPIRE', KEYS[1], ARGV[2])
        redis.call('ZADD', KEYS[3], 0, ARGV[3])
        return token
        """;

    // KEYS: lease. ARGV: token, time to live in ms.
    private const string RenewScript = """
        if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
        return redis.call('PEXPIRE', KEYS[1], ARGV[2])
        """;

    // KEYS: lease, index. ARGV: token, name.
    private const string ReleaseScript = """
        if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
        redis.call('ZREM', KEYS[2], ARGV[2])
        return redis.call('DEL', KEYS[1])
        """;

    // KEYS: index. ARGV: from, to, page size, prefix of leases. Returns the last name of a full page, then name, owner, token, time left …
    private const string ListScript = """
        local names = redis.call('ZRANGEBYLEX', KEYS[1], ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])
        local found = { #names == tonumber(ARGV[3]) and names[#names] or '' }
        for _, name in ipairs(names) do
          local lease = redis.call('HMGET', ARGV[4] .. name, 'owner', 'token')
          if lease[1] then
            found[#found + 1] = name
            found[#found + 1] = lease[1]
            found[#found + 1] = lease[2]
            found[#found + 1] = redis.call('PTTL', ARGV[4] .. name)
          else
            redis.call('ZREM', KEYS[1], name)
          end
        end
        return found
        """;

    public async ValueTask<Lease?> TryAcquireAsync(
        string name, string owner, TimeSpan timeToLive, CancellationToken cancellationToken = default)
    {
        // The time before the command: the holder never believes in its lease longer than Redis does.
        DateTimeOffset asked = time.GetUtcNow();
        RedisResult token = await redis.RunAsync(
            AcquireScript, [Key(name), redis.Prefix + "fence", Index], [owner, Milliseconds(timeToLive), name], cancellationToken).ConfigureAwait(false);
        return token.IsNull ? null : new Lease(name, owner, (long)token, asked + timeToLive);
    }

    public async ValueTask<Lease?> TryRenewAsync(Lease lease, TimeSpan timeToLive, CancellationToken cancellationToken = default)
    {
        DateTimeOffset asked = time.GetUtcNow();
        RedisResult renewed = await redis.RunAsync(
            RenewScript, [Key(lease.Name)], [lease.FencingToken, Milliseconds(timeToLive)], cancellationToken).ConfigureAwait(false);
        return (long)renewed == 1 ? lease with { ExpiresAt = asked + timeToLive } : null;
    }

    public async ValueTask ReleaseAsync(Lease lease, CancellationToken cancellationToken = default) =>
        await redis.RunAsync(ReleaseScript, [Key(lease.Name), Index], [lease.FencingToken, lease.Name], cancellationToken).ConfigureAwait(false);

    public async ValueTask<IReadOnlyList<Lease>> ListAsync(string prefix, CancellationToken cancellationToken = default)
    {
        (RedisValue from, RedisValue to) = RedisStateStore.Range(prefix);
        var found = new List<Lease>();
        while (true)
        {
            DateTimeOffset asked = time.GetUtcNow();
            RedisResult page = await redis.RunAsync(ListScript, [Index], [from, to, PageSize, Key("").ToString()], cancellationToken).ConfigureAwait(false);
            var items = (RedisValue[])page!;
            for (int i = 1; i + 3 < items.Length; i += 4)
                found.Add(new Lease(items[i].ToString(), items[i + 1].ToString(), (long)items[i + 2], asked + TimeSpan.FromMilliseconds((long)items[i + 3])));

            if (items[0].IsNullOrEmpty)
                return found;

            from = "(" + items[0].ToString();
        }
    }

    private static long Milliseconds(TimeSpan time) => Math.Max(1, (long)time.TotalMilliseconds);

    private RedisKey Index => redis.Prefix + "leases";

    private RedisKey Key(string name) => $"{redis.Prefix}lease:{name}";
}
