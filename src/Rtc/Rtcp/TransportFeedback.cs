using System.Buffers.Binary;

namespace Transcribe.Rtc.Rtcp;

/// <summary>What transport-wide feedback says of one packet.</summary>
/// <param name="SequenceNumber">The packet's transport-wide sequence number.</param>
/// <param name="Received">False where the packet has not arrived.</param>
/// <param name="Arrival">
/// When it arrived on the receiver's clock, in units of 250 µs; wraps with the 24-bit reference time (about 12 days). 0 where it was not received.
/// </param>
public readonly record struct TransportPacketStatus(ushort SequenceNumber, bool Received, long Arrival);

/// <summary>
/// A view of transport-wide congestion control feedback
/// (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1), in order of sequence numbers.
/// </summary>
public readonly ref struct TransportFeedback
{
    /// <summary>Units of <see cref="TransportPacketStatus.Arrival"/> in a second.</summary>
    public const int UnitsPerSecond = 4000;

    /// <summary>Units of arrival in one step of the reference time (64 ms).</summary>
    internal const int UnitsPerReference = 256;

    private const int HeaderSize = 16;

    private readonly ReadOnlySpan<byte> _body;
    private readonly int _deltaOffset;

    private TransportFeedback(ReadOnlySpan<byte> body, int deltaOffset)
    {
        _body = body;
        _deltaOffset = deltaOffset;
    }

    /// <summary>Who sent the feedback.</summary>
    public uint SenderSsrc => BinaryPrimitives.ReadUInt32BigEndian(_body);

    /// <summary>A stream of the transport.</summary>
    public uint MediaSsrc => BinaryPrimitives.ReadUInt32BigEndian(_body[4..]);

    /// <summary>First sequence number covered.</summary>
    public ushort BaseSequenceNumber => BinaryPrimitives.ReadUInt16BigEndian(_body[8..]);

    /// <summary>Number of packets covered.</summary>
    public int PacketStatusCount => BinaryPrimitives.ReadUInt16BigEndian(_body[10..]);

    /// <summary>Reference time in units of 64 ms, 24 bits, signed.</summary>
    public int ReferenceTime => ((_body[12] << 24) | (_body[13] << 16) | (_body[14] << 8)) >> 8;

    /// <summary>Counts feedback packets, so that a lost one shows.</summary>
    public byte FeedbackPacketCount => _body[15];

    internal static bool TryParse(ReadOnlySpan<byte> body, out TransportFeedback feedback)
    {
        feedback = default;
        if (body.Length < HeaderSize)
            return false;

        int remaining = BinaryPrimitives.ReadUInt16BigEndian(body[10..]);
        if (remaining == 0)
            return false;
        int at = HeaderSize;
        int deltaBytes = 0;
        while (remaining > 0)
        {
            if (at + 2 > body.Length)
                return false;
            ushort chunk = BinaryPrimitives.ReadUInt16BigEndian(body[at..]);
            at += 2;
            int count = Math.Min(remaining, StatusChunk.Capacity(chunk));
            if (count == 0)
                return false;
            for (int i = 0; i < count; i++)
            {
                int symbol = StatusChunk.Symbol(chunk, i);
                if (symbol == StatusChunk.Reserved)
                    return false;
                deltaBytes += symbol;
            }

            remaining -= count;
        }

        if (deltaBytes > body.Length - at)
            return false;
        feedback = new TransportFeedback(body, at);
        return true;
    }

    /// <summary>Enables <c>foreach</c>.</summary>
    public Enumerator GetEnumerator() => new(this);

    /// <summary>Walks the packet statuses.</summary>
    public ref struct Enumerator
    {
        private readonly ReadOnlySpan<byte> _body;
        private int _chunkAt;
        private int _deltaAt;
        private int _remaining;
        private ushort _chunk;
        private int _inChunk;
        private int _chunkCount;
        private ushort _next;
        private long _arrival;

        internal Enumerator(TransportFeedback feedback)
        {
            _body = feedback._body;
            _chunkAt = HeaderSize;
            _deltaAt = feedback._deltaOffset;
            _remaining = feedback._body.IsEmpty ? 0 : feedback.PacketStatusCount;
            _next = _remaining == 0 ? (ushort)0 : feedback.BaseSequenceNumber;
            _arrival = _remaining == 0 ? 0 : (long)feedback.ReferenceTime * UnitsPerReference;
        }

        /// <summary>The status found last.</summary>
        public TransportPacketStatus Current { readonly get; private set; }

        /// <summary>Finds the next status.</summary>
        public bool MoveNext()
        {
            if (_remaining == 0)
                return false;
            if (_inChunk == _chunkCount)
            {
                _chunk = BinaryPrimitives.ReadUInt16BigEndian(_body[_chunkAt..]);
                _chunkAt += 2;
                _chunkCount = StatusChunk.Capacity(_chunk);
                _inChunk = 0;
            }

            int symbol = StatusChunk.Symbol(_chunk, _inChunk++);
            if (symbol == StatusChunk.SmallDelta)
            {
                _arrival += _body[_deltaAt++];
            }
            else if (symbol == StatusChunk.LargeDelta)
            {
                _arrival += BinaryPrimitives.ReadInt16BigEndian(_body[_deltaAt..]);
                _deltaAt += 2;
            }

            Current = new TransportPacketStatus(_next++, symbol != 0, symbol != 0 ? _arrival : 0);
            _remaining--;
            return true;
        }
    }
}

/// <summary>The sixteen bits that hold packet statuses: a run length or a vector (draft §3.1.1 to §3.1.4).</summary>
internal static class StatusChunk
{
    public const int NotReceived = 0;
    public const int SmallDelta = 1;
    public const int LargeDelta = 2;
    public const int Reserved = 3;
    public const int MaxRun = 0x1FFF;
    public const int OneBitCapacity = 14;
    public const int TwoBitCapacity = 7;

    public static int Capacity(ushort chunk) =>
        (chunk & 0x8000) == 0 ? chunk & MaxRun : (chunk & 0x4000) == 0 ? OneBitCapacity : TwoBitCapacity;

    public static int Symbol(ushort chunk, int index) =>
        (chunk & 0x8000) == 0 ? (chunk >> 13) & 3
        : (chunk & 0x4000) == 0 ? (chunk >> (13 - index)) & 1
        : (chunk >> (12 - (index * 2))) & 3;

    public static ushort Run(int symbol, int count) => (ushort)((symbol << 13) | count);
}
