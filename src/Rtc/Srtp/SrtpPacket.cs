using System.Buffers.Binary;

namespace Transcribe.Rtc.Srtp;

/// <summary>The little of RTP and RTCP framing that SRTP needs.</summary>
internal static class SrtpPacket
{
    public const int MinRtpHeader = 12;
    public const int RtcpHeader = 8;

    /// <summary>Longer packets are refused; far above any datagram, and far below where a GCM counter wraps.</summary>
    public const int MaxLength = 65535;

    public const uint MaxRtcpIndex = 0x7FFF_FFFF;
    public const uint EncryptedFlag = 0x8000_0000;

    /// <summary>Length of the clear part of an RTP packet: fixed header, CSRCs, extension.</summary>
    public static bool TryGetRtpHeaderLength(ReadOnlySpan<byte> packet, out int length)
    {
        length = 0;
        if (packet.Length < MinRtpHeader || (packet[0] >> 6) != 2)
            return false;
        int header = MinRtpHeader + (4 * (packet[0] & 0x0F));
        if ((packet[0] & 0x10) != 0)
        {
            if (packet.Length < header + 4)
                return false;
            header += 4 + (4 * BinaryPrimitives.ReadUInt16BigEndian(packet[(header + 2)..]));
        }

        length = header;
        return header <= packet.Length;
    }
}
