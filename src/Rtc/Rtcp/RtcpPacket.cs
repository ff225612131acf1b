using System.Buffers.Binary;

namespace Transcribe.Rtc.Rtcp;

/// <summary>RTCP packet types.</summary>
public enum RtcpPacketType : byte
{
    SenderReport = 200,
    ReceiverReport = 201,
    SourceDescription = 202,
    Goodbye = 203,
    ApplicationDefined = 204,
    TransportFeedback = 205,
    PayloadFeedback = 206,
    ExtendedReport = 207,
}

/// <summary>Feedback message types under <see cref="RtcpPacketType.TransportFeedback"/>.</summary>
public static class TransportFeedbackFormat
{
    /// <summary>Generic NACK (RFC 4585 §6.2.1).</summary>
    public const byte Nack = 1;

    /// <summary>Transport-wide congestion control feedback.</summary>
    public const byte TransportWide = 15;
}

/// <summary>Feedback message types under <see cref="RtcpPacketType.PayloadFeedback"/>.</summary>
public static class PayloadFeedbackFormat
{
    /// <summary>Picture loss indication (RFC 4585 §6.3.1).</summary>
    public const byte PictureLoss = 1;

    /// <summary>Full intra request (RFC 5104 §4.3.1).</summary>
    public const byte FullIntraRequest = 4;

    /// <summary>Application layer feedback, which REMB uses.</summary>
    public const byte ApplicationLayer = 15;
}

/// <summary>
/// A compound RTCP packet (RFC 3550 §6.1), or a reduced-size one (RFC 5506). Parsing walks all packets once, so that the
/// enumeration afterwards cannot fail halfway.
/// </summary>
public readonly ref struct RtcpCompound
{
    private readonly ReadOnlySpan<byte> _bytes;

    private RtcpCompound(ReadOnlySpan<byte> bytes) => _bytes = bytes;

    /// <summary>Checks version, lengths and padding of every packet. Unknown packet types are fine.</summary>
    public static bool TryParse(ReadOnlySpan<byte> bytes, out RtcpCompound compound)
    {
        compound = default;
        if (bytes.IsEmpty)
            return false;
        ReadOnlySpan<byte> rest = bytes;
        while (!rest.IsEmpty)
        {
            if (!RtcpPacket.TryRead(rest, out RtcpPacket packet))
                return false;
            rest = rest[packet.Bytes.Length..];
        }

        compound = new RtcpCompound(bytes);
        return true;
    }

    /// <summary>Enables <c>foreach</c>.</summary>
    public Enumerator GetEnumerator() => new(_bytes);

    /// <summary>Walks the packets.</summary>
    public ref struct Enumerator
    {
        private ReadOnlySpan<byte> _rest;
        private RtcpPacket _current;

        internal Enumerator(ReadOnlySpan<byte> bytes) => _rest = bytes;

        /// <summary>The packet found last.</summary>
        public readonly RtcpPacket Current => _current;

        /// <summary>Finds the next packet.</summary>
        public bool MoveNext()
        {
            if (!RtcpPacket.TryRead(_rest, out _current))
                return false;
            _rest = _rest[_current.Bytes.Length..];
            return true;
        }
    }
}

/// <summary>A view of one RTCP packet inside a compound. The <c>TryRead*</c> methods check that the body is long enough for what they read.</summary>
public readonly ref partial struct RtcpPacket
{
    private const int HeaderSize = 4;

    private RtcpPacket(ReadOnlySpan<byte> bytes, int paddingLength)
    {
        Bytes = bytes;
        Body = bytes[HeaderSize..(bytes.Length - paddingLength)];
    }

    /// <summary>Header, body and padding.</summary>
    public ReadOnlySpan<byte> Bytes { get; }

    /// <summary>What stands behind the four header bytes, padding excluded.</summary>
    public ReadOnlySpan<byte> Body { get; }

    /// <summary>The packet type; may be one that <see cref="RtcpPacketType"/> does not name.</summary>
    public RtcpPacketType Type => (RtcpPacketType)Bytes[1];

    /// <summary>The five bits that are a count of reports or sources, or the feedback message type.</summary>
    public byte CountOrFormat => (byte)(Bytes[0] & 0x1F);

    /// <summary>The first word of the body: whose packet this is, in all types that this library reads; 0 in an empty one.</summary>
    public uint SenderSsrc => Body.Length >= 4 ? BinaryPrimitives.ReadUInt32BigEndian(Body) : 0;

    internal static bool TryRead(ReadOnlySpan<byte> bytes, out RtcpPacket packet)
    {
        packet = default;
        if (bytes.Length < HeaderSize || bytes[0] >> 6 != 2 || bytes[1] is < 192 or > 223)
            return false;
        int length = (BinaryPrimitives.ReadUInt16BigEndian(bytes[2..]) + 1) * 4;
        if (length > bytes.Length)
            return false;
        int padding = 0;
        if ((bytes[0] & 0x20) != 0)
        {
            // RFC 3550 wants a multiple of four and only at the compound's end; libwebrtc pads feedback by single bytes.
            padding = bytes[length - 1];
            if (padding == 0 || padding > length - HeaderSize)
                return false;
        }

        packet = new RtcpPacket(bytes[..length], padding);
        return true;
    }
}
