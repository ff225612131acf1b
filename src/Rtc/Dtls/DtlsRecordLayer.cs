using System.Buffers.Binary;
using Transcribe.Rtc.Srtp;

namespace Transcribe.Rtc.Dtls;

/// <summary>
/// Record protection of a connected association: AES-GCM in epoch 1 (RFC 5288, RFC 6347 section 4.1.2). It takes the
/// place of BouncyCastle's, which holds on to all of the handshake: 14 KiB for each session.
/// </summary>
internal sealed class DtlsRecordLayer : IDisposable
{
    /// <summary>Longest record body less explicit nonce and tag.</summary>
    public const int MaxPlain = DtlsRecord.MaxLength - DtlsRecord.HeaderLength - DtlsRecord.MinProtectedBody;

    private const ushort Epoch = 1;
    private const int Salt = 4;
    private const int ExplicitNonce = 8;
    private const int Tag = 16;
    private const long MaxSequence = (1L << 48) - 1;

    private readonly AeadAes128Gcm _sending;
    private readonly AeadAes128Gcm _receiving;
    private readonly uint _sendingSalt;
    private readonly uint _receivingSalt;
    private NarrowReplayWindow _received = new();
    private long _sendSequence;

    /// <param name="keyBlock">client_write_key, server_write_key, client_write_IV, server_write_IV (RFC 5246 section 6.3).</param>
    /// <param name="isClient">Which of them are ours.</param>
    /// <param name="nextSequence">First sequence number of epoch 1 that was not sent yet.</param>
    public DtlsRecordLayer(ReadOnlySpan<byte> keyBlock, bool isClient, long nextSequence)
    {
        int key = (keyBlock.Length / 2) - Salt;
        AeadAes128Gcm client = Cipher(keyBlock[..key]);
        AeadAes128Gcm server = Cipher(keyBlock.Slice(key, key));
        uint clientSalt = BinaryPrimitives.ReadUInt32BigEndian(keyBlock[(2 * key)..]);
        uint serverSalt = BinaryPrimitives.ReadUInt32BigEndian(keyBlock[((2 * key) + Salt)..]);
        (_sending, _receiving) = isClient ? (client, server) : (server, client);
        (_sendingSalt, _receivingSalt) = isClient ? (clientSalt, serverSalt) : (serverSalt, clientSalt);
        _sendSequence = nextSequence;
    }

    /// <summary>Bytes of the key block for a cipher key of this length.</summary>
    public static int KeyBlockLength(int keyLength) => 2 * (keyLength + Salt);

    /// <summary>Writes a whole record.</summary>
    /// <returns>Its length; 0 where the sequence numbers are used up or there is no room.</returns>
    public int Seal(byte type, ReadOnlySpan<byte> plain, Span<byte> record)
    {
        int length = DtlsRecord.HeaderLength + ExplicitNonce + plain.Length + Tag;
        if (_sendSequence > MaxSequence || plain.Length > MaxPlain || record.Length < length)
            return 0;
        record[0] = type;
        (record[1], record[2]) = (0xFE, 0xFD);
        BinaryPrimitives.WriteUInt16BigEndian(record[3..], Epoch);
        DtlsRecord.SetSequence(record, _sendSequence++);
        BinaryPrimitives.WriteUInt16BigEndian(record[11..], (ushort)(length - DtlsRecord.HeaderLength));
        Span<byte> body = record[DtlsRecord.HeaderLength..length];

        // Epoch and sequence number are used once under a key, and so make the nonce.
        record.Slice(3, ExplicitNonce).CopyTo(body);
        Span<byte> nonce = stackalloc byte[Salt + ExplicitNonce];
        Span<byte> associated = stackalloc byte[DtlsRecord.HeaderLength];
        Describe(record, _sendingSalt, plain.Length, nonce, associated);
        _sending.Encrypt(nonce, plain, body.Slice(ExplicitNonce, plain.Length), body[^Tag..], associated);
        return length;
    }

    /// <summary>Checks and decrypts a whole record of epoch 1.</summary>
    /// <returns>Length of what it holds; -1 where it is forged, damaged, or was there before.</returns>
    public int Open(ReadOnlySpan<byte> record, Span<byte> plain)
    {
        ReadOnlySpan<byte> body = DtlsRecord.Body(record);
        int length = body.Length - ExplicitNonce - Tag;
        if (length < 0 || length > plain.Length || DtlsRecord.Epoch(record) != Epoch || record[2] != 0xFD)
            return -1;
        long sequence = DtlsRecord.Sequence(record);
        if (_received.Check(sequence) != SrtpReject.None)
            return -1;
        Span<byte> nonce = stackalloc byte[Salt + ExplicitNonce];
        Span<byte> associated = stackalloc byte[DtlsRecord.HeaderLength];
        Describe(record, _receivingSalt, length, nonce, associated);
        Span<byte> text = plain[..length];
        body.Slice(ExplicitNonce, length).CopyTo(text);
        if (!_receiving.Decrypt(nonce, text, body[^Tag..], associated))
            return -1;
        _received.Accept(sequence);
        return length;
    }

    public void Dispose()
    {
        _sending.Dispose();
        _receiving.Dispose();
    }

    // Of 256 bits, which nobody prefers, by the platform.
    private static AeadAes128Gcm Cipher(ReadOnlySpan<byte> key) => key.Length == 16 ? AeadAes128Gcm.Create(key) : new PlatformAeadAes128Gcm(key);

    // The associated data is epoch and sequence number, type, version and the length of the plaintext.
    private static void Describe(ReadOnlySpan<byte> record, uint salt, int length, Span<byte> nonce, Span<byte> associated)
    {
        BinaryPrimitives.WriteUInt32BigEndian(nonce, salt);
        record.Slice(DtlsRecord.HeaderLength, ExplicitNonce).CopyTo(nonce[Salt..]);
        record.Slice(3, 8).CopyTo(associated);
        record[..3].CopyTo(associated[8..]);
        BinaryPrimitives.WriteUInt16BigEndian(associated[11..], (ushort)length);
    }
}
