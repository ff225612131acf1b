using CsCheck;
using Transcribe.Rtc.Rtp;
using static Transcribe.Rtc.Tests.Rtp.RtpSamples;

namespace Transcribe.Rtc.Tests.Rtp;

public sealed class RtpHeaderWriterTests
{
    private readonly byte[] _buffer = new byte[1500];

    [Fact]
    public void Writes_a_plain_packet()
    {
        RtpHeaderWriter writer = new(_buffer, 111, marker: true, 0x1A2B, 0x00112233, 0xDEADBEEF);
        int length = writer.Finish([1, 2, 3]);
        Assert.Equal("80EF1A2B00112233DEADBEEF010203", Hex(_buffer.AsSpan(0, length)));
    }

    [Fact]
    public void Writes_one_byte_extensions_padded_to_a_word()
    {
        RtpHeaderWriter writer = Begin();
        writer.SetExtension(4, "0"u8);
        writer.SetExtension(1, [0xAE]);
        writer.SetExtension(3, [1, 2, 3]);
        Assert.Equal("BEDE0002" + "4030" + "10AE" + "32010203", Hex(Finish(ref writer).Bytes[12..]));
    }

    [Fact]
    public void Forwards_mapped_extensions_and_drops_the_others()
    {
        // audio level 1 -> 10, mid 4 is the hop's own, 7 was not negotiated by the receiver
        byte[] source = Packet(5, payload: [9, 8, 7], extensionBlock: [0x10, 0xAE, 0x40, (byte)'0', 0x70, 0x55, 0, 0]);
        RtpExtensionIds publisher = new([(1, RtpExtensionUris.AudioLevel), (4, RtpExtensionUris.Mid), (7, "urn:x")]);
        RtpExtensionIds subscriber = new([(10, RtpExtensionUris.AudioLevel), (2, RtpExtensionUris.Mid)]);
        RtpPacket packet = Parse(source);

        RtpHeaderWriter writer = Begin();
        writer.SetExtension(subscriber.Mid, "12"u8);
        writer.CopyExtensions(packet, RtpExtensionMap.Between(publisher, subscriber));
        RtpPacket sent = Parse(_buffer.AsSpan(0, writer.Finish(packet.Payload)));

        Assert.Equal(new Dictionary<byte, string> { [2] = "3132", [10] = "AE" }, ExtensionsOf(sent));
        Assert.Equal("090807", Hex(sent.Payload));
    }

    [Fact]
    public void Prefers_a_set_extension_to_a_copied_one()
    {
        byte[] source = Packet(5, extensionBlock: [0x10, 0xAE, 0, 0]);
        RtpHeaderWriter writer = Begin();
        writer.SetExtension(3, [0x11]);
        writer.CopyExtensions(Parse(source), RtpExtensionMap.Of([(1, 3)]));
        Assert.Equal(new Dictionary<byte, string> { [3] = "11" }, ExtensionsOf(Finish(ref writer)));
    }

    [Fact]
    public void Replaces_an_extension_of_the_same_and_of_another_length()
    {
        RtpHeaderWriter writer = Begin();
        writer.SetExtension(1, [1, 1]);
        writer.SetExtension(2, [2]);
        writer.SetExtension(1, [3, 3]);
        writer.SetExtension(2, [4, 5, 6]);
        Assert.Equal(new Dictionary<byte, string> { [1] = "0303", [2] = "040506" }, ExtensionsOf(Finish(ref writer)));
    }

    [Fact]
    public void Changes_to_the_two_byte_form_where_allowed()
    {
        RtpHeaderWriter writer = Begin(allowTwoByte: true);
        writer.SetExtension(1, [0xAA]);
        writer.SetExtension(14, [0xBB, 0xCC]);
        Assert.True(writer.SetExtension(15, [0xDD]));
        Assert.True(writer.SetExtension(2, []));
        Assert.True(writer.SetExtension(1, [0xEE]));

        RtpPacket packet = Finish(ref writer);

        Assert.True(packet.Extensions.IsTwoByte);
        Assert.Equal(
            new Dictionary<byte, string> { [1] = "EE", [14] = "BBCC", [15] = "DD", [2] = "" },
            ExtensionsOf(packet));
    }

    [Fact]
    public void Leaves_out_what_the_one_byte_form_cannot_carry()
    {
        RtpHeaderWriter writer = Begin();
        Assert.False(writer.SetExtension(15, [1]));
        Assert.False(writer.SetExtension(1, []));
        Assert.False(writer.SetExtension(1, new byte[17]));
        Assert.False(writer.SetExtension(0, [1]));
        Assert.False(Finish(ref writer).HasExtensionBlock);
    }

    [Fact]
    public void Reports_a_buffer_too_small_for_extension_or_payload()
    {
        byte[] small = new byte[20];
        RtpHeaderWriter writer = new(small, 96, false, 1, 2, 3);
        Assert.True(writer.SetExtension(1, [1, 2, 3]));
        Assert.False(writer.SetExtension(2, [1]));
        Assert.Equal(0, writer.Finish([1]));
    }

    [Fact]
    public void Writes_padding_that_parses_as_such()
    {
        RtpHeaderWriter writer = Begin();
        writer.SetExtension(1, [1]);
        int length = writer.FinishPadding(200);
        RtpPacket packet = Parse(_buffer.AsSpan(0, length));
        Assert.Equal(200, packet.PaddingLength);
        Assert.True(packet.Payload.IsEmpty);
    }

    [Fact]
    public void Round_trips_any_header()
    {
        Gen.Select(
            Gen.Select(Gen.Byte[0, 127], Gen.Bool, Gen.UShort, Gen.UInt, Gen.UInt),
            Gen.Byte.Array[0, 15].Select(b => b.SelectMany(x => new byte[] { x, 1, 2, 3 }).ToArray()),
            Gen.Select(Gen.Byte, Gen.Byte.Array[0, 40]).Array[0, 12],
            Gen.Byte.Array[0, 60],
            Gen.Bool).Sample((header, csrcs, extensions, payload, mixed) =>
        {
            (byte payloadType, bool marker, ushort sequence, uint timestamp, uint ssrc) = header;
            byte[] buffer = new byte[1500];
            Dictionary<byte, string> expected = [];
            RtpHeaderWriter writer = new(buffer, payloadType, marker, sequence, timestamp, ssrc, csrcs, mixed);
            foreach ((byte id, byte[] data) in extensions)
            {
                bool fits = id is > 0 and < 15 && data.Length is > 0 and <= 16;
                bool set = writer.SetExtension(id, data);
                Assert.Equal(id != 0 && (fits || mixed), set);
                if (set)
                    expected[id] = Hex(data);
            }

            int headerLength = writer.HeaderLength;
            RtpPacket packet = Parse(buffer.AsSpan(0, writer.Finish(payload)));

            Assert.Equal(headerLength, packet.HeaderLength);
            Assert.Equal((payloadType, marker, sequence, timestamp, ssrc),
                (packet.PayloadType, packet.Marker, packet.SequenceNumber, packet.Timestamp, packet.Ssrc));
            Assert.Equal(Hex(csrcs), Hex(packet.ContributingSources));
            Assert.Equal(expected, ExtensionsOf(packet));
            Assert.Equal(Hex(payload), Hex(packet.Payload));
        });
    }

    [Fact]
    public void Rewriting_keeps_payload_and_the_values_of_mapped_extensions()
    {
        Gen.Select(
            Gen.Select(Gen.Byte[1, 14], Gen.Byte.Array[1, 16]).Array[0, 6],
            Gen.Byte[1, 14].Array[14],
            Gen.Byte.Array[0, 100]).Sample((extensions, ids, payload) =>
        {
            byte[] source = new byte[600];
            RtpHeaderWriter first = new(source, 96, true, 1, 2, 3);
            foreach ((byte id, byte[] data) in extensions)
                first.SetExtension(id, data);
            RtpPacket packet = Parse(source.AsSpan(0, first.Finish(payload)));

            // Distinct destinations: two sources mapped to one id keep only the first.
            (byte, byte)[] pairs = [.. ids.Select((to, from) => ((byte)(from + 1), to)).DistinctBy(p => p.to)];
            RtpExtensionMap map = RtpExtensionMap.Of(pairs);
            byte[] destination = new byte[600];
            RtpHeaderWriter second = new(destination, 100, packet.Marker, 4, 5, 6);
            second.CopyExtensions(packet, map);
            RtpPacket sent = Parse(destination.AsSpan(0, second.Finish(packet.Payload)));

            Dictionary<byte, string> expected = ExtensionsOf(packet)
                .Where(e => map[e.Key] != 0).ToDictionary(e => map[e.Key], e => e.Value);
            Assert.Equal(expected, ExtensionsOf(sent));
            Assert.Equal(Hex(payload), Hex(sent.Payload));
        });
    }

    [Fact]
    public void Allocates_nothing()
    {
        byte[] source = Packet(5, payload: [9, 8, 7], extensionBlock: [0x10, 0xAE, 0x40, (byte)'0', 0x70, 0x55, 0, 0]);
        RtpExtensionMap map = RtpExtensionMap.Of([(1, 2), (7, 20)]);
        Forward(source, map);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1000; i++)
            Forward(source, map);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    private void Forward(byte[] source, RtpExtensionMap map)
    {
        RtpPacket packet = Parse(source);
        RtpHeaderWriter writer = new(_buffer, 96, false, 1, 2, 3, allowTwoByte: true);
        writer.SetExtension(1, "0"u8);
        writer.CopyExtensions(packet, map);
        writer.Finish(packet.Payload);
    }

    private RtpHeaderWriter Begin(bool allowTwoByte = false) => new(_buffer, 96, false, 1, 2, 3, allowTwoByte: allowTwoByte);

    private RtpPacket Finish(ref RtpHeaderWriter writer) => Parse(_buffer.AsSpan(0, writer.Finish([])));
}
