using System.Buffers.Binary;

namespace Transcribe.Rtc.Srtp;

/// <summary>AEAD_AES_128_GCM (RFC 7714).</summary>
internal sealed class GcmSrtpCipher : SrtpCipher
{
    private const int Tag = 16;

    private readonly AeadAes128Gcm _rtp;
    private readonly AeadAes128Gcm _rtcp;
    private readonly ulong _rtpSaltHigh;
    private readonly uint _rtpSaltLow;
    private readonly ulong _rtcpSaltHigh;
    private readonly uint _rtcpSaltLow;

    public GcmSrtpCipher(ReadOnlySpan<byte> masterKey, ReadOnlySpan<byte> masterSalt)
    {
        Span<byte> key = stackalloc byte[16];
        Span<byte> salt = stackalloc byte[12];
        SrtpKeyDerivation.Derive(masterKey, masterSalt, SrtpKeyDerivation.RtpEncryption, key);
        _rtp = AeadAes128Gcm.Create(key);
        SrtpKeyDerivation.Derive(masterKey, masterSalt, SrtpKeyDerivation.RtpSalt, salt);
        (_rtpSaltHigh, _rtpSaltLow) = Split(salt);
        SrtpKeyDerivation.Derive(masterKey, masterSalt, SrtpKeyDerivation.RtcpEncryption, key);
        _rtcp = AeadAes128Gcm.Create(key);
        SrtpKeyDerivation.Derive(masterKey, masterSalt, SrtpKeyDerivation.RtcpSalt, salt);
        (_rtcpSaltHigh, _rtcpSaltLow) = Split(salt);
        key.Clear();
        salt.Clear();
    }

    /// <summary>With session keys as they are: for the vectors of RFC 7714, which give those.</summary>
    internal GcmSrtpCipher(AeadAes128Gcm cipher, ReadOnlySpan<byte> sessionSalt)
    {
        (_rtp, _rtcp) = (cipher, cipher);
        (_rtpSaltHigh, _rtpSaltLow) = Split(sessionSalt);
        (_rtcpSaltHigh, _rtcpSaltLow) = (_rtpSaltHigh, _rtpSaltLow);
    }

    public override int TagLength => Tag;

    public override void EncryptRtp(Span<byte> destination, int headerLength, ReadOnlySpan<byte> payload, uint ssrc, long index)
    {
        Span<byte> nonce = stackalloc byte[12];
        WriteRtpNonce(nonce, ssrc, index);
        int end = headerLength + payload.Length;
        _rtp.Encrypt(nonce, payload, destination[headerLength..end], destination.Slice(end, Tag), destination[..headerLength]);
    }

    public override bool DecryptRtp(Span<byte> packet, int headerLength, uint ssrc, long index)
    {
        Span<byte> nonce = stackalloc byte[12];
        WriteRtpNonce(nonce, ssrc, index);
        int end = packet.Length - Tag;
        return _rtp.Decrypt(nonce, packet[headerLength..end], packet.Slice(end, Tag), packet[..headerLength]);
    }

    public override void EncryptRtcp(Span<byte> buffer, int length, uint ssrc, uint index)
    {
        // RFC 7714 section 9: ciphertext, tag, then E flag and index; the associated data is header | E | index.
        uint trailer = index | SrtpPacket.EncryptedFlag;
        Span<byte> nonce = stackalloc byte[12];
        Span<byte> associated = stackalloc byte[12];
        WriteRtcpNonce(nonce, ssrc, index);
        buffer[..SrtpPacket.RtcpHeader].CopyTo(associated);
        BinaryPrimitives.WriteUInt32BigEndian(associated[8..], trailer);
        Span<byte> body = buffer[SrtpPacket.RtcpHeader..length];
        _rtcp.Encrypt(nonce, body, body, buffer.Slice(length, Tag), associated);
        BinaryPrimitives.WriteUInt32BigEndian(buffer[(length + Tag)..], trailer);
    }

    public override uint ReadRtcpTrailer(ReadOnlySpan<byte> packet) => BinaryPrimitives.ReadUInt32BigEndian(packet[^4..]);

    public override bool DecryptRtcp(Span<byte> packet, uint ssrc, uint trailer)
    {
        Span<byte> nonce = stackalloc byte[12];
        Span<byte> associated = stackalloc byte[12];
        WriteRtcpNonce(nonce, ssrc, trailer & SrtpPacket.MaxRtcpIndex);
        packet[..SrtpPacket.RtcpHeader].CopyTo(associated);
        BinaryPrimitives.WriteUInt32BigEndian(associated[8..], trailer);
        int end = packet.Length - 4 - Tag;
        return _rtcp.Decrypt(nonce, packet[SrtpPacket.RtcpHeader..end], packet.Slice(end, Tag), associated);
    }

    public override void Dispose()
    {
        _rtp.Dispose();
        _rtcp.Dispose();
    }

    // RFC 7714 section 8.1: 00 00 | SSRC | ROC | SEQ, XOR salt.
    private void WriteRtpNonce(Span<byte> nonce, uint ssrc, long index)
    {
        ulong high = ((ulong)ssrc << 16) | (ulong)((index >> 32) & 0xFFFF);
        BinaryPrimitives.WriteUInt64BigEndian(nonce, high ^ _rtpSaltHigh);
        BinaryPrimitives.WriteUInt32BigEndian(nonce[8..], (uint)index ^ _rtpSaltLow);
    }

    // RFC 7714 section 9.1: 00 00 | SSRC | 00 00 | 0 and 31-bit index, XOR salt.
    private void WriteRtcpNonce(Span<byte> nonce, uint ssrc, uint index)
    {
        BinaryPrimitives.WriteUInt64BigEndian(nonce, ((ulong)ssrc << 16) ^ _rtcpSaltHigh);
        BinaryPrimitives.WriteUInt32BigEndian(nonce[8..], index ^ _rtcpSaltLow);
    }

    private static (ulong High, uint Low) Split(ReadOnlySpan<byte> salt) =>
        (BinaryPrimitives.ReadUInt64BigEndian(salt), BinaryPrimitives.ReadUInt32BigEndian(salt[8..]));
}
