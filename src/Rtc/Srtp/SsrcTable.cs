using System.Diagnostics.CodeAnalysis;

namespace Transcribe.Rtc.Srtp;

/// <summary>Bounded map from SSRC to its SRTP state, with the last one used kept at hand.</summary>
internal sealed class SsrcTable(int capacity)
{
    private readonly Dictionary<uint, SsrcState> _states = [];
    private SsrcState? _last;
    private uint _lastSsrc;

    public int Count => _states.Count;

    public bool IsFull => _states.Count >= capacity;

    public bool TryGet(uint ssrc, [NotNullWhen(true)] out SsrcState? state)
    {
        if (_last is not null && _lastSsrc == ssrc)
        {
            state = _last;
            return true;
        }

        if (!_states.TryGetValue(ssrc, out state))
            return false;
        (_last, _lastSsrc) = (state, ssrc);
        return true;
    }

    public bool TryGetOrAdd(uint ssrc, [NotNullWhen(true)] out SsrcState? state)
    {
        if (TryGet(ssrc, out state))
            return true;
        if (IsFull)
            return false;
        state = new SsrcState();
        _states.Add(ssrc, state);
        (_last, _lastSsrc) = (state, ssrc);
        return true;
    }
}

/// <summary>Packet indices of one SSRC.</summary>
internal sealed class SsrcState
{
    /// <summary>RTP indices (48 bits, rollover counter and sequence number) sent or received. A field: mutated in place.</summary>
    public ReplayWindow Rtp = new();

    /// <summary>SRTCP indices received.</summary>
    public ReplayWindow Rtcp = new();

    /// <summary>The SRTCP index that the next packet sent gets. RFC 3711 starts at any value; 1 keeps 0 unused.</summary>
    public long NextRtcpIndex = 1;

    /// <summary>RFC 3711 appendix A: the index nearest to the highest one seen. Negative before the first rollover.</summary>
    public long EstimateRtpIndex(ushort sequence)
    {
        long highest = Rtp.Highest;
        if (highest < 0)
            return sequence;
        return highest + (short)(sequence - (ushort)highest);
    }
}

/// <summary>A sliding replay window of 128 packets (RFC 3711 section 3.3.2 asks for at least 64).</summary>
internal struct ReplayWindow
{
    public const int Size = 128;

    /// <summary>Highest index accepted; -1 before the first.</summary>
    public long Highest;

    // Bit n tells whether Highest - n was accepted.
    private UInt128 _seen;

    public ReplayWindow() => Highest = -1;

    public readonly SrtpReject Check(long index)
    {
        long behind = Highest - index;
        if (Highest < 0 || behind < 0)
            return SrtpReject.None;
        if (behind >= Size)
            return SrtpReject.TooOld;
        return ((_seen >> (int)behind) & UInt128.One) != UInt128.Zero ? SrtpReject.Replayed : SrtpReject.None;
    }

    public void Accept(long index)
    {
        if (index > Highest)
        {
            long ahead = index - Highest;
            _seen = Highest < 0 || ahead >= Size ? UInt128.One : (_seen << (int)ahead) | UInt128.One;
            Highest = index;
        }
        else
        {
            _seen |= UInt128.One << (int)(Highest - index);
        }
    }
}
