using System.Buffers.Binary;

namespace Transcribe.Rtc.Srtp;

/// <summary>
/// Protects outgoing RTP and RTCP with one master key (RFC 3711, RFC 7714). Not thread-safe; allocates only when
/// a new SSRC appears.
/// </summary>
public sealed class SrtpSender : IDisposable
{
    /// <summary>SSRCs that were used and left the table; none of them is forgotten.</summary>
    private const int RememberedSources = 1 << 20;

    private readonly SrtpCipher _cipher;
    private readonly SsrcTable _sources;

    /// <param name="profile">Protection profile.</param>
    /// <param name="masterKey">16 bytes.</param>
    /// <param name="masterSalt">12 bytes (GCM) or 14 (counter mode).</param>
    /// <param name="maxSources">Most SSRCs that are tracked at a time; the one silent longest gives way.</param>
    public SrtpSender(SrtpProfile profile, ReadOnlySpan<byte> masterKey, ReadOnlySpan<byte> masterSalt, int maxSources = 4096)
    {
        _cipher = SrtpCipher.Create(profile, masterKey, masterSalt);
        _sources = new SsrcTable(maxSources, RememberedSources, mayForget: false);
        Profile = profile;
    }

    internal SrtpSender(SrtpCipher cipher, SrtpProfile profile, int maxSources = 4096)
    {
        _cipher = cipher;
        _sources = new SsrcTable(maxSources, RememberedSources, mayForget: false);
        Profile = profile;
    }

    public SrtpProfile Profile { get; }

    /// <summary>RTP packets refused because their sequence number was used before, or may have been.</summary>
    public long RepeatsRefused { get; private set; }

    /// <summary>Bytes added to an RTP packet.</summary>
    public int RtpOverhead => _cipher.TagLength;

    /// <summary>Bytes added to an RTCP packet.</summary>
    public int RtcpOverhead => _cipher.TagLength + 4;

    /// <summary>
    /// Encrypts an RTP packet in place. <paramref name="buffer"/> must have <see cref="RtpOverhead"/> bytes of room
    /// after <paramref name="length"/>. Sequence numbers may go back by up to 1023, each used once: the same index for two
    /// different packets (were it only a new header extension) would give the key away (RFC 7714 section 9.1).
    /// </summary>
    /// <returns>
    /// False when it is not a whole RTP packet, there is no room, a million SSRCs were used, or the sequence number
    /// was used before (<see cref="RepeatsRefused"/>).
    /// </returns>
    public bool ProtectRtp(Span<byte> buffer, int length, out int newLength)
    {
        newLength = 0;
        if ((uint)length > (uint)buffer.Length || !SrtpPacket.TryGetRtpHeaderLength(buffer[..length], out int header))
            return false;
        return ProtectRtp(buffer, header, buffer[header..length], out newLength);
    }

    /// <summary>
    /// Encrypts <paramref name="payload"/> into <paramref name="destination"/>, whose first
    /// <paramref name="headerLength"/> bytes hold the RTP header with CSRCs and extensions already written. The
    /// payload may be the very place it is written to, and must not overlap it otherwise.
    /// </summary>
    public bool ProtectRtp(Span<byte> destination, int headerLength, ReadOnlySpan<byte> payload, out int newLength)
    {
        newLength = 0;
        int total = headerLength + payload.Length + _cipher.TagLength;
        if (headerLength < SrtpPacket.MinRtpHeader || total > destination.Length || total > SrtpPacket.MaxLength)
            return false;
        uint ssrc = BinaryPrimitives.ReadUInt32BigEndian(destination[8..]);
        ushort sequence = BinaryPrimitives.ReadUInt16BigEndian(destination[2..]);
        if (!_sources.TryGetOrAdd(ssrc, out SsrcState? state))
            return false;

        long index = state.EstimateRtpIndex(sequence);
        if (index < 0 || state.Rtp.Check(index) != SrtpReject.None)
        {
            RepeatsRefused++;
            return false;
        }

        state.Rtp.Accept(index);
        _cipher.EncryptRtp(destination, headerLength, payload, ssrc, index);
        newLength = total;
        return true;
    }

    /// <summary>
    /// Encrypts a compound RTCP packet in place; <see cref="RtcpOverhead"/> bytes of room are needed after
    /// <paramref name="length"/>. The SRTCP index counts per SSRC of the first packet (RFC 3711 section 3.4).
    /// </summary>
    public bool ProtectRtcp(Span<byte> buffer, int length, out int newLength)
    {
        newLength = 0;
        int total = length + RtcpOverhead;
        if (length < SrtpPacket.RtcpHeader || total > buffer.Length || total > SrtpPacket.MaxLength)
            return false;
        uint ssrc = BinaryPrimitives.ReadUInt32BigEndian(buffer[4..]);
        if (!_sources.TryGetOrAdd(ssrc, out SsrcState? state) || state.NextRtcpIndex > SrtpPacket.MaxRtcpIndex)
            return false;
        _cipher.EncryptRtcp(buffer, length, ssrc, (uint)state.NextRtcpIndex++);
        newLength = total;
        return true;
    }

    public void Dispose() => _cipher.Dispose();
}
