using System.Buffers.Binary;

namespace Transcribe.Rtc.Rtp;

/// <summary>The retransmission payload format (RFC 4588): the original packet's payload behind its sequence number, on a stream of its own.</summary>
public static class RtxCodec
{
    /// <summary>Bytes a retransmission is longer than its original, extensions aside.</summary>
    public const int Overhead = 2;

    /// <summary>
    /// Turns a retransmission into the packet it repeats, in place: the header moves two bytes towards the payload.
    /// </summary>
    /// <param name="packet">The whole RTX packet; overwritten on success.</param>
    /// <param name="payloadType">Payload type of the original, from the "apt" parameter.</param>
    /// <param name="ssrc">SSRC of the original stream.</param>
    /// <param name="original">The original packet, inside <paramref name="packet"/>. It carries the RTX packet's extensions.</param>
    /// <returns>False for no RTP, or a payload without an original sequence number, as padding probes have.</returns>
    public static bool TryUnwrapInPlace(Span<byte> packet, byte payloadType, uint ssrc, out Span<byte> original)
    {
        original = default;
        if (!RtpPacket.TryParse(packet, out RtpPacket rtx) || rtx.Payload.Length < Overhead)
            return false;

        int headerLength = rtx.HeaderLength;
        ushort sequenceNumber = BinaryPrimitives.ReadUInt16BigEndian(packet[headerLength..]);
        packet[..headerLength].CopyTo(packet[Overhead..]);
        original = packet[Overhead..];
        original[1] = (byte)((original[1] & 0x80) | (payloadType & 0x7F));
        BinaryPrimitives.WriteUInt16BigEndian(original[2..], sequenceNumber);
        BinaryPrimitives.WriteUInt32BigEndian(original[8..], ssrc);
        return true;
    }

    /// <summary>Reads the sequence number of the packet that a retransmission repeats.</summary>
    public static bool TryReadOriginalSequenceNumber(in RtpPacket rtx, out ushort sequenceNumber)
    {
        bool ok = rtx.Payload.Length >= Overhead;
        sequenceNumber = ok ? BinaryPrimitives.ReadUInt16BigEndian(rtx.Payload) : (ushort)0;
        return ok;
    }
}
