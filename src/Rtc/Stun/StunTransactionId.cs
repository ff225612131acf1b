using System.Buffers.Binary;
using System.Security.Cryptography;

namespace Transcribe.Rtc.Stun;

/// <summary>The 96-bit transaction id of a STUN message, as a value.</summary>
/// <param name="High">First four bytes, big-endian.</param>
/// <param name="Low">Last eight bytes, big-endian.</param>
public readonly record struct StunTransactionId(uint High, ulong Low)
{
    /// <summary>Bytes of a transaction id on the wire.</summary>
    public const int Size = 12;

    /// <summary>A fresh, unguessable id.</summary>
    public static StunTransactionId Create(RandomNumberGenerator random)
    {
        Span<byte> bytes = stackalloc byte[Size];
        random.GetBytes(bytes);
        return Read(bytes);
    }

    /// <summary>Reads the first <see cref="Size"/> bytes.</summary>
    public static StunTransactionId Read(ReadOnlySpan<byte> bytes) =>
        new(BinaryPrimitives.ReadUInt32BigEndian(bytes), BinaryPrimitives.ReadUInt64BigEndian(bytes[4..]));

    /// <summary>Writes <see cref="Size"/> bytes.</summary>
    public void Write(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt32BigEndian(destination, High);
        BinaryPrimitives.WriteUInt64BigEndian(destination[4..], Low);
    }
}
