using System.Threading.Channels;

namespace Transcribe.Cluster.Bus;

/// <summary>One subscription: a bounded queue whose oldest event goes when it is full, and a handler that takes them one by one.</summary>
internal sealed class EventPump : IAsyncDisposable
{
    public const int QueueCapacity = 4096;

    private readonly Func<ReadOnlyMemory<byte>, CancellationToken, ValueTask> _handler;
    private readonly Action<Exception> _failed;
    private readonly Action<long> _dropped;
    private readonly Func<EventPump, ValueTask> _remove;
    private readonly Channel<ReadOnlyMemory<byte>> _queue;
    private readonly CancellationTokenSource _cancel;
    private readonly CancellationToken _token;
    private readonly AsyncLocal<bool> _inHandler = new();
    private readonly Task _pump;
    private long _drops;
    private int _disposed;

    /// <param name="failed">Told what the handler threw.</param>
    /// <param name="dropped">Told the number of events dropped so far, at each one.</param>
    /// <param name="remove">Takes this subscription out of its bus; called once.</param>
    public EventPump(
        Func<ReadOnlyMemory<byte>, CancellationToken, ValueTask> handler, Action<Exception> failed, Action<long> dropped,
        Func<EventPump, ValueTask> remove, CancellationToken stopping)
    {
        (_handler, _failed, _dropped, _remove) = (handler, failed, dropped, remove);
        _cancel = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        _token = _cancel.Token;
        _queue = Channel.CreateBounded<ReadOnlyMemory<byte>>(
            new BoundedChannelOptions(QueueCapacity) { FullMode = BoundedChannelFullMode.DropOldest, SingleReader = true },
            _ => _dropped(Interlocked.Increment(ref _drops)));
        _pump = Task.Run(PumpAsync, CancellationToken.None);
    }

    public void Post(ReadOnlyMemory<byte> message) => _queue.Writer.TryWrite(message);

    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
            return;

        _queue.Writer.TryComplete();
        await _cancel.CancelAsync().ConfigureAwait(false);
        await _remove(this).ConfigureAwait(false);

        // A handler may end its own subscription; it cannot wait for itself.
        if (!_inHandler.Value)
            await _pump.ConfigureAwait(false);

        _cancel.Dispose();
    }

    private async Task PumpAsync()
    {
        _inHandler.Value = true;
        try
        {
            await foreach (ReadOnlyMemory<byte> message in _queue.Reader.ReadAllAsync(_token).ConfigureAwait(false))
            {
                try
                {
                    await _handler(message, _token).ConfigureAwait(false);
                }
                catch (Exception e) when (e is not OperationCanceledException || !_token.IsCancellationRequested)
                {
                    _failed(e);
                }
            }
        }
        catch (OperationCanceledException)
        {
            // Disposed: what is still queued is not delivered.
        }
    }
}
