using System.Buffers.Binary;
using System.Text;
using CsCheck;
using Transcribe.Rtc.Sctp;

namespace Transcribe.Rtc.Tests.Sctp;

public sealed class SctpWireTests
{
    [Fact]
    public void Crc32c_gives_the_vectors_of_rfc_3720()
    {
        Assert.Equal(0xE3069283u, Crc32c.Compute(Encoding.ASCII.GetBytes("123456789")));
        Assert.Equal(0x8A9136AAu, Crc32c.Compute(new byte[32]));
        Assert.Equal(0x62A8AB43u, Crc32c.Compute([.. Enumerable.Repeat((byte)0xFF, 32)]));
        Assert.Equal(0x46DD794Eu, Crc32c.Compute([.. Enumerable.Range(0, 32).Select(i => (byte)i)]));
    }

    [Fact]
    public void Serial_numbers_compare_across_the_wrap()
    {
        Assert.True(Serial.Less(0xFFFF_FFFFu, 1u));
        Assert.False(Serial.Less(1u, 0xFFFF_FFFFu));
        Assert.True(Serial.Less((ushort)65535, (ushort)0));
        Assert.True(Serial.LessOrEqual(5u, 5u));
    }

    [Fact]
    public void No_reader_throws_on_any_bytes()
    {
        Gen.Byte.Array[0, 80].Sample(bytes =>
        {
            ReadAll(bytes);
        });
    }

    [Fact]
    public void A_written_packet_reads_back()
    {
        Gen.Select(Gen.Byte.Array[0, 200], Gen.UInt, Gen.Byte).Sample((value, tag, flags) =>
        {
            var writer = new SctpPacketWriter(1152);
            writer.Begin(5000, 5001, tag);
            value.CopyTo(writer.Append(SctpChunkType.Heartbeat, flags, value.Length));
            writer.Append(SctpChunkType.CookieAck, 0, 0);
            ReadOnlySpan<byte> packet = writer.Finish();
            Assert.True(Crc32c.Verify(packet));
            Assert.Equal(0, packet.Length % 4);
            Assert.True(SctpPacket.TryRead(packet, out SctpPacket read));
            Assert.Equal((5000, 5001, tag), (read.SourcePort, read.DestinationPort, read.VerificationTag));
            ReadOnlySpan<byte> rest = read.Chunks;
            Assert.True(SctpChunk.TryRead(ref rest, out SctpChunk chunk));
            Assert.Equal((SctpChunkType.Heartbeat, flags), (chunk.Type, chunk.Flags));
            Assert.True(chunk.Value.SequenceEqual(value));
            Assert.True(SctpChunk.TryRead(ref rest, out chunk));
            Assert.Equal(SctpChunkType.CookieAck, chunk.Type);
            Assert.True(rest.IsEmpty);
        });
    }

    [Fact]
    public void A_state_cookie_with_any_bit_changed_is_refused()
    {
        byte[] secret = SctpPair.Bytes(32, 1);
        var cookie = new StateCookie { Created = new(77), LocalTag = 1, PeerTag = 2, LocalInitialTsn = 3, PeerReconfig = true };
        var bytes = new byte[StateCookie.Size];
        cookie.Write(bytes, secret);
        Assert.True(StateCookie.TryRead(bytes, secret, out StateCookie read));
        Assert.Equal(cookie, read);
        for (int bit = 0; bit < bytes.Length * 8; bit++)
        {
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.False(StateCookie.TryRead(bytes, secret, out _));
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
        }

        Assert.False(StateCookie.TryRead(bytes, SctpPair.Bytes(32, 2), out _));
        Assert.False(StateCookie.TryRead(bytes.AsSpan(1), secret, out _));
    }

    [Fact]
    public void Dcep_open_round_trips_every_channel_type()
    {
        DcepOpen[] all =
        [
            new(true, null, null, 256, "captions", ""),
            new(false, null, null, 128, "", "p"),
            new(true, 3, null, 512, "é", "jp"),
            new(false, 0, null, 512, "x", ""),
            new(true, null, TimeSpan.FromMilliseconds(250), 1024, "y", "z"),
            new(false, null, TimeSpan.Zero, 0, "y", "z"),
        ];
        foreach (DcepOpen open in all)
        {
            byte[] bytes = open.ToBytes();
            Assert.True(DcepOpen.TryRead(bytes, out DcepOpen read));
            Assert.Equal(open, read);
            for (int length = 0; length < bytes.Length; length++)
                Assert.False(DcepOpen.TryRead(bytes.AsSpan(0, length), out _));
        }
    }

    [Fact]
    public void Received_tsns_are_tracked_like_a_set_across_the_wrap()
    {
        Gen.Select(Gen.UInt, Gen.Int[1, 60].Array[1, 120]).Sample((start, offsets) =>
        {
            foreach (uint first in new[] { start, uint.MaxValue - 20 })
            {
                var tracker = new ReceiveTracker(first);
                var model = new HashSet<int>();
                int cumulative = 0;
                for (int i = 0; i < offsets.Length; i++)
                {
                    int offset = offsets[i];
                    uint tsn = first + (uint)offset;
                    Assert.Equal(offset <= cumulative || model.Contains(offset), tracker.Contains(tsn));
                    if (i % 17 == 16)
                    {
                        tracker.AdvanceTo(tsn);
                        cumulative = Math.Max(cumulative, offset);
                    }
                    else if (!tracker.Contains(tsn))
                    {
                        tracker.Add(tsn);
                        model.Add(offset);
                    }

                    while (model.Contains(cumulative + 1))
                        cumulative++;
                    Assert.Equal(first + (uint)cumulative, tracker.CumulativeTsn);
                    var beyond = new List<int>();
                    foreach ((uint from, uint to) in tracker.Ranges)
                    {
                        for (uint t = from; t != to + 1; t++)
                            beyond.Add((int)(t - first));
                    }

                    Assert.Equal(model.Where(o => o > cumulative).Order(), beyond);
                }
            }
        }, iter: 2000);
    }

    private static void ReadAll(byte[] bytes)
    {
        ReadOnlySpan<byte> rest = bytes;
        while (SctpParameter.TryRead(ref rest, out _))
        {
        }

        if (SctpPacket.TryRead(bytes, out SctpPacket packet))
        {
            _ = Crc32c.Verify(bytes);
            rest = packet.Chunks;
            while (SctpChunk.TryRead(ref rest, out SctpChunk chunk))
                _ = DataChunk.TryRead(chunk, out _);
        }

        _ = InitChunk.TryRead(bytes, out _);
        _ = DcepOpen.TryRead(bytes, out _);
        _ = ReconfigResponse.TryRead(bytes, out _);
        if (SackChunk.TryRead(bytes, out SackChunk sack))
        {
            for (int i = 0; i < sack.GapCount; i++)
                _ = sack.Gap(i);
            for (int i = 0; i < sack.DuplicateCount; i++)
                _ = sack.Duplicate(i);
        }

        if (ForwardTsnChunk.TryRead(bytes, out ForwardTsnChunk forward))
        {
            for (int i = 0; i < forward.StreamCount; i++)
                _ = forward.Stream(i);
        }

        if (OutgoingResetRequest.TryRead(bytes, out OutgoingResetRequest reset))
        {
            for (int i = 0; i < reset.StreamCount; i++)
                _ = reset.Stream(i);
        }
    }
}

/// <summary>Packets made by hand for the tests.</summary>
internal static class Craft
{
    public static byte[] Packet(uint tag, params (SctpChunkType Type, byte Flags, byte[] Value)[] chunks)
    {
        var writer = new SctpPacketWriter(4096);
        writer.Begin(5000, 5000, tag);
        foreach ((SctpChunkType type, byte flags, byte[] value) in chunks)
            value.CopyTo(writer.Append(type, flags, value.Length));
        return writer.Finish().ToArray();
    }

    public static (SctpChunkType, byte, byte[]) Data(uint tsn, ushort stream, ushort ssn, byte flags, params byte[] data)
    {
        var value = new byte[DataChunk.FixedSize + data.Length];
        BinaryPrimitives.WriteUInt32BigEndian(value, tsn);
        BinaryPrimitives.WriteUInt16BigEndian(value.AsSpan(4), stream);
        BinaryPrimitives.WriteUInt16BigEndian(value.AsSpan(6), ssn);
        BinaryPrimitives.WriteUInt32BigEndian(value.AsSpan(8), 53);
        data.CopyTo(value, DataChunk.FixedSize);
        return (SctpChunkType.Data, flags, value);
    }

    public static (SctpChunkType, byte, byte[]) Sack(uint cumulative, uint window)
    {
        var value = new byte[SackChunk.FixedSize];
        BinaryPrimitives.WriteUInt32BigEndian(value, cumulative);
        BinaryPrimitives.WriteUInt32BigEndian(value.AsSpan(4), window);
        return (SctpChunkType.Sack, 0, value);
    }

    /// <summary>Tag, and initial TSN of the sender, of an INIT or INIT ACK.</summary>
    public static (uint Tag, uint Tsn) ReadInit(byte[] packet) =>
        (BinaryPrimitives.ReadUInt32BigEndian(packet.AsSpan(16)), BinaryPrimitives.ReadUInt32BigEndian(packet.AsSpan(28)));
}
