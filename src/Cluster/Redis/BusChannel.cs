using StackExchange.Redis;

namespace Transcribe.Cluster.Redis;

/// <summary>
/// One Redis channel that this process listens on, for as long as somebody wants it. Who joins while Redis is away is subscribed when it
/// is back.
/// </summary>
internal sealed class BusChannel(RedisClusterConnection redis, string name, Action<BusChannel, byte[]> received) : IDisposable
{
    private readonly SemaphoreSlim _gate = new(1, 1);
    private readonly RedisChannel _channel = RedisChannel.Literal(name);
    private ChannelMessageQueue? _queue;
    private bool _wanted;

    public string Name => name;

    /// <summary>Used by the channel's one reader only.</summary>
    public ReplayGuard Replays { get; } = new();

    /// <summary>Subscribes and waits until Redis has done it; quietly not where Redis is away.</summary>
    public Task WantAsync() => SetAsync(true);

    /// <summary>Unsubscribes and waits until Redis has done it.</summary>
    public Task ReleaseAsync() => SetAsync(false);

    /// <summary>Subscribes where that did not succeed before.</summary>
    public Task RestoreAsync() => SetAsync(null);

    public void Dispose() => _gate.Dispose();

    private void Forget()
    {
        try
        {
            redis.Subscriber.Unsubscribe(_channel, null, CommandFlags.FireAndForget);
        }
        catch (Exception e) when (RedisClusterConnection.IsAway(e) || e is RedisException)
        {
            // Nothing is subscribed at a server that is away.
        }
    }

    private async Task SetAsync(bool? wanted)
    {
        await _gate.WaitAsync().ConfigureAwait(false);
        try
        {
            _wanted = wanted ?? _wanted;
            if (_wanted && _queue is null)
            {
                ChannelMessageQueue queue = await redis.Subscriber.SubscribeAsync(_channel).ConfigureAwait(false);
                queue.OnMessage(message => received(this, (byte[])message.Message! ?? []));
                _queue = queue;
            }
            else if (!_wanted && _queue is { } subscribed)
            {
                _queue = null;
                await subscribed.UnsubscribeAsync().ConfigureAwait(false);
            }
        }
        catch (Exception e) when (RedisClusterConnection.IsAway(e) || e is RedisException)
        {
            // Redis is away. What the library began is taken back, so that the next try does not subscribe twice.
            if (_queue is null)
                Forget();
            if (_wanted)
                redis.RestoreSoon();
        }
        finally
        {
            _gate.Release();
        }
    }
}
