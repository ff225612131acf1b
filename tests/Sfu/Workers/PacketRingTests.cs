using CsCheck;
using Transcribe.Sfu.Workers;

namespace Transcribe.Sfu.Tests.Workers;

public sealed class PacketRingTests
{
    [Fact]
    public void Records_come_out_as_they_went_in_whatever_their_sizes() =>
        Gen.Select(Gen.Int[0, 1500].Array[1, 200], Gen.Int[1, 20]).Sample((sizes, batch) =>
        {
            using var ring = new PacketRing(8192);
            var expected = new Queue<(int Channel, byte[] Bytes)>();
            for (int i = 0; i < sizes.Length; i++)
            {
                byte[] bytes = new byte[sizes[i]];
                new Random(i).NextBytes(bytes);
                if (ring.TryWrite(i, RingRecordKind.RtpPacket, i, bytes))
                    expected.Enqueue((i, bytes));
                if (i % batch != 0)
                    continue;
                ring.Publish();
                while (ring.TryRead(out RingRecord record))
                {
                    (int channel, byte[] was) = expected.Dequeue();
                    if (record.Channel != channel || record.Time != channel || !record.Bytes.SequenceEqual(was) || !ring.Holds(record.Bytes))
                        return false;
                }

                ring.Release();
                if (expected.Count > 0 || !ring.IsEmpty)
                    return false;
            }

            return true;
        });

    [Fact]
    public void What_is_not_published_is_not_seen()
    {
        using var ring = new PacketRing(4096);
        Assert.True(ring.TryWrite(1, RingRecordKind.RtpPacket, 0, [1]));
        Assert.False(ring.TryRead(out _));
        ring.Publish();
        Assert.True(ring.TryRead(out RingRecord record));
        Assert.Equal([1], record.Bytes.ToArray());
    }

    [Fact]
    public void A_full_ring_refuses_until_records_are_released_and_not_only_read()
    {
        using var ring = new PacketRing(4096);
        int written = 0;
        while (ring.TryWrite(written, RingRecordKind.RtpPacket, 0, new byte[100]))
            written++;
        ring.Publish();
        Assert.Equal(4096 / (32 + 128), written);
        for (int i = 0; i < written; i++)
            Assert.True(ring.TryRead(out _));
        Assert.False(ring.TryWrite(0, RingRecordKind.RtpPacket, 0, new byte[100]));
        ring.Release();
        Assert.True(ring.TryWrite(0, RingRecordKind.RtpPacket, 0, new byte[100]));
    }

    [Fact]
    public async Task Between_two_threads_every_record_arrives_once_in_order_and_whole()
    {
        const int Count = 200_000;
        using var ring = new PacketRing(16_384);
        Task writer = Task.Run(() =>
        {
            Span<byte> bytes = stackalloc byte[400];
            for (int i = 0; i < Count; i++)
            {
                Span<byte> record = bytes[..(i % 400)];
                record.Fill((byte)i);
                while (!ring.TryWrite(i, RingRecordKind.RtpPacket, i, record))
                {
                    // What waits unpublished could fill the ring.
                    ring.Publish();
                    Thread.Yield();
                }

                if (i % 3 == 0 || i == Count - 1)
                    ring.Publish();
            }
        });
        int next = 0;
        bool whole = true;
        while (next < Count && !writer.IsFaulted)
        {
            while (ring.TryRead(out RingRecord record))
            {
                whole &= record.Channel == next && record.Bytes.Length == next % 400 && !record.Bytes.ContainsAnyExcept((byte)next);
                next++;
            }

            ring.Release();
        }

        await writer;
        Assert.True(whole);
        Assert.Equal(Count, next);
    }
}
