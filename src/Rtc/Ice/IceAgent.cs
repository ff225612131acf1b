using System.Buffers.Binary;
using Transcribe.Rtc.Stun;

namespace Transcribe.Rtc.Ice;

/// <summary>
/// An ICE agent for one component (RFC 8445), full or lite, with trickle (RFC 8838), consent freshness (RFC 7675) and
/// restart. Sans-IO: datagrams and instants go in, datagrams and events go to the <see cref="IIceObserver"/>.
/// </summary>
public sealed partial class IceAgent
{
    private readonly IceAgentOptions _options;
    private readonly IIceObserver _observer;
    private readonly long[] _drops = new long[Enum.GetValues<IceDropReason>().Length];
    private readonly List<IceCandidate> _localCandidates = [];
    private readonly IceReplayGuard _replay = new();
    private IceGeneration _current;
    private IceGeneration? _previous;
    private ulong _tieBreaker;
    private bool _remoteIsLite;

    public IceAgent(IceAgentOptions options, IIceObserver observer)
    {
        _options = options;
        _observer = observer;
        _current = new IceGeneration(options.LocalCredentials ?? IceCredentials.Create(options.Random));
        Role = options.IceLite ? IceRole.Controlled : options.Role;
        _tieBreaker = RandomUInt64();
    }

    /// <summary>Credentials to put in the next description; new after each <see cref="Restart"/>.</summary>
    public IceCredentials LocalCredentials => _current.Local;

    /// <summary>The peer's credentials of the current generation; null until set, and after <see cref="Restart"/>.</summary>
    public IceCredentials? RemoteCredentials => _current.Remote;

    public IceRole Role { get; private set; }

    public IceState State { get; private set; }

    /// <summary>Where to send data; null while there is no path or the peer's consent expired.</summary>
    public TransportPath? SelectedPath { get; private set; }

    /// <summary>The peer said "a=ice-lite": a full agent then takes the controlling role (RFC 8445 section 6.1.1).</summary>
    public bool RemoteIsLite
    {
        get => _remoteIsLite;
        set
        {
            _remoteIsLite = value;
            if (value && !_options.IceLite && Role == IceRole.Controlled)
            {
                SwitchRole();
            }
        }
    }

    /// <summary>Candidates of this host, peer-reflexive ones that checks discovered included.</summary>
    public IReadOnlyList<IceCandidate> LocalCandidates => _localCandidates;

    /// <summary>Usable candidates of the peer in the current generation, peer-reflexive ones included.</summary>
    public IReadOnlyList<IceCandidate> RemoteCandidates => _current.RemoteCandidates;

    /// <summary>Round trip of the newest answered check on the selected path; null in lite mode and before the first.</summary>
    public TimeSpan? RoundTripTime => ActiveGeneration?.Selected?.RoundTripTime;

    /// <summary>Authentic requests that arrived.</summary>
    public long RequestsReceived { get; private set; }

    /// <summary>Requests sent, retransmissions and consent checks included.</summary>
    public long RequestsSent { get; private set; }

    /// <summary>Authentic responses that arrived for an outstanding request.</summary>
    public long ResponsesReceived { get; private set; }

    /// <summary>Responses sent, errors included.</summary>
    public long ResponsesSent { get; private set; }

    /// <summary>
    /// When <see cref="HandleTimeout"/> wants to be called; every other call may move it, adding candidates to "now".
    /// </summary>
    public Instant NextTimeout { get; private set; } = Instant.Never;

    private bool IsRunning => State is not (IceState.Failed or IceState.Closed);

    /// <summary>The generation that carries data.</summary>
    private IceGeneration? ActiveGeneration =>
        _current.Selected is not null ? _current : _previous?.Selected is not null ? _previous : null;

    /// <summary>
    /// Sets the peer's credentials. Credentials that differ from those of the current generation are the peer's ICE
    /// restart: the agent restarts too, and <see cref="LocalCredentials"/> are new.
    /// </summary>
    /// <returns>True where this restarted the agent.</returns>
    public bool SetRemoteCredentials(Instant now, IceCredentials credentials)
    {
        if (State == IceState.Closed || credentials == _current.Remote)
        {
            return false;
        }

        bool restarts = _current.Remote is not null;
        if (restarts)
        {
            Restart(now);
        }

        _current.SetRemote(credentials);
        _current.StartedAt = now;
        Update(now);
        return restarts;
    }

    /// <summary>
    /// Adds a candidate of this host. A full agent sends checks from the addresses of UDP host candidates; candidates
    /// of other kinds are for the description only, since their checks leave from the same addresses.
    /// </summary>
    public void AddLocalCandidate(IceCandidate candidate)
    {
        _localCandidates.Add(candidate);
        if (_options.IceLite || !IsRunning || !IsBase(candidate))
        {
            return;
        }

        foreach (IceCandidate remote in _current.RemoteCandidates)
        {
            AddPair(_current, candidate, remote);
        }

        Reschedule();
    }

    /// <summary>Takes away a local address (interface down); checks and data no longer leave from it.</summary>
    public void RemoveLocalCandidate(Instant now, in TransportAddress address)
    {
        for (int i = _localCandidates.Count - 1; i >= 0; i--)
        {
            if (_localCandidates[i].Address == address)
            {
                _localCandidates.RemoveAt(i);
            }
        }

        List<IcePair> lost = [.. RemovePairsFrom(_current, address), .. RemovePairsFrom(_previous, address)];
        if (_current is { Selected: null, WasSelected: true } && IsRunning && !_options.IceLite)
        {
            _current.StartedAt = now;
            _current.Nominating = null;
            Recheck(_current);
        }

        PublishSelectedPath();
        lost.ForEach(Expire);
        Update(now);
    }

    /// <summary>Adds a candidate of the peer, also before its credentials are known. Nothing is sent in this call.</summary>
    /// <returns>False where it is of no use (TCP, mDNS name, other component or generation, too many).</returns>
    public bool AddRemoteCandidate(Instant now, IceCandidate candidate)
    {
        if (!IsRunning)
        {
            return Drop(IceDropReason.NotRunning);
        }

        bool otherGeneration = candidate.UsernameFragment is { } ufrag && _current.Remote is { } remote && ufrag != remote.Ufrag;
        if (!candidate.IsUsable || otherGeneration)
        {
            return Drop(IceDropReason.UnusableCandidate);
        }

        bool added = TryAddRemote(candidate);
        Update(now);
        return added;
    }

    /// <summary>The peer has no more candidates in this generation.</summary>
    public void EndOfCandidates(Instant now)
    {
        _current.RemoteIsComplete = true;
        Update(now);
    }

    /// <summary>Takes a STUN datagram that arrived over a path.</summary>
    /// <returns>
    /// True where it was authentic and was handled; otherwise a drop counter grew (but for keepalive indications).
    /// </returns>
    public bool Receive(Instant now, in TransportPath path, ReadOnlySpan<byte> stun)
    {
        if (!IsRunning)
        {
            return Drop(IceDropReason.NotRunning);
        }

        if (!StunMessage.TryParse(stun, out StunMessage message))
        {
            return Drop(IceDropReason.Malformed);
        }

        if (!message.VerifyFingerprint())
        {
            return Drop(IceDropReason.BadFingerprint);
        }

        if (message.Method != StunMethod.Binding)
        {
            return Drop(IceDropReason.UnknownMethod);
        }

        bool handled = message.Class switch
        {
            StunClass.Request => HandleRequest(now, path, message),
            StunClass.Indication => false,
            _ => HandleResponse(now, path, message),
        };
        Update(now);
        return handled;
    }

    /// <summary>Does what is due; early calls do no harm.</summary>
    public void HandleTimeout(Instant now)
    {
        if (!IsRunning)
        {
            return;
        }

        if (_options.IceLite)
        {
            ExpirePaths(now, _current);
            ExpirePaths(now, _previous);
        }
        else
        {
            RunChecks(now);
            RunConsent(now);
        }

        Update(now);
    }

    /// <summary>True where data that arrives over the path may be accepted: the peer proved that it is there.</summary>
    public bool IsValidated(in TransportPath path)
    {
        if (SelectedPath is { } selected && selected == path)
        {
            return true;
        }

        TransportPath known = Normalize(path);
        return _current.Find(known) is { IsValidated: true } || _previous?.Find(known) is { IsValidated: true };
    }

    /// <summary>True for the username fragment of this agent, or the previous one while a restart is under way.</summary>
    public bool OwnsUfrag(ReadOnlySpan<char> ufrag) =>
        ufrag.SequenceEqual(_current.Local.Ufrag) || (_previous is { } previous && ufrag.SequenceEqual(previous.Local.Ufrag));

    /// <summary>
    /// ICE restart: new <see cref="LocalCredentials"/>, no remote ones; the path selected so far keeps working until
    /// one of the new generation is selected. Also the way out of <see cref="IceState.Failed"/>.
    /// </summary>
    public void Restart(Instant now)
    {
        if (State == IceState.Closed)
        {
            return;
        }

        IceGeneration old = _current;
        _current = new IceGeneration(IceCredentials.Create(_options.Random));
        if (old.Selected is not null)
        {
            IceGeneration? older = _previous;
            _previous = old;
            Forget(older);
            CancelChecks(old, except: old.Selected);
        }
        else
        {
            Forget(old);
        }

        if (State == IceState.Failed)
        {
            SetState(IceState.New);
        }

        Update(now);
    }

    /// <summary>Stops for good; nothing is sent or accepted any more.</summary>
    public void Close()
    {
        if (State == IceState.Closed)
        {
            return;
        }

        _checks.Clear();
        _current.ForgetKeys();
        _previous?.ForgetKeys();
        SelectedPath = null;
        NextTimeout = Instant.Never;
        SetState(IceState.Closed);
    }

    /// <summary>How many messages or candidates were dropped for a reason.</summary>
    public long GetDropCount(IceDropReason reason) => _drops[(int)reason];

    private bool Drop(IceDropReason reason)
    {
        _drops[(int)reason]++;
        return false;
    }

    private ulong RandomUInt64()
    {
        Span<byte> bytes = stackalloc byte[8];
        _options.Random.GetBytes(bytes);
        return BinaryPrimitives.ReadUInt64BigEndian(bytes);
    }

    /// <summary>
    /// The path with the base address that pairs are keyed by, for hosts that name their one socket's address with
    /// the default value, or with a wildcard. In lite mode a path is what the host says it is.
    /// </summary>
    private TransportPath Normalize(in TransportPath path)
    {
        if (_options.IceLite)
        {
            return path;
        }

        IceCandidate? likely = null;
        foreach (IceCandidate candidate in _localCandidates)
        {
            if (!IsBase(candidate))
            {
                continue;
            }

            if (candidate.Address == path.Local)
            {
                return path;
            }

            bool fits = candidate.Address.IsIPv4 == path.Remote.IsIPv4
                && (path.Local.Port == 0 || path.Local.Port == candidate.Address.Port);
            likely ??= fits ? candidate : null;
        }

        return likely is null ? path : new TransportPath(likely.Address, path.Remote);
    }

    private static bool IsBase(IceCandidate candidate) =>
        candidate is { Type: IceCandidateType.Host, Transport: IceTransport.Udp, HostName: null };

    private void Validate(IcePair pair)
    {
        if (pair.IsValidated)
        {
            return;
        }

        bool known = IsValidated(pair.Path);
        pair.IsValidated = true;
        if (!known)
        {
            _observer.OnPathValidated(pair.Path);
        }
    }

    private void Select(Instant now, IceGeneration generation, IcePair pair)
    {
        generation.Selected = pair;
        generation.SelectedAt = now;
        generation.WasSelected = true;
        generation.Nominating = null;
        if (!_options.IceLite)
        {
            generation.NextConsentAt = now + ConsentInterval();
            Settle(generation, pair);
        }

        IceGeneration? retired = null;
        if (generation == _current)
        {
            (retired, _previous) = (_previous, null);
        }

        PublishSelectedPath();
        Forget(retired);
    }

    /// <summary>Lets go of a generation that is neither current nor previous any more.</summary>
    private void Forget(IceGeneration? generation)
    {
        if (generation is null)
        {
            return;
        }

        _checks.RemoveAll(check => check.Generation == generation);
        foreach (IcePair pair in generation.Pairs)
        {
            Expire(pair);
        }

        generation.ForgetKeys();
        _observer.OnLocalUfragRetired(generation.Local.Ufrag);
    }

    private void Expire(IcePair pair)
    {
        if (pair.IsValidated && !IsValidated(pair.Path))
        {
            _observer.OnPathExpired(pair.Path);
        }
    }

    private void PublishSelectedPath()
    {
        TransportPath? path = ActiveGeneration?.Selected?.Path;
        if (State != IceState.Closed && path != SelectedPath)
        {
            SelectedPath = path;
            _observer.OnSelectedPathChanged(path);
        }
    }

    private void SetState(IceState state)
    {
        if (State != state && State != IceState.Closed)
        {
            State = state;
            _observer.OnStateChanged(state);
        }
    }
}
