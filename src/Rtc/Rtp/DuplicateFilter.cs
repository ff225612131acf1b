namespace Transcribe.Rtc.Rtp;

/// <summary>What a <see cref="DuplicateFilter"/> says of a packet.</summary>
public enum DuplicateVerdict
{
    /// <summary>Not seen before.</summary>
    New,

    /// <summary>Seen before.</summary>
    Duplicate,

    /// <summary>So far behind the newest that it cannot be told; treat it as a duplicate.</summary>
    TooOld,
}

/// <summary>Remembers which of the last 1024 sequence numbers of one stream have been seen.</summary>
public sealed class DuplicateFilter
{
    /// <summary>How far back it remembers.</summary>
    public const int Window = 1024;

    private readonly ulong[] _seen = new ulong[Window / 64];
    private long _newest;
    private bool _started;

    /// <summary>Marks a number as seen.</summary>
    /// <param name="sequenceNumber">Unwrapped, see <see cref="SequenceUnwrapper"/>.</param>
    public DuplicateVerdict Check(long sequenceNumber)
    {
        if (!_started)
        {
            _started = true;
            _newest = sequenceNumber;
        }

        long ahead = sequenceNumber - _newest;
        if (ahead <= -Window)
            return DuplicateVerdict.TooOld;
        if (ahead >= Window)
        {
            Array.Clear(_seen);
            _newest = sequenceNumber;
        }

        while (_newest < sequenceNumber)
        {
            _newest++;
            _seen[Word(_newest)] &= ~Bit(_newest);
        }

        ref ulong word = ref _seen[Word(sequenceNumber)];
        if ((word & Bit(sequenceNumber)) != 0)
            return DuplicateVerdict.Duplicate;
        word |= Bit(sequenceNumber);
        return DuplicateVerdict.New;
    }

    /// <summary>Forgets everything, as for a stream that starts again.</summary>
    public void Reset()
    {
        Array.Clear(_seen);
        _started = false;
    }

    private static int Word(long sequenceNumber) => (int)((ulong)sequenceNumber % Window / 64);

    private static ulong Bit(long sequenceNumber) => 1UL << (int)(sequenceNumber & 63);
}
