using System.Buffers.Binary;
using System.Security.Cryptography;

namespace Transcribe.Rtc.Srtp;

/// <summary>AES counter mode with HMAC-SHA1-80 (RFC 3711 sections 4.1.1 and 4.2.1).</summary>
internal sealed class CounterModeSrtpCipher : SrtpCipher
{
    private const int Tag = 10;
    private const int AuthenticationKey = 20;

    private readonly AesCounterMode _rtp;
    private readonly AesCounterMode _rtcp;
    private readonly HmacSha1 _rtpHmac;
    private readonly HmacSha1 _rtcpHmac;
    private readonly byte[] _rtpSalt = new byte[14];
    private readonly byte[] _rtcpSalt = new byte[14];

    public CounterModeSrtpCipher(ReadOnlySpan<byte> masterKey, ReadOnlySpan<byte> masterSalt)
    {
        Span<byte> key = stackalloc byte[AuthenticationKey];
        SrtpKeyDerivation.Derive(masterKey, masterSalt, SrtpKeyDerivation.RtpEncryption, key[..16]);
        _rtp = AesCounterMode.Create(key[..16]);
        SrtpKeyDerivation.Derive(masterKey, masterSalt, SrtpKeyDerivation.RtcpEncryption, key[..16]);
        _rtcp = AesCounterMode.Create(key[..16]);
        SrtpKeyDerivation.Derive(masterKey, masterSalt, SrtpKeyDerivation.RtpAuthentication, key);
        _rtpHmac = HmacSha1.Create(key);
        SrtpKeyDerivation.Derive(masterKey, masterSalt, SrtpKeyDerivation.RtcpAuthentication, key);
        _rtcpHmac = HmacSha1.Create(key);
        SrtpKeyDerivation.Derive(masterKey, masterSalt, SrtpKeyDerivation.RtpSalt, _rtpSalt);
        SrtpKeyDerivation.Derive(masterKey, masterSalt, SrtpKeyDerivation.RtcpSalt, _rtcpSalt);
        key.Clear();
    }

    public override int TagLength => Tag;

    public override void EncryptRtp(Span<byte> destination, int headerLength, ReadOnlySpan<byte> payload, uint ssrc, long index)
    {
        Span<byte> counter = stackalloc byte[16];
        WriteCounter(counter, _rtpSalt, ssrc, index);
        int end = headerLength + payload.Length;
        _rtp.Transform(counter, payload, destination[headerLength..end]);
        Span<byte> tag = stackalloc byte[HmacSha1.Length];
        RtpTag(destination, end, index, tag);
        tag[..Tag].CopyTo(destination[end..]);
    }

    public override bool DecryptRtp(Span<byte> packet, int headerLength, uint ssrc, long index)
    {
        int end = packet.Length - Tag;
        Span<byte> tag = stackalloc byte[HmacSha1.Length];
        Span<byte> received = stackalloc byte[Tag];
        packet[end..].CopyTo(received);
        RtpTag(packet, end, index, tag);
        received.CopyTo(packet[end..]);
        if (!CryptographicOperations.FixedTimeEquals(tag[..Tag], received))
            return false;
        Span<byte> counter = stackalloc byte[16];
        WriteCounter(counter, _rtpSalt, ssrc, index);
        _rtp.Transform(counter, packet[headerLength..end], packet[headerLength..end]);
        return true;
    }

    public override void EncryptRtcp(Span<byte> buffer, int length, uint ssrc, uint index)
    {
        Span<byte> counter = stackalloc byte[16];
        WriteCounter(counter, _rtcpSalt, ssrc, index);
        Span<byte> body = buffer[SrtpPacket.RtcpHeader..length];
        _rtcp.Transform(counter, body, body);
        BinaryPrimitives.WriteUInt32BigEndian(buffer[length..], index | SrtpPacket.EncryptedFlag);
        Span<byte> tag = stackalloc byte[HmacSha1.Length];
        _rtcpHmac.Compute(buffer[..(length + 4)], tag);
        tag[..Tag].CopyTo(buffer[(length + 4)..]);
    }

    public override uint ReadRtcpTrailer(ReadOnlySpan<byte> packet) =>
        BinaryPrimitives.ReadUInt32BigEndian(packet[^(Tag + 4)..]);

    public override bool DecryptRtcp(Span<byte> packet, uint ssrc, uint trailer)
    {
        int end = packet.Length - Tag;
        Span<byte> tag = stackalloc byte[HmacSha1.Length];
        _rtcpHmac.Compute(packet[..end], tag);
        if (!CryptographicOperations.FixedTimeEquals(tag[..Tag], packet[end..]))
            return false;
        Span<byte> counter = stackalloc byte[16];
        WriteCounter(counter, _rtcpSalt, ssrc, trailer & SrtpPacket.MaxRtcpIndex);
        Span<byte> body = packet[SrtpPacket.RtcpHeader..(end - 4)];
        _rtcp.Transform(counter, body, body);
        return true;
    }

    public override void Dispose()
    {
        _rtp.Dispose();
        _rtcp.Dispose();
        _rtpHmac.Dispose();
        _rtcpHmac.Dispose();
    }

    // The tag covers the packet and the rollover counter, which is put for the while where the tag goes.
    private void RtpTag(Span<byte> packet, int end, long index, Span<byte> tag)
    {
        BinaryPrimitives.WriteUInt32BigEndian(packet[end..], (uint)(index >> 16));
        _rtpHmac.Compute(packet[..(end + 4)], tag);
    }

    // IV = (salt * 2^16) XOR (SSRC * 2^64) XOR (index * 2^16).
    private static void WriteCounter(Span<byte> counter, ReadOnlySpan<byte> salt, uint ssrc, long index)
    {
        counter.Clear();
        salt.CopyTo(counter);
        ulong high = BinaryPrimitives.ReadUInt64BigEndian(counter) ^ ssrc;
        ulong low = BinaryPrimitives.ReadUInt64BigEndian(counter[8..]) ^ ((ulong)index << 16);
        BinaryPrimitives.WriteUInt64BigEndian(counter, high);
        BinaryPrimitives.WriteUInt64BigEndian(counter[8..], low);
    }
}
