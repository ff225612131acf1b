using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using StackExchange.Redis;
using Transcribe.Cluster.Bus;

namespace Transcribe.Cluster.Redis;

/// <summary>The bus over Redis pub/sub: one channel per subject for events and one for requests, one per process for replies.</summary>
/// <remarks>
/// Every message is authenticated with a key derived from the cluster's (<see cref="BusEnvelope"/>); what is forged, stale or seen before
/// is dropped and counted (<see cref="BusDrops"/>). Bodies are not encrypted: Redis itself and the way to it (TLS) must be trusted not to leak.
/// </remarks>
internal sealed partial class RedisMessageBus : IMessageBus, IAsyncDisposable
{
    public const int MaxConcurrentRequests = 4096;
    public const int MaxPendingRequests = 65_536;

    /// <summary>A message older than this, or from so far in the future, is not believed. The clocks of the machines must agree better than that.</summary>
    public static readonly TimeSpan MaxAge = TimeSpan.FromSeconds(60);

    /// <summary>Asked for longer than this, nobody waits any more.</summary>
    private static readonly TimeSpan MaxTimeout = TimeSpan.FromMinutes(10);

    private readonly RedisClusterConnection _redis;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly byte[] _key;
    private readonly Guid _self = Guid.NewGuid();
    private readonly CancellationTokenSource _stopping = new();
    private readonly Lock _lock = new();
    private readonly Dictionary<string, Listener> _listeners = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<ulong, TaskCompletionSource<Answer>> _pending = new();
    private readonly BusChannel _replies;
    private ulong _number;
    private int _turn;
    private int _disposed;

    public RedisMessageBus(RedisClusterConnection redis, ClusterKey key, TimeProvider time, ILogger<RedisMessageBus> logger)
    {
        _redis = redis;
        _time = time;
        _logger = logger;
        _key = key.Derive("bus");
        _replies = new BusChannel(redis, ReplyChannel(_self), OnReply);
        _redis.RestoreSubscriptions = RestoreAsync;
        _redis.WentAway = FailPending;
        _replies.WantAsync().GetAwaiter().GetResult();
    }

    public BusDrops Drops { get; } = new();

    public async ValueTask PublishAsync<T>(string subject, T message, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        byte[] body = ClusterJson.SerializeToUtf8Bytes(message);
        if (!_redis.IsConnected || await SendAsync(EventChannel(subject), BusMessageKind.Event, body, NextNumber(), 0).ConfigureAwait(false) is null)
            CountUnavailable();
    }

    public async ValueTask<IAsyncDisposable> SubscribeAsync<T>(
        string subject, Func<T, CancellationToken, ValueTask> handler, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        ObjectDisposedException.ThrowIf(_stopping.IsCancellationRequested, this);
        string channel = EventChannel(subject);
        var pump = new EventPump(
            (bytes, token) => handler(ClusterJson.Deserialize<T>(bytes.Span), token),
            failure => LogHandlerFailed(subject, failure),
            dropped =>
            {
                // Once for the first and then for every thousandth: a storm must not fill the log.
                Drops.Count(BusDrop.QueueFull);
                if (dropped % 1000 == 1)
                    LogDropped(subject, dropped);
            },
            subscription => RemoveAsync(channel, listener => listener.Subscriptions = listener.Subscriptions.Remove(subscription)),
            _stopping.Token);
        await AddAsync(channel, subject, listener => listener.Subscriptions = listener.Subscriptions.Add(pump)).ConfigureAwait(false);
        return pump;
    }

    public async ValueTask<TReply> RequestAsync<TRequest, TReply>(
        string subject, TRequest request, TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (!_redis.IsConnected)
            throw Unavailable(subject);
        if (_pending.Count >= MaxPendingRequests)
            throw new BusException(BusException.Overloaded, $"{MaxPendingRequests} requests of this process wait for answers; try again later.");

        byte[] body = ClusterJson.SerializeToUtf8Bytes(request);
        ulong number = NextNumber();
        var answer = new TaskCompletionSource<Answer>(TaskCreationOptions.RunContinuationsAsynchronously);
        _pending[number] = answer;
        try
        {
            ulong milliseconds = (ulong)Math.Clamp(timeout.TotalMilliseconds, 1, MaxTimeout.TotalMilliseconds);
            long started = _time.GetTimestamp();
            long? receivers = await SendAsync(RequestChannel(subject), BusMessageKind.Request, body, number, milliseconds).ConfigureAwait(false);
            if (receivers is null)
                throw Unavailable(subject);
            if (receivers == 0)
                throw new BusException(BusException.NoResponder, $"Nobody answers on \"{subject}\": the node is gone or not yet there; try again.");

            TimeSpan left = timeout - _time.GetElapsedTime(started);
            Answer reply = await answer.Task.WaitAsync(left > TimeSpan.Zero ? left : TimeSpan.Zero, _time, cancellationToken).ConfigureAwait(false);
            if (!reply.Refused)
                return ClusterJson.Deserialize<TReply>(reply.Body.Span);

            Refusal refusal = ClusterJson.Deserialize<Refusal>(reply.Body.Span);
            throw new BusException(refusal.Code, refusal.Message);
        }
        catch (TimeoutException)
        {
            throw new BusException(BusException.Timeout, $"No answer on \"{subject}\" within {timeout.TotalMilliseconds:F0} ms; try again.");
        }
        catch (JsonException e)
        {
            LogHandlerFailed(subject, e);
            throw new BusException(BusException.Internal, $"The answer on \"{subject}\" is not what was asked for; do the processes run the same version?");
        }
        finally
        {
            _pending.TryRemove(number, out _);
        }
    }

    public async ValueTask<IAsyncDisposable> RespondAsync<TRequest, TReply>(
        string subject, Func<TRequest, CancellationToken, ValueTask<TReply>> handler, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        ObjectDisposedException.ThrowIf(_stopping.IsCancellationRequested, this);
        string channel = RequestChannel(subject);
        var responder = new Responder(
            async (bytes, token) =>
            {
                TReply reply = await handler(ClusterJson.Deserialize<TRequest>(bytes.Span), token).ConfigureAwait(false);
                return ClusterJson.SerializeToUtf8Bytes(reply);
            },
            self => RemoveAsync(channel, listener => listener.Responders = listener.Responders.Remove(self)));
        await AddAsync(channel, subject, listener => listener.Responders = listener.Responders.Add(responder)).ConfigureAwait(false);
        return responder;
    }

    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
            return;

        _redis.RestoreSubscriptions = null;
        _redis.WentAway = null;
        await _stopping.CancelAsync().ConfigureAwait(false);
        Listener[] listeners;
        lock (_lock)
            listeners = [.. _listeners.Values];
        foreach (Listener listener in listeners)
        {
            foreach (EventPump pump in listener.Subscriptions)
                await pump.DisposeAsync().ConfigureAwait(false);
            foreach (Responder responder in listener.Responders)
                await responder.DisposeAsync().ConfigureAwait(false);
        }

        await _replies.ReleaseAsync().ConfigureAwait(false);
        FailPending();
        _replies.Dispose();
        _stopping.Dispose();
    }

    /// <summary>Answers are lost with the connection: who waits for one is told now.</summary>
    private void FailPending()
    {
        foreach (TaskCompletionSource<Answer> waiting in _pending.Values)
            waiting.TrySetException(new BusException(BusException.Unavailable, "The connection to Redis was lost while a request waited for its answer; try again in a few seconds."));
    }

    /// <summary>Sends a message and says how many processes got it; null where Redis is away.</summary>
    private async ValueTask<long?> SendAsync(string channel, BusMessageKind kind, byte[] body, ulong number, ulong correlation)
    {
        var header = new BusHeader(kind, _self, _time.GetUtcNow().ToUnixTimeMilliseconds(), number, correlation);
        byte[] message = BusEnvelope.Seal(_key, channel, header, body);
        try
        {
            return await _redis.Subscriber.PublishAsync(RedisChannel.Literal(channel), message).ConfigureAwait(false);
        }
        catch (Exception e) when (RedisClusterConnection.IsAway(e) || e is RedisException)
        {
            return null;
        }
    }

    private void OnEvent(BusChannel channel, byte[] message)
    {
        if (!TryOpen(channel, message, out BusHeader header) || header.Kind != BusMessageKind.Event)
            return;

        foreach (EventPump subscription in Find(channel.Name)?.Subscriptions ?? [])
            subscription.Post(BusEnvelope.Body(message));
    }

    private void OnRequest(BusChannel channel, byte[] message)
    {
        if (!TryOpen(channel, message, out BusHeader header) || header.Kind != BusMessageKind.Request)
            return;

        Listener? listener = Find(channel.Name);
        ImmutableArray<Responder> responders = listener?.Responders ?? [];
        Responder? responder = responders.IsEmpty ? null : responders[(int)((uint)Interlocked.Increment(ref _turn) % (uint)responders.Length)];
        _ = Task.Run(() => AnswerAsync(listener?.Subject ?? "", responder, header, BusEnvelope.Body(message)), CancellationToken.None);
    }

    private void OnReply(BusChannel channel, byte[] message)
    {
        if (!TryOpen(channel, message, out BusHeader header) || header.Kind is not (BusMessageKind.Reply or BusMessageKind.Refusal))
            return;

        // An answer that came too late is nobody's any more.
        if (_pending.TryRemove(header.Correlation, out TaskCompletionSource<Answer>? waiting))
            waiting.TrySetResult(new Answer(header.Kind == BusMessageKind.Refusal, BusEnvelope.Body(message)));
    }

    private async Task AnswerAsync(string subject, Responder? responder, BusHeader request, ReadOnlyMemory<byte> body)
    {
        BusMessageKind kind = BusMessageKind.Refusal;
        byte[]? reply = null;
        try
        {
            if (responder is null)
                throw new BusException(BusException.NoResponder, "Nobody answers here any more; try again.");

            TimeSpan left = TimeSpan.FromMilliseconds(Math.Min(request.Correlation, MaxTimeout.TotalMilliseconds));
            using var deadline = new CancellationTokenSource(left, _time);
            using var cancel = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, _stopping.Token);
            reply = await responder.AnswerAsync(subject, body, cancel.Token).ConfigureAwait(false);
            kind = BusMessageKind.Reply;
        }
        catch (BusException refusal)
        {
            reply = ClusterJson.SerializeToUtf8Bytes(new Refusal(refusal.Code, refusal.Message));
        }
        catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
        {
            // The asker has given up, or this process stops.
        }
        catch (Exception e)
        {
            LogHandlerFailed(subject, e);
            reply = ClusterJson.SerializeToUtf8Bytes(new Refusal(BusException.Internal, $"The responder of \"{subject}\" failed; its log says why."));
        }

        if (reply is not null
            && await SendAsync(ReplyChannel(request.Sender), kind, reply, NextNumber(), request.Number).ConfigureAwait(false) is null)
        {
            CountUnavailable();
        }
    }

    private bool TryOpen(BusChannel channel, byte[] message, out BusHeader header)
    {
        if (!BusEnvelope.TryOpen(_key, channel.Name, message, out header, out BusDrop problem))
            return Refuse(channel, problem);

        long now = _time.GetUtcNow().ToUnixTimeMilliseconds();
        if (Math.Abs(now - header.Time) > (long)MaxAge.TotalMilliseconds)
            return Refuse(channel, BusDrop.Stale);

        return channel.Replays.Accept(header.Sender, header.Number, now) || Refuse(channel, BusDrop.Replayed);
    }

    private bool Refuse(BusChannel channel, BusDrop reason)
    {
        long count = Drops.Count(reason);
        if (count % 1000 == 1)
            LogRefused(channel.Name, reason, count);

        return false;
    }

    private void CountUnavailable()
    {
        long count = Drops.Count(BusDrop.Unavailable);
        if (count % 1000 == 1)
            LogUnavailable(count);
    }

    private async ValueTask AddAsync(string channel, string subject, Action<Listener> change)
    {
        Listener? listener;
        lock (_lock)
        {
            if (!_listeners.TryGetValue(channel, out listener))
            {
                bool events = channel.StartsWith(EventChannel(""), StringComparison.Ordinal);
                listener = new Listener(subject, new BusChannel(_redis, channel, events ? OnEvent : OnRequest));
                _listeners[channel] = listener;
            }

            change(listener);
        }

        await SettleAsync(channel, listener).ConfigureAwait(false);
    }

    private async ValueTask RemoveAsync(string channel, Action<Listener> change)
    {
        Listener? listener;
        lock (_lock)
        {
            if (!_listeners.TryGetValue(channel, out listener))
                return;

            change(listener);
        }

        await SettleAsync(channel, listener).ConfigureAwait(false);
    }

    /// <summary>Makes the subscription at Redis what the listener needs now; the last word is by whoever comes last.</summary>
    private async ValueTask SettleAsync(string channel, Listener listener)
    {
        bool wanted;
        lock (_lock)
            wanted = !listener.IsUnused;

        await (wanted ? listener.Channel.WantAsync() : listener.Channel.ReleaseAsync()).ConfigureAwait(false);
        lock (_lock)
        {
            if (wanted == !listener.IsUnused)
            {
                if (!wanted && _listeners.TryGetValue(channel, out Listener? present) && present == listener)
                    _listeners.Remove(channel);
                return;
            }
        }

        // It changed meanwhile, and the other's turn may have come before ours.
        await SettleAsync(channel, listener).ConfigureAwait(false);
    }

    private Listener? Find(string channel)
    {
        lock (_lock)
            return _listeners.GetValueOrDefault(channel);
    }

    private async Task RestoreAsync()
    {
        Listener[] listeners;
        lock (_lock)
            listeners = [.. _listeners.Values];
        await _replies.RestoreAsync().ConfigureAwait(false);
        foreach (Listener listener in listeners)
            await listener.Channel.RestoreAsync().ConfigureAwait(false);
    }

    private ulong NextNumber() => Interlocked.Increment(ref _number);

    private string EventChannel(string subject) => $"{_redis.Prefix}event:{subject}";

    private string RequestChannel(string subject) => $"{_redis.Prefix}request:{subject}";

    private string ReplyChannel(Guid process) => $"{_redis.Prefix}reply:{process:N}";

    private static BusException Unavailable(string subject) =>
        new(BusException.Unavailable, $"The request on \"{subject}\" could not be sent: Redis is away; try again in a few seconds.");

    private sealed record Refusal(string Code, string Message);

    private readonly record struct Answer(bool Refused, ReadOnlyMemory<byte> Body);

    private sealed class Listener(string subject, BusChannel channel)
    {
        public string Subject => subject;

        public BusChannel Channel => channel;

        public ImmutableArray<EventPump> Subscriptions { get; set; } = [];

        public ImmutableArray<Responder> Responders { get; set; } = [];

        public bool IsUnused => Subscriptions.IsEmpty && Responders.IsEmpty;
    }

    private sealed class Responder(
        Func<ReadOnlyMemory<byte>, CancellationToken, Task<byte[]>> handler, Func<Responder, ValueTask> remove) : IAsyncDisposable
    {
        private int _active;
        private int _disposed;

        public async Task<byte[]> AnswerAsync(string subject, ReadOnlyMemory<byte> request, CancellationToken cancellationToken)
        {
            if (Interlocked.Increment(ref _active) > MaxConcurrentRequests)
            {
                Interlocked.Decrement(ref _active);
                throw new BusException(BusException.Overloaded, $"\"{subject}\" has {MaxConcurrentRequests} requests under way; try again later.");
            }

            try
            {
                return await handler(request, cancellationToken).ConfigureAwait(false);
            }
            finally
            {
                Interlocked.Decrement(ref _active);
            }
        }

        public ValueTask DisposeAsync() => Interlocked.Exchange(ref _disposed, 1) == 0 ? remove(this) : ValueTask.CompletedTask;
    }
}
