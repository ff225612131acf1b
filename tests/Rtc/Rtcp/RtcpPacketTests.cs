using CsCheck;
using Transcribe.Rtc.Rtcp;
using Transcribe.Rtc.Tests.Rtp;

namespace Transcribe.Rtc.Tests.Rtcp;

public sealed class RtcpPacketTests
{
    private readonly byte[] _buffer = new byte[1500];

    [Fact]
    public void Reads_a_sender_report_with_a_block_and_a_cname_behind_it()
    {
        byte[] bytes = Convert.FromHexString(
            "81C8000C" + "11111111" + "E8D3A2B180000000" + "0000BB80" + "00000064" + "00002710"
            + "22222222" + "40FFFFFE" + "00010005" + "0000000A" + "A2B18000" + "00018000"
            + "81CA0004" + "11111111" + "0105616C69636500" + "00000000");

        Assert.True(RtcpCompound.TryParse(bytes, out RtcpCompound compound));
        RtcpCompound.Enumerator packets = compound.GetEnumerator();

        Assert.True(packets.MoveNext());
        Assert.True(packets.Current.TryReadSenderReport(out SenderReport report, out ReportBlocks blocks));
        Assert.Equal(new SenderReport(0x11111111, new NtpTimestamp(0xE8D3A2B180000000), 48000, 100, 10000), report);
        Assert.Equal(0xA2B18000u, report.Ntp.Compact);
        Assert.Equal(1, blocks.Count);
        Assert.Equal(new ReportBlock(0x22222222, 64, -2, 0x10005, 10, 0xA2B18000, 0x18000), blocks[0]);
        Assert.False(packets.Current.TryReadReceiverReport(out _, out _));

        Assert.True(packets.MoveNext());
        Assert.True(packets.Current.TryReadCname(out uint ssrc, out ReadOnlySpan<byte> cname));
        Assert.Equal(0x11111111u, ssrc);
        Assert.Equal("alice", System.Text.Encoding.ASCII.GetString(cname));
        Assert.False(packets.MoveNext());
    }

    [Fact]
    public void Finds_a_cname_behind_other_items_and_chunks()
    {
        // first chunk: NAME "x" only; second: TOOL "ab", then CNAME "c"
        byte[] bytes = Convert.FromHexString("82CA0006" + "00000001" + "02017800" + "00000002" + "06026162" + "01016300" + "00000000");
        RtcpPacket packet = Single(bytes);
        Assert.True(packet.TryReadCname(out uint ssrc, out ReadOnlySpan<byte> cname));
        Assert.Equal((2u, "63"), (ssrc, Convert.ToHexString(cname)));
    }

    [Fact]
    public void Reads_a_goodbye_with_a_reason()
    {
        RtcpPacket packet = Single(Convert.FromHexString("82CB0004" + "00000001" + "00000002" + "03627965" + "00000000"));
        Assert.True(packet.TryReadGoodbye(out SsrcList sources));
        Assert.Equal(2, sources.Count);
        Assert.True(sources.Contains(2));
        Assert.False(sources.Contains(3));
    }

    [Fact]
    public void Reads_a_nack_with_its_mask()
    {
        RtcpPacket packet = Single(Convert.FromHexString("81CD0003" + "00000001" + "00000002" + "FFFE8005"));
        Assert.True(packet.TryReadNack(out uint media, out NackedSequenceNumbers lost));
        Assert.Equal(2u, media);
        Assert.Equal(4, lost.Count);
        Span<ushort> numbers = stackalloc ushort[10];
        Assert.Equal([65534, 65535, 1, 14], numbers[..lost.CopyTo(numbers)].ToArray());
    }

    [Fact]
    public void Reads_the_remb_of_the_draft()
    {
        RtcpPacket packet = Single(Convert.FromHexString("8FCE0006" + "00000001" + "00000000" + "52454D42" + "020BFFFF" + "00000005" + "00000006"));
        Assert.True(packet.TryReadRemb(out long bitsPerSecond, out SsrcList sources));
        Assert.Equal(0x3FFFFL << 2, bitsPerSecond);
        Assert.Equal((2, 5u, 6u), (sources.Count, sources[0], sources[1]));
    }

    [Fact]
    public void Saturates_a_remb_that_overflows()
    {
        RtcpPacket packet = Single(Convert.FromHexString("8FCE0004" + "00000001" + "00000000" + "52454D42" + "00FFFFFF"));
        Assert.True(packet.TryReadRemb(out long bitsPerSecond, out _));
        Assert.Equal(long.MaxValue, bitsPerSecond);
    }

    [Fact]
    public void Passes_over_packet_types_it_does_not_know()
    {
        // XR with a receiver reference time, APP, an unknown 210, then a PLI
        byte[] bytes = Convert.FromHexString(
            "80CF0004" + "00000001" + "04000002" + "E8D3A2B180000000"
            + "80CC0002" + "00000001" + "74657374"
            + "80D20000"
            + "81CE0002" + "00000001" + "00000007");
        Assert.True(RtcpCompound.TryParse(bytes, out RtcpCompound compound));
        List<int> types = [];
        uint wanted = 0;
        foreach (RtcpPacket packet in compound)
        {
            types.Add((int)packet.Type);
            if (packet.TryReadPictureLoss(out uint media))
                wanted = media;
        }

        Assert.Equal([207, 204, 210, 206], types);
        Assert.Equal(7u, wanted);
    }

    [Theory]
    [InlineData("", "nothing")]
    [InlineData("81CE00", "less than a header")]
    [InlineData("41CE00020000000100000007", "version 1")]
    [InlineData("81CE00030000000100000007", "a length beyond the datagram")]
    [InlineData("81CE0002000000010000000781", "bytes left over")]
    [InlineData("81600002000000010000000700", "a type that is RTP's")]
    [InlineData("A1CE00020000000100000000", "padding of zero bytes")]
    [InlineData("A1CE00020000000100000009", "padding larger than the packet")]
    public void Rejects_the_whole_compound(string hex, string why)
    {
        Assert.False(RtcpCompound.TryParse(Convert.FromHexString(hex), out _), why);
    }

    [Theory]
    [InlineData("81C8000600000001E8D3A2B1800000000000BB800000006400002710")] // SR that counts a block it has not
    [InlineData("81C9000100000001")] // RR likewise
    [InlineData("82CB000100000001")] // BYE of two sources with one
    [InlineData("81CE000100000001")] // PLI without media
    [InlineData("81CD00020000000100000002")] // NACK of nothing
    [InlineData("84CE00020000000100000002")] // FIR of nobody
    [InlineData("8FCE00040000000100000000524549420203FFFF")] // not "REMB"
    [InlineData("8FCE00040000000100000000" + "52454D42" + "0203FFFF")] // REMB of two sources with none
    [InlineData("81CA000200000001" + "01FF6161")] // a CNAME that overruns
    public void Reads_nothing_from_a_body_too_short(string hex)
    {
        RtcpPacket packet = Single(Convert.FromHexString(hex));
        Assert.False(packet.TryReadSenderReport(out _, out _));
        Assert.False(packet.TryReadReceiverReport(out _, out _));
        Assert.False(packet.TryReadGoodbye(out _));
        Assert.False(packet.TryReadPictureLoss(out _));
        Assert.False(packet.TryReadNack(out _, out _));
        Assert.False(packet.TryReadFullIntraRequest(out _));
        Assert.False(packet.TryReadRemb(out _, out _));
        Assert.False(packet.TryReadCname(out _, out _));
    }

    [Fact]
    public void Round_trips_reports()
    {
        Gen<ReportBlock> block = Gen.Select(
            Gen.UInt, Gen.Byte, Gen.Int[-0x80_0000, 0x7F_FFFF], Gen.UInt, Gen.UInt, Gen.UInt, Gen.UInt,
            (a, b, c, d, e, f, g) => new ReportBlock(a, b, c, d, e, f, g));
        Gen.Select(Gen.UInt, Gen.ULong, Gen.UInt, Gen.UInt, Gen.UInt, block.Array[0, 31]).Sample((ssrc, ntp, rtp, packets, octets, blocks) =>
        {
            byte[] buffer = new byte[1700];
            SenderReport report = new(ssrc, new NtpTimestamp(ntp), rtp, packets, octets);
            RtcpWriter writer = new(buffer);
            Assert.True(writer.WriteSenderReport(report, blocks));
            Assert.True(writer.WriteReceiverReport(ssrc, blocks));

            Assert.True(RtcpCompound.TryParse(writer.Written, out RtcpCompound compound));
            RtcpCompound.Enumerator packetsRead = compound.GetEnumerator();
            Assert.True(packetsRead.MoveNext());
            Assert.True(packetsRead.Current.TryReadSenderReport(out SenderReport read, out ReportBlocks first));
            Assert.Equal(report, read);
            Assert.True(packetsRead.MoveNext());
            Assert.True(packetsRead.Current.TryReadReceiverReport(out uint receiver, out ReportBlocks second));
            Assert.Equal(ssrc, receiver);
            Assert.Equal(blocks.Length, first.Count);
            int index = 0;
            foreach (ReportBlock one in second)
            {
                Assert.Equal(blocks[index], one);
                Assert.Equal(blocks[index++], first[index - 1]);
            }

            Assert.Equal(blocks.Length, index);
        });
    }

    [Fact]
    public void Clamps_a_cumulative_loss_beyond_24_bits()
    {
        RtcpWriter writer = new(_buffer);
        writer.WriteReceiverReport(1, [new ReportBlock(2, 0, 100_000_000, 0, 0, 0, 0)]);
        Assert.True(Single(writer.Written).TryReadReceiverReport(out _, out ReportBlocks blocks));
        Assert.Equal(0x7F_FFFF, blocks[0].CumulativeLost);
    }

    [Fact]
    public void Round_trips_cnames_of_every_length()
    {
        for (int length = 0; length <= 255; length++)
        {
            byte[] cname = [.. Enumerable.Repeat((byte)'n', length)];
            RtcpWriter writer = new(_buffer);
            Assert.True(writer.WriteCname(9, cname));
            Assert.True(Single(writer.Written).TryReadCname(out uint ssrc, out ReadOnlySpan<byte> read));
            Assert.Equal((9u, length), (ssrc, read.Length));
        }

        RtcpWriter tooLong = new(_buffer);
        Assert.False(tooLong.WriteCname(9, new byte[256]));
    }

    [Fact]
    public void Round_trips_nacks_packed_small()
    {
        Gen.Select(Gen.UShort, Gen.Int[1, 40].Array[0, 60]).Sample((first, steps) =>
        {
            List<ushort> lost = [first];
            foreach (int step in steps)
                lost.Add((ushort)(lost[^1] + step));
            byte[] buffer = new byte[400];
            RtcpWriter writer = new(buffer);
            Assert.True(writer.WriteNack(1, 2, lost.ToArray()));
            Assert.True(Single(writer.Written).TryReadNack(out uint media, out NackedSequenceNumbers read));
            Assert.Equal(2u, media);
            ushort[] numbers = new ushort[read.Count];
            Assert.Equal(numbers.Length, read.CopyTo(numbers));
            Assert.Equal(lost, numbers);

            int span = steps.Sum() + 1;
            Assert.True(writer.Length <= 12 + (4 * Math.Min(lost.Count, (span + 16) / 17 * 2)));
        });
    }

    [Fact]
    public void Packs_seventeen_neighbours_into_one_entry()
    {
        RtcpWriter writer = new(_buffer);
        writer.WriteNack(1, 2, [.. Enumerable.Range(65530, 17).Select(i => (ushort)i)]);
        Assert.Equal("81CD0003" + "00000001" + "00000002" + "FFFAFFFF", Convert.ToHexString(writer.Written));
    }

    [Fact]
    public void Round_trips_requests_for_keyframes_and_goodbyes()
    {
        RtcpWriter writer = new(_buffer);
        Assert.True(writer.WritePictureLoss(1, 2));
        Assert.True(writer.WriteFullIntraRequest(1, 3, 200));
        Assert.True(writer.WriteGoodbye([4, 5]));
        Assert.True(RtcpCompound.TryParse(writer.Written, out RtcpCompound compound));
        RtcpCompound.Enumerator packets = compound.GetEnumerator();
        Assert.True(packets.MoveNext() && packets.Current.TryReadPictureLoss(out uint media) && media == 2);
        Assert.True(packets.MoveNext());
        Assert.True(packets.Current.TryReadFullIntraRequest(out FullIntraRequests requests));
        Assert.Equal(1, requests.Count);
        Assert.Equal((3u, (byte)200), requests[0]);
        Assert.True(packets.MoveNext());
        Assert.True(packets.Current.TryReadGoodbye(out SsrcList sources));
        Assert.Equal((4u, 5u), (sources[0], sources[1]));
    }

    [Fact]
    public void Round_trips_remb_to_18_significant_bits()
    {
        Gen.Select(Gen.Long[0, long.MaxValue], Gen.UInt.Array[0, 20]).Sample((bitsPerSecond, sources) =>
        {
            byte[] buffer = new byte[200];
            RtcpWriter writer = new(buffer);
            Assert.True(writer.WriteRemb(1, bitsPerSecond, sources));
            Assert.True(Single(writer.Written).TryReadRemb(out long read, out SsrcList list));
            Assert.InRange(read, bitsPerSecond - (bitsPerSecond >> 17), bitsPerSecond);
            Assert.Equal(sources.Length, list.Count);
        });
    }

    [Fact]
    public void Leaves_the_buffer_alone_where_a_packet_does_not_fit()
    {
        RtcpWriter writer = new(_buffer.AsSpan(0, 20));
        Assert.True(writer.WritePictureLoss(1, 2));
        Assert.False(writer.WritePictureLoss(1, 2));
        Assert.False(writer.WriteNack(1, 2, [1]));
        Assert.False(writer.WriteCname(1, "long"u8));
        Assert.Equal(12, writer.Length);
    }

    [Fact]
    public void Never_throws_on_random_bytes() => RtpSamples.AnyBytes.Sample(bytes => { Touch(bytes); }, iter: 5000);

    [Fact]
    public void Never_throws_on_a_mutated_compound()
    {
        RtcpWriter writer = new(_buffer);
        writer.WriteSenderReport(new SenderReport(1, default, 2, 3, 4), [default]);
        writer.WriteCname(1, "cname"u8);
        writer.WriteNack(1, 2, [1, 2, 3, 40]);
        writer.WriteFullIntraRequest(1, 2, 3);
        writer.WriteRemb(1, 1_000_000, [1, 2]);
        TransportFeedbackRecorder recorder = new();
        for (int i = 0; i < 50; i++)
            recorder.OnPacket(new Instant(i * i * 100_000), (ushort)(i * 3));
        Assert.True(recorder.TryWrite(ref writer, 1, 2));
        writer.WriteGoodbye([1]);
        byte[] valid = writer.Written.ToArray();
        Assert.True(Touch(valid));
        RtpSamples.Mutated(valid).Sample(bytes => { Touch(bytes); }, iter: 5000);
    }

    private static bool Touch(byte[] bytes)
    {
        if (!RtcpCompound.TryParse(bytes, out RtcpCompound compound))
            return false;
        int length = 0;
        foreach (RtcpPacket packet in compound)
        {
            length += packet.Bytes.Length;
            if (packet.TryReadSenderReport(out _, out ReportBlocks blocks) || packet.TryReadReceiverReport(out _, out blocks))
            {
                foreach (ReportBlock block in blocks)
                    block.TryGetRoundTripTime(default, out _);
            }

            packet.TryReadCname(out _, out _);
            if (packet.TryReadGoodbye(out SsrcList list) | packet.TryReadRemb(out _, out list))
                list.Contains(0);
            if (packet.TryReadNack(out _, out NackedSequenceNumbers lost))
            {
                int count = 0;
                foreach (ushort _ in lost)
                    count++;
                Assert.Equal(lost.Count, count);
            }

            if (packet.TryReadFullIntraRequest(out FullIntraRequests requests))
            {
                for (int i = 0; i < requests.Count; i++)
                    _ = requests[i];
            }

            if (packet.TryReadTransportFeedback(out TransportFeedback feedback))
            {
                int count = 0;
                foreach (TransportPacketStatus _ in feedback)
                    count++;
                Assert.Equal(feedback.PacketStatusCount, count);
            }
        }

        Assert.Equal(bytes.Length, length);
        return true;
    }

    private static RtcpPacket Single(ReadOnlySpan<byte> bytes)
    {
        Assert.True(RtcpCompound.TryParse(bytes, out RtcpCompound compound));
        RtcpCompound.Enumerator packets = compound.GetEnumerator();
        Assert.True(packets.MoveNext());
        return packets.Current;
    }
}
