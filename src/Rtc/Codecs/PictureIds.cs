namespace Transcribe.Rtc.Codecs;

/// <summary>The picture id, which VP8 (RFC 7741 §4.2) and VP9 (RFC 9628 §4.2) write alike.</summary>
internal static class PictureIds
{
    /// <summary>Reads the id at the start of a span: 7 bits in one byte, or 15 bits in two.</summary>
    public static bool TryRead(ReadOnlySpan<byte> bytes, out ushort id, out bool isLong)
    {
        id = 0;
        isLong = !bytes.IsEmpty && (bytes[0] & 0x80) != 0;
        if (bytes.Length < (isLong ? 2 : 1))
            return false;
        id = isLong ? (ushort)(((bytes[0] & 0x7F) << 8) | bytes[1]) : bytes[0];
        return true;
    }
}
