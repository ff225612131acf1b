namespace Transcribe.Rtc.Rtp;

/// <summary>
/// Extends 16-bit sequence numbers to 64 bits, taking each as the nearest to the one before it. Reordering up to half
/// the number space is understood. Numbers before the first one may come out negative.
/// </summary>
public struct SequenceUnwrapper
{
    private long _last;
    private bool _started;

    /// <summary>The number unwrapped last.</summary>
    public readonly long Last => _last;

    /// <summary>Extends a number and makes it the reference for the next.</summary>
    public long Unwrap(ushort sequenceNumber)
    {
        _last = Peek(sequenceNumber);
        _started = true;
        return _last;
    }

    /// <summary>Extends a number without remembering it.</summary>
    public readonly long Peek(ushort sequenceNumber) =>
        _started ? _last + (short)(sequenceNumber - (ushort)_last) : sequenceNumber;
}
