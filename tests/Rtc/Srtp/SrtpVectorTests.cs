using Transcribe.Rtc.Srtp;

namespace Transcribe.Rtc.Tests.Srtp;

/// <summary>The test vectors of RFC 3711 appendix B and RFC 7714 sections 16 and 17.</summary>
public sealed class SrtpVectorTests
{
    private const string RtpHeader = "8040f17b8041f8d35501a0b2";
    private const string RtpPayload = "47616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573";
    private static readonly byte[] GcmKey = Convert.FromHexString("000102030405060708090a0b0c0d0e0f");
    private static readonly byte[] GcmSalt = Convert.FromHexString("517569642070726f2071756f");

    public static TheoryData<string> Implementations => [.. CipherImplementations.Names];

    [Theory]
    [MemberData(nameof(Implementations))]
    public void Counter_mode_key_stream_of_appendix_B2(string implementation)
    {
        byte[] key = Convert.FromHexString("2B7E151628AED2A6ABF7158809CF4F3C");
        byte[] counter = Convert.FromHexString("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000");
        byte[] stream = new byte[0xFF03 * 16];
        using AesCounterMode mode = CipherImplementations.CounterMode(implementation, key);
        mode.Transform(counter, stream, stream);
        Assert.Equal("E03EAD0935C95E80E166B16DD92B4EB4D23513162B02D0F72A43A2FE4A5F97AB41E95B3BB0A2E8DD477901E4FCA894C0", Convert.ToHexString(stream, 0, 48));
        Assert.Equal("EC8CDF7398607CB0F2D21675EA9EA1E4362B7C3C6773516318A077D7FC5073AE6A2CC3787889374FBEB4C81B17BA6C44", Convert.ToHexString(stream, 0xFEFF * 16, 48));
    }

    [Fact]
    public void Key_derivation_of_appendix_B3()
    {
        byte[] key = Convert.FromHexString("E1F97A0D3E018BE0D64FA32C06DE4139");
        byte[] salt = Convert.FromHexString("0EC675AD498AFEEBB6960B3AABE6");
        string Derive(byte label, int length)
        {
            byte[] output = new byte[length];
            SrtpKeyDerivation.Derive(key, salt, label, output);
            return Convert.ToHexString(output);
        }

        Assert.Equal("C61E7A93744F39EE10734AFE3FF7A087", Derive(SrtpKeyDerivation.RtpEncryption, 16));
        Assert.Equal("30CBBC08863D8C85D49DB34A9AE1", Derive(SrtpKeyDerivation.RtpSalt, 14));
        Assert.Equal(
            "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA48F0A0ACF3C34E2359E6CDBCEE049646C43D9327AD175578EF72270986371C10C9A369AC2F94A8C5FBCDDDC256D6E919A48B610EF17C2041E47403576",
            Derive(SrtpKeyDerivation.RtpAuthentication, 94)[..160]);
    }

    [Theory]
    [MemberData(nameof(Implementations))]
    public void Gcm_rtp_packet_of_section_16(string implementation)
    {
        using AeadAes128Gcm aead = CipherImplementations.Gcm(implementation, GcmKey);
        using GcmSrtpCipher cipher = new(aead, GcmSalt);
        byte[] plain = Convert.FromHexString(RtpHeader + RtpPayload);
        byte[] packet = [.. plain, .. new byte[16]];
        cipher.EncryptRtp(packet, 12, packet.AsSpan(12, plain.Length - 12), 0x5501a0b2, 0xf17b);
        Assert.Equal(
            RtpHeader + "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce",
            Convert.ToHexStringLower(packet));
        Assert.True(cipher.DecryptRtp(packet, 12, 0x5501a0b2, 0xf17b));
        Assert.Equal(plain, packet[..plain.Length]);
    }

    [Theory]
    [MemberData(nameof(Implementations))]
    public void Gcm_rtcp_packet_of_section_17(string implementation)
    {
        using AeadAes128Gcm aead = CipherImplementations.Gcm(implementation, GcmKey);
        using GcmSrtpCipher cipher = new(aead, GcmSalt);
        byte[] plain = Convert.FromHexString("81c8000d4d6172734e545031" + "4e54503252545020" + "0000042a0000e930" + "4c756e61" + "deadbeefdeadbeefdeadbeefdeadbeefdeadbeef");
        byte[] packet = [.. plain, .. new byte[20]];
        cipher.EncryptRtcp(packet, plain.Length, 0x4d617273, 0x5d4);
        Assert.Equal(
            "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275bc84aa458"
            + "96cf4d2fc5abf87245d9eade800005d4",
            Convert.ToHexStringLower(packet));
        Assert.Equal(0x800005d4u, cipher.ReadRtcpTrailer(packet));
        Assert.True(cipher.DecryptRtcp(packet, 0x4d617273, 0x800005d4));
        Assert.Equal(plain, packet[..plain.Length]);
    }
}
