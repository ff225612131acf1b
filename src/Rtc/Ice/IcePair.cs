namespace Transcribe.Rtc.Ice;

/// <summary>State of a candidate pair in the check list (RFC 8445 section 6.1.2.6).</summary>
internal enum IcePairState
{
    /// <summary>
    /// Not to be checked now: another pair is selected. (The RFC's Frozen, which orders the checks of several streams
    /// and components, has nothing to order here: with BUNDLE and rtcp-mux there is one of each.)
    /// </summary>
    Idle,
    Waiting,
    InProgress,
    Succeeded,
    Failed,
}

/// <summary>A candidate pair (full), or an address the peer checks from (lite).</summary>
internal sealed class IcePair(in TransportPath path)
{
    /// <summary>From the local base to the remote candidate's address.</summary>
    public TransportPath Path { get; } = path;

    /// <summary>Null in lite mode.</summary>
    public IceCandidate? Local { get; init; }

    /// <summary>Null in lite mode; a peer-reflexive one is replaced when the peer signals it.</summary>
    public IceCandidate? Remote { get; set; }

    /// <summary>Pair priority (full, RFC 8445 section 6.1.2.3), or the PRIORITY of the peer's newest check (lite).</summary>
    public ulong Priority { get; set; }

    public IcePairState State { get; set; }

    /// <summary>In the triggered-check queue.</summary>
    public bool IsTriggered { get; set; }

    /// <summary>The controlling peer nominated the pair.</summary>
    public bool IsNominated { get; set; }

    /// <summary>A response or an authentic request came over it.</summary>
    public bool IsValidated { get; set; }

    public Instant LastRequestAt { get; set; } = Instant.Zero;

    public Instant LastResponseAt { get; set; } = Instant.Zero;

    public TimeSpan? RoundTripTime { get; set; }
}

/// <summary>What a request of ours is for.</summary>
internal enum IceCheckKind
{
    /// <summary>A connectivity check or a nomination; retransmitted.</summary>
    Connectivity,

    /// <summary>Sent once (RFC 7675 section 5.1).</summary>
    Consent,

    /// <summary>No longer retransmitted, but a late response still counts (RFC 8445 section 7.3.1.4).</summary>
    Cancelled,
}

/// <summary>An outstanding request of ours.</summary>
internal sealed class IceCheck
{
    public required Stun.StunTransactionId Id { get; init; }

    public required IceGeneration Generation { get; init; }

    public required IcePair Pair { get; init; }

    /// <summary>The role the request states.</summary>
    public required IceRole Role { get; init; }

    public required bool UseCandidate { get; init; }

    public required IceCheckKind Kind { get; set; }

    /// <summary>The datagram, kept because a retransmission repeats it.</summary>
    public required byte[] Request { get; init; }

    public required Instant SentAt { get; init; }

    /// <summary>Time from the newest transmission to the next one.</summary>
    public required TimeSpan Rto { get; set; }

    public int Transmissions { get; set; } = 1;

    /// <summary>When to send again or to give up.</summary>
    public required Instant Due { get; set; }
}
