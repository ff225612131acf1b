namespace Transcribe.Rtc.Codecs;

/// <summary>What the first bytes of an Opus packet say (RFC 6716 §3.1).</summary>
public static class OpusPacket
{
    /// <summary>The clock of Opus in RTP, whatever was encoded: 48000 Hz (RFC 7587 §4.1).</summary>
    public const int ClockRate = 48000;

    /// <summary>Longest packet: 120 ms in clock ticks.</summary>
    public const int MaxTicks = 5760;

    /// <summary>Duration of a packet in 48 kHz ticks; false where its first bytes break the format.</summary>
    public static bool TryGetDuration(ReadOnlySpan<byte> packet, out int ticks)
    {
        ticks = 0;
        if (packet.IsEmpty)
            return false;
        int frames;
        switch (packet[0] & 3)
        {
            case 0:
                frames = 1;
                break;
            case 3:
                if (packet.Length < 2)
                    return false;
                frames = packet[1] & 0x3F;
                break;
            default:
                frames = 2;
                break;
        }

        int total = frames * FrameTicks(packet[0] >> 3);
        if (frames == 0 || total > MaxTicks)
            return false;
        ticks = total;
        return true;
    }

    private static int FrameTicks(int configuration) => configuration switch
    {
        // SILK and hybrid come in 10/20/40/60 ms and 10/20 ms, CELT in 2.5/5/10/20 ms.
        < 12 => (configuration & 3) switch { 0 => 480, 1 => 960, 2 => 1920, _ => 2880 },
        < 16 => (configuration & 1) == 0 ? 480 : 960,
        _ => 120 << (configuration & 3),
    };
}
