using System.Security.Cryptography;

namespace Transcribe.Rtc.Srtp;

/// <summary>The AES-CM key derivation of RFC 3711 section 4.3, with a key derivation rate of 0.</summary>
internal static class SrtpKeyDerivation
{
    public const byte RtpEncryption = 0;
    public const byte RtpAuthentication = 1;
    public const byte RtpSalt = 2;
    public const byte RtcpEncryption = 3;
    public const byte RtcpAuthentication = 4;
    public const byte RtcpSalt = 5;

    /// <summary>Derives <paramref name="output"/> for one label from the master key and salt.</summary>
    public static void Derive(ReadOnlySpan<byte> masterKey, ReadOnlySpan<byte> masterSalt, byte label, Span<byte> output)
    {
        // x = label * 2^48 XOR master_salt, both right-aligned in 112 bits. RFC 7714 section 11 takes its 96-bit
        // salt as if two zero octets were appended, which puts it on the left of the same 112 bits.
        Span<byte> counter = stackalloc byte[16];
        Span<byte> block = stackalloc byte[16];
        counter.Clear();
        masterSalt.CopyTo(counter);
        counter[7] ^= label;
        using Aes aes = Aes.Create();
        aes.SetKey(masterKey);
        for (int done = 0, i = 0; done < output.Length; done += 16, i++)
        {
            counter[15] = (byte)i;
            aes.EncryptEcb(counter, block, PaddingMode.None);
            block[..Math.Min(16, output.Length - done)].CopyTo(output[done..]);
        }
    }
}
