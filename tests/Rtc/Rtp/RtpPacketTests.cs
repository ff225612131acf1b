using CsCheck;
using Transcribe.Rtc.Rtp;
using static Transcribe.Rtc.Tests.Rtp.RtpSamples;

namespace Transcribe.Rtc.Tests.Rtp;

public sealed class RtpPacketTests
{
    [Fact]
    public void Reads_an_opus_packet_as_Chrome_sends_it()
    {
        // mid "0" under id 4, audio level 46 with voice under id 1, two bytes of block padding.
        byte[] bytes = Convert.FromHexString("90EF1A2B00112233DEADBEEFBEDE000110AE4030" + "78A1B2C3");

        RtpPacket packet = Parse(bytes);

        Assert.True(packet.Marker);
        Assert.Equal(111, packet.PayloadType);
        Assert.Equal(0x1A2B, packet.SequenceNumber);
        Assert.Equal(0x00112233u, packet.Timestamp);
        Assert.Equal(0xDEADBEEFu, packet.Ssrc);
        Assert.Equal("78A1B2C3", Hex(packet.Payload));
        Assert.True(packet.TryGetExtension(1, out ReadOnlySpan<byte> level));
        Assert.True(AudioLevel.TryRead(level, out AudioLevel audio));
        Assert.Equal(new AudioLevel(46, Voice: true), audio);
        Assert.True(packet.TryGetExtension(4, out ReadOnlySpan<byte> mid));
        Assert.Equal("0", System.Text.Encoding.ASCII.GetString(mid));
        Assert.False(packet.TryGetExtension(3, out _));
        Assert.False(packet.TryGetExtension(0, out _));
    }

    [Fact]
    public void Reads_two_byte_extensions_with_empty_and_long_elements()
    {
        byte[] block = [0x01, 0x00, 0x00, 0x20, 0x11, .. Enumerable.Range(1, 17).Select(i => (byte)i), 0, 0];
        RtpPacket packet = Parse(Packet(1, extensionBlock: block, profile: 0x1000, payload: [9]));

        Assert.True(packet.Extensions.IsTwoByte);
        Assert.Equal(
            new Dictionary<byte, string> { [1] = "", [32] = "0102030405060708090A0B0C0D0E0F1011" },
            ExtensionsOf(packet));
    }

    [Fact]
    public void Accepts_the_two_byte_profile_with_any_application_bits()
    {
        RtpPacket packet = Parse(Packet(1, extensionBlock: [5, 1, 7, 0], profile: 0x100A));
        Assert.Equal(new Dictionary<byte, string> { [5] = "07" }, ExtensionsOf(packet));
    }

    [Fact]
    public void Has_no_elements_in_an_extension_of_another_profile()
    {
        RtpPacket packet = Parse(Packet(1, extensionBlock: [0x10, 0xAE, 0, 0], profile: 0x4242, payload: [1]));
        Assert.Empty(ExtensionsOf(packet));
        Assert.Equal("01", Hex(packet.Payload));
    }

    [Fact]
    public void Skips_contributing_sources_and_padding()
    {
        byte[] bytes = Convert.FromHexString("A2600001000000020000000301010101020202020A0B0C000003");
        RtpPacket packet = Parse(bytes);
        Assert.Equal(2, packet.ContributingSourceCount);
        Assert.Equal("0101010102020202", Hex(packet.ContributingSources));
        Assert.Equal("0A0B0C", Hex(packet.Payload));
        Assert.Equal(3, packet.PaddingLength);
    }

    [Fact]
    public void Accepts_a_packet_of_padding_alone()
    {
        RtpPacket packet = Parse(Convert.FromHexString("A0600001000000020000000300000004"));
        Assert.True(packet.Payload.IsEmpty);
    }

    [Theory]
    [InlineData("", "nothing")]
    [InlineData("80600001000000020000", "less than a header")]
    [InlineData("406000010000000200000003", "version 1")]
    [InlineData("816000010000000200000003", "a source missing")]
    [InlineData("906000010000000200000003BEDE", "half an extension header")]
    [InlineData("906000010000000200000003BEDE000110AE40", "an extension block that overruns")]
    [InlineData("A0600001000000020000000300000000", "padding of zero bytes")]
    [InlineData("A0600001000000020000000300000005", "padding that reaches into the header")]
    [InlineData("A06000010000000200000003", "padding without a byte to count it")]
    public void Rejects(string hex, string why)
    {
        Assert.False(RtpPacket.TryParse(Convert.FromHexString(hex), out _), why);
    }

    [Fact]
    public void Keeps_the_elements_before_one_that_overruns_the_block()
    {
        Assert.Equal(
            new Dictionary<byte, string> { [1] = "AE" },
            ExtensionsOf(Parse(Packet(1, extensionBlock: [0x10, 0xAE, 0x4F, 0x30]))));
    }

    [Fact]
    public void Stops_at_the_reserved_one_byte_id()
    {
        Assert.Equal(
            new Dictionary<byte, string> { [1] = "AE" },
            ExtensionsOf(Parse(Packet(1, extensionBlock: [0x10, 0xAE, 0xF0, 0x30, 0x20, 0x01, 0, 0]))));
    }

    [Fact]
    public void Never_throws_on_random_bytes() => AnyBytes.Sample(bytes => Touch(bytes), iter: 5000);

    [Fact]
    public void Never_throws_on_a_mutated_packet() =>
        Mutated(Packet(7, payload: [1, 2, 3, 4], extensionBlock: [0x10, 0xAE, 0x42, 1, 2, 3, 0, 0]))
            .Sample(bytes => Touch(bytes), iter: 5000);

    [Fact]
    public void Allocates_nothing()
    {
        byte[] bytes = Packet(7, payload: [1, 2, 3, 4], extensionBlock: [0x10, 0xAE, 0x40, 1]);
        Touch(bytes);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1000; i++)
        {
            RtpPacket packet = Parse(bytes);
            packet.TryGetExtension(4, out _);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    private static void Touch(byte[] bytes)
    {
        if (!RtpPacket.TryParse(bytes, out RtpPacket packet))
            return;
        int inside = packet.HeaderLength + packet.Payload.Length + packet.PaddingLength;
        Assert.Equal(bytes.Length, inside);
        Assert.Equal(packet.ContributingSourceCount * 4, packet.ContributingSources.Length);
        foreach (RtpHeaderExtension extension in packet.Extensions)
        {
            Assert.NotEqual(0, extension.Id);
            AudioLevel.TryRead(extension.Data, out _);
            VideoOrientation.TryRead(extension.Data, out _);
            AbsoluteSendTime.TryRead(extension.Data, out _);
            TransportSequenceNumber.TryRead(extension.Data, out _);
            SdesExtension.TryRead(extension.Data, out _);
        }
    }
}
