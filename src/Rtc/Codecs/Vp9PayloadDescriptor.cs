namespace Transcribe.Rtc.Codecs;

/// <summary>The VP9 payload descriptor (RFC 9628 §4.2). Fields that are not there are null.</summary>
public readonly record struct Vp9PayloadDescriptor
{
    private const int MaxReferences = 3;

    /// <summary>Bytes of the descriptor; the VP9 payload follows.</summary>
    public int Length { get; private init; }

    /// <summary>7 or 15 bits, see <see cref="HasLongPictureId"/>.</summary>
    public ushort? PictureId { get; private init; }

    /// <summary>The picture id has 15 bits.</summary>
    public bool HasLongPictureId { get; private init; }

    /// <summary>Where the picture id stands in the payload; 0 for none.</summary>
    public int PictureIdOffset { get; private init; }

    /// <summary>P: depends on earlier pictures.</summary>
    public bool IsInterPredicted { get; private init; }

    /// <summary>F: references are told in each packet.</summary>
    public bool IsFlexible { get; private init; }

    /// <summary>B: first packet of a layer frame.</summary>
    public bool StartsFrame { get; private init; }

    /// <summary>E: last packet of a layer frame.</summary>
    public bool EndsFrame { get; private init; }

    /// <summary>Z: no higher spatial layer refers to this frame.</summary>
    public bool IsNotReferenceForUpperLayers { get; private init; }

    /// <summary>TID: temporal layer.</summary>
    public byte? TemporalLayer { get; private init; }

    /// <summary>SID: spatial layer.</summary>
    public byte? SpatialLayer { get; private init; }

    /// <summary>U: a receiver may switch up to this temporal layer here.</summary>
    public bool IsSwitchingUpPoint { get; private init; }

    /// <summary>D: depends on the next lower spatial layer of the same picture.</summary>
    public bool IsInterLayerPredicted { get; private init; }

    /// <summary>TL0PICIDX; in non-flexible mode only.</summary>
    public byte? Tl0PictureIndex { get; private init; }

    /// <summary>Where TL0PICIDX stands in the payload; 0 for none.</summary>
    public int Tl0PictureIndexOffset { get; private init; }

    /// <summary>V: a scalability structure stands in this descriptor.</summary>
    public bool HasScalabilityStructure { get; private init; }

    /// <summary>Spatial layers the scalability structure tells of; 0 without one.</summary>
    public int SpatialLayerCount { get; private init; }

    /// <summary>Reads a descriptor.</summary>
    public static bool TryParse(ReadOnlySpan<byte> payload, out Vp9PayloadDescriptor descriptor)
    {
        descriptor = default;
        if (payload.IsEmpty)
            return false;
        byte first = payload[0];
        int at = 1;
        Vp9PayloadDescriptor d = new()
        {
            IsInterPredicted = (first & 0x40) != 0,
            IsFlexible = (first & 0x10) != 0,
            StartsFrame = (first & 0x08) != 0,
            EndsFrame = (first & 0x04) != 0,
            HasScalabilityStructure = (first & 0x02) != 0,
            IsNotReferenceForUpperLayers = (first & 0x01) != 0,
        };
        if ((first & 0x80) != 0)
        {
            if (!PictureIds.TryRead(payload[at..], out ushort id, out bool isLong))
                return false;
            d = d with { PictureId = id, HasLongPictureId = isLong, PictureIdOffset = at };
            at += isLong ? 2 : 1;
        }

        if ((first & 0x20) != 0)
        {
            if (payload.Length <= at)
                return false;
            byte layer = payload[at++];
            d = d with
            {
                TemporalLayer = (byte)(layer >> 5),
                IsSwitchingUpPoint = (layer & 0x10) != 0,
                SpatialLayer = (byte)((layer >> 1) & 7),
                IsInterLayerPredicted = (layer & 1) != 0,
            };
            if (!d.IsFlexible)
            {
                if (payload.Length <= at)
                    return false;
                d = d with { Tl0PictureIndex = payload[at], Tl0PictureIndexOffset = at };
                at++;
            }
        }

        if (d.IsFlexible && d.IsInterPredicted)
        {
            for (int reference = 0; ; reference++)
            {
                if (reference == MaxReferences || payload.Length <= at)
                    return false;
                if ((payload[at++] & 1) == 0)
                    break;
            }
        }

        if (d.HasScalabilityStructure)
        {
            if (!TrySkipScalabilityStructure(payload, ref at, out int layers))
                return false;
            d = d with { SpatialLayerCount = layers };
        }

        descriptor = d with { Length = at };
        return true;
    }

    /// <summary>
    /// True for the first packet of a frame that needs no earlier picture and no lower spatial layer.
    /// </summary>
    public static bool IsKeyframe(ReadOnlySpan<byte> payload) =>
        TryParse(payload, out Vp9PayloadDescriptor d)
        && d.StartsFrame
        && !d.IsInterPredicted
        && d.SpatialLayer.GetValueOrDefault() == 0
        && payload.Length > d.Length;

    private static bool TrySkipScalabilityStructure(ReadOnlySpan<byte> payload, ref int at, out int layers)
    {
        layers = 0;
        if (payload.Length <= at)
            return false;
        byte head = payload[at++];
        layers = (head >> 5) + 1;
        if ((head & 0x10) != 0)
            at += layers * 4;
        if ((head & 0x08) != 0)
        {
            if (payload.Length <= at)
                return false;
            int pictures = payload[at++];
            for (int i = 0; i < pictures; i++)
            {
                if (payload.Length <= at)
                    return false;
                int references = (payload[at++] >> 2) & 3;
                at += references;
            }
        }

        return at <= payload.Length;
    }
}
