using System.Collections.Concurrent;
using System.Collections.Immutable;
using Microsoft.Extensions.Logging;
using Transcribe.Cluster.Bus;

namespace Transcribe.Cluster.InProcess;

/// <summary>The bus of the all-in-one process: bounded queues in memory, messages as JSON all the same.</summary>
/// <remarks>
/// A subscription that falls behind by <see cref="QueueCapacity"/> events loses the oldest; a subject with
/// <see cref="MaxConcurrentRequests"/> requests under way refuses more with "overloaded".
/// </remarks>
public sealed partial class InProcessMessageBus : IMessageBus, IAsyncDisposable
{
    public const int QueueCapacity = EventPump.QueueCapacity;
    public const int MaxConcurrentRequests = 4096;

    private readonly ConcurrentDictionary<string, ImmutableArray<EventPump>> _subscriptions = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, ImmutableArray<Responder>> _responders = new(StringComparer.Ordinal);
    private readonly ILogger _logger;
    private readonly TimeProvider _time;
    private readonly CancellationTokenSource _stopping = new();
    private long _dropped;
    private int _turn;

    public InProcessMessageBus(ILogger<InProcessMessageBus> logger, TimeProvider time)
    {
        _logger = logger;
        _time = time;
    }

    /// <summary>Events that full queues lost, since the start.</summary>
    public long DroppedEvents => Interlocked.Read(ref _dropped);

    public ValueTask PublishAsync<T>(string subject, T message, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (!_subscriptions.TryGetValue(subject, out ImmutableArray<EventPump> subscriptions))
            return ValueTask.CompletedTask;

        byte[] bytes = ClusterJson.SerializeToUtf8Bytes(message);
        foreach (EventPump subscription in subscriptions)
            subscription.Post(bytes);

        return ValueTask.CompletedTask;
    }

    public ValueTask<IAsyncDisposable> SubscribeAsync<T>(
        string subject, Func<T, CancellationToken, ValueTask> handler, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        ObjectDisposedException.ThrowIf(_stopping.IsCancellationRequested, this);
        var subscription = new EventPump(
            (bytes, token) => handler(ClusterJson.Deserialize<T>(bytes.Span), token),
            failure => LogHandlerFailed(subject, failure),
            dropped => CountDrop(subject, dropped),
            pump =>
            {
                Remove(_subscriptions, subject, pump);
                return ValueTask.CompletedTask;
            },
            _stopping.Token);
        Add(_subscriptions, subject, subscription);
        return ValueTask.FromResult<IAsyncDisposable>(subscription);
    }

    public async ValueTask<TReply> RequestAsync<TRequest, TReply>(
        string subject, TRequest request, TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        if (!_responders.TryGetValue(subject, out ImmutableArray<Responder> responders))
            throw new BusException(BusException.NoResponder, $"Nobody answers on \"{subject}\": the node is gone or not yet there; try again.");

        Responder responder = responders[(int)((uint)Interlocked.Increment(ref _turn) % (uint)responders.Length)];
        byte[] bytes = ClusterJson.SerializeToUtf8Bytes(request);
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _stopping.Token);
        Task<byte[]> answer = responder.AnswerAsync(bytes, deadline.Token);
        try
        {
            byte[] reply = await answer.WaitAsync(timeout, _time, cancellationToken).ConfigureAwait(false);
            return ClusterJson.Deserialize<TReply>(reply);
        }
        catch (TimeoutException)
        {
            await deadline.CancelAsync().ConfigureAwait(false);
            throw new BusException(BusException.Timeout, $"No answer on \"{subject}\" within {timeout.TotalMilliseconds:F0} ms; try again.");
        }
        catch (OperationCanceledException)
        {
            await deadline.CancelAsync().ConfigureAwait(false);
            throw;
        }
    }

    public ValueTask<IAsyncDisposable> RespondAsync<TRequest, TReply>(
        string subject, Func<TRequest, CancellationToken, ValueTask<TReply>> handler, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        ObjectDisposedException.ThrowIf(_stopping.IsCancellationRequested, this);
        var responder = new Responder(
            this,
            subject,
            async (bytes, token) =>
            {
                TReply reply = await handler(ClusterJson.Deserialize<TRequest>(bytes), token).ConfigureAwait(false);
                return ClusterJson.SerializeToUtf8Bytes(reply);
            });
        Add(_responders, subject, responder);
        return ValueTask.FromResult<IAsyncDisposable>(responder);
    }

    public async ValueTask DisposeAsync()
    {
        if (_stopping.IsCancellationRequested)
            return;

        await _stopping.CancelAsync().ConfigureAwait(false);
        foreach (ImmutableArray<EventPump> subscriptions in _subscriptions.Values)
        {
            foreach (EventPump subscription in subscriptions)
                await subscription.DisposeAsync().ConfigureAwait(false);
        }

        _stopping.Dispose();
    }

    private static void Add<T>(ConcurrentDictionary<string, ImmutableArray<T>> table, string subject, T item) =>
        table.AddOrUpdate(subject, static (_, added) => [added], static (_, present, added) => present.Add(added), item);

    private static void Remove<T>(ConcurrentDictionary<string, ImmutableArray<T>> table, string subject, T item)
        where T : class
    {
        while (table.TryGetValue(subject, out ImmutableArray<T> present))
        {
            ImmutableArray<T> rest = present.Remove(item);
            bool done = rest.IsEmpty
                ? table.TryRemove(KeyValuePair.Create(subject, present))
                : table.TryUpdate(subject, rest, present);
            if (done)
                return;
        }
    }

    private void CountDrop(string subject, long dropped)
    {
        Interlocked.Increment(ref _dropped);

        // Once for the first and then for every thousandth: a storm must not fill the log.
        if (dropped % 1000 == 1)
            LogDropped(subject, dropped);
    }

    private sealed class Responder : IAsyncDisposable
    {
        private readonly InProcessMessageBus _bus;
        private readonly string _subject;
        private readonly Func<byte[], CancellationToken, Task<byte[]>> _handler;
        private int _active;

        public Responder(InProcessMessageBus bus, string subject, Func<byte[], CancellationToken, Task<byte[]>> handler)
        {
            _bus = bus;
            _subject = subject;
            _handler = handler;
        }

        public Task<byte[]> AnswerAsync(byte[] request, CancellationToken cancellationToken) =>
            Task.Run(
                async () =>
                {
                    if (Interlocked.Increment(ref _active) > MaxConcurrentRequests)
                    {
                        Interlocked.Decrement(ref _active);
                        throw new BusException(BusException.Overloaded, $"\"{_subject}\" has {MaxConcurrentRequests} requests under way; try again later.");
                    }

                    try
                    {
                        return await _handler(request, cancellationToken).ConfigureAwait(false);
                    }
                    catch (Exception e) when (e is not BusException && !cancellationToken.IsCancellationRequested)
                    {
                        _bus.LogHandlerFailed(_subject, e);
                        throw new BusException(BusException.Internal, $"The responder of \"{_subject}\" failed; its log says why.");
                    }
                    finally
                    {
                        Interlocked.Decrement(ref _active);
                    }
                },
                CancellationToken.None);

        public ValueTask DisposeAsync()
        {
            Remove(_bus._responders, _subject, this);
            return ValueTask.CompletedTask;
        }
    }
}
