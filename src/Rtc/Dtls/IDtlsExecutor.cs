namespace Transcribe.Rtc.Dtls;

/// <summary>
/// Lends threads to DTLS handshakes, which block while they wait for the peer. Implementations are thread-safe.
/// </summary>
public interface IDtlsExecutor
{
    /// <summary>
    /// True: each call into a <see cref="DtlsTransport"/> waits until its handshake has done all it can do with what
    /// it has (deterministic; for tests and clients with few sessions). False: calls return at once and the host
    /// learns through <see cref="DtlsTransportOptions.Wake"/>.
    /// </summary>
    bool IsLockStep { get; }

    /// <summary>Runs <paramref name="handshake"/> on another thread, now or when one is free.</summary>
    /// <returns>False when too many wait already.</returns>
    bool TryRun(Action handshake);

    /// <summary>Called on the lent thread before it computes, and...</summary>
    void EnterCompute();

    /// <summary>...after, when it goes to wait: bounds how many compute at once.</summary>
    void LeaveCompute();
}
