using System.Diagnostics.CodeAnalysis;

namespace Transcribe.Rtc.Srtp;

/// <summary>
/// Bounded map from SSRC to its SRTP state. When it is full the least recently used entry gives way; of it only the
/// highest indices are remembered, so that it can come back and goes on from there, and nothing of it is taken twice.
/// </summary>
/// <param name="capacity">Entries with full state.</param>
/// <param name="remembered">SSRCs whose highest indices are remembered.</param>
/// <param name="mayForget">
/// Whether the oldest of those may be forgotten for a newer one. A receiver may: at worst a replay of long ago passes. A
/// sender must not: an index used twice gives the key away.
/// </param>
internal sealed class SsrcTable(int capacity, int remembered, bool mayForget)
{
    private readonly Dictionary<uint, SsrcState> _states = [];
    private Dictionary<uint, (long Rtp, long Rtcp, long NextRtcp, int Place)>? _retired;
    private uint[]? _retiredOrder;
    private int _nextPlace;

    // The entries by their last use, and one entry not in the table.
    private SsrcState? _newest;
    private SsrcState? _oldest;
    private SsrcState? _spare;

    /// <summary>Entries with full state.</summary>
    public int Count => _states.Count;

    /// <summary>SSRCs of which only the highest indices are known.</summary>
    public int RememberedCount => _retired?.Count ?? 0;

    /// <summary>Finds an entry in use.</summary>
    public bool TryGet(uint ssrc, [NotNullWhen(true)] out SsrcState? state)
    {
        state = _newest;
        if (state is not null && state.Ssrc == ssrc)
            return true;
        if (!_states.TryGetValue(ssrc, out state))
            return false;
        Unlink(state);
        LinkNewest(state);
        return true;
    }

    /// <summary>What the entry of an SSRC that <see cref="TryGet"/> does not find would be: valid until the next call.</summary>
    public SsrcState Propose(uint ssrc)
    {
        SsrcState state = _spare ??= new SsrcState();
        (long rtp, long rtcp, long nextRtcp) = (-1, -1, 1);
        if (_retired is not null && _retired.TryGetValue(ssrc, out (long Rtp, long Rtcp, long NextRtcp, int Place) known))
            (rtp, rtcp, nextRtcp, _) = known;
        state.Reset(ssrc, rtp, rtcp, nextRtcp);
        return state;
    }

    /// <summary>Takes what <see cref="Propose"/> returned last into the table.</summary>
    /// <returns>False where an entry would have to be forgotten that must not be.</returns>
    public bool TryAdmit(SsrcState proposed)
    {
        // One that comes back makes room for the one that goes.
        _retired?.Remove(proposed.Ssrc);
        if (_states.Count >= capacity && !mayForget && RememberedCount >= remembered)
            return false;
        _spare = null;
        if (_states.Count >= capacity)
        {
            SsrcState leaving = _oldest!;
            Unlink(leaving);
            _states.Remove(leaving.Ssrc);
            Retire(leaving);
            _spare = leaving;
        }

        _states.Add(proposed.Ssrc, proposed);
        LinkNewest(proposed);
        return true;
    }

    public bool TryGetOrAdd(uint ssrc, [NotNullWhen(true)] out SsrcState? state)
    {
        if (TryGet(ssrc, out state))
            return true;
        state = Propose(ssrc);
        return TryAdmit(state);
    }

    private void Retire(SsrcState state)
    {
        _retired ??= [];
        int place = 0;
        if (mayForget)
        {
            // A ring: what was put there a whole turn ago is forgotten, unless it came back since.
            _retiredOrder ??= new uint[remembered];
            place = _nextPlace;
            _nextPlace = (place + 1) % remembered;
            uint former = _retiredOrder[place];
            if (_retired.TryGetValue(former, out (long Rtp, long Rtcp, long NextRtcp, int Place) known) && known.Place == place)
                _retired.Remove(former);
            _retiredOrder[place] = state.Ssrc;
        }

        _retired[state.Ssrc] = (state.Rtp.Highest, state.Rtcp.Highest, state.NextRtcpIndex, place);
    }

    private void LinkNewest(SsrcState state)
    {
        state.Older = _newest;
        state.Newer = null;
        if (_newest is not null)
            _newest.Newer = state;
        _newest = state;
        _oldest ??= state;
    }

    private void Unlink(SsrcState state)
    {
        if (state.Newer is null)
            _newest = state.Older;
        else
            state.Newer.Older = state.Older;
        if (state.Older is null)
            _oldest = state.Newer;
        else
            state.Older.Newer = state.Newer;
    }
}

/// <summary>Packet indices of one SSRC.</summary>
internal sealed class SsrcState
{
    /// <summary>RTP indices (48 bits, rollover counter and sequence number) sent or received. A field: mutated in place.</summary>
    public ReplayWindow Rtp = new();

    /// <summary>SRTCP indices received.</summary>
    public NarrowReplayWindow Rtcp = new();

    /// <summary>The SRTCP index that the next packet sent gets. RFC 3711 starts at any value; 1 keeps 0 unused.</summary>
    public long NextRtcpIndex = 1;

    public uint Ssrc { get; private set; }

    /// <summary>Neighbours by last use; the table's.</summary>
    public SsrcState? Newer { get; set; }

    public SsrcState? Older { get; set; }

    /// <summary>As new, or as one that has seen all up to the indices given (-1 for none).</summary>
    public void Reset(uint ssrc, long highestRtp, long highestRtcp, long nextRtcpIndex)
    {
        Ssrc = ssrc;
        Rtp = ReplayWindow.AllUpTo(highestRtp);
        Rtcp = highestRtcp < 0 ? new() : NarrowReplayWindow.AllUpTo(highestRtcp);
        NextRtcpIndex = nextRtcpIndex;
    }

    /// <summary>RFC 3711 appendix A: the index nearest to the highest one seen. Negative before the first rollover.</summary>
    public long EstimateRtpIndex(ushort sequence)
    {
        long highest = Rtp.Highest;
        if (highest < 0)
            return sequence;
        return highest + (short)(sequence - (ushort)highest);
    }
}
