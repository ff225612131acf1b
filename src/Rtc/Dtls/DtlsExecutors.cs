namespace Transcribe.Rtc.Dtls;

/// <summary>
/// A thread per handshake, in lock-step with the owner: after each call into the transport the handshake waits for
/// its next datagram. Deterministic on a virtual clock.
/// </summary>
public sealed class DtlsLockStepExecutor : IDtlsExecutor
{
    /// <summary>The one instance; it has no state.</summary>
    public static DtlsLockStepExecutor Instance { get; } = new();

    private DtlsLockStepExecutor()
    {
    }

    public bool IsLockStep => true;

    public bool TryRun(Action handshake)
    {
        DtlsThread.Start(handshake);
        return true;
    }

    public void EnterCompute()
    {
    }

    public void LeaveCompute()
    {
    }
}

/// <summary>Limits of a <see cref="DtlsPoolExecutor"/>.</summary>
public sealed record DtlsPoolOptions
{
    /// <summary>Handshakes under way at once; each holds a thread that mostly waits for its peer.</summary>
    public int MaxHandshakes { get; init; } = 128;

    /// <summary>Handshakes that wait for their turn; further ones fail as overloaded.</summary>
    public int MaxQueued { get; init; } = 4096;

    /// <summary>Handshakes that compute at once.</summary>
    public int MaxComputing { get; init; } = Math.Max(1, Environment.ProcessorCount / 2);
}

/// <summary>
/// A bounded set of threads below normal priority, made on demand and ended when there is nothing to do, so media
/// workers keep the processors.
/// </summary>
public sealed class DtlsPoolExecutor : IDtlsExecutor, IDisposable
{
    private readonly DtlsPoolOptions _options;
    private readonly SemaphoreSlim _compute;
    private readonly Lock _lock = new();
    private readonly Queue<Action> _queue = new();
    private int _threads;

    public DtlsPoolExecutor(DtlsPoolOptions? options = null)
    {
        _options = options ?? new();
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(_options.MaxHandshakes, nameof(options));
        ArgumentOutOfRangeException.ThrowIfNegative(_options.MaxQueued, nameof(options));
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(_options.MaxComputing, nameof(options));
        _compute = new SemaphoreSlim(_options.MaxComputing);
    }

    public bool IsLockStep => false;

    /// <summary>Threads in use.</summary>
    public int Running
    {
        get
        {
            lock (_lock)
                return _threads;
        }
    }

    /// <summary>Handshakes that wait for a thread.</summary>
    public int Queued
    {
        get
        {
            lock (_lock)
                return _queue.Count;
        }
    }

    public bool TryRun(Action handshake)
    {
        lock (_lock)
        {
            if (_threads >= _options.MaxHandshakes)
            {
                if (_queue.Count >= _options.MaxQueued)
                    return false;
                _queue.Enqueue(handshake);
                return true;
            }

            _threads++;
        }

        DtlsThread.Start(() => Work(handshake));
        return true;
    }

    public void EnterCompute() => _compute.Wait();

    public void LeaveCompute() => _compute.Release();

    /// <summary>Call when no handshake is under way any more.</summary>
    public void Dispose() => _compute.Dispose();

    private void Work(Action? handshake)
    {
        while (handshake is not null)
        {
            handshake();
            lock (_lock)
            {
                if (!_queue.TryDequeue(out handshake))
                    _threads--;
            }
        }
    }
}

internal static class DtlsThread
{
    private const int StackBytes = 512 * 1024;

    public static void Start(Action work) =>
        new Thread(() => work(), StackBytes)
        {
            IsBackground = true,
            Name = "dtls handshake",
            Priority = ThreadPriority.BelowNormal,
        }.Start();
}
