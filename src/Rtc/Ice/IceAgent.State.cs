namespace Transcribe.Rtc.Ice;

/// <content>State by the age of the peer's consent, and the next deadline.</content>
public sealed partial class IceAgent
{
    private const long LiteGrid = TimeSpan.TicksPerSecond / 4;

    /// <summary>
    /// When the peer last showed that it consents: by a response (full, RFC 7675), or by a check of its own (lite).
    /// </summary>
    private Instant LastConsentAt(IcePair pair) => _options.IceLite ? pair.LastRequestAt : pair.LastResponseAt;

    private void Update(Instant now)
    {
        if (IsRunning)
        {
            UpdateState(now);
        }

        if (IsRunning && !_options.IceLite)
        {
            Nominate(now);
        }

        Reschedule();
    }

    private void UpdateState(Instant now)
    {
        if (_previous?.Selected is { } old && _current.Selected is null && now - LastConsentAt(old) >= _options.FailedAfter
            && _current.Remote is not null)
        {
            // The restart goes on without the old path.
            IceGeneration retired = _previous;
            _previous = null;
            _current.StartedAt = now;
            if (!_options.IceLite)
            {
                _current.Nominating = null;
                Recheck(_current);
            }

            PublishSelectedPath();
            Forget(retired);
        }

        if (ActiveGeneration?.Selected is { } selected)
        {
            TimeSpan silence = now - LastConsentAt(selected);
            if (silence >= _options.FailedAfter)
            {
                Fail();
            }
            else if (silence < _options.DisconnectedAfter)
            {
                if (State == IceState.Disconnected && _current.Selected is not null && !_options.IceLite)
                {
                    _current.Nominating = null;
                    Settle(_current, _current.Selected);
                }

                SetState(IceState.Connected);
            }
            else if (State != IceState.Disconnected)
            {
                SetState(IceState.Disconnected);
                if (!_options.IceLite && IsRunning && _current.Selected is not null && Role == IceRole.Controlling)
                {
                    Recheck(_current);
                }
            }
        }
        else if (_current.Remote is null)
        {
            SetState(IceState.New);
        }
        else if (now - _current.StartedAt >= _options.CheckingTimeout || HasNoHope())
        {
            Fail();
        }
        else
        {
            SetState(_current.WasSelected ? IceState.Disconnected : IceState.Checking);
        }
    }

    /// <summary>
    /// Every pair failed and none can come. A full peer may still check us from an unknown address (RFC 8863), a
    /// lite one never does.
    /// </summary>
    private bool HasNoHope()
    {
        if (!_remoteIsLite || _options.IceLite || !_current.RemoteIsComplete || _current.Pairs.Count == 0)
        {
            return false;
        }

        foreach (IcePair pair in _current.Pairs)
        {
            if (pair.State != IcePairState.Failed)
            {
                return false;
            }
        }

        return true;
    }

    private void Fail()
    {
        IceGeneration? previous = _previous;
        _previous = null;
        _checks.Clear();
        _current.Selected = null;
        _current.Nominating = null;
        IcePair[] lost = [.. _current.Pairs];
        foreach (IcePair pair in lost)
        {
            _current.Remove(pair);
        }

        PublishSelectedPath();
        foreach (IcePair pair in lost)
        {
            Expire(pair);
        }

        Forget(previous);
        SetState(IceState.Failed);
    }

    private void Reschedule()
    {
        Instant next = Instant.Never;
        if (IsRunning)
        {
            next = StateDeadline();
            next = _options.IceLite ? OnGrid(Instant.Min(next, ExpiryDeadline())) : Instant.Min(next, CheckDeadline());
        }

        NextTimeout = next;
    }

    /// <summary>
    /// What a lite agent waits for is the peer's silence, which nobody measures to the millisecond. On a common grid
    /// the deadlines of thousands of agents fall together, and their host wakes up for all of them at once.
    /// </summary>
    private static Instant OnGrid(Instant at) =>
        at == Instant.Never ? at : new Instant((at.Ticks + LiteGrid - 1) / LiteGrid * LiteGrid);

    private Instant StateDeadline()
    {
        if (ActiveGeneration?.Selected is not { } selected)
        {
            return _current.StartedAt + _options.CheckingTimeout;
        }

        return LastConsentAt(selected)
            + (State == IceState.Disconnected ? _options.FailedAfter : _options.DisconnectedAfter);
    }

    /// <summary>Lite: addresses the peer stopped checking from lose their validation.</summary>
    private void ExpirePaths(Instant now, IceGeneration? generation)
    {
        for (int i = (generation?.Pairs.Count ?? 0) - 1; i >= 0; i--)
        {
            IcePair pair = generation!.Pairs[i];
            if (pair != generation.Selected && now - pair.LastRequestAt >= _options.FailedAfter)
            {
                generation.Remove(pair);
                Expire(pair);
            }
        }
    }

    private Instant ExpiryDeadline()
    {
        Instant oldest = Instant.Min(OldestUnselected(_current), OldestUnselected(_previous));
        return oldest + _options.FailedAfter;

        static Instant OldestUnselected(IceGeneration? generation)
        {
            Instant oldest = Instant.Never;
            for (int i = 0; i < generation?.Pairs.Count; i++)
            {
                IcePair pair = generation.Pairs[i];
                oldest = pair == generation.Selected ? oldest : Instant.Min(oldest, pair.LastRequestAt);
            }

            return oldest;
        }
    }
}
