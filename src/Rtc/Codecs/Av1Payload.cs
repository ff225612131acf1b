namespace Transcribe.Rtc.Codecs;

/// <summary>The AV1 aggregation header (RTP Payload Format for AV1 §4.4).</summary>
/// <param name="ContinuesObu">Z: the first OBU element continues one of the packet before.</param>
/// <param name="LastContinues">Y: the last OBU element goes on in the next packet.</param>
/// <param name="ElementCount">W: number of OBU elements, 0 where each has a length.</param>
/// <param name="StartsCodedVideoSequence">N: first packet of a coded video sequence.</param>
public readonly record struct Av1Payload(bool ContinuesObu, bool LastContinues, int ElementCount, bool StartsCodedVideoSequence)
{
    private const int SequenceHeader = 1;

    /// <summary>Reads the aggregation header.</summary>
    /// <returns>False for a payload without an OBU element, and for one that both starts a sequence and continues an OBU.</returns>
    public static bool TryParse(ReadOnlySpan<byte> payload, out Av1Payload header)
    {
        header = default;
        if (payload.Length < 2)
            return false;
        byte first = payload[0];
        header = new((first & 0x80) != 0, (first & 0x40) != 0, (first >> 4) & 3, (first & 0x08) != 0);
        return !(header.ContinuesObu && header.StartsCodedVideoSequence);
    }

    /// <summary>True for the first packet of a coded video sequence: marked so, or with a sequence header as its first OBU.</summary>
    public static bool IsKeyframe(ReadOnlySpan<byte> payload)
    {
        if (!TryParse(payload, out Av1Payload header) || header.ContinuesObu)
            return false;
        if (header.StartsCodedVideoSequence)
            return true;

        // Only a single element has no length in front.
        ReadOnlySpan<byte> rest = payload[1..];
        if (header.ElementCount != 1 && !TrySkipLeb128(ref rest))
            return false;
        return !rest.IsEmpty && ((rest[0] >> 3) & 0x0F) == SequenceHeader;
    }

    private static bool TrySkipLeb128(ref ReadOnlySpan<byte> bytes)
    {
        for (int i = 0; i < 8 && i < bytes.Length; i++)
        {
            if ((bytes[i] & 0x80) == 0)
            {
                bytes = bytes[(i + 1)..];
                return true;
            }
        }

        return false;
    }
}
