using StackExchange.Redis;
using Transcribe.Cluster.State;

namespace Transcribe.Cluster.Redis;

/// <summary>Leases in Redis: one hash (owner, token) per name, which Redis forgets at the end of its time.</summary>
/// <remarks>Tokens come from one counter that begins at the server's clock in microseconds: they grow even where the data was lost meanwhile.</remarks>
internal sealed class RedisLeaseStore(RedisClusterConnection redis, TimeProvider time) : ILeaseStore
{
    // KEYS: lease, fence. ARGV: owner, time to live in ms.
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
        return token
        """;

    // KEYS: lease. ARGV: token, time to live in ms.
    private const string RenewScript = """
        if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
        return redis.call('PEXPIRE', KEYS[1], ARGV[2])
        """;

    // KEYS: lease. ARGV: token.
    private const string ReleaseScript = """
        if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
        return redis.call('DEL', KEYS[1])
        """;

    public async ValueTask<Lease?> TryAcquireAsync(
        string name, string owner, TimeSpan timeToLive, CancellationToken cancellationToken = default)
    {
        // The time before the command: the holder never believes in its lease longer than Redis does.
        DateTimeOffset asked = time.GetUtcNow();
        RedisResult token = await redis.RunAsync(
            AcquireScript, [Key(name), redis.Prefix + "fence"], [owner, Milliseconds(timeToLive)], cancellationToken).ConfigureAwait(false);
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
        await redis.RunAsync(ReleaseScript, [Key(lease.Name)], [lease.FencingToken], cancellationToken).ConfigureAwait(false);

    private static long Milliseconds(TimeSpan time) => Math.Max(1, (long)time.TotalMilliseconds);

    private RedisKey Key(string name) => $"{redis.Prefix}lease:{name}";
}
