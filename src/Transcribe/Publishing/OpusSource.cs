using Transcribe.AiGateway.Audio;
using Transcribe.Commands;
using Transcribe.Rtc.Codecs;

namespace Transcribe.Publishing;

/// <param name="Timestamp">Ticks of 48 kHz since the start of the recording.</param>
/// <param name="Duration">Ticks of 48 kHz.</param>
/// <param name="Level">In -dBov, 0 (loudest) to 127 (RFC 6464); null where the sound was not looked at.</param>
internal readonly record struct OpusFrame(ReadOnlyMemory<byte> Payload, uint Timestamp, uint Duration, byte? Level);

/// <summary>A recording as Opus packets: a WAV file is encoded, an Ogg/Opus file passes as it is.</summary>
internal static class OpusSource
{
    /// <exception cref="CommandException">No such file, or not one of these formats.</exception>
    public static IReadOnlyList<OpusFrame> Load(string path)
    {
        byte[] file;
        try
        {
            file = File.ReadAllBytes(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CommandException($"\"{path}\" cannot be read: {e.Message}");
        }

        if (file.AsSpan().StartsWith("OggS"u8))
            return FromOgg(path, file);
        if (WavAudio.TryRead(file, out WavAudio? wav, out string? error))
        {
            return wav.Samples.Length > 0
                ? Encode(wav.ToMono(OpusPacket.ClockRate))
                : throw new CommandException($"\"{path}\" has no samples.");
        }

        throw new CommandException($"\"{path}\" is neither an Ogg/Opus file nor a PCM WAV file: {error} Convert it with: ffmpeg -i IN -ac 1 -ar 48000 OUT.wav");
    }

    /// <param name="pcm">48 kHz mono.</param>
    public static IReadOnlyList<OpusFrame> Encode(ReadOnlySpan<short> pcm)
    {
        using var encoder = new OpusEncoder();
        var frames = new List<OpusFrame>(pcm.Length / OpusEncoder.FrameSamples + 1);
        Span<byte> packet = stackalloc byte[OpusEncoder.MaxPacketBytes];
        Span<short> frame = stackalloc short[OpusEncoder.FrameSamples];
        for (int at = 0; at < pcm.Length; at += OpusEncoder.FrameSamples)
        {
            ReadOnlySpan<short> rest = pcm[at..Math.Min(pcm.Length, at + OpusEncoder.FrameSamples)];
            frame.Clear();
            rest.CopyTo(frame);
            int length = encoder.Encode(frame, packet);
            frames.Add(new(packet[..length].ToArray(), (uint)at, OpusEncoder.FrameSamples, Level(frame)));
        }

        return frames;
    }

    private static List<OpusFrame> FromOgg(string path, byte[] file)
    {
        if (!OggOpusReader.TryOpen(file, out OggOpusReader? reader, out string? error))
            throw new CommandException($"\"{path}\" is not an Ogg/Opus file that can be published: {error}");
        var frames = new List<OpusFrame>();
        uint timestamp = 0;
        while (reader.TryRead(out OggOpusPacket packet))
        {
            frames.Add(new(packet.Data, timestamp, (uint)packet.Ticks, null));
            timestamp += (uint)packet.Ticks;
        }

        return frames.Count > 0 ? frames : throw new CommandException($"\"{path}\" has no Opus packets.");
    }

    private static byte Level(ReadOnlySpan<short> samples)
    {
        double sum = 0;
        foreach (short sample in samples)
            sum += (double)sample * sample;
        double rms = Math.Sqrt(sum / samples.Length) / short.MaxValue;
        return rms <= 0 ? (byte)127 : (byte)Math.Clamp(-20 * Math.Log10(rms), 0, 127);
    }
}
