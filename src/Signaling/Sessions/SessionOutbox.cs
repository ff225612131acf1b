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
    private List<Early>? _early = [];
    private long _last;
    private Pump? _pump;

    /// <summary>Whether its client has a connection.</summary>
    public bool IsConnected
    {
        get
        {
            lock (_lock)
                return _pump is not null;
        }
    }

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
            PostEarly();
        }

        before?.Abort();
    }

    /// <summary>Nothing comes of the new connection for which <see cref="Hold"/> was called. False where there is none at all.</summary>
    public bool Release()
    {
        lock (_lock)
        {
            PostEarly();
            return _pump is not null;
        }
    }

    /// <summary>Cuts the connection without a word: its session goes on elsewhere.</summary>
    public void Abort()
    {
        Pump? pump;
        lock (_lock)
            pump = _pump;

        pump?.Abort();
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
            var early = new Early(sequence, message, roomClosed ? 0 : null, Always: false);
            if (_early is not null)
                _early.Add(early);
            else
                PostInOrder(early);
        }
    }

    /// <summary>The room anew: events go on from this number.</summary>
    public void PostReset(long sequence, Outgoing message)
    {
        lock (_lock)
        {
            var early = new Early(sequence, message, sequence, Always: true);
            if (_early is not null)
                _early.Add(early);
            else
                PostInOrder(early);
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

    private void PostEarly()
    {
        foreach (Early early in _early ?? [])
            PostInOrder(early);

        _early = null;
    }

    private void PostInOrder(Early early)
    {
        if (early.Always || early.Sequence > _last)
        {
            _last = early.Sequence;
            _pump?.Post(early.Message);
        }

        _last = early.LastAfter ?? _last;
    }

    /// <param name="LastAfter">What the last number is then; null for its own.</param>
    /// <param name="Always">Sent whatever its number.</param>
    private readonly record struct Early(long Sequence, Outgoing Message, long? LastAfter, bool Always);

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
