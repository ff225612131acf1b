using Transcribe.Rtc.Stun;

namespace Transcribe.Rtc.Ice;

/// <content>The full agent's own checks: check list, pacing, retransmission.</content>
public sealed partial class IceAgent
{
    private readonly List<IceCheck> _checks = [];
    private Instant _nextPaceAt = Instant.Zero;

    private bool TryAddRemote(IceCandidate candidate)
    {
        List<IceCandidate> candidates = _current.RemoteCandidates;
        int index = candidates.FindIndex(other => other.Address == candidate.Address);
        if (index >= 0)
        {
            if (candidates[index].Type != IceCandidateType.PeerReflexive)
            {
                return true;
            }

            // A check of the peer was faster than its signalling.
            candidates[index] = candidate;
            foreach (IcePair pair in _current.Pairs)
            {
                if (pair.Path.Remote == candidate.Address)
                {
                    pair.Remote = candidate;
                    pair.Priority = _options.IceLite ? pair.Priority : PairPriority(pair);
                }
            }
        }
        else if (candidates.Count >= _options.MaxRemoteCandidates)
        {
            return Drop(IceDropReason.TooMany);
        }
        else
        {
            candidates.Add(candidate);
        }

        if (!_options.IceLite)
        {
            foreach (IceCandidate local in _localCandidates)
            {
                if (IsBase(local))
                {
                    AddPair(_current, local, candidate);
                }
            }
        }

        return true;
    }

    private IcePair? AddPair(IceGeneration generation, IceCandidate local, IceCandidate remote)
    {
        if (local.Address.IsIPv4 != remote.Address.IsIPv4 || IsLinkLocal(local.Address) != IsLinkLocal(remote.Address))
        {
            return null;
        }

        var path = new TransportPath(local.Address, remote.Address);
        if (generation.Find(path) is { } known)
        {
            return known;
        }

        if (generation.Pairs.Count >= _options.MaxPairs)
        {
            Drop(IceDropReason.TooMany);
            return null;
        }

        bool searching = generation.Selected is null || State == IceState.Disconnected;
        var pair = new IcePair(path)
        {
            Local = local,
            Remote = remote,
            State = searching ? IcePairState.Waiting : IcePairState.Idle,
        };
        pair.Priority = PairPriority(pair);
        generation.Add(pair);
        return pair;
    }

    private static bool IsLinkLocal(in TransportAddress address) =>
        !address.IsIPv4 && address.High >> 54 == 0xFE80 >> 6;

    /// <summary>RFC 8445 section 6.1.2.3.</summary>
    private ulong PairPriority(IcePair pair)
    {
        uint ours = pair.Local!.Priority, theirs = pair.Remote!.Priority;
        (uint controlling, uint controlled) = Role == IceRole.Controlling ? (ours, theirs) : (theirs, ours);
        return ((ulong)Math.Min(ours, theirs) << 32)
            + (2UL * Math.Max(ours, theirs))
            + (controlling > controlled ? 1UL : 0UL);
    }

    private void SwitchRole()
    {
        Role = Role == IceRole.Controlling ? IceRole.Controlled : IceRole.Controlling;
        _current.Nominating = null;
        foreach (IcePair pair in _current.Pairs)
        {
            pair.Priority = PairPriority(pair);
        }

        foreach (IcePair pair in _previous?.Pairs ?? [])
        {
            pair.Priority = PairPriority(pair);
        }
    }

    private List<IcePair> RemovePairsFrom(IceGeneration? generation, TransportAddress local)
    {
        List<IcePair> removed = generation?.Pairs.FindAll(pair => pair.Path.Local == local) ?? [];
        foreach (IcePair pair in removed)
        {
            generation!.Remove(pair);
            _checks.RemoveAll(check => check.Pair == pair);
        }

        return removed;
    }

    /// <summary>A pair is selected: the other ones need no checks.</summary>
    private void Settle(IceGeneration generation, IcePair selected)
    {
        CancelChecks(generation, except: selected);
        generation.Triggered.Clear();
        foreach (IcePair pair in generation.Pairs)
        {
            pair.IsTriggered = false;
            if (pair.State is IcePairState.Waiting or IcePairState.InProgress)
            {
                pair.State = IcePairState.Idle;
            }
        }
    }

    /// <summary>The path that carried data went silent or away: tries the other ones, or again.</summary>
    private void Recheck(IceGeneration generation)
    {
        CancelChecks(generation, except: generation.Selected);
        foreach (IcePair pair in generation.Pairs)
        {
            if (pair != generation.Selected)
            {
                pair.State = IcePairState.Waiting;
            }
        }
    }

    /// <summary>Stops retransmitting; responses still count.</summary>
    private void CancelChecks(IceGeneration generation, IcePair? of = null, IcePair? except = null)
    {
        foreach (IceCheck check in _checks)
        {
            if (check.Generation == generation && check.Kind == IceCheckKind.Connectivity
                && (of is null || check.Pair == of) && check.Pair != except)
            {
                check.Kind = IceCheckKind.Cancelled;
            }
        }
    }

    private void RunChecks(Instant now)
    {
        for (int i = _checks.Count - 1; i >= 0 && i < _checks.Count; i--)
        {
            IceCheck check = _checks[i];
            if (check.Due > now)
            {
                continue;
            }

            if (check.Kind == IceCheckKind.Connectivity && check.Transmissions < _options.MaxTransmissions)
            {
                check.Transmissions++;
                check.Rto = Max(check.Rto, Min(check.Rto * 2, _options.MaxRto));
                check.Due = now + (check.Transmissions == _options.MaxTransmissions
                    ? _options.InitialRto * _options.LastRtoFactor
                    : check.Rto);
                RequestsSent++;
                _observer.OnSend(check.Pair.Path, check.Request);
                continue;
            }

            _checks.RemoveAt(i);
            if (check.Kind == IceCheckKind.Connectivity)
            {
                FailPair(check);
            }
        }

        if (IsRunning && _current.Remote is not null && now >= _nextPaceAt && NextToCheck() is { } pair)
        {
            _nextPaceAt = now + _options.Pacing;
            SendCheck(now, _current, pair, IceCheckKind.Connectivity, useCandidate: false);
        }
    }

    private static void FailPair(IceCheck check)
    {
        IceGeneration generation = check.Generation;
        bool nomination = check.UseCandidate && generation.Nominating == check.Pair;
        if (nomination)
        {
            generation.Nominating = null;
        }

        if (nomination || check.Pair.State == IcePairState.InProgress)
        {
            check.Pair.State = IcePairState.Failed;
        }
    }

    private IcePair? NextToCheck()
    {
        while (_current.Triggered.TryDequeue(out IcePair? triggered))
        {
            triggered.IsTriggered = false;
            if (triggered.State == IcePairState.Waiting
                || (triggered.State == IcePairState.Succeeded && triggered == _current.Selected))
            {
                return triggered;
            }
        }

        IcePair? best = null;
        foreach (IcePair pair in _current.Pairs)
        {
            if (pair.State == IcePairState.Waiting && (best is null || pair.Priority > best.Priority))
            {
                best = pair;
            }
        }

        return best;
    }

    private void SendCheck(Instant now, IceGeneration generation, IcePair pair, IceCheckKind kind, bool useCandidate)
    {
        var id = StunTransactionId.Create(_options.Random);
        var writer = new StunWriter(stackalloc byte[StunMessage.MaxSize], StunClass.Request, StunMethod.Binding, id);
        writer.Add(StunAttributeType.Username, generation.Username);
        writer.AddUInt64(
            Role == IceRole.Controlling ? StunAttributeType.IceControlling : StunAttributeType.IceControlled,
            _tieBreaker);
        if (useCandidate)
        {
            writer.Add(StunAttributeType.UseCandidate, []);
        }

        // What a peer-reflexive candidate that this check discovers would have (RFC 8445 section 7.1.1).
        const uint PeerReflexivePreference = 110u << 24;
        writer.AddUInt32(StunAttributeType.Priority, PeerReflexivePreference | (pair.Local!.Priority & 0x00FF_FFFF));
        writer.AddIntegrity(generation.RemoteKey);
        writer.AddFingerprint();

        TimeSpan rto = Rto(generation);
        if (kind == IceCheckKind.Connectivity && pair.State != IcePairState.Succeeded)
        {
            pair.State = IcePairState.InProgress;
        }

        var check = new IceCheck
        {
            Id = id,
            Generation = generation,
            Pair = pair,
            Role = Role,
            UseCandidate = useCandidate,
            Kind = kind,
            Request = writer.Written.ToArray(),
            SentAt = now,
            Rto = rto,
            Due = now + (kind == IceCheckKind.Consent ? _options.FailedAfter
                : _options.MaxTransmissions > 1 ? rto
                : _options.InitialRto * _options.LastRtoFactor),
        };
        _checks.Add(check);
        RequestsSent++;
        _observer.OnSend(pair.Path, check.Request);
    }

    /// <summary>RFC 8445 section 14.3.</summary>
    private TimeSpan Rto(IceGeneration generation)
    {
        int open = 0;
        foreach (IcePair pair in generation.Pairs)
        {
            open += pair.State is IcePairState.Waiting or IcePairState.InProgress ? 1 : 0;
        }

        return Max(_options.Pacing * open, _options.InitialRto);
    }

    private static TimeSpan Max(TimeSpan a, TimeSpan b) => a > b ? a : b;

    private static TimeSpan Min(TimeSpan a, TimeSpan b) => a < b ? a : b;

    private bool HandleResponse(Instant now, in TransportPath path, in StunMessage message)
    {
        StunTransactionId id = message.TransactionId;
        int index = _checks.FindIndex(check => check.Id == id);
        if (index < 0)
        {
            return Drop(IceDropReason.UnknownTransaction);
        }

        // Errors without integrity (400, 401) are dropped as well: anyone on the path could end a check with them,
        // and a peer that does not know us yet may know us at the next retransmission.
        IceCheck check = _checks[index];
        if (!message.VerifyIntegrity(check.Generation.RemoteKey))
        {
            return Drop(IceDropReason.BadIntegrity);
        }

        if (Normalize(path) != check.Pair.Path)
        {
            _checks.RemoveAt(index);
            FailPair(check);
            return Drop(IceDropReason.NonSymmetric);
        }

        if (message.Class == StunClass.ErrorResponse)
        {
            _checks.RemoveAt(index);
            return TakeError(check, message);
        }

        if (!message.TryGetXorMappedAddress(out TransportAddress mapped) || message.FindUnknownRequired(stackalloc ushort[1]) > 0)
        {
            return Drop(IceDropReason.Malformed);
        }

        _checks.RemoveAt(index);
        ResponsesReceived++;
        TakeSuccess(now, check, mapped);
        return true;
    }

    private bool TakeError(IceCheck check, in StunMessage message)
    {
        message.TryGetErrorCode(out int code, out _);
        if (code == StunErrorCode.RoleConflict)
        {
            Drop(IceDropReason.RoleConflict);
            if (check.Role == Role)
            {
                SwitchRole();
                _tieBreaker = RandomUInt64();
            }

            if (check.Generation == _current)
            {
                if (check.Pair.State == IcePairState.InProgress)
                {
                    check.Pair.State = IcePairState.Waiting;
                }

                _current.Nominating = null;
                _current.Trigger(check.Pair);
            }

            return true;
        }

        if (check.Kind != IceCheckKind.Consent)
        {
            FailPair(check);
        }

        return Drop(IceDropReason.ErrorResponse);
    }

    private void TakeSuccess(Instant now, IceCheck check, in TransportAddress mapped)
    {
        (IceGeneration generation, IcePair pair) = (check.Generation, check.Pair);
        pair.LastResponseAt = Instant.Max(pair.LastResponseAt, now);
        if (check.Transmissions == 1)
        {
            // With more it is unknown which one was answered (Karn).
            pair.RoundTripTime = now - check.SentAt;
        }

        if (pair.State != IcePairState.Succeeded)
        {
            pair.State = IcePairState.Succeeded;
            generation.FirstValidAt = Instant.Min(generation.FirstValidAt, now);
            CancelChecks(generation, of: pair);
        }

        Validate(pair);
        DiscoverLocal(pair, mapped);
        if (Role == IceRole.Controlling)
        {
            if (check.UseCandidate && check.Role == Role && check.Kind != IceCheckKind.Consent
                && generation.Nominating == pair)
            {
                Select(now, generation, pair);
            }
        }
        else if (pair.IsNominated)
        {
            pair.IsNominated = false;
            TakeNomination(now, generation, pair);
        }
    }

    /// <summary>A mapped address that is none of ours is a peer-reflexive candidate (RFC 8445 section 7.2.5.3.1).</summary>
    private void DiscoverLocal(IcePair pair, in TransportAddress mapped)
    {
        foreach (IceCandidate candidate in _localCandidates)
        {
            if (candidate.Address == mapped)
            {
                return;
            }
        }

        if (_localCandidates.Count < _options.MaxRemoteCandidates)
        {
            _localCandidates.Add(new IceCandidate
            {
                Foundation = IceCandidate.ComputeFoundation(IceCandidateType.PeerReflexive, pair.Path.Local, IceTransport.Udp),
                Priority = (110u << 24) | (pair.Local!.Priority & 0x00FF_FFFF),
                Address = mapped,
                Type = IceCandidateType.PeerReflexive,
                RelatedAddress = pair.Path.Local,
            });
        }
    }

    private Instant CheckDeadline()
    {
        Instant next = ConsentDeadline();
        foreach (IceCheck check in _checks)
        {
            next = Instant.Min(next, check.Due);
        }

        if (_current.Remote is null)
        {
            return next;
        }

        bool hasWork = _current.Triggered.Count > 0, hasValid = false;
        foreach (IcePair pair in _current.Pairs)
        {
            hasWork |= pair.State == IcePairState.Waiting;
            hasValid |= pair.State == IcePairState.Succeeded;
        }

        if (hasWork)
        {
            next = Instant.Min(next, _nextPaceAt);
        }

        if (hasValid && _current is { Selected: null, Nominating: null } && Role == IceRole.Controlling)
        {
            next = Instant.Min(next, _current.FirstValidAt + _options.NominationDelay);
        }

        return next;
    }
}
