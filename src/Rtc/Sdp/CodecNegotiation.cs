using System.Globalization;

namespace Transcribe.Rtc.Sdp;

/// <summary>Matches the codecs of a description against those we support (RFC 3264 §6.1, RFC 8829 §5.3.1).</summary>
public static class CodecNegotiation
{
    /// <summary>
    /// The codecs both sides have, in the description's order and under its payload types and format parameters;
    /// feedback is what both know.
    /// </summary>
    /// <param name="described">Codecs of the peer's m-section.</param>
    /// <param name="supported">Ours; <see cref="RtpCodec.RtxPayloadType"/> allows retransmissions.</param>
    /// <param name="listed">The same with the retransmission formats, as an answer lists them.</param>
    public static IReadOnlyList<RtpCodec> Match(
        IEnumerable<RtpCodec> described, IReadOnlyList<RtpCodec> supported, out IReadOnlyList<RtpCodec> listed)
    {
        List<RtpCodec> all = [.. described];
        List<RtpCodec> matched = [];
        List<RtpCodec> withRtx = [];
        foreach (RtpCodec theirs in all)
        {
            if (theirs.IsRepair || supported.FirstOrDefault(own => AreCompatible(own, theirs)) is not RtpCodec own)
                continue;
            RtpCodec? rtx = own.RtxPayloadType is null ? null : RtxOf(theirs.PayloadType, all);
            RtpCodec codec = theirs with
            {
                Feedback = [.. theirs.Feedback.Where(own.Feedback.Contains).Distinct()],
                RtxPayloadType = rtx?.PayloadType,
            };
            matched.Add(codec);
            withRtx.Add(codec);
            if (rtx is not null)
                withRtx.Add(rtx with { Feedback = [] });
        }

        listed = withRtx;
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
