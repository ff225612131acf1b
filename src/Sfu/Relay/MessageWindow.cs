namespace Transcribe.Sfu.Relay;

/// <summary>Which of one origin's messages were seen: all up to a number, and some of the 64 after it.</summary>
internal sealed class MessageWindow
{
    private ulong _after;

    public MessageWindow(long floor = 0) => Floor = floor;

    /// <summary>Every message up to this number was seen, or is given up.</summary>
    public long Floor { get; private set; }

    /// <summary>Notes a message; false for one seen before.</summary>
    public bool TryAdd(long sequence)
    {
        if (sequence <= Floor)
            return false;
        long ahead = sequence - Floor;
        if (ahead > 64)
        {
            // What is missing this far back is not waited for any more.
            long by = ahead - 64;
            _after = by >= 64 ? 0 : _after >> (int)by;
            Floor += by;
            ahead = 64;
        }

        ulong bit = 1UL << (int)(ahead - 1);
        if ((_after & bit) != 0)
            return false;
        _after |= bit;
        int run = System.Numerics.BitOperations.TrailingZeroCount(~_after);
        _after = run >= 64 ? 0 : _after >> run;
        Floor += run;
        return true;
    }
}
