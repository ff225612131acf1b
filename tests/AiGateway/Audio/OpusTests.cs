using CsCheck;
using Transcribe.AiGateway.Audio;
using Transcribe.AiGateway.Tests.Support;

namespace Transcribe.AiGateway.Tests.Audio;

public sealed class OpusTests
{
    [Fact]
    public void Decodes_at_16_kHz_what_was_encoded_at_48()
    {
        short[] tone = Tone(440, 48000, 1);
        using var decoder = new OpusDecoder();
        var decoded = new List<short>();
        var pcm = new short[1920];
        foreach (Sent packet in Speaker.Encode(tone))
        {
            Assert.True(decoder.TryDecode(packet.Payload, pcm, out int samples));
            decoded.AddRange(pcm.AsSpan(0, samples));
        }

        Assert.Equal(16000, decoded.Count);
        Assert.Equal(440, Frequency(decoded.Skip(4000).Take(8000).ToArray(), 16000), 5.0);
    }

    [Fact]
    public void Recovers_a_lost_packet_from_the_next_one_better_than_it_conceals()
    {
        short[] speech = Fixtures.MeetingWav.Samples.AsSpan(48000, 48000 * 8).ToArray();
        List<Sent> packets = Speaker.Encode(speech, new OpusEncoderOptions(24000, ExpectedLossPercent: 20));
        double recovered = 0, concealed = 0;
        short[][] whole = Decode(packets, _ => false, fec: false), withFec = Decode(packets, i => i % 7 == 3, fec: true),
            withPlc = Decode(packets, i => i % 7 == 3, fec: false);
        for (int i = 3; i < packets.Count - 1; i += 7)
        {
            recovered += Distance(whole[i], withFec[i]);
            concealed += Distance(whole[i], withPlc[i]);
        }

        Assert.True(recovered < concealed * 0.8, $"FEC {recovered:0}, concealment {concealed:0}");
    }

    [Fact]
    public void Survives_arbitrary_bytes()
    {
        using var decoder = new OpusDecoder();
        var pcm = new short[1920];
        Gen.Byte.Array[0, 300].Sample(bytes =>
        {
            decoder.TryDecode(bytes, pcm, out int samples);
            Assert.InRange(samples, 0, pcm.Length);
            decoder.Recover(bytes, pcm.AsSpan(0, 320));
        }, iter: 2000, threads: 1);
    }

    [Fact]
    public void Gives_exactly_the_samples_that_the_clock_says_under_loss_and_pauses()
    {
        List<Sent> packets = Speaker.Encode(Fixtures.MeetingWav.Samples.AsSpan(48000, 48000 * 2));
        Gen.Int[1, 1000].Sample(seed =>
        {
            var random = new Random(seed);
            var sink = new Counter();
            using var decoder = new TrackDecoder(new OpusDecoder(), sink);
            var buffer = new JitterBuffer(decoder);
            uint pause = 0;
            ushort sequence = 0;
            Sent? last = null;
            foreach (Sent packet in packets)
            {
                if (random.NextDouble() < 0.02)
                    pause += (uint)(random.Next(1, 100) * 960);
                ushort number = sequence++;
                if (last is not null && random.NextDouble() < 0.1)
                    continue;
                last = packet with { Timestamp = packet.Timestamp + pause };
                buffer.Push(packet.Arrival, 1, number, last.Timestamp, packet.Payload);
            }

            buffer.Drain(packets[^1].Arrival);
            Assert.Equal(1, sink.Timelines);
            Assert.Equal((last!.Timestamp - sink.Origin + 960) / 3, (ulong)sink.Samples);
        }, iter: 20);
    }

    private static short[][] Decode(List<Sent> packets, Func<int, bool> lost, bool fec)
    {
        using var decoder = new OpusDecoder();
        var frames = new short[packets.Count][];
        for (int i = 0; i < packets.Count; i++)
        {
            frames[i] = new short[320];
            if (!lost(i))
                decoder.TryDecode(packets[i].Payload, frames[i], out _);
            else if (fec && i + 1 < packets.Count)
                decoder.Recover(packets[i + 1].Payload, frames[i]);
            else
                decoder.Conceal(frames[i]);
        }

        return frames;
    }

    private static double Distance(short[] a, short[] b) => a.Zip(b, (x, y) => Math.Pow(x - y, 2)).Sum();

    internal static short[] Tone(double frequency, int rate, double seconds)
    {
        var samples = new short[(int)(rate * seconds)];
        for (int i = 0; i < samples.Length; i++)
            samples[i] = (short)(12000 * Math.Sin(2 * Math.PI * frequency * i / rate));
        return samples;
    }

    internal static double Frequency(short[] samples, int rate)
    {
        int crossings = 0;
        for (int i = 1; i < samples.Length; i++)
            crossings += samples[i - 1] < 0 && samples[i] >= 0 ? 1 : 0;
        return (double)crossings * rate / samples.Length;
    }

    private sealed class Counter : ITrackAudioSink
    {
        public int Timelines { get; private set; }

        public uint Origin { get; private set; }

        public long Samples { get; private set; }

        public void OnTimeline(long timestamp)
        {
            Timelines++;
            Origin = (uint)timestamp;
        }

        public void OnAudio(ReadOnlySpan<short> samples) => Samples += samples.Length;

        public void OnSkip(long samples) => Samples += samples;
    }
}
