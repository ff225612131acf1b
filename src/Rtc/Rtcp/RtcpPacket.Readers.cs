using System.Buffers.Binary;

namespace Transcribe.Rtc.Rtcp;

public readonly ref partial struct RtcpPacket
{
    private const uint RembName = 0x52454D42; // "REMB"

    /// <summary>Reads a sender report (RFC 3550 §6.4.1).</summary>
    public bool TryReadSenderReport(out SenderReport report, out ReportBlocks blocks)
    {
        report = default;
        blocks = default;
        if (Type != RtcpPacketType.SenderReport || Body.Length < SenderReport.Size + (CountOrFormat * ReportBlock.Size))
            return false;
        report = SenderReport.Read(Body);
        blocks = new ReportBlocks(Body.Slice(SenderReport.Size, CountOrFormat * ReportBlock.Size));
        return true;
    }

    /// <summary>Reads a receiver report (RFC 3550 §6.4.2).</summary>
    public bool TryReadReceiverReport(out uint ssrc, out ReportBlocks blocks)
    {
        ssrc = 0;
        blocks = default;
        if (Type != RtcpPacketType.ReceiverReport || Body.Length < 4 + (CountOrFormat * ReportBlock.Size))
            return false;
        ssrc = SenderSsrc;
        blocks = new ReportBlocks(Body.Slice(4, CountOrFormat * ReportBlock.Size));
        return true;
    }

    /// <summary>Reads the CNAME of the first chunk of a source description that has one (RFC 3550 §6.5.1).</summary>
    public bool TryReadCname(out uint ssrc, out ReadOnlySpan<byte> cname)
    {
        ssrc = 0;
        cname = default;
        if (Type != RtcpPacketType.SourceDescription)
            return false;

        ReadOnlySpan<byte> rest = Body;
        for (int chunk = 0; chunk < CountOrFormat && rest.Length >= 4; chunk++)
        {
            uint source = BinaryPrimitives.ReadUInt32BigEndian(rest);
            int at = 4;
            while (at < rest.Length && rest[at] != 0)
            {
                if (at + 2 > rest.Length || at + 2 + rest[at + 1] > rest.Length)
                    return false;
                if (rest[at] == 1)
                {
                    ssrc = source;
                    cname = rest.Slice(at + 2, rest[at + 1]);
                    return true;
                }

                at += 2 + rest[at + 1];
            }

            // One to four zero bytes end a chunk on a word boundary.
            at = (at + 4) & ~3;
            rest = at >= rest.Length ? default : rest[at..];
        }

        return false;
    }

    /// <summary>Reads a BYE (RFC 3550 §6.6).</summary>
    public bool TryReadGoodbye(out SsrcList sources)
    {
        sources = default;
        if (Type != RtcpPacketType.Goodbye || Body.Length < CountOrFormat * 4)
            return false;
        sources = new SsrcList(Body[..(CountOrFormat * 4)]);
        return true;
    }

    /// <summary>Reads a generic NACK (RFC 4585 §6.2.1).</summary>
    public bool TryReadNack(out uint mediaSsrc, out NackedSequenceNumbers lost)
    {
        lost = default;
        if (!TryReadFeedback(RtcpPacketType.TransportFeedback, TransportFeedbackFormat.Nack, 4, out mediaSsrc))
            return false;
        lost = new NackedSequenceNumbers(Body[8..]);
        return true;
    }

    /// <summary>Reads a picture loss indication (RFC 4585 §6.3.1).</summary>
    public bool TryReadPictureLoss(out uint mediaSsrc) =>
        TryReadFeedback(RtcpPacketType.PayloadFeedback, PayloadFeedbackFormat.PictureLoss, 0, out mediaSsrc);

    /// <summary>Reads a full intra request (RFC 5104 §4.3.1). The media SSRC of its header is 0; the entries name the sources.</summary>
    public bool TryReadFullIntraRequest(out FullIntraRequests requests)
    {
        requests = default;
        if (!TryReadFeedback(RtcpPacketType.PayloadFeedback, PayloadFeedbackFormat.FullIntraRequest, 8, out _))
            return false;
        requests = new FullIntraRequests(Body[8..]);
        return true;
    }

    /// <summary>Reads a receiver-estimated maximum bitrate (draft-alvestrand-rmcat-remb).</summary>
    /// <param name="bitsPerSecond">Limited to <see cref="long.MaxValue"/>.</param>
    /// <param name="sources">The streams it holds for.</param>
    public bool TryReadRemb(out long bitsPerSecond, out SsrcList sources)
    {
        bitsPerSecond = 0;
        sources = default;
        if (!TryReadFeedback(RtcpPacketType.PayloadFeedback, PayloadFeedbackFormat.ApplicationLayer, 8, out _)
            || BinaryPrimitives.ReadUInt32BigEndian(Body[8..]) != RembName)
        {
            return false;
        }

        int count = Body[12];
        if (Body.Length < 16 + (count * 4))
            return false;
        int exponent = Body[13] >> 2;
        long mantissa = ((Body[13] & 3) << 16) | (Body[14] << 8) | Body[15];
        bitsPerSecond = mantissa > long.MaxValue >> exponent ? long.MaxValue : mantissa << exponent;
        sources = new SsrcList(Body.Slice(16, count * 4));
        return true;
    }

    /// <summary>Reads transport-wide feedback, and checks all its chunks and deltas.</summary>
    public bool TryReadTransportFeedback(out TransportFeedback feedback)
    {
        feedback = default;
        return TryReadFeedback(RtcpPacketType.TransportFeedback, TransportFeedbackFormat.TransportWide, 8, out _)
            && TransportFeedback.TryParse(Body, out feedback);
    }

    private bool TryReadFeedback(RtcpPacketType type, byte format, int minimum, out uint mediaSsrc)
    {
        bool ok = Type == type && CountOrFormat == format && Body.Length >= 8 + minimum;
        mediaSsrc = ok ? BinaryPrimitives.ReadUInt32BigEndian(Body[4..]) : 0;
        return ok;
    }
}

/// <summary>A list of SSRCs in a packet.</summary>
public readonly ref struct SsrcList
{
    private readonly ReadOnlySpan<byte> _bytes;

    internal SsrcList(ReadOnlySpan<byte> bytes) => _bytes = bytes;

    /// <summary>Number of SSRCs.</summary>
    public int Count => _bytes.Length / 4;

    /// <summary>One SSRC.</summary>
    public uint this[int index] => BinaryPrimitives.ReadUInt32BigEndian(_bytes.Slice(index * 4, 4));

    /// <summary>True where the list has this SSRC.</summary>
    public bool Contains(uint ssrc)
    {
        for (int i = 0; i < Count; i++)
        {
            if (this[i] == ssrc)
                return true;
        }

        return false;
    }
}

/// <summary>The entries of a full intra request.</summary>
public readonly ref struct FullIntraRequests
{
    private readonly ReadOnlySpan<byte> _bytes;

    internal FullIntraRequests(ReadOnlySpan<byte> bytes) => _bytes = bytes;

    /// <summary>Number of entries.</summary>
    public int Count => _bytes.Length / 8;

    /// <summary>The source asked for a keyframe, and the command's number: a repeated number repeats a command.</summary>
    public (uint Ssrc, byte CommandSequence) this[int index] =>
        (BinaryPrimitives.ReadUInt32BigEndian(_bytes.Slice(index * 8, 4)), _bytes[(index * 8) + 4]);
}

/// <summary>The sequence numbers a generic NACK asks for: each entry is one and a bit mask of the sixteen after it.</summary>
public readonly ref struct NackedSequenceNumbers
{
    private readonly ReadOnlySpan<byte> _bytes;

    internal NackedSequenceNumbers(ReadOnlySpan<byte> bytes) => _bytes = bytes[..(bytes.Length & ~3)];

    /// <summary>Number of sequence numbers.</summary>
    public int Count
    {
        get
        {
            int count = 0;
            for (int at = 0; at < _bytes.Length; at += 4)
                count += 1 + System.Numerics.BitOperations.PopCount(BinaryPrimitives.ReadUInt16BigEndian(_bytes[(at + 2)..]));
            return count;
        }
    }

    /// <summary>Copies as many sequence numbers as fit.</summary>
    /// <returns>How many.</returns>
    public int CopyTo(Span<ushort> destination)
    {
        int count = 0;
        foreach (ushort sequenceNumber in this)
        {
            if (count == destination.Length)
                break;
            destination[count++] = sequenceNumber;
        }

        return count;
    }

    /// <summary>Enables <c>foreach</c>.</summary>
    public Enumerator GetEnumerator() => new(_bytes);

    /// <summary>The walk.</summary>
    public ref struct Enumerator
    {
        private ReadOnlySpan<byte> _rest;
        private ushort _first;
        private uint _pending;

        internal Enumerator(ReadOnlySpan<byte> bytes) => _rest = bytes;

        /// <summary>The sequence number found last.</summary>
        public ushort Current { readonly get; private set; }

        /// <summary>Finds the next sequence number.</summary>
        public bool MoveNext()
        {
            if (_pending == 0)
            {
                if (_rest.Length < 4)
                    return false;
                _first = BinaryPrimitives.ReadUInt16BigEndian(_rest);
                _pending = ((uint)BinaryPrimitives.ReadUInt16BigEndian(_rest[2..]) << 1) | 1;
                _rest = _rest[4..];
            }

            int bit = System.Numerics.BitOperations.TrailingZeroCount(_pending);
            _pending &= _pending - 1;
            Current = (ushort)(_first + bit);
            return true;
        }
    }
}
