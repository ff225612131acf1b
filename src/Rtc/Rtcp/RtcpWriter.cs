using System.Buffers.Binary;
using System.Numerics;

namespace Transcribe.Rtc.Rtcp;

/// <summary>
/// Writes a compound RTCP packet into a buffer. Each method appends one packet, or returns false and leaves the buffer
/// as it was where the packet does not fit.
/// </summary>
public ref struct RtcpWriter(Span<byte> destination)
{
    private readonly Span<byte> _buffer = destination;

    /// <summary>Bytes written.</summary>
    public int Length { get; private set; }

    /// <summary>What was written.</summary>
    public readonly ReadOnlySpan<byte> Written => _buffer[..Length];

    /// <summary>Appends a sender report with at most 31 blocks.</summary>
    public bool WriteSenderReport(in SenderReport report, scoped ReadOnlySpan<ReportBlock> blocks)
    {
        if (blocks.Length > 31
            || !TryBegin(RtcpPacketType.SenderReport, blocks.Length, SenderReport.Size + (blocks.Length * ReportBlock.Size), out Span<byte> body))
        {
            return false;
        }

        BinaryPrimitives.WriteUInt32BigEndian(body, report.Ssrc);
        BinaryPrimitives.WriteUInt64BigEndian(body[4..], report.Ntp.Value);
        BinaryPrimitives.WriteUInt32BigEndian(body[12..], report.RtpTimestamp);
        BinaryPrimitives.WriteUInt32BigEndian(body[16..], report.PacketCount);
        BinaryPrimitives.WriteUInt32BigEndian(body[20..], report.OctetCount);
        WriteBlocks(body[SenderReport.Size..], blocks);
        return true;
    }

    /// <summary>Appends a receiver report with at most 31 blocks.</summary>
    public bool WriteReceiverReport(uint senderSsrc, scoped ReadOnlySpan<ReportBlock> blocks)
    {
        if (blocks.Length > 31
            || !TryBegin(RtcpPacketType.ReceiverReport, blocks.Length, 4 + (blocks.Length * ReportBlock.Size), out Span<byte> body))
        {
            return false;
        }

        BinaryPrimitives.WriteUInt32BigEndian(body, senderSsrc);
        WriteBlocks(body[4..], blocks);
        return true;
    }

    /// <summary>Appends a source description with one chunk and its CNAME.</summary>
    /// <param name="ssrc">The source.</param>
    /// <param name="cname">At most 255 bytes of UTF-8.</param>
    public bool WriteCname(uint ssrc, scoped ReadOnlySpan<byte> cname)
    {
        // At least one zero byte ends the items.
        int length = 4 + ((2 + cname.Length + 1 + 3) & ~3);
        if (cname.Length > 255 || !TryBegin(RtcpPacketType.SourceDescription, 1, length, out Span<byte> body))
            return false;
        body.Clear();
        BinaryPrimitives.WriteUInt32BigEndian(body, ssrc);
        body[4] = 1;
        body[5] = (byte)cname.Length;
        cname.CopyTo(body[6..]);
        return true;
    }

    /// <summary>Appends a BYE for at most 31 sources.</summary>
    public bool WriteGoodbye(scoped ReadOnlySpan<uint> sources)
    {
        if (sources.Length > 31 || !TryBegin(RtcpPacketType.Goodbye, sources.Length, sources.Length * 4, out Span<byte> body))
            return false;
        for (int i = 0; i < sources.Length; i++)
            BinaryPrimitives.WriteUInt32BigEndian(body[(i * 4)..], sources[i]);
        return true;
    }

    /// <summary>Appends a generic NACK, neighbours packed into bit masks (RFC 4585 §6.2.1).</summary>
    /// <param name="senderSsrc">Who asks.</param>
    /// <param name="mediaSsrc">The stream.</param>
    /// <param name="lost">In ascending order, wraps allowed; any order is understood but packs worse.</param>
    public bool WriteNack(uint senderSsrc, uint mediaSsrc, scoped ReadOnlySpan<ushort> lost)
    {
        if (lost.IsEmpty)
            return false;

        int entries = 0;
        for (int at = 0; at < lost.Length; at += NackRun(lost[at..], out _))
            entries++;
        if (!TryBegin(RtcpPacketType.TransportFeedback, TransportFeedbackFormat.Nack, 8 + (entries * 4), out Span<byte> body))
            return false;

        BinaryPrimitives.WriteUInt32BigEndian(body, senderSsrc);
        BinaryPrimitives.WriteUInt32BigEndian(body[4..], mediaSsrc);
        int to = 8;
        for (int at = 0; at < lost.Length; to += 4)
        {
            ushort first = lost[at];
            at += NackRun(lost[at..], out ushort mask);
            BinaryPrimitives.WriteUInt16BigEndian(body[to..], first);
            BinaryPrimitives.WriteUInt16BigEndian(body[(to + 2)..], mask);
        }

        return true;
    }

    /// <summary>Appends a picture loss indication.</summary>
    public bool WritePictureLoss(uint senderSsrc, uint mediaSsrc)
    {
        if (!TryBegin(RtcpPacketType.PayloadFeedback, PayloadFeedbackFormat.PictureLoss, 8, out Span<byte> body))
            return false;
        BinaryPrimitives.WriteUInt32BigEndian(body, senderSsrc);
        BinaryPrimitives.WriteUInt32BigEndian(body[4..], mediaSsrc);
        return true;
    }

    /// <summary>Appends a full intra request for one source.</summary>
    /// <param name="senderSsrc">Who asks.</param>
    /// <param name="mediaSsrc">The stream.</param>
    /// <param name="commandSequence">Grows by one with each new request, and stays for a repeated one.</param>
    public bool WriteFullIntraRequest(uint senderSsrc, uint mediaSsrc, byte commandSequence)
    {
        if (!TryBegin(RtcpPacketType.PayloadFeedback, PayloadFeedbackFormat.FullIntraRequest, 16, out Span<byte> body))
            return false;
        body.Clear();
        BinaryPrimitives.WriteUInt32BigEndian(body, senderSsrc);
        BinaryPrimitives.WriteUInt32BigEndian(body[8..], mediaSsrc);
        body[12] = commandSequence;
        return true;
    }

    /// <summary>Appends a receiver-estimated maximum bitrate.</summary>
    /// <param name="senderSsrc">Who estimates.</param>
    /// <param name="bitsPerSecond">Rounded down to 18 significant bits.</param>
    /// <param name="sources">The streams it holds for, at most 255.</param>
    public bool WriteRemb(uint senderSsrc, long bitsPerSecond, scoped ReadOnlySpan<uint> sources)
    {
        if (sources.Length > 255 || bitsPerSecond < 0
            || !TryBegin(RtcpPacketType.PayloadFeedback, PayloadFeedbackFormat.ApplicationLayer, 16 + (sources.Length * 4), out Span<byte> body))
        {
            return false;
        }

        int exponent = Math.Max(0, 64 - BitOperations.LeadingZeroCount((ulong)bitsPerSecond) - 18);
        uint mantissa = (uint)(bitsPerSecond >> exponent);
        BinaryPrimitives.WriteUInt32BigEndian(body, senderSsrc);
        BinaryPrimitives.WriteUInt32BigEndian(body[4..], 0);
        "REMB"u8.CopyTo(body[8..]);
        body[12] = (byte)sources.Length;
        body[13] = (byte)((exponent << 2) | (int)(mantissa >> 16));
        BinaryPrimitives.WriteUInt16BigEndian(body[14..], (ushort)mantissa);
        for (int i = 0; i < sources.Length; i++)
            BinaryPrimitives.WriteUInt32BigEndian(body[(16 + (i * 4))..], sources[i]);
        return true;
    }

    /// <summary>Appends a packet whose body the caller fills. The body's length must be a multiple of four.</summary>
    internal bool TryBegin(RtcpPacketType type, int countOrFormat, int bodyLength, out Span<byte> body)
    {
        body = default;
        if (4 + bodyLength > _buffer.Length - Length)
            return false;
        Span<byte> packet = _buffer.Slice(Length, 4 + bodyLength);
        packet[0] = (byte)(0x80 | countOrFormat);
        packet[1] = (byte)type;
        BinaryPrimitives.WriteUInt16BigEndian(packet[2..], (ushort)(bodyLength / 4));
        body = packet[4..];
        Length += packet.Length;
        return true;
    }

    /// <summary>Turns the last bytes of the packet begun last into padding.</summary>
    internal readonly void EndWithPadding(Span<byte> body, int padding)
    {
        body[^padding..].Clear();
        body[^1] = (byte)padding;
        _buffer[Length - body.Length - 4] |= 0x20;
    }

    internal readonly Span<byte> Free => _buffer[Length..];

    private static void WriteBlocks(Span<byte> body, scoped ReadOnlySpan<ReportBlock> blocks)
    {
        for (int i = 0; i < blocks.Length; i++)
            blocks[i].Write(body[(i * ReportBlock.Size)..]);
    }

    /// <summary>How many of the leading numbers one entry covers, and its mask.</summary>
    private static int NackRun(scoped ReadOnlySpan<ushort> lost, out ushort mask)
    {
        mask = 0;
        int count = 1;
        for (; count < lost.Length; count++)
        {
            int distance = (ushort)(lost[count] - lost[0]);
            if (distance is 0 or > 16)
                break;
            mask |= (ushort)(1 << (distance - 1));
        }

        return count;
    }
}
