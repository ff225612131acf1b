using System.Security.Cryptography;

namespace Transcribe.Rtc.Ice;

/// <summary>Settings of an <see cref="IceAgent"/>. The defaults are the RFCs' where they name one.</summary>
public sealed record IceAgentOptions
{
    /// <summary>
    /// Lite mode (RFC 8445 section 2.5), for servers on a reachable address: only answers checks, is always
    /// controlled, and takes the peer's checks as its consent.
    /// </summary>
    public bool IceLite { get; init; }

    /// <summary>Role of a full agent at start: the offerer controls. Ignored in lite mode.</summary>
    public IceRole Role { get; init; } = IceRole.Controlling;

    /// <summary>Time between two new checks (Ta, RFC 8445 section 14.2).</summary>
    public TimeSpan Pacing { get; init; } = TimeSpan.FromMilliseconds(50);

    /// <summary>First retransmission of a check, doubled each time (RFC 8445 section 14.3).</summary>
    public TimeSpan InitialRto { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>
    /// Longest time between two transmissions of a check. RFC 8489 doubles without a bound; this one finds a path over
    /// a lossy link much sooner, for the price of a small datagram.
    /// </summary>
    public TimeSpan MaxRto { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>
    /// How often one check is sent (Rc, RFC 8489 section 6.2.1). With the default timing a check takes 36.5 s to
    /// fail, about as long as the RFC's 7 transmissions do.
    /// </summary>
    public int MaxTransmissions { get; init; } = 30;

    /// <summary>After the last transmission a check waits this many initial RTOs for its response (Rm).</summary>
    public int LastRtoFactor { get; init; } = 16;

    /// <summary>
    /// How long a controlling agent that has a valid pair waits for a better one. Where no better pair is open it
    /// nominates at once.
    /// </summary>
    public TimeSpan NominationDelay { get; init; } = TimeSpan.FromMilliseconds(150);

    /// <summary>Mean time between consent checks; each is 0.8 to 1.2 of it (RFC 7675 section 5.1).</summary>
    public TimeSpan ConsentInterval { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// Silence of the peer after which the state is <see cref="IceState.Disconnected"/>: no response to consent
    /// checks (full), no check of the peer (lite). The default is two of the longest consent intervals.
    /// A full agent probes the peer with retransmissions in the last third of it.
    /// </summary>
    public TimeSpan DisconnectedAfter { get; init; } = TimeSpan.FromSeconds(12);

    /// <summary>Silence of the peer after which consent expires and the state is <see cref="IceState.Failed"/> (RFC 7675).</summary>
    public TimeSpan FailedAfter { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Time without a path after which <see cref="IceState.Checking"/> ends in failure (RFC 8863).</summary>
    public TimeSpan CheckingTimeout { get; init; } = TimeSpan.FromMilliseconds(39_500);

    /// <summary>Remote candidates kept per generation, peer-reflexive ones included; more are dropped.</summary>
    public int MaxRemoteCandidates { get; init; } = 64;

    /// <summary>Candidate pairs (full) or peer addresses (lite) kept per generation (RFC 8445 section 6.1.2.5).</summary>
    public int MaxPairs { get; init; } = 100;

    /// <summary>Source of transaction ids, credentials, tie-breakers and jitter. Cryptographically strong outside tests.</summary>
    public RandomNumberGenerator Random { get; init; } = RandomNumberGenerator.Create();

    /// <summary>Credentials of the first generation; made from <see cref="Random"/> where null.</summary>
    public IceCredentials? LocalCredentials { get; init; }
}
