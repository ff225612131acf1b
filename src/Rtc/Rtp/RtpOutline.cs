using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace Transcribe.Rtc.Rtp;

/// <summary>
/// Where everything is in one received packet: worked out once, used for each of the many subscribers it is forwarded
/// to. Holds no reference to the packet's bytes, so that an array of these can describe a whole frame.
/// </summary>
public struct RtpOutline
{
    /// <summary>A packet with more header extensions than this is forwarded all the same, more slowly.</summary>
    internal const int MaxElements = 8;

    private Elements _elements;

    /// <param name="packet">The packet.</param>
    /// <param name="now">When it will be sent on: for the send time extension.</param>
    public RtpOutline(in RtpPacket packet, Instant now)
    {
        SequenceNumber = packet.SequenceNumber;
        Timestamp = packet.Timestamp;
        PayloadType = packet.PayloadType;
        Marker = packet.Marker;
        HeaderLength = packet.HeaderLength;
        PayloadLength = packet.Payload.Length;
        SendTime = AbsoluteSendTime.Of(now).Value;
        ElementCount = packet.ContributingSourceCount == 0 ? 0 : -1;
        if (ElementCount < 0)
            return;
        foreach (RtpHeaderExtension element in packet.Extensions)
        {
            int length = element.Data.Length;
            if (ElementCount == MaxElements || length is 0 or > 16)
            {
                ElementCount = -1;
                return;
            }

            int offset = (int)Unsafe.ByteOffset(in packet.Bytes[0], in element.Data[0]);
            _elements[ElementCount++] = new Element { Id = element.Id, Length = (byte)length, Offset = (ushort)offset };
        }
    }

    /// <summary>Sequence number.</summary>
    public ushort SequenceNumber { get; }

    /// <summary>RTP timestamp.</summary>
    public uint Timestamp { get; }

    /// <summary>Payload type, 0..127.</summary>
    public byte PayloadType { get; }

    /// <summary>The M bit.</summary>
    public bool Marker { get; }

    /// <summary>Bytes before the payload.</summary>
    public int HeaderLength { get; }

    /// <summary>Bytes of payload, padding not counted.</summary>
    public int PayloadLength { get; }

    /// <summary>The abs-send-time value to send.</summary>
    internal uint SendTime { get; }

    /// <summary>Header extension elements; negative for a packet whose header takes <see cref="RtpHeaderWriter"/> to rewrite.</summary>
    internal int ElementCount { get; }

    [UnscopedRef]
    internal readonly ref readonly Element ElementAt(int index) => ref _elements[index];

    internal struct Element
    {
        public byte Id;
        public byte Length;
        public ushort Offset;
    }

    [InlineArray(MaxElements)]
    private struct Elements
    {
        private Element _first;
    }
}
