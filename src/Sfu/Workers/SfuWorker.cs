using Transcribe.Cluster.Rooms;
using Transcribe.Rtc;
using Transcribe.Sfu.Control;
using Transcribe.Sfu.Net;
using Transcribe.Sfu.Routing;

namespace Transcribe.Sfu.Workers;

/// <summary>
/// One thread that owns a socket, the sessions reached through it, their rooms and their timers. Nothing in here is
/// locked: other threads post commands (<see cref="TryPost"/>) and read counters, no more.
/// </summary>
internal sealed partial class SfuWorker : IDisposable
{
    private const int CommandsPerTurn = 256;

    /// <summary>Work on joins after which media gets its turn.</summary>
    private static readonly TimeSpan LongestStretch = TimeSpan.FromMilliseconds(1);

    private readonly SfuWorkerOptions _options;
    private readonly IDatagramSocket _socket;
    private readonly ReceiveRing _ring;
    private readonly SendBatch _batch = new();
    private readonly CommandQueue _commands;
    private readonly TimerWheel _wheel;
    private readonly List<SfuSession> _touched = [];
    private readonly List<(SfuSession Session, string Reason)> _doomed = [];
    private readonly RtcSessionOptions _sessionOptions;
    private readonly List<(Publication Publication, PacketRun Run)> _audioRuns = [];
    private readonly List<(Publication Publication, PacketRun Run)> _videoRuns = [];
    private Instant _heldUntil = Instant.Never;
    private Thread? _thread;
    private int _stopping;
    private int _pollAll;
    private bool _retryLinks;

    /// <param name="socket">The worker's from now on: disposed with it.</param>
    public SfuWorker(SfuWorkerOptions options, IDatagramSocket socket)
    {
        _options = options;
        _socket = socket;
        _ring = DatagramSockets.CreateRing(socket);
        _commands = new CommandQueue(options.Limits.MaxCommands);
        Now = Instant.Of(options.Clock);
        _wheel = new TimerWheel(Now);
        _sessionOptions = options.Session with
        {
            IceLite = true,

            // Nothing here adapts to a subscriber's bandwidth: its feedback would be most of what the worker receives.
            TransportFeedbackOnSending = false,
            DropTotals = Counters.SessionDrops,
            WallClockAtZero = options.Clock.GetUtcNow() - (Now - Instant.Zero),
        };
    }

    public int Index => _options.Index;

    public string NodeId => _options.NodeId;

    public SfuLimits Limits => _options.Limits;

    /// <summary>The instant of the current turn of the loop. For the worker's thread.</summary>
    public Instant Now { get; private set; }

    public TransportAddress LocalAddress => _socket.LocalAddress;

    public WorkerCounters Counters { get; } = new();

    public DatagramSocketCounters SocketCounters => _socket.Counters;

    /// <summary>Commands wait. For the worker's thread.</summary>
    internal bool HasCommands => !_commands.IsEmpty;

    /// <summary>Has the worker's thread do something. From any thread; false (counted) where too much waits already.</summary>
    public bool TryPost(Action<object?, Instant> run, object? state)
    {
        if (!_commands.TryPost(new WorkerCommand(run, state)))
        {
            Counters.DropFromElsewhere(SfuDropReason.CommandQueueFull);
            return false;
        }

        _socket.Wake();
        return true;
    }

    /// <summary>Runs a function on the worker's thread and hands its result, or what it threw, back.</summary>
    /// <exception cref="InvalidOperationException">The worker's queue is full, or it has stopped.</exception>
    public Task<T> InvokeAsync<T>(Func<Instant, T> function)
    {
        var completion = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        bool posted = Volatile.Read(ref _stopping) == 0 && TryPost(
            (_, now) =>
            {
                try
                {
                    completion.SetResult(function(now));
                }
                catch (Exception e)
                {
                    completion.SetException(e);
                }
            },
            null);
        if (!posted)
            completion.SetException(new InvalidOperationException($"SFU worker {Index} takes no commands."));
        return completion.Task;
    }

    /// <summary>Starts the worker's thread.</summary>
    public void Start()
    {
        _thread = new Thread(Run) { Name = $"sfu worker {Index}", IsBackground = true, Priority = ThreadPriority.AboveNormal };
        _thread.Start();
    }

    /// <summary>Ends the thread; sessions still there are closed as "nodeShutdown" first.</summary>
    public void Stop()
    {
        if (Interlocked.Exchange(ref _stopping, 1) != 0)
            return;
        _socket.Wake();
        _thread?.Join();
    }

    public void Dispose()
    {
        Stop();
        _socket.Dispose();
        _ring.Dispose();
        _batch.Dispose();
    }

    /// <summary>One turn: commands, timers, one batch of datagrams. The thread calls it in a loop; tests with a virtual clock call it themselves.</summary>
    /// <param name="longestWait">Bound of the wait for datagrams.</param>
    /// <returns>Datagrams received.</returns>
    internal int RunOnce(TimeSpan longestWait)
    {
        Now = Instant.Of(_options.Clock);
        Volatile.Write(ref _asleep, 0);
        bool more = RunCommands();
        _wheel.Advance(Now);
        TakeFromLinks();
        ForwardQueued();
        EndTurn();
        ReleaseLinks();

        TimeSpan wait = TimeSpan.Zero;
        if (!more && _wheel.NextDue is Instant due)
            wait = due == Instant.Never ? longestWait : due - Now < longestWait ? due - Now : longestWait;
        if (_heldUntil != Instant.Never && _heldUntil - Now < wait)
            wait = _heldUntil - Now;
        if (_retryLinks && RetryInterval < wait)
            wait = RetryInterval;
        if (wait > TimeSpan.Zero && !FallAsleep())
            wait = TimeSpan.Zero;
        int received = _socket.Receive(_ring, wait);
        if (received == 0)
            return 0;

        Now = Instant.Of(_options.Clock);
        for (int i = 0; i < received; i++)
        {
            Span<byte> datagram = _ring.Datagram(i, out TransportPath path);
            bool isMedia = !datagram.IsEmpty && datagram[0] >= 128;
            Dispatch(datagram, path);
            if (!isMedia && i + 1 < received && IsLate())
            {
                // Handshakes among the datagrams: what media there is goes first.
                Now = Instant.Of(_options.Clock);
                ForwardQueued();
                EndTurn();
            }
        }

        ForwardQueued();
        EndTurn();
        return received;
    }

    /// <summary>Joins in a storm take long; media is looked after in between.</summary>
    private bool IsLate() => Instant.Of(_options.Clock) - Now > LongestStretch;

    /// <summary>Puts a datagram into the send batch; it leaves at the end of the turn at the latest.</summary>
    internal void Send(in TransportPath path, ReadOnlySpan<byte> datagram)
    {
        if (_batch.TryAdd(path, datagram))
            return;
        SendNow();
        if (!_batch.TryAdd(path, datagram))
            Counters.Drop(SfuDropReason.Oversize);
    }

    /// <summary>Where packets to subscribers are written.</summary>
    internal SendBatch Outgoing => _batch;

    /// <summary>Sends what is in the batch.</summary>
    internal void SendNow() => _socket.Send(_batch);

    /// <summary>Whether received bytes stay as they are until the end of the turn.</summary>
    internal bool StaysInPlace(ReadOnlySpan<byte> bytes) => _ring.Holds(bytes) || _reading?.Holds(bytes) == true;

    /// <summary>The publication has packets to forward at the end of the batch of datagrams.</summary>
    internal void Queue(Publication publication, PacketRun run)
    {
        if (run.IsQueued)
            return;
        run.IsQueued = true;
        (publication.Kind == TrackKind.Audio ? _audioRuns : _videoRuns).Add((publication, run));
    }

    internal void Raise(SfuEvent happened)
    {
        if (!_options.Events.TryWrite(happened))
            Counters.Drop(SfuDropReason.EventQueueFull);
    }

    /// <summary>The session's deadline may have moved: look at it at the end of the turn.</summary>
    internal void Touch(SfuSession session)
    {
        if (session.IsTouched)
            return;
        session.IsTouched = true;
        _touched.Add(session);
    }

    /// <summary>Closes the session at the end of the current callback, when no code of it is on the stack any more.</summary>
    internal void Doom(SfuSession session, string reason)
    {
        if (session.IsDoomed)
            return;
        session.IsDoomed = true;
        _doomed.Add((session, reason));
    }

    /// <summary>An exception out of a session: it alone is closed.</summary>
    internal void Fault(SfuSession session, Exception exception)
    {
        Counters.SessionFaults++;
        Raise(new SessionFaulted(session.Id, exception));
        Doom(session, "failed");
    }

    internal void Schedule(WheelTimer timer, Instant due) => _wheel.Schedule(timer, due);

    internal void Cancel(WheelTimer timer) => _wheel.Cancel(timer);

    /// <summary>
    /// From a handshake's thread: this session has something to fetch. Never lost: where the queue is full, every
    /// session that is still connecting is asked.
    /// </summary>
    internal void WakeSession(SfuSession session)
    {
        if (session.TryMarkWoken() && !_commands.TryPost(new WorkerCommand(static (state, now) => ((SfuSession)state!).OnWoken(now), session)))
            Volatile.Write(ref _pollAll, 1);
        _socket.Wake();
    }

    private void Run()
    {
        if (_options.Pin)
            ThreadPinning.TryPin(Index % Environment.ProcessorCount);

        // .NET's thread priorities have no effect on Linux.
        ThreadPinning.TryRaisePriority(-10);
        while (Volatile.Read(ref _stopping) == 0)
        {
            try
            {
                RunOnce(TimeSpan.FromSeconds(1));
            }
            catch (Exception e)
            {
                // Sessions catch their own: this is the loop's. A worker that dies takes all its rooms with it, so it goes on.
                Raise(new SessionFaulted("", e));
                Thread.Sleep(10);
            }
        }

        Now = Instant.Of(_options.Clock);
        while (RunCommands())
            EndTurn();
        CloseAll("nodeShutdown");
        EndTurn();
    }

    private bool RunCommands()
    {
        for (int i = 0; i < CommandsPerTurn; i++)
        {
            if (!_commands.TryTake(out WorkerCommand command))
            {
                PollAllIfAsked();
                return false;
            }

            command.Run(command.State, Now);
            CloseDoomed();
            if (IsLate())
                break;
        }

        PollAllIfAsked();
        return true;
    }

    private void PollAllIfAsked()
    {
        if (Volatile.Read(ref _pollAll) == 0)
            return;
        Volatile.Write(ref _pollAll, 0);
        foreach (SfuSession session in _sessions.Values)
            session.OnWoken(Now);
        CloseDoomed();
    }

    /// <summary>Forwards what arrived, audio first; a frame that is not complete may wait half a millisecond for its rest.</summary>
    private void ForwardQueued()
    {
        foreach ((Publication publication, PacketRun run) in _audioRuns)
        {
            run.IsQueued = false;
            publication.Forward(Now);
        }

        _audioRuns.Clear();
        _heldUntil = Instant.Never;
        int held = 0;
        for (int i = 0; i < _videoRuns.Count; i++)
        {
            (Publication publication, PacketRun run) = _videoRuns[i];
            if (publication.TryHold(Now, out Instant until))
            {
                _heldUntil = Instant.Min(_heldUntil, until);
                _videoRuns[held++] = (publication, run);
                continue;
            }

            run.IsQueued = false;
            publication.Forward(Now);
        }

        _videoRuns.RemoveRange(held, _videoRuns.Count - held);
    }

    private void EndTurn()
    {
        CloseDoomed();
        foreach (SfuSession session in _touched)
        {
            session.IsTouched = false;
            if (!session.IsClosed)
                _wheel.ScheduleNoLater(session.Timer, session.NextTimeout);
        }

        _touched.Clear();
        if (_batch.Count > 0)
            SendNow();
        _retryLinks = FlushLinks();
    }
}
