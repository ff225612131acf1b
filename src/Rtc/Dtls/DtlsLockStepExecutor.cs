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

/// <summary>A thread that handshakes run on.</summary>
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
