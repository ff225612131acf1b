using System.Diagnostics.CodeAnalysis;
using Transcribe.Rtc.Dtls;
using Transcribe.Rtc.Ice;
using Transcribe.Rtc.Rtp;
using Transcribe.Rtc.Sdp;

namespace Transcribe.Rtc.Negotiation;

/// <summary>The peer's transport, as its description tells it.</summary>
internal sealed record RemoteTransport(
    IceCredentials Credentials,
    bool IceLite,
    SdpSetup Setup,
    IReadOnlyList<DtlsFingerprint> Fingerprints,
    IReadOnlyList<string> Candidates,
    bool EndOfCandidates);

/// <summary>Reads what a description means for us. Pure: nothing is changed, errors are sentences that quote nothing of the input.</summary>
internal static class DescriptionReader
{
    /// <summary>The m-sections that share the transport: those of the first BUNDLE group, else the first usable one alone.</summary>
    public static bool TryGetBundle(
        SessionDescription description, out IReadOnlyList<MediaDescription> bundled, [NotNullWhen(false)] out string? error)
    {
        error = null;
        List<MediaDescription> members = [];
        bundled = members;
        if (description.Bundle is not SdpGroup group)
        {
            MediaDescription? only = description.Media.FirstOrDefault(m => !m.IsRejected);
            if (only is not null)
                members.Add(only);
            return true;
        }

        foreach (string mid in group.Mids)
        {
            MediaDescription? media = description.FindMedia(mid);
            if (media is null)
            {
                error = "The BUNDLE group names a mid that no m-section has.";
                return false;
            }

            if (!media.IsRejected && !members.Contains(media))
                members.Add(media);
        }

        return true;
    }

    /// <summary>Transport attributes of the bundle: the first member's, which carries them for all (RFC 8843 §7.1.3).</summary>
    public static bool TryReadTransport(
        SessionDescription description,
        IReadOnlyList<MediaDescription> bundled,
        [NotNullWhen(true)] out RemoteTransport? transport,
        [NotNullWhen(false)] out string? error)
    {
        transport = null;
        SdpTransport attributes = description.TransportOf(bundled[0]);
        if (attributes.IceUfrag is null || attributes.IcePwd is null)
        {
            error = "The description has no ICE user name fragment and password (a=ice-ufrag, a=ice-pwd).";
            return false;
        }

        if (!IceCredentials.TryCreate(attributes.IceUfrag, attributes.IcePwd, out IceCredentials? credentials))
        {
            error = "The ICE user name fragment or password is not valid: 4 to 256 and 22 to 256 ICE characters are required (RFC 8839 section 5.4).";
            return false;
        }

        List<DtlsFingerprint> fingerprints = [];
        foreach (SdpFingerprint fingerprint in attributes.Fingerprints)
        {
            if (DtlsFingerprint.TryParse(fingerprint.Algorithm, fingerprint.Value, out DtlsFingerprint? parsed))
                fingerprints.Add(parsed);
        }

        if (fingerprints.Count == 0)
        {
            error = "The description has no certificate fingerprint with sha-256, sha-384 or sha-512 (a=fingerprint).";
            return false;
        }

        if (attributes.Setup is not SdpSetup setup)
        {
            error = "The description does not tell its DTLS role (a=setup).";
            return false;
        }

        if (setup == SdpSetup.HoldConn)
        {
            error = "The DTLS role \"holdconn\" cannot be used with WebRTC.";
            return false;
        }

        MediaDescription source = bundled.FirstOrDefault(m => m.Candidates.Count > 0) ?? bundled[0];
        transport = new RemoteTransport(
            credentials, description.IceLite, setup, fingerprints, [.. source.Candidates],
            source.EndOfCandidates || bundled[0].EndOfCandidates
                || description.OtherAttributes.Any(a => a.Name == "end-of-candidates"));
        error = null;
        return true;
    }

    /// <summary>The header extensions both sides have, under the description's ids.</summary>
    public static IReadOnlyList<SdpExtMap> MatchExtensions(
        SessionDescription session, MediaDescription description, IReadOnlyList<string> supported)
    {
        List<SdpExtMap> matched = [];
        foreach (SdpExtMap map in session.ExtMapsOf(description))
        {
            if (map.Id is > 0 and < 256 && supported.Contains(map.Uri)
                && matched.TrueForAll(m => m.Id != map.Id && m.Uri != map.Uri))
            {
                matched.Add(new SdpExtMap(map.Id, map.Uri));
            }
        }

        return matched;
    }

    public static NegotiatedMedia Negotiate(
        SessionDescription session, MediaDescription description, IReadOnlyList<RtpCodec> codecs, IReadOnlyList<SdpExtMap> extensions) =>
        new(
            codecs,
            new RtpExtensionIds(extensions.Select(e => (e.Id, e.Uri))),
            session.AllowsMixedExtMaps(description),
            description.RtcpReducedSize);

    /// <summary>The peer's primary SSRC and its retransmissions', as far as signalled.</summary>
    public static (uint? Primary, uint? Rtx) SourcesOf(MediaDescription description)
    {
        if (description.Sources.Count == 0 && description.SourceGroups.Count == 0)
            return (null, null);
        uint? primary = description.SourceGroups.FirstOrDefault(g => g is { Semantics: "SIM", Ssrcs.Count: > 0 })?.Ssrcs[0];
        foreach (SdpSource source in description.Sources)
        {
            primary ??= description.SourceGroups.Any(g => g.Semantics != "SIM" && g.Ssrcs.Skip(1).Contains(source.Ssrc))
                ? null
                : source.Ssrc;
        }

        return (primary, primary is uint ssrc ? description.RtxSourceOf(ssrc) : null);
    }

    /// <summary>Stream and track id of what the peer sends.</summary>
    public static (string? StreamId, string? TrackId) MsidOf(MediaDescription description)
    {
        if (description.Msids.Count > 0)
            return (description.Msids[0].StreamId, description.Msids[0].TrackId);
        if (description.Sources.Count == 0)
            return (null, null);
        string[]? words = description.Sources.FirstOrDefault(s => s.Msid is not null)?.Msid!.Split(' ', 2);
        return (words?[0], words is { Length: 2 } ? words[1] : null);
    }
}
