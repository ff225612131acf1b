using System.Runtime.InteropServices;

namespace Transcribe.Rtc.Dtls;

/// <summary>Limits of a <see cref="DtlsPoolExecutor"/>.</summary>
public sealed record DtlsPoolOptions
{
    /// <summary>Handshakes under way at once; each holds a thread that mostly waits for its peer.</summary>
    public int MaxHandshakes { get; init; } = 128;

    /// <summary>Handshakes that wait for their turn; further ones fail as overloaded.</summary>
    public int MaxQueued { get; init; } = 4096;

    /// <summary>Handshakes that compute at once.</summary>
    public int MaxComputing { get; init; } = Math.Max(1, Environment.ProcessorCount / 2);

    /// <summary>
    /// Nice value of the threads on Linux, where .NET thread priorities have no effect: 0 to 19. Not higher than need be,
    /// for a garbage collection waits until a thread that computes has got its turn and stopped.
    /// </summary>
    public int Niceness { get; init; } = 5;

    /// <summary>
    /// Between two handshakes that compute one after the other on Linux nobody does for this long. Each has a thread of
    /// its own, to which the scheduler owes its turn: without a gap, fifty of them may come before a media worker.
    /// </summary>
    public TimeSpan Gap { get; init; } = TimeSpan.FromMicroseconds(100);

    /// <summary>How long a thread without work is kept for the next handshake.</summary>
    public TimeSpan Linger { get; init; } = TimeSpan.FromSeconds(20);
}

/// <summary>
/// A bounded set of threads below normal priority, made on demand, kept for a while, and ended when there is nothing to
/// do, so media workers keep the processors.
/// </summary>
public sealed partial class DtlsPoolExecutor : IDtlsExecutor, IDisposable
{
    private readonly DtlsPoolOptions _options;
    private readonly object _lock = new();
    private readonly object _compute = new();
    private readonly Queue<Action> _queue = new();
    private int _threads;
    private int _idle;
    private int _running;
    private int _computing;
    private int _waitingToCompute;
    private bool _disposed;

    public DtlsPoolExecutor(DtlsPoolOptions? options = null)
    {
        _options = options ?? new();
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(_options.MaxHandshakes, nameof(options));
        ArgumentOutOfRangeException.ThrowIfNegative(_options.MaxQueued, nameof(options));
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(_options.MaxComputing, nameof(options));
        ArgumentOutOfRangeException.ThrowIfNegative(_options.Niceness, nameof(options));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(_options.Niceness, 19, nameof(options));
    }

    public bool IsLockStep => false;

    /// <summary>Handshakes under way, those included whose thread is just starting.</summary>
    public int Running
    {
        get
        {
            lock (_lock)
                return Math.Min(_options.MaxHandshakes, _running + _queue.Count);
        }
    }

    /// <summary>Handshakes that wait for a place among those.</summary>
    public int Queued
    {
        get
        {
            lock (_lock)
                return Math.Max(0, _running + _queue.Count - _options.MaxHandshakes);
        }
    }

    /// <summary>Threads made since the start.</summary>
    public long ThreadsStarted { get; private set; }

    /// <summary>Never waits: a media worker calls it.</summary>
    public bool TryRun(Action handshake)
    {
        lock (_lock)
        {
            if (_disposed || _running + _queue.Count >= _options.MaxHandshakes + _options.MaxQueued)
                return false;
            _queue.Enqueue(handshake);
            if (_idle >= _queue.Count)
            {
                Monitor.Pulse(_lock);
                return true;
            }

            if (_threads >= _options.MaxHandshakes)
                return true;
            _threads++;
            ThreadsStarted++;
        }

        // Thread.Start waits for the thread to run, so it is another's task.
        ThreadPool.UnsafeQueueUserWorkItem(static pool => DtlsThread.Start(pool.Work), this, preferLocal: false);
        return true;
    }

    public void EnterCompute()
    {
        bool waited = false;
        lock (_compute)
        {
            _waitingToCompute++;
            while (_computing >= _options.MaxComputing)
            {
                waited = true;
                Monitor.Wait(_compute);
            }

            _waitingToCompute--;
            _computing++;
        }

        if (waited)
            Rest();
    }

    public void LeaveCompute()
    {
        lock (_compute)
        {
            _computing--;
            if (_waitingToCompute > 0)
                Monitor.Pulse(_compute);
        }
    }

    /// <summary>Lets the threads end as their handshakes do; nothing new is run.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            _disposed = true;
            Monitor.PulseAll(_lock);
        }
    }

    private void Work()
    {
        LowerPriority(_options.Niceness);
        while (true)
        {
            Action? handshake;
            lock (_lock)
            {
                while (!_queue.TryDequeue(out handshake))
                {
                    _idle++;
                    bool woken = !_disposed && Monitor.Wait(_lock, _options.Linger);
                    _idle--;
                    if (!woken && _queue.Count == 0)
                    {
                        _threads--;
                        return;
                    }
                }

                _running++;
            }

            handshake();
            lock (_lock)
                _running--;
        }
    }

    private unsafe void Rest()
    {
        if (!OperatingSystem.IsLinux() || _options.Gap <= TimeSpan.Zero)
            return;

        // Seconds and nanoseconds. Cut short by a signal it does as well.
        long* time = stackalloc long[2] { 0, Math.Min(_options.Gap.Ticks, TimeSpan.TicksPerSecond - 1) * TimeSpan.NanosecondsPerTick };
        _ = NanoSleep(time, null);
    }

    internal static void LowerPriority(int niceness)
    {
        // "Process" 0 is the calling thread on Linux. Where it is refused, the thread is an ordinary one.
        if (OperatingSystem.IsLinux() && niceness > 0)
            _ = SetPriority(0, 0, niceness);
    }

    [LibraryImport("libc", EntryPoint = "nanosleep")]
    private static unsafe partial int NanoSleep(long* time, long* rest);

    [LibraryImport("libc", EntryPoint = "setpriority")]
    private static partial int SetPriority(int which, uint who, int niceness);
}
