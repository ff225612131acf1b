using Transcribe.Rtc.Srtp;
using Transcribe.Rtc.Stun;

namespace Transcribe.Rtc.Ice;

/// <content>The peer's checks: authentication, answers, peer-reflexive candidates, its nominations.</content>
public sealed partial class IceAgent
{
    /// <summary>
    /// For this long after a selection a peer that nominates several pairs (aggressive nomination) gets the one of
    /// highest priority; later the newest nomination wins, since then it is a move to another path.
    /// </summary>
    private static readonly TimeSpan NominationSettles = TimeSpan.FromSeconds(3);

    private bool HandleRequest(Instant now, in TransportPath path, in StunMessage message)
    {
        if (!message.TryGetUsername(out ReadOnlySpan<byte> username) || !message.HasIntegrity)
        {
            SendError(path, message, StunErrorCode.BadRequest, key: null);
            return Drop(IceDropReason.MissingAttribute);
        }

        IceGeneration? generation = _current.Accepts(username) ? _current
            : _previous?.Accepts(username) == true ? _previous
            : null;
        if (generation is null)
        {
            SendError(path, message, StunErrorCode.Unauthenticated, key: null);
            return Drop(IceDropReason.WrongUsername);
        }

        if (!message.VerifyIntegrity(generation.LocalKey))
        {
            SendError(path, message, StunErrorCode.Unauthenticated, key: null);
            return Drop(IceDropReason.BadIntegrity);
        }

        Span<ushort> unknown = stackalloc ushort[8];
        unknown = unknown[..message.FindUnknownRequired(unknown)];
        if (!unknown.IsEmpty)
        {
            SendError(path, message, StunErrorCode.UnknownAttribute, generation.LocalKey, unknown);
            return Drop(IceDropReason.UnknownAttribute);
        }

        TransportPath known = Normalize(path);
        IceReplayGuard.Verdict verdict = _replay.Check(message.TransactionId, known);
        if (verdict == IceReplayGuard.Verdict.Moved)
        {
            return Drop(IceDropReason.Replayed);
        }

        if (!ResolveRoles(message))
        {
            SendError(path, message, StunErrorCode.RoleConflict, generation.LocalKey);
            return Drop(IceDropReason.RoleConflict);
        }

        message.TryGetPriority(out uint priority);
        bool isFresh = verdict == IceReplayGuard.Verdict.Fresh;
        IcePair? pair = generation.Find(known) ?? (isFresh ? AddPairOfRequest(generation, known, priority) : null);
        if (pair is null && isFresh && (_options.IceLite || FindBase(known.Local) is not null))
        {
            return Drop(IceDropReason.TooMany);
        }

        RequestsReceived++;
        SendSuccess(path, message, generation.LocalKey);
        if (pair is not null && isFresh && IsRunning)
        {
            TakeRequest(now, generation, pair, priority, message.UseCandidate);
        }

        return true;
    }

    private void TakeRequest(Instant now, IceGeneration generation, IcePair pair, uint priority, bool useCandidate)
    {
        pair.LastRequestAt = now;
        Validate(pair);
        bool nominates = useCandidate && Role == IceRole.Controlled;
        if (_options.IceLite)
        {
            pair.Priority = priority;
            pair.IsNominated |= nominates;
            bool selectedIsSilent = generation.Selected is { } selected
                && now - selected.LastRequestAt >= _options.DisconnectedAfter / 2;
            if (nominates || (pair.IsNominated && selectedIsSilent))
            {
                TakeNomination(now, generation, pair);
            }

            return;
        }

        pair.IsNominated |= nominates;
        if (pair.State != IcePairState.Succeeded)
        {
            CancelChecks(generation, of: pair);
            generation.Trigger(pair);
        }
        else if (nominates)
        {
            TakeNomination(now, generation, pair);
        }
    }

    /// <summary>The controlling peer nominated a pair that is valid.</summary>
    private void TakeNomination(Instant now, IceGeneration generation, IcePair pair)
    {
        IcePair? selected = generation.Selected;
        if (selected == pair)
        {
            return;
        }

        if (selected is null
            || pair.Priority >= selected.Priority
            || now - generation.SelectedAt >= NominationSettles)
        {
            Select(now, generation, pair);
        }
    }

    /// <summary>RFC 8445 section 7.3.1.1.</summary>
    /// <returns>False where the peer must switch its role.</returns>
    private bool ResolveRoles(in StunMessage message)
    {
        if (Role == IceRole.Controlling && message.TryGetIceControlling(out ulong theirs))
        {
            if (_tieBreaker >= theirs)
            {
                return false;
            }

            SwitchRole();
        }
        else if (Role == IceRole.Controlled && message.TryGetIceControlled(out theirs))
        {
            if (_options.IceLite || _tieBreaker < theirs)
            {
                return false;
            }

            SwitchRole();
        }

        return true;
    }

    private IcePair? AddPairOfRequest(IceGeneration generation, in TransportPath path, uint priority)
    {
        if (_options.IceLite)
        {
            if (generation.Pairs.Count >= _options.MaxPairs)
            {
                return null;
            }

            var address = new IcePair(path) { State = IcePairState.Succeeded };
            generation.Add(address);
            return address;
        }

        if (FindBase(path.Local) is not { } local)
        {
            return null;
        }

        IceCandidate? remote = FindByAddress(generation.RemoteCandidates, path.Remote);
        if (remote is null)
        {
            if (generation.RemoteCandidates.Count >= _options.MaxRemoteCandidates)
            {
                return null;
            }

            remote = new IceCandidate
            {
                Foundation = IceCandidate.ComputeFoundation(IceCandidateType.PeerReflexive, path.Remote, IceTransport.Udp),
                Priority = priority,
                Address = path.Remote,
                Type = IceCandidateType.PeerReflexive,
            };
            generation.RemoteCandidates.Add(remote);
        }

        return AddPair(generation, local, remote);
    }

    private IceCandidate? FindBase(in TransportAddress address)
    {
        foreach (IceCandidate candidate in _localCandidates)
        {
            if (IsBase(candidate) && candidate.Address == address)
            {
                return candidate;
            }
        }

        return null;
    }

    private static IceCandidate? FindByAddress(List<IceCandidate> candidates, in TransportAddress address)
    {
        foreach (IceCandidate candidate in candidates)
        {
            if (candidate.Address == address && candidate.IsUsable)
            {
                return candidate;
            }
        }

        return null;
    }

    private void SendSuccess(in TransportPath path, in StunMessage request, HmacSha1 key)
    {
        var writer = new StunWriter(
            stackalloc byte[128],
            StunClass.SuccessResponse,
            StunMethod.Binding,
            request.TransactionId);
        writer.AddXorMappedAddress(path.Remote);
        writer.AddIntegrity(key);
        writer.AddFingerprint();
        ResponsesSent++;
        _observer.OnSend(path, writer.Written);
    }

    /// <summary>
    /// An error answer is never longer than its request, so that the agent amplifies nothing for a forged source address.
    /// </summary>
    /// <param name="key">Null for an answer to a request that was not authentic.</param>
    private void SendError(
        in TransportPath path,
        in StunMessage request,
        int code,
        HmacSha1? key,
        ReadOnlySpan<ushort> unknown = default)
    {
        var writer = new StunWriter(
            stackalloc byte[128],
            StunClass.ErrorResponse,
            StunMethod.Binding,
            request.TransactionId);
        writer.AddErrorCode(code);
        if (!unknown.IsEmpty)
        {
            writer.AddUnknownAttributes(unknown);
        }

        if (key is not null)
        {
            writer.AddIntegrity(key);
        }

        writer.AddFingerprint();
        if (writer.Length <= request.Bytes.Length)
        {
            ResponsesSent++;
            _observer.OnSend(path, writer.Written);
        }
    }
}
