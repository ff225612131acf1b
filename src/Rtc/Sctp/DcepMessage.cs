using System.Buffers.Binary;
using System.Text;

namespace Transcribe.Rtc.Sctp;

/// <summary>DATA_CHANNEL_OPEN (RFC 8832, section 5.1). An ACK is the one byte <see cref="Ack"/>.</summary>
internal readonly record struct DcepOpen(
    bool Ordered, int? MaxRetransmits, TimeSpan? MaxPacketLifetime, ushort Priority, string Label, string Protocol)
{
    public const byte Ack = 2;
    public const byte Open = 3;

    private const int FixedSize = 12;
    private const byte UnorderedBit = 0x80;

    public byte[] ToBytes()
    {
        byte[] label = Encoding.UTF8.GetBytes(Label);
        byte[] protocol = Encoding.UTF8.GetBytes(Protocol);
        var to = new byte[FixedSize + label.Length + protocol.Length];
        to[0] = Open;
        to[1] = (byte)((Ordered ? 0 : UnorderedBit) | (MaxRetransmits is not null ? 1 : MaxPacketLifetime is not null ? 2 : 0));
        BinaryPrimitives.WriteUInt16BigEndian(to.AsSpan(2), Priority);
        uint reliability = MaxRetransmits is { } count ? (uint)count : MaxPacketLifetime is { } life ? (uint)life.TotalMilliseconds : 0;
        BinaryPrimitives.WriteUInt32BigEndian(to.AsSpan(4), reliability);
        BinaryPrimitives.WriteUInt16BigEndian(to.AsSpan(8), (ushort)label.Length);
        BinaryPrimitives.WriteUInt16BigEndian(to.AsSpan(10), (ushort)protocol.Length);
        label.CopyTo(to, FixedSize);
        protocol.CopyTo(to, FixedSize + label.Length);
        return to;
    }

    /// <summary>False for anything but a well-formed OPEN of a known channel type.</summary>
    public static bool TryRead(ReadOnlySpan<byte> from, out DcepOpen open)
    {
        open = default;
        if (from.Length < FixedSize || from[0] != Open)
            return false;
        int kind = from[1] & ~UnorderedBit;
        int labelLength = BinaryPrimitives.ReadUInt16BigEndian(from[8..]);
        int protocolLength = BinaryPrimitives.ReadUInt16BigEndian(from[10..]);
        if (kind > 2 || from.Length < FixedSize + labelLength + protocolLength)
            return false;
        uint reliability = BinaryPrimitives.ReadUInt32BigEndian(from[4..]);
        open = new(
            (from[1] & UnorderedBit) == 0,
            kind == 1 ? (int)Math.Min(reliability, int.MaxValue) : null,
            kind == 2 ? TimeSpan.FromMilliseconds(reliability) : null,
            BinaryPrimitives.ReadUInt16BigEndian(from[2..]),
            Encoding.UTF8.GetString(from.Slice(FixedSize, labelLength)),
            Encoding.UTF8.GetString(from.Slice(FixedSize + labelLength, protocolLength)));
        return true;
    }
}
