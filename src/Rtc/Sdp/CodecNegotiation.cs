using System.Globalization;

namespace Transcribe.Rtc.Sdp;

/// <summary>Matches the codecs of an offer against those we support (RFC 3264 §6.1, RFC 8829 §5.3.1).</summary>
public static class CodecNegotiation
{
    /// <summary>
    /// The codecs an answer takes over: those offered that we support, in our order of preference, each followed by its
    /// retransmission format. Payload types and format parameters are the offerer's; feedback is what both know.
    /// </summary>
    /// <param name="offered">Codecs of the offer's m-section.</param>
    /// <param name="supported">Ours, best first. A supported codec with an rtx entry (or <see cref="RtpCodec.RtxPayloadType"/>) allows rtx.</param>
    public static IReadOnlyList<RtpCodec> Match(IEnumerable<RtpCodec> offered, IEnumerable<RtpCodec> supported)
    {
        List<RtpCodec> offer = [.. offered];
        List<RtpCodec> ours = [.. supported];
        List<RtpCodec> matched = [];
        foreach (RtpCodec own in ours.Where(c => !c.IsRtx))
        {
            bool allowsRtx = own.RtxPayloadType is not null
                || ours.Any(c => c.AssociatedPayloadType == own.PayloadType);
            foreach (RtpCodec theirs in offer)
            {
                if (theirs.IsRtx || matched.Any(m => m.PayloadType == theirs.PayloadType) || !AreCompatible(theirs, own))
                    continue;
                RtpCodec? rtx = allowsRtx ? RtxOf(theirs.PayloadType, offer) : null;
                matched.Add(theirs with
                {
                    Feedback = [.. theirs.Feedback.Where(own.Feedback.Contains)],
                    RtxPayloadType = rtx?.PayloadType,
                });
                if (rtx is not null && matched.All(m => m.PayloadType != rtx.PayloadType))
                    matched.Add(rtx with { Feedback = [] });
            }
        }

        return matched;
    }

    /// <summary>Finds in a list the codec that carries the same format as another description's codec: what a forwarded packet's payload type becomes.</summary>
    /// <param name="codec">The publisher's codec.</param>
    /// <param name="candidates">What the subscriber negotiated.</param>
    public static RtpCodec? FindSame(RtpCodec codec, IEnumerable<RtpCodec> candidates) =>
        candidates.FirstOrDefault(c => AreCompatible(c, codec));

    /// <summary>The rtx format that repairs a payload type, null for none.</summary>
    public static RtpCodec? RtxOf(byte payloadType, IEnumerable<RtpCodec> codecs) =>
        codecs.FirstOrDefault(c => c.AssociatedPayloadType == payloadType);

    /// <summary>True where a stream in one description's format may be sent as the other's.</summary>
    public static bool AreCompatible(RtpCodec a, RtpCodec b)
    {
        if (!a.NameIs(b.Name) || a.ClockRate != b.ClockRate)
            return false;
        if (a.NameIs("opus"))
            return true; // always /48000/2 on the wire; every decoder takes every Opus stream (RFC 7587 §7)
        if (a.Channels != b.Channels)
            return false;
        if (a.NameIs("H264"))
            return H264ProfileLevelId.AreCompatible(a, b);
        if (a.NameIs("VP9"))
            return Number(a, "profile-id", 0) == Number(b, "profile-id", 0);
        if (a.NameIs("AV1"))
            return Number(a, "profile", 0) == Number(b, "profile", 0);
        return true;
    }

    private static int Number(RtpCodec codec, string parameter, int fallback) =>
        !codec.Parameters.TryGetValue(parameter, out string? text) ? fallback
        : int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int value) ? value
        : -1;
}

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
