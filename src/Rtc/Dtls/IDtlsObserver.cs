using Transcribe.Rtc.Srtp;

namespace Transcribe.Rtc.Dtls;

/// <summary>Which end of the handshake this side is.</summary>
public enum DtlsRole
{
    /// <summary>Sends the ClientHello: <c>a=setup:active</c>.</summary>
    Client,

    /// <summary>Waits for it: <c>a=setup:passive</c>.</summary>
    Server,
}

/// <summary>The states of RTCDtlsTransport.</summary>
public enum DtlsState
{
    New,
    Connecting,
    Connected,
    Closed,
    Failed,
}

/// <summary>Why a DTLS session ended.</summary>
public enum DtlsCloseReason
{
    /// <summary>Not ended.</summary>
    None = 0,

    /// <summary><see cref="DtlsTransport.Close"/> was called.</summary>
    LocalClose,

    /// <summary>The peer sent close_notify.</summary>
    RemoteClose,

    /// <summary>The handshake did not finish in time.</summary>
    HandshakeTimeout,

    /// <summary>The peer's certificate is not the one that its SDP fingerprint names.</summary>
    FingerprintMismatch,

    /// <summary>No SRTP profile in common, or the peer does not do use_srtp.</summary>
    NoSrtpProfile,

    /// <summary>The peer sent a fatal alert; see <see cref="DtlsTransport.AlertReceived"/>.</summary>
    AlertReceived,

    /// <summary>The peer broke the protocol, or what it offers is not acceptable.</summary>
    ProtocolError,

    /// <summary>Too many handshakes are waiting already.</summary>
    Overloaded,
}

/// <summary>What a <see cref="DtlsTransport"/> reports, always on its owner's thread during a call into it.</summary>
public interface IDtlsObserver
{
    /// <summary>Send this datagram to the peer. The bytes are valid during the call only.</summary>
    void OnDtlsSend(ReadOnlySpan<byte> datagram);

    /// <summary>The handshake is done and the peer's certificate matches its fingerprint.</summary>
    void OnDtlsConnected(SrtpKeyingMaterial keys);

    /// <summary>One record of application data: an SCTP packet. The bytes are valid during the call only.</summary>
    void OnDtlsData(ReadOnlySpan<byte> data);

    /// <summary>The session has ended; nothing follows.</summary>
    void OnDtlsClosed(DtlsCloseReason reason);
}
