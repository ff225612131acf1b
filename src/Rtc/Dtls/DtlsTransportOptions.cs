using Transcribe.Rtc.Srtp;

namespace Transcribe.Rtc.Dtls;

/// <summary>Settings of a <see cref="DtlsTransport"/>.</summary>
public sealed record DtlsTransportOptions
{
    /// <summary>This side's certificate.</summary>
    public required DtlsCertificate Certificate { get; init; }

    /// <summary>Where handshakes run. Share one per process or worker.</summary>
    public required IDtlsExecutor Executor { get; init; }

    /// <summary>
    /// Called from a handshake's thread when it has produced something: arrange for <see cref="DtlsTransport.Poll"/>
    /// on the owner's thread. Must not block and must not call into the transport. Not needed with a lock-step executor.
    /// </summary>
    public Action? Wake { get; init; }

    /// <summary>SRTP profiles, the preferred first.</summary>
    public IReadOnlyList<SrtpProfile> SrtpProfiles { get; init; } = [SrtpProfile.AeadAes128Gcm, SrtpProfile.Aes128CmHmacSha1Tag80];

    /// <summary>The handshake fails when it is not done this long after <see cref="DtlsTransport.Start"/>.</summary>
    public TimeSpan HandshakeTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Time before a flight is sent again; doubles each time.</summary>
    public TimeSpan InitialRetransmit { get; init; } = TimeSpan.FromMilliseconds(100);

    /// <summary>Longest time between retransmissions.</summary>
    public TimeSpan MaxRetransmit { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>Largest datagram that is sent, in bytes.</summary>
    public int MaxDatagram { get; init; } = 1200;
}
