namespace Transcribe.Rtc.Media;

/// <summary>
/// Extends 16-bit sequence numbers to 64 bits around the highest one seen, and tells first arrivals from duplicates
/// with a window of <see cref="WindowSize"/> packets.
/// </summary>
internal sealed class SequenceTracker
{
    /// <summary>Packets older than this below the highest count as duplicates: they are of no use to anyone.</summary>
    public const int WindowSize = 4096;

    // A jump of more than this is taken as a restarted sender once it is confirmed by the next packet (RFC 3550 A.1).
    private const int MaxDropout = 3000;

    private readonly ulong[] _seen = new ulong[WindowSize / 64];
    private int _suspectedRestart = -1;

    public bool Started { get; private set; }

    /// <summary>First extended sequence number since the start or the last restart.</summary>
    public long First { get; private set; }

    /// <summary>Highest extended sequence number.</summary>
    public long Highest { get; private set; }

    /// <summary>The extended number nearest to <see cref="Highest"/>.</summary>
    public long Extend(ushort sequenceNumber) =>
        Started ? Highest + (short)(ushort)(sequenceNumber - (ushort)Highest) : sequenceNumber + 0x10000L;

    /// <summary>Whether an extended number in the window has arrived.</summary>
    public bool HasSeen(long extended) =>
        Started && extended <= Highest && extended > Highest - WindowSize && (_seen[Word(extended)] & Bit(extended)) != 0;

    /// <summary>Notes a packet.</summary>
    /// <param name="sequenceNumber">As in the RTP header.</param>
    /// <param name="extended">Its extended number.</param>
    /// <param name="restarted">The sender began anew: everything learned about gaps is void.</param>
    /// <returns>False for a duplicate, a hopelessly late packet, or a jump that is not confirmed yet.</returns>
    public bool TryAdd(ushort sequenceNumber, out long extended, out bool restarted)
    {
        restarted = false;
        if (!Started)
        {
            Start(sequenceNumber, 0x10000L + sequenceNumber);
            extended = Highest;
            return true;
        }

        extended = Extend(sequenceNumber);
        long ahead = extended - Highest;
        if (ahead > MaxDropout || ahead <= -WindowSize)
        {
            if (_suspectedRestart != sequenceNumber)
            {
                _suspectedRestart = (ushort)(sequenceNumber + 1);
                return false;
            }

            // Keeps growing, so that extended numbers never repeat.
            long next = ((Highest >> 16) + 2) << 16;
            Array.Clear(_seen);
            Start(sequenceNumber, next + sequenceNumber);
            extended = Highest;
            restarted = true;
            return true;
        }

        _suspectedRestart = -1;
        if (ahead > 0)
        {
            for (long between = Highest + 1; between < extended; between++)
                _seen[Word(between)] &= ~Bit(between);
            Highest = extended;
        }
        else if ((_seen[Word(extended)] & Bit(extended)) != 0)
        {
            return false;
        }

        // A late packet from before the first one widens the range, so that loss never goes negative.
        if (extended < First)
            First = extended;
        _seen[Word(extended)] |= Bit(extended);
        return true;
    }

    private void Start(ushort sequenceNumber, long extended)
    {
        Started = true;
        _suspectedRestart = -1;
        First = Highest = extended;
        _seen[Word(extended)] |= Bit(extended);
    }

    private static int Word(long extended) => (int)((extended & (WindowSize - 1)) >> 6);

    private static ulong Bit(long extended) => 1UL << (int)(extended & 63);
}
