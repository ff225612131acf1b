using System.Text;
using Transcribe.Rtc.Srtp;
using Transcribe.Rtc.Stun;

namespace Transcribe.Rtc.Tests.Stun;

/// <summary>RFC 5769 test vectors, and what the parser must not accept.</summary>
public sealed class StunMessageTests
{
    private static readonly byte[] Key = "VOkJxbRl1RmTxUk/WvJxBt"u8.ToArray();
    private static readonly StunTransactionId VectorId = new(0xB7E7A701, 0xBC34D686FA87DFAE);

    // Section 2.1: sample request.
    private static readonly byte[] Request = Convert.FromHexString(
        "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74"
        + "002400046e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020"
        + "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf");

    // Section 2.2: sample IPv4 response.
    private static readonly byte[] ResponseV4 = Convert.FromHexString(
        "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220"
        + "002000080001a147e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96");

    // Section 2.3: sample IPv6 response.
    private static readonly byte[] ResponseV6 = Convert.FromHexString(
        "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220"
        + "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed41"
        + "80280004c8fb0b4c");

    [Fact]
    public void Reads_the_sample_request()
    {
        Assert.True(StunMessage.TryParse(Request, out StunMessage message));
        Assert.Equal(StunClass.Request, message.Class);
        Assert.Equal(StunMethod.Binding, message.Method);
        Assert.Equal(VectorId, message.TransactionId);
        Assert.True(message.TryGetUsername(out ReadOnlySpan<byte> username));
        Assert.Equal("evtj:h6vY", Encoding.UTF8.GetString(username));
        Assert.True(message.TryGetPriority(out uint priority));
        Assert.Equal(0x6E0001FFu, priority);
        Assert.True(message.TryGetIceControlled(out ulong tieBreaker));
        Assert.Equal(0x932FF9B151263B36u, tieBreaker);
        Assert.False(message.TryGetIceControlling(out _));
        Assert.False(message.UseCandidate);
        Assert.True(message.VerifyFingerprint());
        Assert.True(message.VerifyIntegrity(Key));
        Assert.False(message.VerifyIntegrity("VOkJxbRl1RmTxUk/WvJxBu"u8));
        Assert.True(StunMessage.TryReadUfrag(Request, out ReadOnlySpan<byte> ufrag));
        Assert.Equal("evtj", Encoding.UTF8.GetString(ufrag));
    }

    [Fact]
    public void A_prepared_key_gives_the_same_integrity_as_the_password_itself()
    {
        using HmacSha1 sample = HmacSha1.Create(Key);
        Assert.True(StunMessage.TryParse(Request, out StunMessage request));
        Assert.True(request.VerifyIntegrity(sample));
        foreach (int length in (int[])[22, 63, 64, 65, 256])
        {
            byte[] password = [.. Enumerable.Range(0, length).Select(i => (byte)('a' + (i % 26)))];
            using HmacSha1 prepared = HmacSha1.Create(password);
            Span<byte> first = new byte[128];
            var a = new StunWriter(first, StunClass.SuccessResponse, StunMethod.Binding, VectorId);
            a.AddUInt32(StunAttributeType.Priority, 5);
            a.AddIntegrity(password);
            a.AddFingerprint();
            Span<byte> second = new byte[128];
            var b = new StunWriter(second, StunClass.SuccessResponse, StunMethod.Binding, VectorId);
            b.AddUInt32(StunAttributeType.Priority, 5);
            b.AddIntegrity(prepared);
            b.AddFingerprint();
            Assert.Equal(a.Written, b.Written);
            Assert.True(StunMessage.TryParse(b.Written, out StunMessage message));
            Assert.True(message.VerifyIntegrity(password));
            Assert.True(message.VerifyIntegrity(prepared));
            Assert.False(message.VerifyIntegrity(sample));
        }
    }

    [Fact]
    public void Reads_the_sample_responses()
    {
        Assert.True(StunMessage.TryParse(ResponseV4, out StunMessage v4));
        Assert.Equal(StunClass.SuccessResponse, v4.Class);
        Assert.True(v4.VerifyFingerprint());
        Assert.True(v4.VerifyIntegrity(Key));
        Assert.True(v4.TryGetXorMappedAddress(out TransportAddress address));
        Assert.Equal("192.0.2.1:32853", address.ToString());

        Assert.True(StunMessage.TryParse(ResponseV6, out StunMessage v6));
        Assert.True(v6.VerifyFingerprint());
        Assert.True(v6.VerifyIntegrity(Key));
        Assert.True(v6.TryGetXorMappedAddress(out address));
        Assert.Equal("[2001:db8:1234:5678:11:2233:4455:6677]:32853", address.ToString());
    }

    [Fact]
    public void Verifies_the_long_term_sample_by_its_key()
    {
        // Section 2.4 has no fingerprint; its key is MD5 of "マトリックス:example.org:TheMatrIX" after SASLprep.
        byte[] request = Convert.FromHexString(
            "000100602112a44278ad3433c6ad72c029da412e00060012e3839ee38388e383aae38383e382afe382b90000"
            + "0015001c662f2f3439396b39353464364f4c33346f4c39465354767936347341"
            + "0014000b6578616d706c652e6f72670000080014f67024656dd64a3e02b8e0712e85c9a28ca89666");
        byte[] key = System.Security.Cryptography.MD5.HashData("マトリックス:example.org:TheMatrIX"u8);
        Assert.True(StunMessage.TryParse(request, out StunMessage message));
        Assert.True(message.VerifyIntegrity(key));
        Assert.False(message.HasFingerprint);
        Assert.False(message.VerifyFingerprint());
    }

    [Fact]
    public void Writes_the_sample_request_but_for_its_padding()
    {
        var writer = new StunWriter(new byte[200], StunClass.Request, StunMethod.Binding, VectorId);
        writer.Add(StunAttributeType.Software, "STUN test client"u8);
        writer.AddUInt32(StunAttributeType.Priority, 0x6E0001FF);
        writer.AddUInt64(StunAttributeType.IceControlled, 0x932FF9B151263B36);
        writer.Add(StunAttributeType.Username, "evtj:h6vY"u8);

        // The vector's length field counts what follows; its username is padded with spaces, ours with zeros.
        byte[] expected = [.. Request[..76]];
        expected.AsSpan(73, 3).Clear();
        (expected[2], expected[3]) = (0, 56);
        Assert.Equal(expected, writer.Written.ToArray());

        writer.AddIntegrity(Key);
        writer.AddFingerprint();
        Assert.Equal(Request.Length, writer.Length);
        Assert.True(StunMessage.TryParse(writer.Written, out StunMessage message));
        Assert.True(message.VerifyIntegrity(Key));
        Assert.True(message.VerifyFingerprint());
    }

    [Theory]
    [InlineData("192.0.2.1:32853")]
    [InlineData("[2001:db8:1234:5678:11:2233:4455:6677]:32853")]
    [InlineData("255.255.255.255:65535")]
    public void Mapped_addresses_survive_the_round_trip(string text)
    {
        Assert.True(TransportAddress.TryParse(text, out TransportAddress address));
        var writer = new StunWriter(new byte[100], StunClass.SuccessResponse, StunMethod.Binding, VectorId);
        writer.AddXorMappedAddress(address);
        Assert.True(StunMessage.TryParse(writer.Written, out StunMessage message));
        Assert.True(message.TryGetXorMappedAddress(out TransportAddress read));
        Assert.Equal(address, read);
    }

    [Theory]
    [InlineData(StunClass.Request, 1, 0x0001)]
    [InlineData(StunClass.Indication, 1, 0x0011)]
    [InlineData(StunClass.SuccessResponse, 1, 0x0101)]
    [InlineData(StunClass.ErrorResponse, 1, 0x0111)]
    [InlineData(StunClass.ErrorResponse, 0xFFF, 0x3FFF)]
    [InlineData(StunClass.SuccessResponse, 0x3, 0x0103)]
    public void Class_and_method_are_interleaved(StunClass messageClass, int method, int type)
    {
        var writer = new StunWriter(new byte[20], messageClass, (StunMethod)method, VectorId);
        Assert.Equal(type, (writer.Written[0] << 8) | writer.Written[1]);
        Assert.True(StunMessage.TryParse(writer.Written, out StunMessage message));
        Assert.Equal((messageClass, (StunMethod)method), (message.Class, message.Method));
    }

    [Fact]
    public void Error_codes_and_unknown_attributes_survive_the_round_trip()
    {
        var writer = new StunWriter(new byte[100], StunClass.ErrorResponse, StunMethod.Binding, VectorId);
        writer.AddErrorCode(487, "Role Conflict");
        writer.AddUnknownAttributes([0x7001, 0x7002, 0x7003]);
        Assert.True(StunMessage.TryParse(writer.Written, out StunMessage message));
        Assert.True(message.TryGetErrorCode(out int code, out ReadOnlySpan<byte> reason));
        Assert.Equal((487, "Role Conflict"), (code, Encoding.UTF8.GetString(reason)));
        Assert.True(message.TryGet(StunAttributeType.UnknownAttributes, out ReadOnlySpan<byte> unknown));
        Assert.Equal("700170027003", Convert.ToHexString(unknown));
    }

    [Fact]
    public void Attributes_behind_the_integrity_are_not_seen()
    {
        var writer = new StunWriter(new byte[200], StunClass.Request, StunMethod.Binding, VectorId);
        writer.AddUInt32(StunAttributeType.Priority, 7);
        writer.AddIntegrity(Key);
        writer.Add(StunAttributeType.UseCandidate, []);
        writer.Add((StunAttributeType)0x7001, []);
        writer.AddFingerprint();
        Assert.True(StunMessage.TryParse(writer.Written, out StunMessage message));
        Assert.True(message.VerifyIntegrity(Key));
        Assert.True(message.VerifyFingerprint());
        Assert.False(message.UseCandidate);
        Assert.Equal(0, message.FindUnknownRequired(new ushort[4]));
        Assert.True(message.TryGetPriority(out _));
    }

    [Fact]
    public void Only_comprehension_required_attributes_are_reported_unknown()
    {
        var writer = new StunWriter(new byte[200], StunClass.Request, StunMethod.Binding, VectorId);
        writer.Add((StunAttributeType)0x7001, [1, 2, 3]);
        writer.Add((StunAttributeType)0xC057, [1, 2, 3, 4]);
        writer.Add((StunAttributeType)0x0003, []);
        Assert.True(StunMessage.TryParse(writer.Written, out StunMessage message));
        var types = new ushort[4];
        Assert.Equal(2, message.FindUnknownRequired(types));
        Assert.Equal([0x7001, 0x0003], types[..2]);
        Assert.Equal(1, message.FindUnknownRequired(types.AsSpan(0, 1)));
    }

    [Fact]
    public void Every_changed_bit_of_a_protected_message_is_noticed()
    {
        // The vector's SOFTWARE name, ids and values are all covered; only bits that break the framing are not parsed at all.
        byte[] copy = [.. Request];
        for (int bit = 0; bit < copy.Length * 8; bit++)
        {
            copy[bit / 8] ^= (byte)(1 << (bit % 8));
            bool accepted = StunMessage.TryParse(copy, out StunMessage message)
                && message.VerifyFingerprint()
                && message.VerifyIntegrity(Key);
            Assert.False(accepted, $"bit {bit}");
            copy[bit / 8] ^= (byte)(1 << (bit % 8));
        }
    }

    [Fact]
    public void Every_truncation_is_rejected()
    {
        for (int length = 0; length < Request.Length; length++)
        {
            Assert.False(StunMessage.TryParse(Request.AsSpan(0, length), out _));
            Assert.False(StunMessage.TryReadUfrag(Request.AsSpan(0, length), out _));
        }

        Assert.False(StunMessage.TryParse([.. Request, 0, 0, 0, 0], out _));
    }

    [Theory]
    [InlineData("00010004 2112a442 000000000000000000000000 00240004", "attribute longer than the message")]
    [InlineData("00010008 2112a443 000000000000000000000000 0024000400000001", "other magic cookie")]
    [InlineData("40010000 2112a442 000000000000000000000000", "first bits not zero")]
    [InlineData("00010003 2112a442 000000000000000000000000 000000", "length no multiple of four")]
    [InlineData("00010008 2112a442 000000000000000000000000 0008000400000001", "short MESSAGE-INTEGRITY")]
    [InlineData("00010008 2112a442 000000000000000000000000 8028000200000001", "short FINGERPRINT")]
    [InlineData("0001000c 2112a442 000000000000000000000000 8028000400000001 00250000", "attribute behind FINGERPRINT")]
    public void Malformed_messages_are_rejected(string hex, string why) =>
        Assert.False(StunMessage.TryParse(Convert.FromHexString(hex.Replace(" ", "", StringComparison.Ordinal)), out _), why);

    [Theory]
    [InlineData("", false)]
    [InlineData(":", false)]
    [InlineData(":abcd", false)]
    [InlineData("abcd", false)]
    [InlineData("a:", true)]
    [InlineData("abcd:efgh:x", true)]
    public void The_ufrag_is_what_stands_before_the_colon(string username, bool found)
    {
        var writer = new StunWriter(new byte[100], StunClass.Request, StunMethod.Binding, VectorId);
        writer.AddUInt32(StunAttributeType.Priority, 7);
        writer.Add(StunAttributeType.Username, Encoding.UTF8.GetBytes(username));
        Assert.Equal(found, StunMessage.TryReadUfrag(writer.Written, out ReadOnlySpan<byte> ufrag));
        Assert.Equal(found ? username.Split(':')[0] : "", Encoding.UTF8.GetString(ufrag));
    }

    [Fact]
    public void The_ufrag_is_read_of_binding_requests_only()
    {
        foreach (StunClass other in new[] { StunClass.Indication, StunClass.SuccessResponse, StunClass.ErrorResponse })
        {
            var writer = new StunWriter(new byte[100], other, StunMethod.Binding, VectorId);
            writer.Add(StunAttributeType.Username, "abcd:efgh"u8);
            Assert.False(StunMessage.TryReadUfrag(writer.Written, out _));
        }
    }

    [Fact]
    public void A_message_that_does_not_fit_its_buffer_is_refused()
    {
        Assert.Throws<ArgumentException>(() =>
        {
            var writer = new StunWriter(new byte[40], StunClass.Request, StunMethod.Binding, VectorId);
            writer.Add(StunAttributeType.Username, new byte[17]);
        });
    }

    [Fact]
    public void Reading_and_verifying_allocates_nothing()
    {
        static bool ReadAll() =>
            StunMessage.TryReadUfrag(Request, out _) && StunMessage.TryParse(Request, out StunMessage message)
            && message.VerifyFingerprint() && message.VerifyIntegrity(Key) && message.TryGetUsername(out _);

        Assert.True(ReadAll());
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++)
        {
            ReadAll();
        }

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }
}
