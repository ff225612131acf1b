namespace Transcribe.Rtc;

/// <summary>State of an RtcSession: ICE and DTLS in one (RTCPeerConnectionState of webrtc-pc).</summary>
public enum RtcSessionState
{
    /// <summary>No description was applied yet.</summary>
    New,

    /// <summary>ICE checks or the DTLS handshake are under way.</summary>
    Connecting,

    /// <summary>A path is validated and DTLS is done: media and data flow.</summary>
    Connected,

    /// <summary>The peer's consent was lost (RFC 7675). May go back to <see cref="Connected"/> until the session fails.</summary>
    Disconnected,

    /// <summary>Final, except that an ICE restart may revive it: no path, or the DTLS handshake was refused.</summary>
    Failed,

    /// <summary>Final: Close was called or the peer closed DTLS.</summary>
    Closed,
}

/// <summary>Why a session is <see cref="RtcSessionState.Failed"/> or <see cref="RtcSessionState.Closed"/>.</summary>
public enum RtcSessionFailure
{
    None,

    /// <summary>No candidate pair was ever validated, or consent stayed away longer than the limit.</summary>
    IceTimeout,

    /// <summary>The DTLS handshake failed or timed out.</summary>
    DtlsHandshake,

    /// <summary>The peer's certificate does not match the fingerprint of its SDP.</summary>
    FingerprintMismatch,

    /// <summary>The peer closed DTLS.</summary>
    ClosedByPeer,
}
