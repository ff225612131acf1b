namespace Transcribe.Rtc.Ice;

/// <summary>ICE agent (RFC 8445), full or lite, sans-IO.</summary>
public sealed class IceAgent
{
    private readonly long[] _drops = new long[Enum.GetValues<IceDropReason>().Length];
    private readonly IIceObserver _observer;

    public IceAgent(IceAgentOptions options, IIceObserver observer)
    {
        _observer = observer;
        LocalCredentials = options.LocalCredentials ?? IceCredentials.Create(options.Random);
        Role = options.IceLite ? IceRole.Controlled : options.Role;
    }

    /// <summary>Credentials to put in the next description; new after each <see cref="Restart"/>.</summary>
    public IceCredentials LocalCredentials { get; private set; }

    /// <summary>The peer's credentials of the current generation; null until set, and after <see cref="Restart"/>.</summary>
    public IceCredentials? RemoteCredentials { get; private set; }

    public IceRole Role { get; private set; }

    public IceState State { get; private set; }

    /// <summary>Where to send data; null while there is no path or the peer's consent expired.</summary>
    public TransportPath? SelectedPath { get; private set; }

    /// <summary>The peer said "a=ice-lite": a full agent then takes the controlling role.</summary>
    public bool RemoteIsLite { get; set; }

    public IReadOnlyList<IceCandidate> LocalCandidates { get; } = [];

    public IReadOnlyList<IceCandidate> RemoteCandidates { get; } = [];

    /// <summary>Round trip of the newest answered check on the selected path; null in lite mode and before the first.</summary>
    public TimeSpan? RoundTripTime { get; private set; }

    /// <summary>When <see cref="HandleTimeout"/> wants to be called; adding candidates may make it "now".</summary>
    public Instant NextTimeout { get; private set; } = Instant.Never;

    /// <summary>
    /// Sets the peer's credentials. Credentials that differ from those of the current generation are the peer's ICE
    /// restart: the agent restarts too, and <see cref="LocalCredentials"/> are new.
    /// </summary>
    /// <returns>True where this restarted the agent.</returns>
    public bool SetRemoteCredentials(Instant now, IceCredentials credentials)
    {
        RemoteCredentials = credentials;
        return false;
    }

    /// <summary>Adds a candidate of this host. A full agent sends checks from host candidates' addresses.</summary>
    public void AddLocalCandidate(IceCandidate candidate) => _ = LocalCandidates;

    /// <summary>Takes away a local address (interface down); checks and data no longer leave from it.</summary>
    public void RemoveLocalCandidate(Instant now, in TransportAddress address) => _ = LocalCandidates;

    /// <summary>Adds a candidate of the peer, also before its credentials are known.</summary>
    /// <returns>False where it is of no use (TCP, mDNS name, other component or generation, too many).</returns>
    public bool AddRemoteCandidate(Instant now, IceCandidate candidate) => State != IceState.Closed && candidate.IsUsable;

    /// <summary>The peer has no more candidates in this generation.</summary>
    public void EndOfCandidates(Instant now) => NextTimeout = Instant.Max(now, NextTimeout);

    /// <summary>Takes a STUN datagram that arrived over a path.</summary>
    /// <returns>True where it was authentic and was handled; otherwise a drop counter grew.</returns>
    public bool Receive(Instant now, in TransportPath path, ReadOnlySpan<byte> stun)
    {
        _drops[(int)IceDropReason.Malformed]++;
        return false;
    }

    /// <summary>Does what is due; early calls do no harm.</summary>
    public void HandleTimeout(Instant now) => NextTimeout = Instant.Max(now, NextTimeout);

    /// <summary>True where data that arrives over the path may be accepted: the peer proved that it is there.</summary>
    public bool IsValidated(in TransportPath path) => SelectedPath == path;

    /// <summary>True for the username fragment of this agent, or the previous one while a restart is under way.</summary>
    public bool OwnsUfrag(ReadOnlySpan<char> ufrag) => ufrag.SequenceEqual(LocalCredentials.Ufrag);

    /// <summary>
    /// ICE restart: new <see cref="LocalCredentials"/>, no remote ones; the path selected so far keeps working until
    /// one of the new generation is selected.
    /// </summary>
    public void Restart(Instant now) => NextTimeout = Instant.Max(now, NextTimeout);

    /// <summary>Stops for good; nothing is sent or accepted any more.</summary>
    public void Close()
    {
        State = IceState.Closed;
        _observer.OnStateChanged(State);
    }

    /// <summary>How many messages or candidates were dropped for a reason.</summary>
    public long GetDropCount(IceDropReason reason) => _drops[(int)reason];
}
