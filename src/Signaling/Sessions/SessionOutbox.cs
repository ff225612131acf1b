using System.Text.Json;
using System.Threading.Channels;

namespace Transcribe.Signaling.Sessions;

/// <summary>A hub connection, as a session sees it.</summary>
internal interface IClientConnection
{
    string Id { get; }

    Task SendAsync(string method, JsonElement payload);

    void Abort();
}

internal readonly record struct Outgoing(string Method, JsonElement Payload);

/// <summary>
/// What goes to the client, in order. Room events pass once each, by their sequence number, also over a change of
/// connection. A client that reads too slowly loses its connection, not single messages: it comes back and resumes.
/// </summary>
internal sealed class SessionOutbox
{
    public const int Capacity = 512;

    private static readonly TimeSpan SendTimeout = TimeSpan.FromSeconds(15);

    private readonly Lock _lock = new();
    private List<(long Sequence, Outgoing Message)>? _early = [];
    private long _last;
    private Pump? _pump;

    /// <summary>From here on room events are kept, until <see cref="Attach"/> says which of them are new.</summary>
    public void Hold()
    {
        lock (_lock)
            _early ??= [];
    }

    /// <summary>Sends to this connection from now on; an older one is cut.</summary>
    /// <param name="last">Number of the last room event that the client has, or gets with <paramref name="first"/>.</param>
    public void Attach(IClientConnection connection, long last, IReadOnlyList<Outgoing> first)
    {
        Pump? before;
        lock (_lock)
        {
            before = _pump;
            _pump = new Pump(connection);
            foreach (Outgoing message in first)
                _pump.Post(message);

            _last = last;
            foreach ((long sequence, Outgoing message) in _early ?? [])
                PostInOrder(sequence, message);

            _early = null;
        }

        before?.Abort();
    }

    /// <summary>False where the session has another connection by now.</summary>
    public bool Detach(string connectionId)
    {
        lock (_lock)
        {
            if (_pump is null || _pump.ConnectionId != connectionId)
                return false;

            _pump.Complete();
            _pump = null;
            return true;
        }
    }

    public void PostRoomEvent(long sequence, bool roomClosed, Outgoing message)
    {
        lock (_lock)
        {
            if (_early is not null)
                _early.Add((sequence, message));
            else
                PostInOrder(sequence, message);

            if (roomClosed)
                _last = 0;
        }
    }

    /// <param name="optional">Left out where the client is behind.</param>
    public void Post(Outgoing message, bool optional = false)
    {
        lock (_lock)
            _pump?.Post(message, optional);
    }

    /// <summary>Sends what is queued, then nothing more; ends when it is sent, or cannot be.</summary>
    public Task CompleteAsync()
    {
        lock (_lock)
        {
            Pump? pump = _pump;
            _pump = null;
            pump?.Complete();
            return pump?.Done ?? Task.CompletedTask;
        }
    }

    private void PostInOrder(long sequence, Outgoing message)
    {
        if (sequence <= _last)
            return;

        _last = sequence;
        _pump?.Post(message);
    }

    private sealed class Pump
    {
        private readonly IClientConnection _connection;
        private readonly Channel<Outgoing> _queue =
            Channel.CreateBounded<Outgoing>(new BoundedChannelOptions(Capacity) { SingleReader = true });

        public Pump(IClientConnection connection)
        {
            _connection = connection;
            Done = Task.Run(RunAsync);
        }

        public Task Done { get; }

        public string ConnectionId => _connection.Id;

        public void Post(Outgoing message, bool optional = false)
        {
            if (optional && _queue.Reader.Count > Capacity / 2)
                return;

            if (!_queue.Writer.TryWrite(message) && !optional)
                Abort();
        }

        public void Complete() => _queue.Writer.TryComplete();

        public void Abort()
        {
            Complete();
            _connection.Abort();
        }

        private async Task RunAsync()
        {
            try
            {
                // SignalR writes the reply of "join" when the hub method has returned. This pause puts it before the first
                // events as a rule; the protocol does not promise it (docs/signaling.md).
                await Task.Delay(TimeSpan.FromMilliseconds(20)).ConfigureAwait(false);
                await foreach (Outgoing message in _queue.Reader.ReadAllAsync().ConfigureAwait(false))
                    await _connection.SendAsync(message.Method, message.Payload).WaitAsync(SendTimeout).ConfigureAwait(false);
            }
            catch (Exception)
            {
                // Too slow or gone: the hub sees the connection end, and the session waits for a new one.
                Abort();
            }
        }
    }
}
