namespace Transcribe.Rtc.Codecs;

/// <summary>The VP8 payload descriptor (RFC 7741 §4.2). Fields that are not there are null.</summary>
public readonly record struct Vp8PayloadDescriptor
{
    /// <summary>Bytes of the descriptor; the VP8 payload follows.</summary>
    public int Length { get; private init; }

    /// <summary>N: no other frame refers to this one.</summary>
    public bool IsNonReference { get; private init; }

    /// <summary>S: a partition starts with this packet.</summary>
    public bool StartsPartition { get; private init; }

    /// <summary>PID: index of the partition.</summary>
    public int PartitionIndex { get; private init; }

    /// <summary>7 or 15 bits, see <see cref="HasLongPictureId"/>.</summary>
    public ushort? PictureId { get; private init; }

    /// <summary>The picture id has 15 bits.</summary>
    public bool HasLongPictureId { get; private init; }

    /// <summary>TL0PICIDX: running number of frames of the base temporal layer.</summary>
    public byte? Tl0PictureIndex { get; private init; }

    /// <summary>TID: temporal layer.</summary>
    public byte? TemporalLayer { get; private init; }

    /// <summary>Y: this frame depends only on the base temporal layer.</summary>
    public bool IsLayerSync { get; private init; }

    /// <summary>KEYIDX: running number of keyframes, 5 bits.</summary>
    public byte? KeyIndex { get; private init; }

    /// <summary>Where the picture id stands in the payload; 0 for none. A rewriter changes it there.</summary>
    public int PictureIdOffset { get; private init; }

    /// <summary>Where TL0PICIDX stands in the payload; 0 for none.</summary>
    public int Tl0PictureIndexOffset { get; private init; }

    /// <summary>True where the packet is the first of a frame.</summary>
    public bool StartsFrame => StartsPartition && PartitionIndex == 0;

    /// <summary>Reads a descriptor.</summary>
    public static bool TryParse(ReadOnlySpan<byte> payload, out Vp8PayloadDescriptor descriptor)
    {
        descriptor = default;
        if (payload.IsEmpty)
            return false;
        byte first = payload[0];
        int at = 1;
        Vp8PayloadDescriptor d = new()
        {
            IsNonReference = (first & 0x20) != 0,
            StartsPartition = (first & 0x10) != 0,
            PartitionIndex = first & 0x07,
        };
        if ((first & 0x80) != 0)
        {
            if (payload.Length <= at)
                return false;
            byte extension = payload[at++];
            if ((extension & 0x80) != 0)
            {
                if (!PictureIds.TryRead(payload[at..], out ushort id, out bool isLong))
                    return false;
                d = d with { PictureId = id, HasLongPictureId = isLong, PictureIdOffset = at };
                at += isLong ? 2 : 1;
            }

            if ((extension & 0x40) != 0)
            {
                if (payload.Length <= at)
                    return false;
                d = d with { Tl0PictureIndex = payload[at], Tl0PictureIndexOffset = at };
                at++;
            }

            if ((extension & 0x30) != 0)
            {
                if (payload.Length <= at)
                    return false;
                byte layer = payload[at++];
                if ((extension & 0x20) != 0)
                    d = d with { TemporalLayer = (byte)(layer >> 6), IsLayerSync = (layer & 0x20) != 0 };
                if ((extension & 0x10) != 0)
                    d = d with { KeyIndex = (byte)(layer & 0x1F) };
            }
        }

        descriptor = d with { Length = at };
        return true;
    }

    /// <summary>True for the first packet of a keyframe.</summary>
    public static bool IsKeyframe(ReadOnlySpan<byte> payload) =>
        // The P bit of the frame header (RFC 7741 §4.3) is 0 in keyframes.
        TryParse(payload, out Vp8PayloadDescriptor d)
        && d.StartsFrame
        && payload.Length > d.Length
        && (payload[d.Length] & 1) == 0;
}
