namespace Transcribe.Rtc.Ice;

/// <summary>Who nominates (RFC 8445 section 6.1.1).</summary>
public enum IceRole
{
    Controlling,
    Controlled,
}

/// <summary>State of an <see cref="IceAgent"/>.</summary>
public enum IceState
{
    /// <summary>No remote credentials yet.</summary>
    New,

    /// <summary>Looking for a path.</summary>
    Checking,

    /// <summary>A path is selected and the peer consents to receive on it.</summary>
    Connected,

    /// <summary>The peer has been silent for <see cref="IceAgentOptions.DisconnectedAfter"/>; it may come back.</summary>
    Disconnected,

    /// <summary>No path was found, or consent expired. Only <see cref="IceAgent.Restart"/> leads out.</summary>
    Failed,

    /// <summary>Closed by the host.</summary>
    Closed,
}

/// <summary>Kinds of candidates (RFC 8445 section 5.1.1).</summary>
public enum IceCandidateType
{
    Host,
    ServerReflexive,
    PeerReflexive,
    Relayed,
}

/// <summary>Transport protocol of a candidate.</summary>
public enum IceTransport
{
    Udp,
    Tcp,

    /// <summary>A transport this library does not know.</summary>
    Other,
}

/// <summary>Why the agent dropped something from outside; each has a counter.</summary>
public enum IceDropReason
{
    /// <summary>Not a well-formed STUN message.</summary>
    Malformed,

    /// <summary>FINGERPRINT missing or wrong.</summary>
    BadFingerprint,

    /// <summary>A method other than Binding.</summary>
    UnknownMethod,

    /// <summary>A request without USERNAME or MESSAGE-INTEGRITY (answered with 400).</summary>
    MissingAttribute,

    /// <summary>A comprehension-required attribute that is not known (answered with 420).</summary>
    UnknownAttribute,

    /// <summary>USERNAME is not for this agent (answered with 401).</summary>
    WrongUsername,

    /// <summary>MESSAGE-INTEGRITY is wrong (a request is answered with 401).</summary>
    BadIntegrity,

    /// <summary>Both agents took the same role (answered with 487).</summary>
    RoleConflict,

    /// <summary>A request that was already seen from another address.</summary>
    Replayed,

    /// <summary>A response to no outstanding request.</summary>
    UnknownTransaction,

    /// <summary>A response that did not come back over the path of its request.</summary>
    NonSymmetric,

    /// <summary>An error response that ended a check.</summary>
    ErrorResponse,

    /// <summary>More candidates, pairs or addresses than the options allow.</summary>
    TooMany,

    /// <summary>A remote candidate that cannot be used: TCP, a host name, another component, a bad address.</summary>
    UnusableCandidate,

    /// <summary>Something arrived after the agent failed or was closed.</summary>
    NotRunning,
}
