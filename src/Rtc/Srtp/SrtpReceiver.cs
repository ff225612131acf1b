using System.Buffers.Binary;

namespace Transcribe.Rtc.Srtp;

/// <summary>
/// Checks and decrypts incoming SRTP and SRTCP of one master key. An SSRC gets state only once a packet of it has
/// authenticated, so forgeries cannot fill the table. Not thread-safe; allocates only when a new SSRC appears. When the
/// table is full the SSRC that was silent longest gives way; it may come back, but nothing of it is taken twice.
/// </summary>
public sealed class SrtpReceiver : IDisposable
{
    private readonly SrtpCipher _cipher;
    private readonly SsrcTable _sources;

    /// <summary>SSRCs that left the table, of which the highest indices are remembered.</summary>
    private const int RememberedSources = 16_384;

    /// <param name="profile">Protection profile.</param>
    /// <param name="masterKey">16 bytes.</param>
    /// <param name="masterSalt">12 bytes (GCM) or 14 (counter mode).</param>
    /// <param name="maxSources">Most SSRCs that are tracked at a time.</param>
    public SrtpReceiver(SrtpProfile profile, ReadOnlySpan<byte> masterKey, ReadOnlySpan<byte> masterSalt, int maxSources = 4096)
        : this(SrtpCipher.Create(profile, masterKey, masterSalt), profile, maxSources)
    {
    }

    internal SrtpReceiver(SrtpCipher cipher, SrtpProfile profile, int maxSources = 4096)
    {
        _cipher = cipher;
        _sources = new SsrcTable(maxSources, RememberedSources, mayForget: true);
        Profile = profile;
    }

    public SrtpProfile Profile { get; }

    public SrtpCounters Counters { get; } = new();

    /// <summary>SSRCs that have sent something authentic and are tracked.</summary>
    public int SourceCount => _sources.Count;

    /// <summary>
    /// Decrypts an SRTP packet in place. When it is rejected its payload may have been overwritten.
    /// </summary>
    /// <param name="packet">The datagram.</param>
    /// <param name="length">Length of the plain RTP packet, which starts where <paramref name="packet"/> does.</param>
    /// <returns>False when rejected; <see cref="Counters"/> says why.</returns>
    public bool TryUnprotectRtp(Span<byte> packet, out int length) => TryUnprotectRtp(packet, out length, out _);

    /// <inheritdoc cref="TryUnprotectRtp(Span{byte}, out int)"/>
    /// <param name="reject">Why it was rejected.</param>
    public bool TryUnprotectRtp(Span<byte> packet, out int length, out SrtpReject reject)
    {
        length = 0;
        reject = UnprotectRtp(packet, ref length);
        if (reject == SrtpReject.None)
        {
            Counters.Rtp++;
            return true;
        }

        Counters.Count(reject);
        return false;
    }

    /// <inheritdoc cref="TryUnprotectRtp(Span{byte}, out int)"/>
    public bool TryUnprotectRtcp(Span<byte> packet, out int length) => TryUnprotectRtcp(packet, out length, out _);

    /// <summary>Decrypts an SRTCP packet in place; as for RTP.</summary>
    public bool TryUnprotectRtcp(Span<byte> packet, out int length, out SrtpReject reject)
    {
        length = 0;
        reject = UnprotectRtcp(packet, ref length);
        if (reject == SrtpReject.None)
        {
            Counters.Rtcp++;
            return true;
        }

        Counters.Count(reject);
        return false;
    }

    private SrtpReject UnprotectRtp(Span<byte> packet, ref int length)
    {
        if (packet.Length > SrtpPacket.MaxLength
            || !SrtpPacket.TryGetRtpHeaderLength(packet, out int header)
            || packet.Length < header + _cipher.TagLength)
            return SrtpReject.Malformed;
        uint ssrc = BinaryPrimitives.ReadUInt32BigEndian(packet[8..]);
        ushort sequence = BinaryPrimitives.ReadUInt16BigEndian(packet[2..]);

        bool known = _sources.TryGet(ssrc, out SsrcState? state);
        state ??= _sources.Propose(ssrc);
        long index = state.EstimateRtpIndex(sequence);
        SrtpReject replay = index < 0 ? SrtpReject.TooOld : state.Rtp.Check(index);
        if (replay != SrtpReject.None)
            return replay;
        if (!_cipher.DecryptRtp(packet, header, ssrc, index))
            return SrtpReject.BadTag;
        if (!known)
            _sources.TryAdmit(state);
        state.Rtp.Accept(index);
        length = packet.Length - _cipher.TagLength;
        return SrtpReject.None;
    }

    private SrtpReject UnprotectRtcp(Span<byte> packet, ref int length)
    {
        int overhead = _cipher.TagLength + 4;
        if (packet.Length > SrtpPacket.MaxLength || packet.Length < SrtpPacket.RtcpHeader + overhead || (packet[0] >> 6) != 2)
            return SrtpReject.Malformed;
        uint ssrc = BinaryPrimitives.ReadUInt32BigEndian(packet[4..]);
        uint trailer = _cipher.ReadRtcpTrailer(packet);
        uint index = trailer & SrtpPacket.MaxRtcpIndex;
        bool known = _sources.TryGet(ssrc, out SsrcState? state);
        state ??= _sources.Propose(ssrc);
        SrtpReject replay = state.Rtcp.Check(index);
        if (replay != SrtpReject.None)
            return replay;
        if ((trailer & SrtpPacket.EncryptedFlag) == 0)
            return SrtpReject.NotEncrypted;
        if (!_cipher.DecryptRtcp(packet, ssrc, trailer))
            return SrtpReject.BadTag;
        if (!known)
            _sources.TryAdmit(state);
        state.Rtcp.Accept(index);
        length = packet.Length - overhead;
        return SrtpReject.None;
    }

    public void Dispose() => _cipher.Dispose();
}
