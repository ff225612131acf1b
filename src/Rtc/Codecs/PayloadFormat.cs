namespace Transcribe.Rtc.Codecs;

/// <summary>RTP payload formats that an SFU has to look into.</summary>
public enum PayloadFormat
{
    /// <summary>Forwarded without a look.</summary>
    Unknown,
    Opus,
    Vp8,
    Vp9,
    H264,
    Av1,
}

/// <summary>Questions that depend on the payload format.</summary>
public static class PayloadFormats
{
    /// <summary>The format of an SDP encoding name.</summary>
    public static PayloadFormat Of(string encodingName) =>
        encodingName.ToUpperInvariant() switch
        {
            "OPUS" => PayloadFormat.Opus,
            "VP8" => PayloadFormat.Vp8,
            "VP9" => PayloadFormat.Vp9,
            "H264" => PayloadFormat.H264,
            "AV1" => PayloadFormat.Av1,
            _ => PayloadFormat.Unknown,
        };

    /// <summary>
    /// True where a decoder that has seen nothing yet can start with this packet. Always true for audio and for unknown
    /// formats, so that waiting for a keyframe never waits for ever.
    /// </summary>
    public static bool IsKeyframe(PayloadFormat format, ReadOnlySpan<byte> payload) => format switch
    {
        PayloadFormat.Vp8 => Vp8PayloadDescriptor.IsKeyframe(payload),
        PayloadFormat.Vp9 => Vp9PayloadDescriptor.IsKeyframe(payload),
        PayloadFormat.H264 => H264Payload.IsKeyframe(payload),
        PayloadFormat.Av1 => Av1Payload.IsKeyframe(payload),
        _ => true,
    };
}
