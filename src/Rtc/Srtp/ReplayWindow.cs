using System.Runtime.CompilerServices;

namespace Transcribe.Rtc.Srtp;

/// <summary>
/// A sliding window over the packet indices of RTP: the last <see cref="Size"/> (RFC 3711 section 3.3.2 asks for at
/// least 64), so that a packet that was repaired late still passes. A ring of words; a word is cleared as it is entered.
/// </summary>
internal struct ReplayWindow
{
    public const int Size = 1024;

    private const int Words = (Size / 64) + 1;

    /// <summary>Highest index accepted; -1 before the first.</summary>
    public long Highest;

    private Bits _seen;

    public ReplayWindow() => Highest = -1;

    /// <summary>A window that has accepted all up to <paramref name="highest"/>.</summary>
    public static ReplayWindow AllUpTo(long highest)
    {
        ReplayWindow window = new() { Highest = highest };
        if (highest < 0)
            return window;
        for (int i = 0; i < Words; i++)
            window._seen[i] = ulong.MaxValue;
        window._seen[(int)((highest >> 6) % Words)] = (2UL << (int)(highest & 63)) - 1;
        return window;
    }

    public readonly SrtpReject Check(long index)
    {
        long behind = Highest - index;
        if (Highest < 0 || behind < 0)
            return SrtpReject.None;
        if (behind >= Size)
            return SrtpReject.TooOld;
        return ((_seen[(int)((index >> 6) % Words)] >> (int)(index & 63)) & 1) != 0 ? SrtpReject.Replayed : SrtpReject.None;
    }

    /// <summary>Notes an index that <see cref="Check"/> lets pass.</summary>
    public void Accept(long index)
    {
        if (index > Highest)
        {
            long word = index >> 6;
            long from = Highest < 0 ? word : (Highest >> 6) + 1;
            for (long entered = Math.Max(from, word - Words + 1); entered <= word; entered++)
                _seen[(int)(entered % Words)] = 0;
            Highest = index;
        }

        _seen[(int)((index >> 6) % Words)] |= 1UL << (int)(index & 63);
    }

    [InlineArray(Words)]
    private struct Bits
    {
        private ulong _word;
    }
}

/// <summary>A sliding window over the packet indices of RTCP: the last 128, in a third of the space.</summary>
internal struct NarrowReplayWindow
{
    public const int Size = 128;

    /// <summary>Highest index accepted; -1 before the first.</summary>
    public long Highest;

    // Bit n tells whether Highest - n was accepted.
    private UInt128 _seen;

    public NarrowReplayWindow() => Highest = -1;

    /// <summary>A window that has accepted all up to <paramref name="highest"/>.</summary>
    public static NarrowReplayWindow AllUpTo(long highest) => new() { Highest = highest, _seen = UInt128.MaxValue };

    public readonly SrtpReject Check(long index)
    {
        long behind = Highest - index;
        if (Highest < 0 || behind < 0)
            return SrtpReject.None;
        if (behind >= Size)
            return SrtpReject.TooOld;
        return ((_seen >> (int)behind) & UInt128.One) != UInt128.Zero ? SrtpReject.Replayed : SrtpReject.None;
    }

    /// <summary>Notes an index that <see cref="Check"/> lets pass.</summary>
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
