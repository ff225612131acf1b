using System.Buffers.Binary;
using CsCheck;
using Transcribe.AiGateway.Audio;
using Transcribe.AiGateway.Tests.Support;

namespace Transcribe.AiGateway.Tests.Audio;

public sealed class FileReaderTests
{
    [Fact]
    public void Reads_the_fixture()
    {
        WavAudio audio = Fixtures.MeetingWav;

        Assert.Equal(48000, audio.SampleRate);
        Assert.Equal(1, audio.Channels);
        Assert.Equal(Fixtures.Meeting.Seconds, audio.Duration.TotalSeconds, 0.01);
    }

    [Theory]
    [InlineData(1, false)]
    [InlineData(2, false)]
    [InlineData(2, true)]
    public void Reads_chunks_in_any_order_with_padding_and_extensible_format(int channels, bool extensible)
    {
        byte[] file = Wav(44100, channels, [1, -2, 3, -4], extensible, extra: true);

        Assert.True(WavAudio.TryRead(file, out WavAudio? audio, out _));
        Assert.Equal((44100, channels), (audio.SampleRate, audio.Channels));
        Assert.Equal([1, -2, 3, -4], audio.Samples);
    }

    [Fact]
    public void Takes_a_recording_that_was_cut_off_as_far_as_it_goes()
    {
        byte[] file = Wav(8000, 2, [1, 2, 3, 4, 5, 6], false, false);

        Assert.True(WavAudio.TryRead(file.AsSpan(0, file.Length - 3), out WavAudio? audio, out _));
        Assert.Equal([1, 2, 3, 4], audio.Samples);
    }

    [Fact]
    public void Explains_why_a_file_is_refused()
    {
        byte[] eightBit = Wav(8000, 1, [1], false, false);
        eightBit[34] = 8;

        Assert.False(WavAudio.TryRead(eightBit, out _, out string? error));
        Assert.Contains("16-bit PCM", error);
        Assert.False(WavAudio.TryRead("OggS and so on"u8, out _, out error));
        Assert.Contains("no WAV file", error);
    }

    [Theory]
    [InlineData(48000, 16000)]
    [InlineData(44100, 48000)]
    [InlineData(8000, 48000)]
    [InlineData(22050, 16000)]
    public void Resamples_a_tone_to_the_same_tone(int from, int to)
    {
        short[] resampled = Resampler.Resample(OpusTests.Tone(1000, from, 1), from, to);

        Assert.Equal(to, resampled.Length);
        Assert.Equal(1000, OpusTests.Frequency(resampled, to), 3.0);
        Assert.InRange(resampled.Skip(1000).Take(to - 2000).Max(s => (int)s), 11500, 12500);
    }

    [Fact]
    public void Keeps_tones_out_that_the_lower_rate_cannot_hold()
    {
        short[] resampled = Resampler.Resample(OpusTests.Tone(11000, 48000, 1), 48000, 16000);

        Assert.True(resampled.Skip(1000).Take(14000).Max(s => Math.Abs((int)s)) < 600);
    }

    [Fact]
    public void Mixes_channels()
    {
        var audio = new WavAudio(16000, 2, [100, 300, -50, -150]);

        Assert.Equal([200, -100], audio.ToMono(16000));
    }

    [Fact]
    public void Reads_the_packets_of_an_ogg_file_across_pages()
    {
        List<Sent> packets = Speaker.Encode(Fixtures.MeetingWav.Samples.AsSpan(0, 48000 * 3));
        byte[] big = [0x0B << 3 | 0, .. new byte[700]];
        List<byte[]> payloads = [.. packets.Select(p => p.Payload), big];
        byte[] file = OggWriter.Write(payloads, 48);

        Assert.True(OggOpusReader.TryOpen(file, out OggOpusReader? reader, out _));
        Assert.Equal((1, 312), (reader.Channels, reader.PreSkip));
        var read = new List<OggOpusPacket>();
        while (reader.TryRead(out OggOpusPacket packet))
            read.Add(packet);
        Assert.Equal(payloads.Count, read.Count);
        Assert.All(read.Zip(payloads), pair => Assert.Equal(pair.Second, pair.First.Data.ToArray()));
        Assert.All(read.SkipLast(1), packet => Assert.Equal(960, packet.Ticks));
        Assert.Equal(0, reader.SkippedBytes);
    }

    [Fact]
    public void Goes_on_behind_a_damaged_page()
    {
        byte[] file = OggWriter.Write([.. Speaker.Encode(Fixtures.MeetingWav.Samples.AsSpan(0, 48000 * 3)).Select(p => p.Payload)], 20);
        file[file.Length / 2] ^= 0xFF;

        Assert.True(OggOpusReader.TryOpen(file, out OggOpusReader? reader, out _));
        int count = 0;
        while (reader.TryRead(out _))
            count++;
        Assert.InRange(count, 120, 149);
        Assert.True(reader.SkippedBytes > 0);
    }

    [Fact]
    public void Survives_arbitrary_bytes_in_a_wav_file()
    {
        byte[] good = Wav(16000, 1, [1, 2, 3, 4, 5], false, true);
        Gen.Select(Gen.Byte.Array[0, 60], Gen.Int[0, good.Length], Gen.Int[0, good.Length]).Sample((noise, at, length) =>
        {
            WavAudio.TryRead(noise, out _, out _);
            byte[] damaged = [.. good.AsSpan(0, length)];
            noise.AsSpan(0, Math.Min(noise.Length, Math.Max(0, length - at))).CopyTo(damaged.AsSpan(Math.Min(at, length)));
            if (!WavAudio.TryRead(damaged, out _, out string? error))
                Assert.NotEmpty(error);
        }, iter: 3000);
    }

    [Fact]
    public void Survives_arbitrary_bytes_in_an_ogg_file()
    {
        byte[] good = OggWriter.Write([[0x48, 1], [0x48, 2], [0x48, 3]], 2);
        Gen.Select(Gen.Byte.Array[0, 80], Gen.Int[0, good.Length - 1]).Sample((noise, at) =>
        {
            byte[] damaged = [.. good];
            noise.AsSpan(0, Math.Min(noise.Length, good.Length - at)).CopyTo(damaged.AsSpan(at));
            Drain(damaged);
            Drain([.. "OggS"u8, .. noise]);
        }, iter: 3000);

        static void Drain(byte[] file)
        {
            if (!OggOpusReader.TryOpen(file, out OggOpusReader? reader, out _))
                return;
            while (reader.TryRead(out _))
            {
            }
        }
    }

    private static byte[] Wav(int rate, int channels, short[] samples, bool extensible, bool extra)
    {
        var body = new List<byte>();
        body.AddRange("WAVE"u8);
        if (extra)
            Chunk("LIST", [1, 2, 3]);
        var format = new byte[extensible ? 40 : 16];
        BinaryPrimitives.WriteUInt16LittleEndian(format, extensible ? (ushort)0xFFFE : (ushort)1);
        BinaryPrimitives.WriteUInt16LittleEndian(format.AsSpan(2), (ushort)channels);
        BinaryPrimitives.WriteInt32LittleEndian(format.AsSpan(4), rate);
        BinaryPrimitives.WriteInt32LittleEndian(format.AsSpan(8), rate * channels * 2);
        BinaryPrimitives.WriteUInt16LittleEndian(format.AsSpan(12), (ushort)(channels * 2));
        BinaryPrimitives.WriteUInt16LittleEndian(format.AsSpan(14), 16);
        if (extensible)
            BinaryPrimitives.WriteUInt16LittleEndian(format.AsSpan(24), 1);
        Chunk("fmt ", format);
        Chunk("data", [.. samples.SelectMany(BitConverter.GetBytes)]);
        byte[] length = BitConverter.GetBytes(body.Count);
        return [.. "RIFF"u8, .. length, .. body];

        void Chunk(string id, byte[] content)
        {
            body.AddRange(System.Text.Encoding.ASCII.GetBytes(id));
            body.AddRange(BitConverter.GetBytes(content.Length));
            body.AddRange(content);
            if (content.Length % 2 != 0)
                body.Add(0);
        }
    }
}
