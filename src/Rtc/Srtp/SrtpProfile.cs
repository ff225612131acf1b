namespace Transcribe.Rtc.Srtp;

/// <summary>SRTP protection profiles by their DTLS-SRTP number (RFC 5764 section 4.1.2, RFC 7714 section 14.2).</summary>
public enum SrtpProfile
{
    /// <summary>No profile.</summary>
    None = 0,

    /// <summary>AES counter mode with an 80-bit HMAC-SHA1 tag (RFC 3711).</summary>
    Aes128CmHmacSha1Tag80 = 0x0001,

    /// <summary>AES-128-GCM with a 128-bit tag (RFC 7714).</summary>
    AeadAes128Gcm = 0x0007,
}

/// <summary>Sizes that follow from a profile.</summary>
public static class SrtpProfiles
{
    /// <summary>Most bytes that <see cref="SrtpSender"/> adds to an RTP packet, whatever the profile.</summary>
    public const int MaxRtpOverhead = 16;

    /// <summary>Most bytes that <see cref="SrtpSender"/> adds to an RTCP packet, whatever the profile.</summary>
    public const int MaxRtcpOverhead = 20;

    /// <summary>Master key length in bytes (both profiles: 16).</summary>
    public static int MasterKeyLength(this SrtpProfile profile) => Known(profile) ? 16 : 0;

    /// <summary>Master salt length in bytes: 12 for GCM, 14 for counter mode.</summary>
    public static int MasterSaltLength(this SrtpProfile profile) => profile switch
    {
        SrtpProfile.AeadAes128Gcm => 12,
        SrtpProfile.Aes128CmHmacSha1Tag80 => 14,
        _ => 0,
    };

    /// <summary>Authentication tag length in bytes: 16 for GCM, 10 for HMAC-SHA1-80.</summary>
    public static int TagLength(this SrtpProfile profile) => profile switch
    {
        SrtpProfile.AeadAes128Gcm => 16,
        SrtpProfile.Aes128CmHmacSha1Tag80 => 10,
        _ => 0,
    };

    internal static bool Known(SrtpProfile profile) =>
        profile is SrtpProfile.AeadAes128Gcm or SrtpProfile.Aes128CmHmacSha1Tag80;
}
