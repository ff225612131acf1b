using System.Buffers.Binary;
using System.Text;

namespace Transcribe.Transcribe.Tests.Support;

/// <summary>Just enough of Ogg/Opus (RFC 3533, RFC 7845) to make files to read: one packet a page.</summary>
internal sealed class OggWriter
{
    private readonly List<byte> _file = [];
    private uint _page;

    public OggWriter(byte channels = 1)
    {
        byte[] head = [.. "OpusHead"u8, 1, channels, 0x38, 1, 0x80, 0xBB, 0, 0, 0, 0, 0];
        AddPage(head, 0, first: true);
        AddPage([.. "OpusTags"u8, 4, 0, 0, 0, .. Encoding.ASCII.GetBytes("test"), 0, 0, 0, 0], 0);
    }

    public void AddPage(ReadOnlySpan<byte> packet, long granule, bool first = false)
    {
        byte[] lacing = [.. Enumerable.Repeat((byte)255, packet.Length / 255), (byte)(packet.Length % 255)];
        byte[] page = [.. "OggS"u8, 0, (byte)(first ? 2 : 0), .. new byte[8], 1, 2, 3, 4, .. new byte[8], (byte)lacing.Length, .. lacing, .. packet];
        BinaryPrimitives.WriteInt64LittleEndian(page.AsSpan(6), granule);
        BinaryPrimitives.WriteUInt32LittleEndian(page.AsSpan(18), _page++);
        BinaryPrimitives.WriteUInt32LittleEndian(page.AsSpan(22), Checksum(page));
        _file.AddRange(page);
    }

    public byte[] ToArray() => [.. _file];

    private static uint Checksum(ReadOnlySpan<byte> bytes)
    {
        uint crc = 0;
        foreach (byte b in bytes)
        {
            crc ^= (uint)b << 24;
            for (int i = 0; i < 8; i++)
                crc = (crc & 0x8000_0000) != 0 ? (crc << 1) ^ 0x04C1_1DB7 : crc << 1;
        }

        return crc;
    }
}
