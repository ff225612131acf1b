using System.Buffers.Binary;
using Transcribe.AiGateway.Audio;
using Transcribe.Commands;
using Transcribe.Publishing;
using Transcribe.Rtc.Codecs;
using Transcribe.Transcribe.Tests.Support;

namespace Transcribe.Transcribe.Tests;

public sealed class OpusSourceTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("opus-source").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData(16_000, 1)]
    [InlineData(48_000, 2)]
    [InlineData(44_100, 1)]
    public void A_wav_file_becomes_20_ms_packets_without_gaps(int rate, int channels)
    {
        IReadOnlyList<OpusFrame> frames = OpusSource.Load(Write("a.wav", Wav(rate, channels, seconds: 0.5)));
        Assert.InRange(frames.Count, 25, 26);
        for (int i = 0; i < frames.Count; i++)
        {
            Assert.Equal((uint)i * 960, frames[i].Timestamp);
            Assert.Equal(960u, frames[i].Duration);
            Assert.True(OpusPacket.TryGetDuration(frames[i].Payload.Span, out int ticks));
            Assert.Equal(960, ticks);
        }

        // A tone at half of full scale: -9 dBov.
        Assert.InRange(frames[5].Level!.Value, 7, 12);
    }

    [Fact]
    public void Silence_has_the_lowest_level_and_rounding_up_the_last_packet_loses_nothing()
    {
        IReadOnlyList<OpusFrame> frames = OpusSource.Encode(new short[961]);
        Assert.Equal(2, frames.Count);
        Assert.All(frames, frame => Assert.Equal((byte)127, frame.Level));
    }

    [Fact]
    public void An_ogg_file_passes_as_it_is_with_the_durations_its_packets_have()
    {
        byte[] twenty = [0x78, 1, 2, 3];        // CELT, 20 ms
        byte[] twiceTwenty = [0x79, 4, 5, 6, 7]; // two equal frames
        byte[] sixty = [0x18, .. new byte[300]]; // SILK, 60 ms; spans two lacing values
        var ogg = new OggWriter();
        ogg.AddPage(twenty, 960);
        ogg.AddPage(twiceTwenty, 2880);
        ogg.AddPage(sixty, 5760);
        ogg.AddPage(twenty, 6720);
        IReadOnlyList<OpusFrame> frames = OpusSource.Load(Write("a.opus", ogg.ToArray()));
        Assert.Equal([0u, 960u, 2880u, 5760u], frames.Select(f => f.Timestamp));
        Assert.Equal([960u, 1920u, 2880u, 960u], frames.Select(f => f.Duration));
        Assert.Equal(sixty, frames[2].Payload.ToArray());
        Assert.All(frames, frame => Assert.Null(frame.Level));
    }

    [Fact]
    public void What_is_no_recording_is_explained()
    {
        (string Name, byte[] Content, string Says)[] files =
        [
            ("empty", [], "neither"),
            ("song.mp3", [.. "ID3"u8, 3, 0, 0, 0, 0, 0, 0], "ffmpeg"),
            ("text.wav", [.. "hello"u8], "RIFF"),
            ("cut.wav", Wav(48_000, 1, 0.1)[..20], "WAV"),
            ("float.wav", Wav(48_000, 1, 0.1, format: 3), "16-bit PCM"),
            ("silent.wav", Wav(48_000, 1, 0), "no samples"),
            ("cut.opus", new OggWriter().ToArray()[..40], "Opus"),
            ("quad.opus", new OggWriter(channels: 4).ToArray(), "one or two channels"),
            ("nothing.opus", new OggWriter().ToArray(), "no Opus packets"),
        ];
        foreach ((string name, byte[] content, string says) in files)
        {
            CommandException refused = Assert.Throws<CommandException>(() => OpusSource.Load(Write(name, content)));
            Assert.Contains(name, refused.Message, StringComparison.Ordinal);
            Assert.Contains(says, refused.Message, StringComparison.Ordinal);
            Assert.Equal(ExitStatus.Unusable, refused.Status);
        }

        Assert.Contains("cannot be read", Assert.Throws<CommandException>(() => OpusSource.Load(Path.Combine(_folder, "missing"))).Message, StringComparison.Ordinal);
        Assert.Contains("cannot be read", Assert.Throws<CommandException>(() => OpusSource.Load(_folder)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Damaged_files_are_refused_or_read_but_never_fail_otherwise()
    {
        var ogg = new OggWriter();
        for (int i = 0; i < 20; i++)
            ogg.AddPage([0x78, (byte)i], 960 * (i + 1));
        byte[][] good = [ogg.ToArray(), Wav(8_000, 1, 0.05)];
        var random = new Random(4);
        for (int round = 0; round < 300; round++)
        {
            byte[] file = [.. good[round % 2]];
            for (int n = random.Next(1, 8); n > 0; n--)
                file[random.Next(file.Length)] = (byte)random.Next(256);
            try
            {
                Assert.NotEmpty(OpusSource.Load(Write("damaged", file[..random.Next(1, file.Length + 1)])));
            }
            catch (CommandException e)
            {
                Assert.Contains("damaged", e.Message, StringComparison.Ordinal);
            }
        }
    }

    private static byte[] Wav(int rate, int channels, double seconds, ushort format = 1)
    {
        int samples = (int)(rate * seconds) * channels;
        byte[] wav = new byte[44 + (samples * 2)];
        "RIFF"u8.CopyTo(wav);
        BinaryPrimitives.WriteInt32LittleEndian(wav.AsSpan(4), wav.Length - 8);
        "WAVEfmt "u8.CopyTo(wav.AsSpan(8));
        BinaryPrimitives.WriteInt32LittleEndian(wav.AsSpan(16), 16);
        BinaryPrimitives.WriteUInt16LittleEndian(wav.AsSpan(20), format);
        BinaryPrimitives.WriteInt16LittleEndian(wav.AsSpan(22), (short)channels);
        BinaryPrimitives.WriteInt32LittleEndian(wav.AsSpan(24), rate);
        BinaryPrimitives.WriteInt32LittleEndian(wav.AsSpan(28), rate * channels * 2);
        BinaryPrimitives.WriteInt16LittleEndian(wav.AsSpan(32), (short)(channels * 2));
        BinaryPrimitives.WriteInt16LittleEndian(wav.AsSpan(34), 16);
        "data"u8.CopyTo(wav.AsSpan(36));
        BinaryPrimitives.WriteInt32LittleEndian(wav.AsSpan(40), samples * 2);
        for (int i = 0; i < samples; i++)
            BinaryPrimitives.WriteInt16LittleEndian(wav.AsSpan(44 + (i * 2)), (short)(16384 * Math.Sin(2 * Math.PI * 440 * (i / channels) / rate)));
        return wav;
    }

    private string Write(string name, byte[] content)
    {
        string path = Path.Combine(_folder, name);
        File.WriteAllBytes(path, content);
        return path;
    }
}
