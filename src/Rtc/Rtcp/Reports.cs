using System.Buffers.Binary;

namespace Transcribe.Rtc.Rtcp;

/// <summary>The sender information of a sender report (RFC 3550 §6.4.1).</summary>
/// <param name="Ssrc">Whose report it is.</param>
/// <param name="Ntp">When it was sent.</param>
/// <param name="RtpTimestamp">The same moment on the stream's RTP clock.</param>
/// <param name="PacketCount">Packets sent since the start.</param>
/// <param name="OctetCount">Payload bytes sent since the start.</param>
public readonly record struct SenderReport(uint Ssrc, NtpTimestamp Ntp, uint RtpTimestamp, uint PacketCount, uint OctetCount)
{
    internal const int Size = 24;

    internal static SenderReport Read(ReadOnlySpan<byte> body) => new(
        BinaryPrimitives.ReadUInt32BigEndian(body),
        new NtpTimestamp(BinaryPrimitives.ReadUInt64BigEndian(body[4..])),
        BinaryPrimitives.ReadUInt32BigEndian(body[12..]),
        BinaryPrimitives.ReadUInt32BigEndian(body[16..]),
        BinaryPrimitives.ReadUInt32BigEndian(body[20..]));
}

/// <summary>A report block: how one source is received (RFC 3550 §6.4.1).</summary>
/// <param name="Ssrc">The source reported on.</param>
/// <param name="FractionLost">Loss since the last report, in 1/256.</param>
/// <param name="CumulativeLost">Packets lost since the start, 24 bits, signed: duplicates count against losses.</param>
/// <param name="ExtendedHighestSequence">Highest sequence number, the wraps in the upper 16 bits.</param>
/// <param name="Jitter">Interarrival jitter in RTP clock units.</param>
/// <param name="LastSenderReport">Middle 32 bits of the NTP time of the last sender report, 0 for none yet.</param>
/// <param name="DelaySinceLastSenderReport">Time since it arrived, in 1/65536 s.</param>
public readonly record struct ReportBlock(
    uint Ssrc,
    byte FractionLost,
    int CumulativeLost,
    uint ExtendedHighestSequence,
    uint Jitter,
    uint LastSenderReport,
    uint DelaySinceLastSenderReport)
{
    internal const int Size = 24;

    /// <summary>
    /// The round-trip time this block measures for the sender of the report it echoes (RFC 3550 §6.4.1).
    /// </summary>
    /// <param name="now">When the block arrived, on the clock that stamped the sender report.</param>
    /// <param name="roundTrip">Never negative: clocks that round differently may seem to answer early.</param>
    /// <returns>False where the block echoes no sender report, or an impossible one (over a minute).</returns>
    public bool TryGetRoundTripTime(NtpTimestamp now, out TimeSpan roundTrip)
    {
        roundTrip = TimeSpan.Zero;
        if (LastSenderReport == 0)
            return false;
        int units = unchecked((int)(now.Compact - DelaySinceLastSenderReport - LastSenderReport));
        if (units > 60 << 16 || units < -(1 << 16))
            return false;
        roundTrip = NtpTimestamp.FromCompactDuration((uint)Math.Max(units, 0));
        return true;
    }

    internal static ReportBlock Read(ReadOnlySpan<byte> bytes)
    {
        uint lost = BinaryPrimitives.ReadUInt32BigEndian(bytes[4..]);
        return new ReportBlock(
            BinaryPrimitives.ReadUInt32BigEndian(bytes),
            (byte)(lost >> 24),
            (int)(lost << 8) >> 8,
            BinaryPrimitives.ReadUInt32BigEndian(bytes[8..]),
            BinaryPrimitives.ReadUInt32BigEndian(bytes[12..]),
            BinaryPrimitives.ReadUInt32BigEndian(bytes[16..]),
            BinaryPrimitives.ReadUInt32BigEndian(bytes[20..]));
    }

    internal void Write(Span<byte> bytes)
    {
        BinaryPrimitives.WriteUInt32BigEndian(bytes, Ssrc);
        int lost = Math.Clamp(CumulativeLost, -0x80_0000, 0x7F_FFFF);
        BinaryPrimitives.WriteUInt32BigEndian(bytes[4..], ((uint)FractionLost << 24) | ((uint)lost & 0xFF_FFFF));
        BinaryPrimitives.WriteUInt32BigEndian(bytes[8..], ExtendedHighestSequence);
        BinaryPrimitives.WriteUInt32BigEndian(bytes[12..], Jitter);
        BinaryPrimitives.WriteUInt32BigEndian(bytes[16..], LastSenderReport);
        BinaryPrimitives.WriteUInt32BigEndian(bytes[20..], DelaySinceLastSenderReport);
    }
}

/// <summary>The report blocks of a sender or receiver report.</summary>
public readonly ref struct ReportBlocks
{
    private readonly ReadOnlySpan<byte> _bytes;

    internal ReportBlocks(ReadOnlySpan<byte> bytes) => _bytes = bytes;

    /// <summary>Number of blocks, 0..31.</summary>
    public int Count => _bytes.Length / ReportBlock.Size;

    /// <summary>One block.</summary>
    public ReportBlock this[int index] => ReportBlock.Read(_bytes.Slice(index * ReportBlock.Size, ReportBlock.Size));

    /// <summary>Enables <c>foreach</c>.</summary>
    public Enumerator GetEnumerator() => new(this);

    /// <summary>The walk.</summary>
    public ref struct Enumerator
    {
        private readonly ReportBlocks _blocks;
        private int _index;

        internal Enumerator(ReportBlocks blocks)
        {
            _blocks = blocks;
            _index = -1;
        }

        /// <summary>The block found last.</summary>
        public readonly ReportBlock Current => _blocks[_index];

        /// <summary>Finds the next block.</summary>
        public bool MoveNext() => ++_index < _blocks.Count;
    }
}
