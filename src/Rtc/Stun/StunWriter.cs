using System.Buffers.Binary;
using System.Text;
using Transcribe.Rtc.Srtp;

namespace Transcribe.Rtc.Stun;

/// <summary>
/// Writes one STUN message into a caller's buffer. The buffer must hold the message: a write past its end throws
/// <see cref="ArgumentException"/>, since what is written is never decided by foreign input alone.
/// </summary>
public ref struct StunWriter
{
    private readonly Span<byte> _buffer;
    private readonly StunTransactionId _id;
    private int _length;

    /// <param name="buffer">At least 20 bytes; <see cref="StunMessage.MaxSize"/> is always enough.</param>
    public StunWriter(Span<byte> buffer, StunClass messageClass, StunMethod method, StunTransactionId id)
    {
        _buffer = buffer;
        _id = id;
        int m = (int)method, c = (int)messageClass;
        int type = (m & 0xF) | ((m & 0x70) << 1) | ((m & 0xF80) << 2) | ((c & 1) << 4) | ((c & 2) << 7);
        BinaryPrimitives.WriteUInt16BigEndian(buffer, (ushort)type);
        BinaryPrimitives.WriteUInt16BigEndian(buffer[2..], 0);
        BinaryPrimitives.WriteUInt32BigEndian(buffer[4..], StunMessage.MagicCookie);
        id.Write(buffer[8..]);
        _length = StunMessage.HeaderSize;
    }

    /// <summary>The message so far, complete after every call.</summary>
    public readonly ReadOnlySpan<byte> Written => _buffer[.._length];

    public readonly int Length => _length;

    public void Add(StunAttributeType type, ReadOnlySpan<byte> value) => value.CopyTo(Reserve(type, value.Length));

    public void AddUInt32(StunAttributeType type, uint value) =>
        BinaryPrimitives.WriteUInt32BigEndian(Reserve(type, 4), value);

    public void AddUInt64(StunAttributeType type, ulong value) =>
        BinaryPrimitives.WriteUInt64BigEndian(Reserve(type, 8), value);

    /// <summary>Adds XOR-MAPPED-ADDRESS.</summary>
    public void AddXorMappedAddress(in TransportAddress address)
    {
        Span<byte> value = Reserve(StunAttributeType.XorMappedAddress, address.IsIPv4 ? 8 : 20);
        value[0] = 0;
        value[1] = (byte)(address.IsIPv4 ? 1 : 2);
        BinaryPrimitives.WriteUInt16BigEndian(value[2..], (ushort)(address.Port ^ (StunMessage.MagicCookie >> 16)));
        if (address.IsIPv4)
        {
            BinaryPrimitives.WriteUInt32BigEndian(value[4..], address.IPv4 ^ StunMessage.MagicCookie);
            return;
        }

        BinaryPrimitives.WriteUInt64BigEndian(
            value[4..],
            address.High ^ (((ulong)StunMessage.MagicCookie << 32) | _id.High));
        BinaryPrimitives.WriteUInt64BigEndian(value[12..], address.Low ^ _id.Low);
    }

    /// <summary>Adds ERROR-CODE.</summary>
    /// <param name="code">300 to 699.</param>
    /// <param name="reason">Reason phrase, for people; may be empty.</param>
    public void AddErrorCode(int code, string reason = "")
    {
        Span<byte> value = Reserve(StunAttributeType.ErrorCode, 4 + Encoding.UTF8.GetByteCount(reason));
        value[0] = value[1] = 0;
        value[2] = (byte)(code / 100);
        value[3] = (byte)(code % 100);
        Encoding.UTF8.GetBytes(reason, value[4..]);
    }

    /// <summary>Adds UNKNOWN-ATTRIBUTES.</summary>
    public void AddUnknownAttributes(ReadOnlySpan<ushort> types)
    {
        Span<byte> value = Reserve(StunAttributeType.UnknownAttributes, types.Length * 2);
        for (int i = 0; i < types.Length; i++)
        {
            BinaryPrimitives.WriteUInt16BigEndian(value[(2 * i)..], types[i]);
        }
    }

    /// <summary>Adds MESSAGE-INTEGRITY over all that was written before.</summary>
    /// <param name="key">The short-term credential's password in UTF-8.</param>
    public void AddIntegrity(ReadOnlySpan<byte> key)
    {
        int covered = _length;
        Span<byte> mac = Reserve(StunAttributeType.MessageIntegrity, StunCrypto.IntegritySize);
        StunCrypto.ComputeIntegrity(_buffer[..covered], key, mac);
    }

    /// <summary>The same under a key that is prepared once for many messages.</summary>
    internal void AddIntegrity(HmacSha1 key)
    {
        // With the attribute reserved, the header's length is the one that integrity is computed over.
        int covered = _length;
        Span<byte> mac = Reserve(StunAttributeType.MessageIntegrity, StunCrypto.IntegritySize);
        key.Compute(_buffer[..covered], mac);
    }

    /// <summary>Adds FINGERPRINT, which ends the message.</summary>
    public void AddFingerprint()
    {
        int covered = _length;
        Span<byte> value = Reserve(StunAttributeType.Fingerprint, 4);
        BinaryPrimitives.WriteUInt32BigEndian(value, StunCrypto.ComputeFingerprint(_buffer[..covered]));
    }

    private Span<byte> Reserve(StunAttributeType type, int length)
    {
        int padded = StunMessage.Padded(length);
        int next = _length + StunMessage.AttributeHeaderSize + padded;
        if (next > _buffer.Length || next > StunMessage.MaxSize)
        {
            throw new ArgumentException($"A {next}-byte STUN message does not fit its buffer of {_buffer.Length} bytes.");
        }

        BinaryPrimitives.WriteUInt16BigEndian(_buffer[_length..], (ushort)type);
        BinaryPrimitives.WriteUInt16BigEndian(_buffer[(_length + 2)..], (ushort)length);
        Span<byte> value = _buffer.Slice(_length + StunMessage.AttributeHeaderSize, padded);
        value[length..].Clear();
        _length = next;
        BinaryPrimitives.WriteUInt16BigEndian(_buffer[2..], (ushort)(next - StunMessage.HeaderSize));
        return value[..length];
    }
}
