using System.Globalization;
using Transcribe.Rtc.Sdp;

namespace Transcribe.Rtc.Negotiation;

/// <summary>Whether two codec descriptions mean the same format, as far as a forwarder must care.</summary>
public static class CodecMatching
{
    /// <summary>
    /// True where packets of one can be sent as the other: same name, clock and channels, and the parameters that make
    /// another format of it: H.264 profile and packetization mode (RFC 6184 §8.2.2), VP9, AV1 and H.265 profile.
    /// Payload types and levels do not count.
    /// </summary>
    public static bool Matches(this RtpCodec codec, RtpCodec other)
    {
        if (!codec.NameIs(other.Name) || codec.ClockRate != other.ClockRate || codec.Channels != other.Channels)
            return false;
        if (codec.NameIs("H264"))
        {
            return codec.Parameter("packetization-mode", "0") == other.Parameter("packetization-mode", "0")
                && H264Profile(codec) == H264Profile(other);
        }

        if (codec.NameIs("VP9"))
            return codec.Parameter("profile-id", "0") == other.Parameter("profile-id", "0");
        if (codec.NameIs("AV1"))
            return codec.Parameter("profile", "0") == other.Parameter("profile", "0");
        if (codec.NameIs("H265"))
            return codec.Parameter("profile-id", "1") == other.Parameter("profile-id", "1");
        return true;
    }

    /// <summary>H.264 profiles as RFC 6184 table 5 tells them apart: profile_idc and the constraint bits that matter.</summary>
    private static string H264Profile(RtpCodec codec)
    {
        string id = codec.Parameter("profile-level-id", "42000A");
        if (id.Length != 6 || !uint.TryParse(id, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out uint value))
            return id;
        uint profile = value >> 16;
        uint constraints = (value >> 8) & 0xFF;
        return profile switch
        {
            0x42 when (constraints & 0x40) != 0 => "constrained-baseline",
            0x4D when (constraints & 0x80) != 0 => "constrained-baseline",
            0x58 when (constraints & 0xC0) == 0xC0 => "constrained-baseline",
            0x42 => "baseline",
            0x58 when (constraints & 0x80) != 0 => "baseline",
            0x4D => "main",
            0x64 when (constraints & 0x0C) == 0x0C => "constrained-high",
            0x64 => "high",
            _ => id,
        };
    }
}
