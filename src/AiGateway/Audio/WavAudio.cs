using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace Transcribe.AiGateway.Audio;

/// <summary>A RIFF/WAVE recording of 16-bit PCM.</summary>
/// <param name="SampleRate">4000 .. 384000 Hz.</param>
/// <param name="Channels">1 .. 8.</param>
/// <param name="Samples">Interleaved.</param>
public sealed record WavAudio(int SampleRate, int Channels, short[] Samples)
{
    private const ushort Pcm = 1;
    private const ushort Extensible = 0xFFFE;

    public TimeSpan Duration => TimeSpan.FromSeconds((double)Samples.Length / Channels / SampleRate);

    /// <summary>Reads a file's bytes. A data chunk longer than the file (a recording cut off) is taken as far as it goes.</summary>
    /// <param name="error">A sentence for the user.</param>
    public static bool TryRead(ReadOnlySpan<byte> file, [NotNullWhen(true)] out WavAudio? audio, [NotNullWhen(false)] out string? error)
    {
        audio = null;
        if (file.Length < 12 || !file[..4].SequenceEqual("RIFF"u8) || !file[8..12].SequenceEqual("WAVE"u8))
        {
            error = "This is no WAV file: it does not begin with RIFF and WAVE.";
            return false;
        }

        int rate = 0, channels = 0;
        ReadOnlySpan<byte> rest = file[12..];
        while (rest.Length >= 8)
        {
            uint length = BinaryPrimitives.ReadUInt32LittleEndian(rest[4..]);
            ReadOnlySpan<byte> body = rest[8..(int)Math.Min(8L + length, rest.Length)];
            if (rest[..4].SequenceEqual("fmt "u8))
            {
                if (!TryReadFormat(body, out rate, out channels, out error))
                    return false;
            }
            else if (rest[..4].SequenceEqual("data"u8))
            {
                if (channels == 0)
                {
                    error = "This WAV file has its data before its format.";
                    return false;
                }

                audio = new WavAudio(rate, channels, ReadSamples(body, channels));
                error = null;
                return true;
            }

            // Chunks are padded to even lengths.
            rest = rest[(int)Math.Min(8L + length + (length & 1), rest.Length)..];
        }

        error = "This WAV file has no data.";
        return false;
    }

    /// <summary>All channels mixed, at another rate.</summary>
    public short[] ToMono(int sampleRate)
    {
        short[] mono = Samples;
        if (Channels > 1)
        {
            mono = new short[Samples.Length / Channels];
            for (int i = 0; i < mono.Length; i++)
            {
                int sum = 0;
                for (int c = 0; c < Channels; c++)
                    sum += Samples[(i * Channels) + c];
                mono[i] = (short)(sum / Channels);
            }
        }

        return Resampler.Resample(mono, SampleRate, sampleRate);
    }

    private static bool TryReadFormat(ReadOnlySpan<byte> body, out int rate, out int channels, [NotNullWhen(false)] out string? error)
    {
        rate = channels = 0;
        if (body.Length < 16)
        {
            error = "This WAV file's format chunk is too short.";
            return false;
        }

        ushort format = BinaryPrimitives.ReadUInt16LittleEndian(body);
        if (format == Extensible && body.Length >= 26)
            format = BinaryPrimitives.ReadUInt16LittleEndian(body[24..]);
        ushort bits = BinaryPrimitives.ReadUInt16LittleEndian(body[14..]);
        uint foundRate = BinaryPrimitives.ReadUInt32LittleEndian(body[4..]);
        ushort foundChannels = BinaryPrimitives.ReadUInt16LittleEndian(body[2..]);
        if (format != Pcm || bits != 16)
        {
            error = $"This WAV file holds format {format} with {bits} bits; only 16-bit PCM is read. Convert it: ffmpeg -i in.wav -c:a pcm_s16le out.wav";
            return false;
        }

        if (foundRate is < 4000 or > 384000 || foundChannels is 0 or > 8)
        {
            error = $"This WAV file says {foundRate} Hz and {foundChannels} channels; 4000 to 384000 Hz and 1 to 8 channels are read.";
            return false;
        }

        rate = (int)foundRate;
        channels = foundChannels;
        error = null;
        return true;
    }

    private static short[] ReadSamples(ReadOnlySpan<byte> body, int channels)
    {
        var samples = new short[body.Length / 2 / channels * channels];
        ReadOnlySpan<byte> bytes = body[..(samples.Length * 2)];
        if (BitConverter.IsLittleEndian)
            MemoryMarshal.Cast<byte, short>(bytes).CopyTo(samples);
        else
            BinaryPrimitives.ReverseEndianness(MemoryMarshal.Cast<byte, short>(bytes), samples);
        return samples;
    }
}
