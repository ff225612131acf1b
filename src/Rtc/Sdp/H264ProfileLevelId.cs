using System.Globalization;

namespace Transcribe.Rtc.Sdp;

/// <summary>H.264 profiles as <c>profile-level-id</c> tells them (RFC 6184 §8.1).</summary>
public enum H264Profile
{
    ConstrainedBaseline,
    Baseline,
    Main,
    Extended,
    ConstrainedHigh,
    High,
    High444Predictive,
}

/// <summary>The <c>profile-level-id</c> parameter of H.264.</summary>
/// <param name="Profile">Profile.</param>
/// <param name="Level">level_idc, ten times the level; 9 is level 1b.</param>
public readonly record struct H264ProfileLevelId(H264Profile Profile, byte Level)
{
    /// <summary>What a missing parameter means: Baseline profile, level 1 (RFC 6184 §8.1).</summary>
    public static H264ProfileLevelId Default { get; } = new(H264Profile.Baseline, 10);

    /// <summary>Parses six hexadecimal digits.</summary>
    public static bool TryParse(string? text, out H264ProfileLevelId value)
    {
        value = default;
        if (text is not { Length: 6 } || !uint.TryParse(text, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out uint bits))
            return false;
        byte idc = (byte)(bits >> 16);
        byte iop = (byte)(bits >> 8);
        byte level = (byte)bits;

        // RFC 6184 table 5: profile_idc and the constraint flags set0..set3 name a profile.
        H264Profile? profile = (idc, iop) switch
        {
            (0x42, _) when (iop & 0x4F) == 0x40 => H264Profile.ConstrainedBaseline,
            (0x4D, _) when (iop & 0x8F) == 0x80 => H264Profile.ConstrainedBaseline,
            (0x58, _) when (iop & 0xCF) == 0xC0 => H264Profile.ConstrainedBaseline,
            (0x42, _) when (iop & 0x4F) == 0x00 => H264Profile.Baseline,
            (0x58, _) when (iop & 0xCF) == 0x80 => H264Profile.Baseline,
            (0x4D, _) when (iop & 0xAF) == 0x00 => H264Profile.Main,
            (0x58, _) when (iop & 0xCF) == 0x00 => H264Profile.Extended,
            (0x64, 0x00) => H264Profile.High,
            (0x64, 0x0C) => H264Profile.ConstrainedHigh,
            (0xF4, 0x00) => H264Profile.High444Predictive,
            _ => null,
        };
        if (profile is null)
            return false;
        if (level == 11 && (iop & 0x10) != 0 && idc != 0x64)
            level = 9;
        value = new(profile.Value, level);
        return true;
    }

    /// <summary>
    /// True where two H.264 formats have the same packetization mode and profile. Levels may differ where one side allows
    /// asymmetry, and an SFU, which does not decode, does not care for them.
    /// </summary>
    public static bool AreCompatible(RtpCodec a, RtpCodec b) =>
        a.Parameter("packetization-mode", "0") == b.Parameter("packetization-mode", "0")
        && TryOf(a, out H264ProfileLevelId first)
        && TryOf(b, out H264ProfileLevelId second)
        && first.Profile == second.Profile;

    private static bool TryOf(RtpCodec codec, out H264ProfileLevelId value)
    {
        value = Default;
        return !codec.Parameters.TryGetValue("profile-level-id", out string? text) || TryParse(text, out value);
    }
}
