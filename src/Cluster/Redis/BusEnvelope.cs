using System.Buffers;
using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace Transcribe.Cluster.Redis;

internal enum BusMessageKind : byte
{
    Event = 1,
    Request = 2,
    Reply = 3,

    /// <summary>A reply whose body is a refusal (code, message).</summary>
    Refusal = 4,
}

/// <param name="Sender">The process that sent it; chosen at random at its start.</param>
/// <param name="Time">When, by the sender's clock; Unix milliseconds.</param>
/// <param name="Number">Grows with every message of the sender: never twice the same.</param>
/// <param name="Correlation">Of a request: its time-out in ms; of a reply: the request's <paramref name="Number"/>.</param>
internal readonly record struct BusHeader(BusMessageKind Kind, Guid Sender, long Time, ulong Number, ulong Correlation);

/// <summary>
/// A message as it travels: tag (16 bytes) | version (1) | kind (1) | sender (16) | time (8) | number (8) | correlation (8) | body.
/// The tag is HMAC-SHA256 over channel and all that follows it, cut to 128 bits (RFC 2104 §5).
/// </summary>
internal static class BusEnvelope
{
    public const int TagBytes = 16;
    public const int HeaderBytes = 42;
    public const int MaxBytes = 16 * 1024 * 1024;

    private const byte Version = 1;

    public static byte[] Seal(ReadOnlySpan<byte> key, string channel, BusHeader header, ReadOnlySpan<byte> body)
    {
        byte[] message = new byte[TagBytes + HeaderBytes + body.Length];
        Span<byte> head = message.AsSpan(TagBytes);
        head[0] = Version;
        head[1] = (byte)header.Kind;
        header.Sender.TryWriteBytes(head[2..]);
        BinaryPrimitives.WriteInt64BigEndian(head[18..], header.Time);
        BinaryPrimitives.WriteUInt64BigEndian(head[26..], header.Number);
        BinaryPrimitives.WriteUInt64BigEndian(head[34..], header.Correlation);
        body.CopyTo(head[HeaderBytes..]);
        Span<byte> mac = stackalloc byte[HMACSHA256.HashSizeInBytes];
        Authenticate(key, channel, head, mac);
        mac[..TagBytes].CopyTo(message);
        return message;
    }

    /// <summary>Reads a message that may come from anybody. False where it is malformed or not by somebody who has the key.</summary>
    public static bool TryOpen(
        ReadOnlySpan<byte> key, string channel, ReadOnlySpan<byte> message, out BusHeader header, out BusDrop problem)
    {
        header = default;
        if (message.Length > MaxBytes)
        {
            problem = BusDrop.TooLarge;
            return false;
        }

        problem = BusDrop.Malformed;
        if (message.Length < TagBytes + HeaderBytes || message[TagBytes] != Version)
            return false;

        ReadOnlySpan<byte> head = message[TagBytes..];
        Span<byte> mac = stackalloc byte[HMACSHA256.HashSizeInBytes];
        Authenticate(key, channel, head, mac);
        problem = BusDrop.Forged;
        if (!CryptographicOperations.FixedTimeEquals(mac[..TagBytes], message[..TagBytes]))
            return false;

        header = new BusHeader(
            (BusMessageKind)head[1],
            new Guid(head[2..18]),
            BinaryPrimitives.ReadInt64BigEndian(head[18..]),
            BinaryPrimitives.ReadUInt64BigEndian(head[26..]),
            BinaryPrimitives.ReadUInt64BigEndian(head[34..]));
        return true;
    }

    public static ReadOnlyMemory<byte> Body(byte[] message) => message.AsMemory(TagBytes + HeaderBytes);

    private static void Authenticate(ReadOnlySpan<byte> key, string channel, ReadOnlySpan<byte> rest, Span<byte> mac)
    {
        int channelBytes = Encoding.UTF8.GetByteCount(channel);
        int length = 4 + channelBytes + rest.Length;
        byte[] buffer = ArrayPool<byte>.Shared.Rent(length);
        BinaryPrimitives.WriteInt32BigEndian(buffer, channelBytes);
        Encoding.UTF8.GetBytes(channel, buffer.AsSpan(4));
        rest.CopyTo(buffer.AsSpan(4 + channelBytes));
        HMACSHA256.HashData(key, buffer.AsSpan(0, length), mac);
        ArrayPool<byte>.Shared.Return(buffer);
    }
}
