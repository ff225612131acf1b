namespace Transcribe.Rtc.Dtls;

/// <summary>
/// A DTLS 1.2 association without sockets or clocks. Every method is called on the owner's thread, and observers are
/// called during such calls only.
/// </summary>
public sealed class DtlsTransport : IDisposable
{
    public DtlsTransport(DtlsTransportOptions options, IDtlsObserver observer) => throw new NotImplementedException();

    public DtlsState State { get; private set; }

    public DtlsCloseReason CloseReason { get; private set; }

    /// <summary>Description number of the fatal alert received (RFC 5246 section 7.2).</summary>
    public int? AlertReceived { get; private set; }

    public DtlsCounters Counters { get; } = new();

    public Instant NextTimeout => throw new NotImplementedException();

    /// <summary>Starts as client or server; the peer's certificate must match one of the fingerprints.</summary>
    public void Start(Instant now, DtlsRole role, IReadOnlyList<DtlsFingerprint> remoteFingerprints) => throw new NotImplementedException();

    /// <summary>Takes a datagram whose first byte is 20..63 (RFC 7983).</summary>
    public void Receive(Instant now, ReadOnlySpan<byte> datagram) => throw new NotImplementedException();

    /// <summary>Collects what the handshake's thread has produced; call after <see cref="DtlsTransportOptions.Wake"/>.</summary>
    public void Poll(Instant now) => throw new NotImplementedException();

    public void HandleTimeout(Instant now) => throw new NotImplementedException();

    /// <summary>Sends one record of application data; false when not connected or it is too long.</summary>
    public bool Send(Instant now, ReadOnlySpan<byte> data) => throw new NotImplementedException();

    /// <summary>Sends close_notify and ends.</summary>
    public void Close(Instant now) => throw new NotImplementedException();

    public void Dispose() => throw new NotImplementedException();
}
