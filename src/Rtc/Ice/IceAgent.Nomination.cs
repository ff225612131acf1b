namespace Transcribe.Rtc.Ice;

/// <content>The full agent's nominations and the upkeep of the path it selected.</content>
public sealed partial class IceAgent
{
    /// <summary>
    /// Controlling: nominates the best valid pair, at once where no better one is open, else after
    /// <see cref="IceAgentOptions.NominationDelay"/>; and another one where the selected pair fell silent. Nominations
    /// are not paced: they open no NAT binding, and there is one at a time.
    /// </summary>
    private void Nominate(Instant now)
    {
        IceGeneration generation = _current;
        bool recovers = generation.Selected is not null && State == IceState.Disconnected;
        if (Role != IceRole.Controlling || generation.Remote is null || generation.Nominating is not null
            || (generation.Selected is not null && !recovers))
        {
            return;
        }

        IcePair? best = null;
        foreach (IcePair pair in generation.Pairs)
        {
            if (pair.State == IcePairState.Succeeded && pair != generation.Selected
                && (best is null || pair.Priority > best.Priority))
            {
                best = pair;
            }
        }

        if (best is null || (!generation.WasSelected && IsBetterOpen(now, generation, best)))
        {
            return;
        }

        generation.Nominating = best;
        SendCheck(now, generation, best, IceCheckKind.Connectivity, useCandidate: true);
    }

    private bool IsBetterOpen(Instant now, IceGeneration generation, IcePair best)
    {
        if (now >= generation.FirstValidAt + _options.NominationDelay)
        {
            return false;
        }

        foreach (IcePair pair in generation.Pairs)
        {
            if (pair.Priority > best.Priority && pair.State is IcePairState.Waiting or IcePairState.InProgress)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>
    /// Keeps consent and the NAT binding of the path that carries data (RFC 7675 section 5.1). The controlling side
    /// repeats its nomination in them, so that a lite peer that thinks otherwise comes back.
    /// </summary>
    private void RunConsent(Instant now)
    {
        if (ActiveGeneration is not { Selected: { } selected } generation)
        {
            return;
        }

        bool nominates = Role == IceRole.Controlling;
        if (now >= generation.NextConsentAt)
        {
            generation.NextConsentAt = now + ConsentInterval();
            SendCheck(now, generation, selected, IceCheckKind.Consent, nominates);
        }

        if (IsRunning && now >= ProbeAt(generation, selected))
        {
            generation.ProbedAt = now;
            SendCheck(now, generation, selected, IceCheckKind.Connectivity, nominates);
        }
    }

    /// <summary>
    /// Consent checks are sent once each; so that the loss of two in a row does not look like the loss of the peer, a
    /// silent pair gets an ordinary, retransmitted check before it counts as disconnected.
    /// </summary>
    private Instant ProbeAt(IceGeneration generation, IcePair selected) =>
        generation.ProbedAt > selected.LastResponseAt
            ? Instant.Never
            : selected.LastResponseAt + (_options.DisconnectedAfter * 2 / 3);

    private Instant ConsentDeadline() => ActiveGeneration is { Selected: { } selected } generation
        ? Instant.Min(generation.NextConsentAt, ProbeAt(generation, selected))
        : Instant.Never;

    private TimeSpan ConsentInterval() =>
        _options.ConsentInterval * (0.8 + (0.4 * ((RandomUInt64() >> 11) / (double)(1UL << 53))));
}
