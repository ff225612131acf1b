namespace Transcribe.Rtc.Srtp;

/// <summary>
/// Encryption and authentication of one direction: knows keys and indices, not replay or tables. Lengths have been
/// checked by the caller. The implementation is chosen once, from the profile and what the processor offers.
/// </summary>
internal abstract class SrtpCipher : IDisposable
{
    public abstract int TagLength { get; }

    public static SrtpCipher Create(SrtpProfile profile, ReadOnlySpan<byte> masterKey, ReadOnlySpan<byte> masterSalt)
    {
        if (!SrtpProfiles.Known(profile))
            throw new ArgumentException($"SRTP profile {profile} is not supported.", nameof(profile));
        if (masterKey.Length != profile.MasterKeyLength() || masterSalt.Length != profile.MasterSaltLength())
            throw new ArgumentException($"SRTP profile {profile} takes a {profile.MasterKeyLength()}-byte key and a {profile.MasterSaltLength()}-byte salt.", nameof(masterKey));
        return profile == SrtpProfile.AeadAes128Gcm
            ? new GcmSrtpCipher(masterKey, masterSalt)
            : new CounterModeSrtpCipher(masterKey, masterSalt);
    }

    /// <summary>Writes ciphertext and tag after the header that <paramref name="destination"/> holds.</summary>
    public abstract void EncryptRtp(Span<byte> destination, int headerLength, ReadOnlySpan<byte> payload, uint ssrc, long index);

    /// <summary>Checks and decrypts in place.</summary>
    public abstract bool DecryptRtp(Span<byte> packet, int headerLength, uint ssrc, long index);

    /// <summary>Encrypts all after the first 8 bytes and appends tag and E-flagged index in the profile's order.</summary>
    public abstract void EncryptRtcp(Span<byte> buffer, int length, uint ssrc, uint index);

    /// <summary>The E flag and index, from where the profile puts them.</summary>
    public abstract uint ReadRtcpTrailer(ReadOnlySpan<byte> packet);

    /// <summary>Checks and decrypts in place.</summary>
    public abstract bool DecryptRtcp(Span<byte> packet, uint ssrc, uint trailer);

    public abstract void Dispose();
}
