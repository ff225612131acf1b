using CsCheck;
using Transcribe.AiGateway.Audio;
using Transcribe.Rtc;
using Transcribe.Rtc.Codecs;

namespace Transcribe.AiGateway.Tests.Audio;

public sealed class JitterBufferTests
{
    private const byte Toc20ms = 9 << 3; // SILK wideband, 20 ms

    private readonly Recorder _recorder = new();
    private readonly JitterBuffer _buffer;

    public JitterBufferTests() => _buffer = new JitterBuffer(_recorder);

    [Fact]
    public void Passes_packets_in_sequence_at_once()
    {
        Push(0, 10, 1000);
        Push(20, 11, 1960);

        Assert.Equal(["timeline 1000", "packet 1000", "packet 1960"], _recorder.Events);
        Assert.Equal(Instant.Never, _buffer.NextTimeout);
    }

    [Fact]
    public void Puts_a_reordered_packet_in_its_place()
    {
        Push(0, 65535, 0);
        Push(40, 1, 1920);
        Push(50, 0, 960);

        Assert.Equal(["timeline 0", "packet 0", "packet 960", "packet 1920"], _recorder.Events);
    }

    [Fact]
    public void Waits_for_a_hole_and_then_reports_it_with_the_packet_behind_it()
    {
        Push(0, 1, 0);
        Push(40, 3, 1920);
        Assert.Equal(At(100), _buffer.NextTimeout);
        _buffer.HandleTimeout(At(99));
        Assert.Equal(2, _recorder.Events.Count);
        _buffer.HandleTimeout(At(100));

        Assert.Equal(["timeline 0", "packet 0", "loss 960+960 fec", "packet 1920"], _recorder.Events);
        Assert.Equal(1, _buffer.Lost);
    }

    [Fact]
    public void Takes_a_step_of_the_clock_without_a_lost_packet_for_silence()
    {
        Push(0, 1, 0);
        Push(420, 2, 20160);

        Assert.Equal(["timeline 0", "packet 0", "gap 960+19200", "packet 20160"], _recorder.Events);
    }

    [Fact]
    public void Attributes_no_more_to_loss_than_the_lost_packets_can_have_held()
    {
        Push(0, 1, 0);
        Push(420, 3, 20160);
        _buffer.HandleTimeout(At(500));

        Assert.Equal(["timeline 0", "packet 0", "gap 960+18240", "loss 19200+960 fec", "packet 20160"], _recorder.Events);
    }

    [Fact]
    public void Drops_duplicates_and_late_packets_and_then_waits_longer()
    {
        Push(0, 1, 0);
        Push(0, 1, 0);
        Push(40, 3, 1920);
        Push(45, 3, 1920);
        _buffer.HandleTimeout(At(100));
        TimeSpan before = _buffer.Hold;
        Push(130, 2, 960);

        Assert.Equal(2, _buffer.Duplicates);
        Assert.Equal(1, _buffer.Late);
        Assert.Equal(["timeline 0", "packet 0", "loss 960+960 fec", "packet 1920"], _recorder.Events);
        Assert.True(_buffer.Hold > before);
    }

    [Fact]
    public void Starts_a_new_timeline_with_another_source()
    {
        Push(0, 1, 5000);
        _buffer.Push(At(20), 99, 7000, 123, Packet());

        Assert.Equal(["timeline 5000", "packet 5000", "timeline 123", "packet 123"], _recorder.Events);
    }

    [Fact]
    public void Starts_a_new_timeline_when_the_clock_jumps_back_or_far_ahead()
    {
        Push(0, 1, 50000);
        Push(20, 2, 100);
        Push(40, 3, 100 + (48000 * 120));

        Assert.Equal(
            ["timeline 50000", "packet 50000", "timeline 100", "packet 100", $"timeline {100 + (48000 * 120)}", $"packet {100 + (48000 * 120)}"],
            _recorder.Events);
    }

    [Fact]
    public void Ignores_one_stray_sequence_number_and_follows_two()
    {
        Push(0, 1, 0);
        Push(20, 30000, 960);
        Push(20, 2, 960);
        Assert.Equal(["timeline 0", "packet 0", "packet 960"], _recorder.Events);
        Push(40, 30000, 1920);
        Push(60, 30001, 2880);

        Assert.Equal(["timeline 0", "packet 0", "packet 960", "timeline 2880", "packet 2880"], _recorder.Events);
        Assert.Equal(2, _buffer.OutOfWindow);
    }

    [Fact]
    public void Keeps_the_extended_clock_through_a_wrap()
    {
        Push(0, 1, uint.MaxValue - 959);
        Push(20, 2, 0);

        Assert.Equal([$"timeline {uint.MaxValue - 959}", $"packet {uint.MaxValue - 959}", $"packet {1L << 32}"], _recorder.Events);
    }

    [Fact]
    public void Accounts_for_every_tick_under_any_loss_reordering_and_duplication()
    {
        Gen.Int[1, 100_000].Sample(seed =>
        {
            var random = new Random(seed);
            var recorder = new Recorder();
            var buffer = new JitterBuffer(recorder);
            uint origin = (uint)random.NextInt64(1L << 32);
            int first = random.Next(65536);
            var arrivals = new List<(double At, int Index)>();
            for (int i = 0; i < 300; i++)
            {
                if (i > 0 && random.NextDouble() < 0.1)
                    continue;
                // The very first packet fixes where the stream starts, so it comes first.
                arrivals.Add(((i * 20) + (i == 0 ? 0 : random.NextDouble() * 150), i));
                if (random.NextDouble() < 0.05)
                    arrivals.Add(((i * 20) + (random.NextDouble() * 300), i));
            }

            Instant now = Instant.Zero;
            foreach ((double at, int index) in arrivals.OrderBy(a => a.At))
            {
                while (buffer.NextTimeout < At(at))
                    buffer.HandleTimeout(buffer.NextTimeout);
                now = At(at);
                buffer.Push(now, 1, (ushort)(first + index), origin + (uint)(index * 960), Packet());
            }

            buffer.Drain(now);
            Assert.Equal(1, recorder.Timelines);
            Assert.True(recorder.Contiguous, "a hole or an overlap in the timeline");
            Assert.Equal(arrivals.Count, buffer.Received);
            Assert.Equal(buffer.Received, recorder.Packets + buffer.Late + buffer.Duplicates + buffer.OutOfWindow);
        }, iter: 200);
    }

    [Fact]
    public void Survives_arbitrary_packets()
    {
        Gen.Select(Gen.UInt[0, 2], Gen.UShort, Gen.UInt, Gen.Byte.Array[0, 40], Gen.Int[0, 400]).Array[1, 200].Sample(packets =>
        {
            var buffer = new JitterBuffer(new Recorder());
            double at = 0;
            foreach ((uint ssrc, ushort sequence, uint timestamp, byte[] payload, int wait) in packets)
            {
                buffer.HandleTimeout(At(at += wait));
                buffer.Push(At(at), ssrc, sequence, timestamp, payload);
            }

            buffer.Drain(At(at));
        }, iter: 300);
    }

    private static Instant At(double milliseconds) => new((long)(milliseconds * TimeSpan.TicksPerMillisecond));

    private static byte[] Packet() => [Toc20ms, 1, 2, 3];

    private void Push(double at, ushort sequence, uint timestamp) => _buffer.Push(At(at), 1, sequence, timestamp, Packet());

    private sealed class Recorder : IJitterBufferSink
    {
        private long _expected = -1;

        public List<string> Events { get; } = [];

        public int Timelines { get; private set; }

        public int Packets { get; private set; }

        public bool Contiguous { get; private set; } = true;

        public void OnTimeline(long timestamp)
        {
            Timelines++;
            _expected = timestamp;
            Events.Add($"timeline {timestamp}");
        }

        public void OnPacket(long timestamp, ReadOnlySpan<byte> payload)
        {
            Packets++;
            OpusPacket.TryGetDuration(payload, out int ticks);
            Advance(timestamp, ticks);
            Events.Add($"packet {timestamp}");
        }

        public void OnLoss(long timestamp, int ticks, ReadOnlySpan<byte> next)
        {
            Advance(timestamp, ticks);
            Events.Add($"loss {timestamp}+{ticks}{(next.IsEmpty ? "" : " fec")}");
        }

        public void OnGap(long timestamp, long ticks)
        {
            Advance(timestamp, ticks);
            Events.Add($"gap {timestamp}+{ticks}");
        }

        private void Advance(long timestamp, long ticks)
        {
            Contiguous &= timestamp == _expected && ticks > 0;
            _expected = timestamp + ticks;
        }
    }
}
