using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using Transcribe.Rtc.Srtp;

namespace Transcribe.Rtc.Stun;

/// <summary>The two check sums of a STUN message: MESSAGE-INTEGRITY and FINGERPRINT (RFC 8489 sections 14.5, 14.7).</summary>
internal static class StunCrypto
{
    public const int IntegritySize = HMACSHA1.HashSizeInBytes;

    private const uint FingerprintXor = 0x5354_554E;

    private static readonly uint[] Table = CreateTable();

    /// <summary>
    /// HMAC-SHA1 over <paramref name="covered"/>, with the header's length field read as if the message ended with
    /// the integrity attribute. <paramref name="covered"/> is at most <see cref="StunMessage.MaxSize"/> bytes.
    /// </summary>
    public static void ComputeIntegrity(ReadOnlySpan<byte> covered, ReadOnlySpan<byte> key, Span<byte> mac)
    {
        Span<byte> copy = stackalloc byte[StunMessage.MaxSize];
        HMACSHA1.HashData(key, CopyForIntegrity(covered, copy), mac);
    }

    /// <summary>The same under a key that is prepared once for many messages.</summary>
    [SkipLocalsInit]
    public static void ComputeIntegrity(ReadOnlySpan<byte> covered, HmacSha1 key, Span<byte> mac)
    {
        Span<byte> copy = stackalloc byte[StunMessage.MaxSize];
        key.Compute(CopyForIntegrity(covered, copy), mac);
    }

    /// <summary>CRC-32 (ITU V.42) XOR 0x5354554E over everything before the FINGERPRINT attribute.</summary>
    public static uint ComputeFingerprint(ReadOnlySpan<byte> covered) => Crc32(covered) ^ FingerprintXor;

    public static uint Crc32(ReadOnlySpan<byte> bytes)
    {
        uint crc = 0xFFFF_FFFF;
        foreach (byte b in bytes)
        {
            crc = (crc >> 8) ^ Table[(byte)(crc ^ b)];
        }

        return ~crc;
    }

    private static ReadOnlySpan<byte> CopyForIntegrity(ReadOnlySpan<byte> covered, Span<byte> copy)
    {
        copy = copy[..covered.Length];
        covered.CopyTo(copy);
        BinaryPrimitives.WriteUInt16BigEndian(
            copy[2..],
            (ushort)(covered.Length - StunMessage.HeaderSize + StunMessage.AttributeHeaderSize + IntegritySize));
        return copy;
    }

    private static uint[] CreateTable()
    {
        var table = new uint[256];
        for (uint i = 0; i < table.Length; i++)
        {
            uint entry = i;
            for (int bit = 0; bit < 8; bit++)
            {
                entry = (entry >> 1) ^ ((entry & 1) == 0 ? 0 : 0xEDB8_8320);
            }

            table[i] = entry;
        }

        return table;
    }
}
