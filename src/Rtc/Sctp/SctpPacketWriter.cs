using System.Buffers.Binary;

namespace Transcribe.Rtc.Sctp;

/// <summary>Builds one packet at a time in a buffer it keeps.</summary>
internal sealed class SctpPacketWriter(int maxPacketSize)
{
    private readonly byte[] _buffer = new byte[maxPacketSize];
    private int _length;

    public bool IsOpen => _length > 0;

    public bool HasChunks => _length > SctpPacket.HeaderSize;

    public bool HasData { get; private set; }

    /// <summary>Bytes left, chunk headers included.</summary>
    public int Remaining => _buffer.Length - _length;

    public void Begin(ushort sourcePort, ushort destinationPort, uint verificationTag)
    {
        BinaryPrimitives.WriteUInt16BigEndian(_buffer, sourcePort);
        BinaryPrimitives.WriteUInt16BigEndian(_buffer.AsSpan(2), destinationPort);
        BinaryPrimitives.WriteUInt32BigEndian(_buffer.AsSpan(4), verificationTag);
        BinaryPrimitives.WriteUInt32BigEndian(_buffer.AsSpan(8), 0);
        _length = SctpPacket.HeaderSize;
        HasData = false;
    }

    /// <summary>Adds a chunk header and zeroed padding, and returns the place of the value. The chunk must fit <see cref="Remaining"/>.</summary>
    public Span<byte> Append(SctpChunkType type, byte flags, int valueLength)
    {
        Span<byte> at = _buffer.AsSpan(_length, Tlv.HeaderSize + Tlv.Pad(valueLength));
        HasData |= type == SctpChunkType.Data;
        at[0] = (byte)type;
        at[1] = flags;
        BinaryPrimitives.WriteUInt16BigEndian(at[2..], (ushort)(Tlv.HeaderSize + valueLength));
        at[(Tlv.HeaderSize + valueLength)..].Clear();
        _length += at.Length;
        return at.Slice(Tlv.HeaderSize, valueLength);
    }

    /// <summary>Closes the packet with its checksum; valid until the next <see cref="Begin"/>.</summary>
    public ReadOnlySpan<byte> Finish()
    {
        Span<byte> packet = _buffer.AsSpan(0, _length);
        Crc32c.Seal(packet);
        Discard();
        return packet;
    }

    public void Discard()
    {
        _length = 0;
        HasData = false;
    }

    /// <summary>Writes a parameter or error cause at the start of <paramref name="to"/>; returns its padded size.</summary>
    public static int WriteParameter(Span<byte> to, ushort type, ReadOnlySpan<byte> value)
    {
        int size = Tlv.HeaderSize + Tlv.Pad(value.Length);
        BinaryPrimitives.WriteUInt16BigEndian(to, type);
        BinaryPrimitives.WriteUInt16BigEndian(to[2..], (ushort)(Tlv.HeaderSize + value.Length));
        value.CopyTo(to[Tlv.HeaderSize..]);
        to[(Tlv.HeaderSize + value.Length)..size].Clear();
        return size;
    }
}
