using System.Buffers.Binary;
using Transcribe.AiGateway.Audio;

namespace Transcribe.AiGateway.Tests.Support;

/// <summary>Writes Ogg/Opus with pages of a given number of segments, so that packets run across pages.</summary>
internal static class OggWriter
{
    public static byte[] Write(List<byte[]> packets, int segmentsPerPage)
    {
        var file = new List<byte>();
        int sequence = 0;
        byte[] head = [.. "OpusHead"u8, 1, 1, 0x38, 0x01, 0x80, 0xBB, 0, 0, 0, 0, 0];
        byte[] tags = [.. "OpusTags"u8, 4, 0, 0, 0, .. "test"u8, 0, 0, 0, 0];
        Page(file, 2, 0, [(byte)head.Length], head, sequence++);
        Page(file, 0, 0, [(byte)tags.Length], tags, sequence++);

        var lacing = new List<byte>();
        var bytes = new List<byte>();
        foreach (byte[] packet in packets)
        {
            for (int rest = packet.Length; ; rest -= 255)
            {
                lacing.Add((byte)Math.Min(rest, 255));
                if (rest < 255)
                    break;
            }

            bytes.AddRange(packet);
        }

        long granule = 0;
        int at = 0;
        for (int i = 0; i < lacing.Count; i += segmentsPerPage)
        {
            byte[] part = [.. lacing.Skip(i).Take(segmentsPerPage)];
            int length = part.Sum(b => b);
            int ended = part.Count(b => b < 255);
            granule += ended * 960;
            Page(file, i > 0 && lacing[i - 1] == 255 ? (byte)1 : (byte)0, ended > 0 ? granule : -1, part, [.. bytes.Skip(at).Take(length)], sequence++);
            at += length;
        }

        return [.. file];
    }

    private static void Page(List<byte> file, byte flags, long granule, byte[] lacing, byte[] body, int sequence)
    {
        var header = new byte[27];
        "OggS"u8.CopyTo(header);
        header[5] = flags;
        BinaryPrimitives.WriteInt64LittleEndian(header.AsSpan(6), granule);
        BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(14), 77);
        BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(18), sequence);
        header[26] = (byte)lacing.Length;
        byte[] page = [.. header, .. lacing, .. body];
        BinaryPrimitives.WriteUInt32LittleEndian(page.AsSpan(22), OggCrc.Append(0, page));
        file.AddRange(page);
    }
}
