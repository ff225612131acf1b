using System.Buffers.Binary;
using System.Numerics;

namespace Transcribe.Rtc.Sctp;

/// <summary>The checksum of SCTP packets (RFC 9260, appendix A): CRC-32C, by the processor's instruction where there is one.</summary>
internal static class Crc32c
{
    private const int ChecksumOffset = 8;

    /// <summary>The checksum of <paramref name="data"/>.</summary>
    public static uint Compute(ReadOnlySpan<byte> data) => ~Update(uint.MaxValue, data);

    /// <summary>The checksum of a packet whose checksum field counts as zero.</summary>
    public static uint ComputePacket(ReadOnlySpan<byte> packet)
    {
        uint crc = Update(uint.MaxValue, packet[..ChecksumOffset]);
        crc = BitOperations.Crc32C(crc, 0u);
        return ~Update(crc, packet[(ChecksumOffset + 4)..]);
    }

    /// <summary>Writes the checksum into its field. It goes least significant byte first, unlike all other fields.</summary>
    public static void Seal(Span<byte> packet) =>
        BinaryPrimitives.WriteUInt32LittleEndian(packet[ChecksumOffset..], ComputePacket(packet));

    /// <summary>True if the packet carries its own checksum.</summary>
    public static bool Verify(ReadOnlySpan<byte> packet) =>
        BinaryPrimitives.ReadUInt32LittleEndian(packet[ChecksumOffset..]) == ComputePacket(packet);

    private static uint Update(uint crc, ReadOnlySpan<byte> data)
    {
        while (data.Length >= 8)
        {
            crc = BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt64LittleEndian(data));
            data = data[8..];
        }

        foreach (byte b in data)
        {
            crc = BitOperations.Crc32C(crc, b);
        }

        return crc;
    }
}
