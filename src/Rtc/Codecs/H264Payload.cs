using System.Buffers.Binary;

namespace Transcribe.Rtc.Codecs;

/// <summary>Which NAL units an H.264 payload carries or starts (RFC 6184 §5).</summary>
[Flags]
public enum H264Content
{
    None = 0,

    /// <summary>A slice of an IDR picture starts.</summary>
    Idr = 1,

    /// <summary>Sequence parameter set.</summary>
    SequenceParameterSet = 2,

    /// <summary>Picture parameter set.</summary>
    PictureParameterSet = 4,

    /// <summary>A slice of another picture starts.</summary>
    Slice = 8,

    /// <summary>The middle or the end of a fragmented unit.</summary>
    Continuation = 16,

    /// <summary>Anything else: SEI, access unit delimiter…</summary>
    Other = 32,
}

/// <summary>A look into H.264 payloads: single NAL units, STAP-A and FU-A.</summary>
public static class H264Payload
{
    private const int StapA = 24;
    private const int FuA = 28;

    /// <summary>Reads what a payload carries.</summary>
    /// <returns>False for an empty or malformed payload, or a packet type this does not know (STAP-B, MTAP, FU-B).</returns>
    public static bool TryRead(ReadOnlySpan<byte> payload, out H264Content content)
    {
        content = H264Content.None;
        if (payload.IsEmpty)
            return false;
        int type = payload[0] & 0x1F;
        switch (type)
        {
            case > 0 and < StapA:
                content = OfUnit(type);
                return true;
            case StapA:
                ReadOnlySpan<byte> rest = payload[1..];
                while (!rest.IsEmpty)
                {
                    if (rest.Length < 3)
                        return false;
                    int size = BinaryPrimitives.ReadUInt16BigEndian(rest);
                    if (size == 0 || size > rest.Length - 2)
                        return false;
                    content |= OfUnit(rest[2] & 0x1F);
                    rest = rest[(2 + size)..];
                }

                return content != H264Content.None;
            case FuA:
                if (payload.Length < 2)
                    return false;
                content = (payload[1] & 0x80) != 0 ? OfUnit(payload[1] & 0x1F) : H264Content.Continuation;
                return true;
            default:
                return false;
        }
    }

    /// <summary>
    /// True for a packet a decoder can start with: one that has a sequence parameter set, which encoders put before every
    /// IDR picture, or that starts an IDR slice, for those that tell their parameter sets in the SDP.
    /// </summary>
    public static bool IsKeyframe(ReadOnlySpan<byte> payload) =>
        TryRead(payload, out H264Content content)
        && (content & (H264Content.SequenceParameterSet | H264Content.Idr)) != 0;

    private static H264Content OfUnit(int type) => type switch
    {
        1 or 2 => H264Content.Slice,
        5 => H264Content.Idr,
        7 => H264Content.SequenceParameterSet,
        8 => H264Content.PictureParameterSet,
        _ => H264Content.Other,
    };
}
