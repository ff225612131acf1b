using Transcribe.AiGateway.Audio;
using Transcribe.AiGateway.Captions;
using Transcribe.Rtc;

namespace Transcribe.AiGateway.Tests.Support;

/// <summary>One RTP packet on its way to the gateway.</summary>
internal sealed record Sent(ushort Sequence, uint Timestamp, byte[] Payload, Instant Arrival);

/// <summary>Encodes sound as a browser would and sends it at its pace, in virtual time.</summary>
internal static class Speaker
{
    public const uint Ssrc = 0x12345678;

    /// <summary>Close enough to the wrap that both counters wrap within a few seconds.</summary>
    public const uint RtpOrigin = uint.MaxValue - (48000 * 3);

    public const ushort FirstSequence = 65400;

    public static List<Sent> Encode(ReadOnlySpan<short> mono48, OpusEncoderOptions? options = null, double delaySeconds = 0.02)
    {
        using var encoder = new OpusEncoder(1, options);
        var packets = new List<Sent>();
        var buffer = new byte[OpusEncoder.MaxPacketBytes];
        for (int i = 0; (i + 1) * OpusEncoder.FrameSamples <= mono48.Length; i++)
        {
            int length = encoder.Encode(mono48.Slice(i * OpusEncoder.FrameSamples, OpusEncoder.FrameSamples), buffer);
            packets.Add(new(
                unchecked((ushort)(FirstSequence + i)), unchecked(RtpOrigin + (uint)(i * OpusEncoder.FrameSamples)), buffer[..length],
                new Instant(TimeSpan.FromSeconds(((i + 1) * 0.02) + delaySeconds).Ticks)));
        }

        return packets;
    }

    /// <summary>Loses, delays and so reorders packets, by seed.</summary>
    public static List<Sent> Disturb(IEnumerable<Sent> packets, int seed, double loss, double jitterMs)
    {
        var random = new Random(seed);
        var disturbed = new List<Sent>();
        foreach (Sent packet in packets)
        {
            double delay = random.NextDouble() * jitterMs;
            if (random.NextDouble() >= loss)
                disturbed.Add(packet with { Arrival = packet.Arrival + TimeSpan.FromMilliseconds(delay) });
        }

        return [.. disturbed.OrderBy(packet => packet.Arrival)];
    }

    /// <summary>Pushes the packets with the timeouts between them, then ends the track.</summary>
    public static void Play(CaptionTrack track, IEnumerable<Sent> packets, Action<Instant>? clock = null)
    {
        Instant now = Instant.Zero;
        foreach (Sent packet in packets)
        {
            while (track.NextTimeout < packet.Arrival)
            {
                clock?.Invoke(track.NextTimeout);
                track.HandleTimeout(track.NextTimeout);
            }

            now = packet.Arrival;
            clock?.Invoke(now);
            track.Push(now, Ssrc, packet.Sequence, packet.Timestamp, packet.Payload);
        }

        clock?.Invoke(now);
        track.Flush(now);
    }
}
