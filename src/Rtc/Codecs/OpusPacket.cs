namespace Transcribe.Rtc.Codecs;

/// <summary>What the table-of-contents byte of an Opus packet says (RFC 6716 §3), without decoding.</summary>
/// <param name="Config">0..31: mode, bandwidth and frame size.</param>
/// <param name="IsStereo">Two channels coded.</param>
/// <param name="FrameCount">Frames in the packet, 1..48.</param>
public readonly record struct OpusPacket(byte Config, bool IsStereo, int FrameCount)
{
    /// <summary>The RTP clock of Opus, whatever the audio's sampling rate (RFC 7587 §4.1).</summary>
    public const int ClockRate = 48000;

    /// <summary>Longest packet: 120 ms.</summary>
    public const int MaxSamples = 5760;

    /// <summary>Samples of a frame at 48 kHz.</summary>
    public int SamplesPerFrame => Config switch
    {
        < 12 => (Config & 3) switch { 0 => 480, 1 => 960, 2 => 1920, _ => 2880 }, // SILK: 10, 20, 40, 60 ms
        < 16 => (Config & 1) == 0 ? 480 : 960, // hybrid: 10, 20 ms
        _ => 120 << (Config & 3), // CELT: 2.5, 5, 10, 20 ms
    };

    /// <summary>Samples of the packet at 48 kHz: how far the RTP timestamp moves.</summary>
    public int Samples => SamplesPerFrame * FrameCount;

    /// <summary>Duration of the packet.</summary>
    public TimeSpan Duration => TimeSpan.FromTicks(Samples * TimeSpan.TicksPerSecond / ClockRate);

    /// <summary>Reads the table of contents.</summary>
    /// <returns>False for an empty packet, or one that no decoder accepts (no frame, or over 120 ms).</returns>
    public static bool TryParse(ReadOnlySpan<byte> payload, out OpusPacket packet)
    {
        packet = default;
        if (payload.IsEmpty)
            return false;
        int frames;
        switch (payload[0] & 3)
        {
            case 0:
                frames = 1;
                break;
            case 1:
            case 2:
                frames = 2;
                break;
            default:
                if (payload.Length < 2)
                    return false;
                frames = payload[1] & 0x3F;
                break;
        }

        packet = new OpusPacket((byte)(payload[0] >> 3), (payload[0] & 4) != 0, frames);
        if (frames > 0 && packet.Samples <= MaxSamples)
            return true;
        packet = default;
        return false;
    }

    /// <summary>
    /// True for a packet that carries no sound: nothing, or one frame of at most one byte behind the table of contents,
    /// which is what encoders send in discontinuous transmission.
    /// </summary>
    public static bool IsDtx(ReadOnlySpan<byte> payload) =>
        payload.Length <= 2 && (payload.Length < 2 || (payload[0] & 3) == 0);
}
