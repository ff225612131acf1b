using CsCheck;
using Transcribe.Rtc.Rtp;
using static Transcribe.Rtc.Tests.Rtp.RtpSamples;

namespace Transcribe.Rtc.Tests.Rtp;

public sealed class RetransmissionTests
{
    private static readonly Instant Start = Instant.Zero + TimeSpan.FromSeconds(5);

    [Fact]
    public void Finds_a_packet_as_it_was_added()
    {
        RetransmissionCache cache = new();
        byte[] bytes = Packet(65535, payload: [1, 2, 3]);
        Assert.True(cache.Add(Start, Parse(bytes)));
        Assert.True(cache.TryGet(Start, 65535, out RtpPacket found));
        Assert.Equal(Hex(bytes), Hex(found.Bytes));
        Assert.False(cache.TryGet(Start, 0, out _));
    }

    [Fact]
    public void Has_nothing_before_the_first_packet()
    {
        Assert.False(new RetransmissionCache().TryGet(Start, 0, out _));
    }

    [Fact]
    public void Forgets_packets_that_are_too_old()
    {
        RetransmissionCache cache = new(new() { MaxAge = TimeSpan.FromSeconds(1) });
        cache.Add(Start, Parse(Packet(1)));
        Assert.True(cache.TryGet(Start + TimeSpan.FromSeconds(1), 1, out _));
        Assert.False(cache.TryGet(Start + TimeSpan.FromSeconds(1.001), 1, out _));
    }

    [Fact]
    public void Keeps_a_newer_packet_in_a_slot_that_an_older_one_wants()
    {
        RetransmissionCache cache = new(new() { MaxPackets = 16 });
        cache.Add(Start, Parse(Packet(20)));
        Assert.False(cache.Add(Start, Parse(Packet(4))));
        Assert.True(cache.TryGet(Start, 20, out _));
    }

    [Fact]
    public void Refuses_a_packet_larger_than_itself()
    {
        RetransmissionCache cache = new(new() { MaxBytes = 4096 });
        Assert.False(cache.Add(Start, Parse(Packet(1, payload: new byte[5000]))));
    }

    [Fact]
    public void Returns_only_what_was_added_and_always_the_newest_that_fit()
    {
        Gen.Select(Gen.Int[0, 900].Array[1, 400], Gen.UShort).Sample((sizes, first) =>
        {
            const int bytes = 8192;
            RetransmissionCache cache = new(new() { MaxPackets = 64, MaxBytes = bytes });
            byte[][] packets = [.. sizes.Select((size, i) =>
                Packet((ushort)(first + i), payload: [.. Enumerable.Repeat((byte)i, size)]))];
            foreach (byte[] packet in packets)
                Assert.True(cache.Add(Start, Parse(packet)));

            int held = 0;
            for (int i = packets.Length - 1; i >= 0; i--)
            {
                // The end of the ring is left unused when a packet does not fit there.
                held += packets[i].Length;
                bool mustHave = packets.Length - i <= 64 && held <= bytes - 1000;
                if (cache.TryGet(Start, (ushort)(first + i), out RtpPacket found))
                    Assert.Equal(Hex(packets[i]), Hex(found.Bytes));
                else
                    Assert.False(mustHave);
            }

            cache.Clear();
            Assert.False(cache.TryGet(Start, (ushort)(first + packets.Length - 1), out _));
        });
    }

    [Fact]
    public void Allocates_nothing_in_steady_state()
    {
        RetransmissionCache cache = new();
        byte[] bytes = Packet(1, payload: new byte[1000]);
        long before = 0;
        for (int i = -500; i < 5000; i++)
        {
            // What the first calls load and compile is not the steady state.
            if (i == 0)
                before = GC.GetAllocatedBytesForCurrentThread();
            bytes[2] = (byte)(i >> 8);
            bytes[3] = (byte)i;
            RtpPacket packet = Parse(bytes);
            cache.Add(Start, packet);
            cache.TryGet(Start, (ushort)(i - 5), out _);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Fact]
    public void Rtx_undoes_what_was_wrapped()
    {
        Gen.Select(Gen.UShort, Gen.Byte.Array[0, 50], Gen.Bool, Gen.Bool).Sample((sequence, payload, marker, extended) =>
        {
            byte[] buffer = new byte[100];
            RtpHeaderWriter writer = new(buffer, 97, marker, 42, 7777, 0x01020304);
            if (extended)
                writer.SetExtension(4, "1"u8);
            Span<byte> rtx = buffer.AsSpan(0, writer.FinishRetransmission(sequence, payload));
            Assert.True(RtxCodec.TryReadOriginalSequenceNumber(Parse(rtx.ToArray()), out ushort original));
            Assert.Equal(sequence, original);
            Assert.True(RtxCodec.TryUnwrapInPlace(rtx, 96, 0xAABBCCDD, out Span<byte> restored));
            RtpPacket packet = Parse(restored.ToArray());
            Assert.Equal((96, sequence, 0xAABBCCDD, 7777u, marker), (packet.PayloadType, packet.SequenceNumber, packet.Ssrc, packet.Timestamp, packet.Marker));
            Assert.Equal(Hex(payload), Hex(packet.Payload));
            Assert.Equal(extended, packet.TryGetExtension(4, out _));
        });
    }

    [Fact]
    public void Rtx_padding_probes_are_no_retransmissions()
    {
        byte[] buffer = new byte[100];
        RtpHeaderWriter writer = new(buffer, 97, false, 42, 7777, 1);
        int length = writer.FinishPadding(50);
        Assert.False(RtxCodec.TryUnwrapInPlace(buffer.AsSpan(0, length), 96, 9, out _));
    }

    [Fact]
    public void Rtx_never_throws_on_random_bytes() =>
        AnyBytes.Sample(bytes => { RtxCodec.TryUnwrapInPlace(bytes, 96, 1, out _); }, iter: 3000);
}
