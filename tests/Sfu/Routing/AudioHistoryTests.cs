using CsCheck;
using Transcribe.Cluster.Sfu;
using Transcribe.Sfu.Routing;

namespace Transcribe.Sfu.Tests.Routing;

public sealed class AudioHistoryTests
{
    private const int Ticks = 960;

    [Fact]
    public void Keeps_the_last_fifteen_seconds()
    {
        var history = new AudioHistory();
        Fill(history, 0, 2000);

        List<HistoryPacket> packets = history.Read();
        Assert.Equal(751, packets.Count);
        Assert.Equal(1999 * Ticks, (int)packets[^1].Timestamp);
        Assert.Equal(Payload(1999), packets[^1].Payload);
        Assert.Equal(Payload(1249), packets[0].Payload);
    }

    [Fact]
    public void Seeks_through_the_wrap_of_both_counters()
    {
        var history = new AudioHistory();
        const uint Origin = uint.MaxValue - (200 * Ticks);
        for (int i = 0; i < 400; i++)
            history.Add(1, unchecked((ushort)(65400 + i)), unchecked(Origin + (uint)(i * Ticks)), 111, false, Payload(i));

        List<HistoryPacket> packets = history.Read(unchecked(Origin + (300 * Ticks) - 5));
        Assert.Equal(Enumerable.Range(300, 100).Select(i => unchecked((ushort)(65400 + i))), packets.Select(packet => packet.SequenceNumber));
        Assert.Empty(history.Read(unchecked(Origin + (400 * Ticks))));
        Assert.Equal(400, history.Read(unchecked(Origin - Ticks)).Count);
    }

    [Fact]
    public void Gives_reordered_packets_in_order_and_repeated_ones_once()
    {
        var history = new AudioHistory();
        foreach (int i in (int[])[0, 2, 1, 1, 4, 7, 6, 2])
            Add(history, i);

        Assert.Equal([0, 1, 2, 4, 6, 7], history.Read().Select(packet => (int)packet.SequenceNumber));
    }

    [Fact]
    public void Forgets_what_a_pause_left_behind()
    {
        var history = new AudioHistory();
        Fill(history, 0, 100);
        history.Add(1, 100, 16 * 48000 + (100 * Ticks), 111, true, Payload(5));

        HistoryPacket only = Assert.Single(history.Read());
        Assert.True(only.Marker);
        Assert.Equal(111, only.PayloadType);
    }

    [Fact]
    public void Starts_anew_with_another_source_and_when_the_clock_jumps_back()
    {
        var history = new AudioHistory();
        Fill(history, 1000, 100);
        history.Add(2, 7, 1000 * Ticks, 111, false, Payload(1));
        Assert.Single(history.Read());
        history.Add(2, 8, 5, 111, false, Payload(1));
        Assert.Equal(8, Assert.Single(history.Read()).SequenceNumber);
    }

    [Fact]
    public void A_track_that_sends_too_much_keeps_less()
    {
        var history = new AudioHistory();
        byte[] large = new byte[1400];
        for (int i = 0; i < 3000; i++)
            history.Add(1, (ushort)i, (uint)i * 120, 111, false, large);

        Assert.InRange(history.PayloadBytes, 400_000, 512 * 1024);
        List<HistoryPacket> packets = history.Read();
        Assert.Equal(2999, packets[^1].SequenceNumber);
        Assert.Equal(packets.Count, packets[^1].SequenceNumber - packets[0].SequenceNumber + 1);
    }

    [Fact]
    public void Allocates_nothing_once_it_has_grown()
    {
        var history = new AudioHistory();
        byte[] payload = new byte[160];
        Round(0);
        Round(2000);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Round(4000);

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);

        void Round(int from)
        {
            for (int i = from; i < from + 2000; i++)
                history.Add(1, (ushort)i, (uint)(i * Ticks), 111, false, payload.AsSpan(0, 60 + (i * 7 % 100)));
        }
    }

    [Fact]
    public void Holds_what_was_put_in_whatever_comes()
    {
        Gen.Int[1, 1_000_000].Sample(seed =>
        {
            var random = new Random(seed);
            var history = new AudioHistory();
            var sent = new Dictionary<ushort, byte[]>();
            int at = random.Next(65536);
            uint timestamp = (uint)random.NextInt64(1L << 32);
            for (int i = 0; i < 1500; i++, at++, timestamp += Ticks)
            {
                if (random.NextDouble() < 0.02)
                    timestamp += (uint)random.Next(48000 * 3);
                if (random.NextDouble() < 0.05)
                    continue;
                byte[] payload = new byte[random.Next(random.NextDouble() < 0.01 ? 3000 : 300)];
                random.NextBytes(payload);
                ushort sequence = unchecked((ushort)at);
                sent[sequence] = payload;
                history.Add(1, sequence, timestamp, 111, false, payload);
            }

            List<HistoryPacket> packets = history.Read();
            Assert.True(packets.Count == 0 || (int)(packets[^1].Timestamp - packets[0].Timestamp) <= 15 * 48000);
            Assert.Equal(history.PayloadBytes, packets.Sum(packet => packet.Payload.Length));
            for (int i = 0; i < packets.Count; i++)
            {
                Assert.Equal(sent[packets[i].SequenceNumber], packets[i].Payload);
                Assert.True(i == 0 || (short)(packets[i].SequenceNumber - packets[i - 1].SequenceNumber) > 0);
            }
        }, iter: 50);
    }

    private static byte[] Payload(int i) => [(byte)i, (byte)(i >> 8), .. new byte[100 + (i % 40)]];

    private static void Fill(AudioHistory history, int from, int count)
    {
        for (int i = from; i < from + count; i++)
            Add(history, i);
    }

    private static void Add(AudioHistory history, int i) => history.Add(1, (ushort)i, (uint)(i * Ticks), 111, false, Payload(i));
}
