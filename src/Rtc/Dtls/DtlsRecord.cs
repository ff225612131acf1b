using System.Buffers.Binary;

namespace Transcribe.Rtc.Dtls;

/// <summary>The DTLS 1.2 record header (RFC 6347 section 4.1) and the handshake header inside (section 4.2.2).</summary>
internal static class DtlsRecord
{
    public const int HeaderLength = 13;
    public const int HandshakeHeaderLength = 12;

    public const byte ChangeCipherSpec = 20;
    public const byte Alert = 21;
    public const byte Handshake = 22;
    public const byte ApplicationData = 23;

    public const byte ClientHello = 1;
    public const byte CertificateVerify = 15;
    public const byte Finished = 20;

    /// <summary>Explicit nonce and tag of AES-GCM (RFC 5288): a shorter protected record cannot be authentic.</summary>
    public const int MinProtectedBody = 24;

    /// <summary>Longest record taken. Handshake records are fragments of a datagram, and SCTP keeps below its path MTU.</summary>
    public const int MaxLength = 4096;

    /// <summary>
    /// Longest record of a handshake: what fits a datagram that no router has to cut. BouncyCastle makes a buffer of this
    /// size for every message.
    /// </summary>
    public const int MaxHandshakeLength = 1536;

    /// <summary>Takes the next whole record off the front of a datagram.</summary>
    public static bool TryRead(ref ReadOnlySpan<byte> datagram, out ReadOnlySpan<byte> record)
    {
        record = default;
        if (datagram.Length < HeaderLength || datagram[1] != 0xFE)
            return false;
        int length = HeaderLength + BinaryPrimitives.ReadUInt16BigEndian(datagram[11..]);
        if (length > datagram.Length || length > MaxLength)
            return false;
        record = datagram[..length];
        datagram = datagram[length..];
        return true;
    }

    public static byte Type(ReadOnlySpan<byte> record) => record[0];

    public static ushort Epoch(ReadOnlySpan<byte> record) => BinaryPrimitives.ReadUInt16BigEndian(record[3..]);

    public static ReadOnlySpan<byte> Body(ReadOnlySpan<byte> record) => record[HeaderLength..];

    /// <summary>The 48-bit sequence number.</summary>
    public static long Sequence(ReadOnlySpan<byte> record) =>
        ((long)BinaryPrimitives.ReadUInt16BigEndian(record[5..]) << 32) | BinaryPrimitives.ReadUInt32BigEndian(record[7..]);

    /// <summary>Writes the 48-bit sequence number.</summary>
    public static void SetSequence(Span<byte> record, long sequence)
    {
        BinaryPrimitives.WriteUInt16BigEndian(record[5..], (ushort)(sequence >> 32));
        BinaryPrimitives.WriteUInt32BigEndian(record[7..], (uint)sequence);
    }

    public static int ReadUInt24(ReadOnlySpan<byte> at) => (at[0] << 16) | (at[1] << 8) | at[2];

    public static void WriteUInt24(Span<byte> at, int value) =>
        (at[0], at[1], at[2]) = ((byte)(value >> 16), (byte)(value >> 8), (byte)value);
}

/// <summary>One fragment's header, read from an unprotected handshake record.</summary>
internal readonly record struct DtlsFragment(byte MessageType, int MessageLength, ushort MessageSequence, int Offset, int Length)
{
    /// <summary>Takes the next fragment off the front of a record's body.</summary>
    public static bool TryRead(ref ReadOnlySpan<byte> body, out DtlsFragment fragment)
    {
        fragment = default;
        if (body.Length < DtlsRecord.HandshakeHeaderLength)
            return false;
        fragment = new(
            body[0],
            DtlsRecord.ReadUInt24(body[1..]),
            BinaryPrimitives.ReadUInt16BigEndian(body[4..]),
            DtlsRecord.ReadUInt24(body[6..]),
            DtlsRecord.ReadUInt24(body[9..]));
        int total = DtlsRecord.HandshakeHeaderLength + fragment.Length;
        if (total > body.Length || fragment.Offset + fragment.Length > fragment.MessageLength)
            return false;
        body = body[total..];
        return true;
    }
}
