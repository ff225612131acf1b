using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using Transcribe.Rtc.Dtls;
using Transcribe.Rtc.Ice;
using Transcribe.Rtc.Negotiation;
using Transcribe.Rtc.Rtp;
using Transcribe.Rtc.Sdp;

namespace Transcribe.Rtc;

/// <summary>The answering side of JSEP (RFC 8829 §5.3, §5.10).</summary>
public sealed partial class RtcSession
{
    private readonly List<MediaSection> _sections = [];
    private bool _hasRemoteDescription;
    private bool _isOfferer;

    /// <summary>An offer was applied, and its answer not made yet.</summary>
    internal bool AnswerIsDue { get; private set; }

    /// <summary>
    /// Applies an offer: the first one, one that adds m-sections or changes directions, or an ICE restart. Afterwards
    /// <see cref="Media"/> shows what it asks for; the host may lower <see cref="RtcMedia.AllowedDirection"/> or stop
    /// m-sections before it makes the answer.
    /// </summary>
    /// <param name="error">A sentence for the peer; the session goes on as before.</param>
    public bool TrySetRemoteOffer(Instant now, [NotNullWhen(true)] string? sdp, [NotNullWhen(false)] out string? error)
    {
        _now = now;
        if (!CanNegotiate(out error))
            return false;
        if (_isOfferer)
        {
            error = "This side makes the offers; the peer may only answer.";
            return false;
        }

        if (!TryParse(sdp, out SessionDescription? offer, out error)
            || !DescriptionReader.TryGetBundle(offer, out IReadOnlyList<MediaDescription> bundled, out error)
            || !TryPlanOffer(offer, bundled, out List<SectionPlan>? plans, out error))
        {
            return false;
        }

        RemoteTransport? transport = null;
        if (bundled.Count > 0 && !DescriptionReader.TryReadTransport(offer, bundled, out transport, out error))
            return false;
        if (transport is null && !_hasRemoteDescription)
        {
            error = "The offer has no m-section that could be accepted.";
            return false;
        }

        DtlsRole role = _dtlsRole ?? (transport?.Setup == SdpSetup.Passive ? DtlsRole.Client : DtlsRole.Server);
        if (transport is not null && !FitsTransport(transport, role, out error))
            return false;

        Apply(now, plans);
        if (transport is not null)
            ApplyTransport(now, transport, role);
        AnswerIsDue = true;
        RefreshReceiving();
        UpdateState();
        error = null;
        return true;
    }

    /// <summary>Makes the answer to the offer applied last, and puts it in force.</summary>
    /// <exception cref="InvalidOperationException">No offer was applied.</exception>
    public string CreateAnswer(Instant now)
    {
        _now = now;
        if (!_hasRemoteDescription || _isOfferer)
            throw new InvalidOperationException("CreateAnswer needs an offer: call TrySetRemoteOffer first.");
        AnswerIsDue = false;
        foreach (RtcMedia media in _media)
            media.NegotiatedLocalDirection = media.AllowedDirection;
        ApplyDirections();
        SessionDescription answer = Describe(_dtlsRole == DtlsRole.Client ? SdpSetup.Active : SdpSetup.Passive);
        StartData(now);
        StartDtls(now);
        UpdateState();
        return answer.ToString();
    }

    private bool CanNegotiate([NotNullWhen(false)] out string? error)
    {
        error = _closed ? "The session is closed." : null;
        return error is null;
    }

    private bool TryParse(string? sdp, [NotNullWhen(true)] out SessionDescription? description, [NotNullWhen(false)] out string? error)
    {
        SdpLimits limits = new() { MaxLength = _options.Limits.MaxSdpLength, MaxMedia = _options.Limits.MaxMediaSections };
        return SessionDescription.TryParse(sdp, out description, out error, limits);
    }

    private bool TryPlanOffer(
        SessionDescription offer,
        IReadOnlyList<MediaDescription> bundled,
        [NotNullWhen(true)] out List<SectionPlan>? plans,
        [NotNullWhen(false)] out string? error)
    {
        plans = null;
        if (offer.Media.Count < _sections.Count)
        {
            error = $"The offer has {offer.Media.Count} m-sections and the session {_sections.Count}: m-sections are rejected with port 0, never left out.";
            return false;
        }

        List<SectionPlan> made = [];
        HashSet<string> mids = [];
        bool hasData = false;
        for (int i = 0; i < offer.Media.Count; i++)
        {
            MediaDescription description = offer.Media[i];
            MediaSection? former = i < _sections.Count ? _sections[i] : null;
            SectionPlan plan = new()
            {
                Index = i,
                Mid = description.Mid ?? former?.Mid ?? "m" + i.ToString(CultureInfo.InvariantCulture),
                HasMid = description.Mid is not null,
                Description = description,
                RemoteDirection = offer.DirectionOf(description),
            };
            if (!mids.Add(plan.Mid))
            {
                error = "Two m-sections of the offer have the same mid.";
                return false;
            }

            made.Add(plan);
            if (description.IsRejected || !bundled.Contains(description))
            {
                plan.Rejected = true;
                continue;
            }

            if (former is { IsActive: true })
            {
                if (former.Mid != plan.Mid || former.IsData != description.IsDataChannel || former.Media?.Kind != description.Kind)
                {
                    error = $"The offer changes the mid or the kind of m-section {i}, which is in use.";
                    return false;
                }

                plan.Existing = former.Media;
            }
            else if (former?.Media is { IsStopped: true } stopped && stopped.Mid == plan.Mid)
            {
                // We stopped it, and the peer has not seen that yet.
                plan.Rejected = true;
                continue;
            }

            if (description.IsDataChannel)
            {
                plan.IsData = _options.DataChannels && !hasData && description.SctpPort is null or (> 0 and <= ushort.MaxValue);
                plan.Rejected = !plan.IsData;
                hasData |= plan.IsData;
            }
            else
            {
                PlanMedia(offer, plan);
            }
        }

        plans = made;
        error = null;
        return true;
    }

    private void PlanMedia(SessionDescription session, SectionPlan plan)
    {
        MediaDescription description = plan.Description;
        plan.Kind = description.Kind;
        plan.Rejected = true;
        bool isDtls = description.Protocol.Contains("TLS/RTP/SAVP", StringComparison.Ordinal);
        if (plan.Kind is not MediaKind kind || !isDtls || !description.RtcpMux)
            return;
        IReadOnlyList<RtpCodec> codecs = kind == MediaKind.Audio ? _options.AudioCodecs : _options.VideoCodecs;
        IReadOnlyList<string> uris = kind == MediaKind.Audio ? _options.AudioExtensions : _options.VideoExtensions;
        bool withoutFeedback = !_options.TransportFeedbackOnSending && !plan.RemoteDirection.Sends();
        NegotiationKey? key = description.ParsedFormats is SdpFormats parsed && session.ExtMaps.Count == 0
            ? new(parsed, codecs, uris, withoutFeedback, session.AllowsMixedExtMaps(description), description.RtcpReducedSize)
            : null;
        if (key is NegotiationKey known && _options.Negotiations.Find(known) is SharedNegotiation before)
        {
            Take(plan, before);
            return;
        }

        if (withoutFeedback)
        {
            codecs = [.. codecs.Select(c => c with { Feedback = [.. c.Feedback.Where(f => f != RtcpFeedback.TransportWide)] })];
            uris = [.. uris.Where(uri => uri != RtpExtensionUris.TransportSequenceNumber)];
        }

        IReadOnlyList<RtpCodec> matched = CodecNegotiation.Match(description.Codecs, codecs, out IReadOnlyList<RtpCodec> listed);
        if (matched.Count == 0)
            return;
        IReadOnlyList<SdpExtMap> extensions = DescriptionReader.MatchExtensions(session, description, uris);
        SharedNegotiation shared = _options.Negotiations.Share(new SharedNegotiation(
            [.. description.Formats], listed, extensions, DescriptionReader.Negotiate(session, description, matched, extensions)));
        if (key is NegotiationKey made)
            _options.Negotiations.Add(made, shared);
        Take(plan, shared);
    }

    private static void Take(SectionPlan plan, SharedNegotiation shared)
    {
        (plan.Formats, plan.Codecs, plan.ExtMaps, plan.Negotiated) = (shared.Formats, shared.Codecs, shared.ExtMaps, shared.Negotiated);
        plan.FormatText = shared.Text;
        plan.Rejected = false;
    }

    /// <summary>Whether the peer's transport can replace or continue ours.</summary>
    private bool FitsTransport(RemoteTransport transport, DtlsRole role, [NotNullWhen(false)] out string? error)
    {
        error = null;
        if (_options.IceLite && transport.IceLite)
            error = "Both sides are ICE-lite, so nobody would check a path.";
        else if ((transport.Setup == SdpSetup.Passive && role == DtlsRole.Server) || (transport.Setup == SdpSetup.Active && role == DtlsRole.Client))
            error = "The description changes the DTLS role (a=setup) of a running association.";
        else if (_dtlsStarted && !transport.Fingerprints.Any(_remoteFingerprints.Contains))
            error = "The certificate fingerprint changed, but the DTLS association is kept; open a new session instead.";
        return error is null;
    }

    private void ApplyTransport(Instant now, RemoteTransport transport, DtlsRole role)
    {
        _hasRemoteDescription = true;
        _dtlsRole = role;
        if (!_dtlsStarted)
            _remoteFingerprints = transport.Fingerprints;
        _ice.RemoteIsLite = transport.IceLite;
        _ice.SetRemoteCredentials(now, transport.Credentials);
        foreach (string candidate in transport.Candidates)
        {
            if (IceCandidate.TryParse(candidate, out IceCandidate? parsed))
                _ice.AddRemoteCandidate(now, parsed);
        }

        if (transport.EndOfCandidates)
            _ice.EndOfCandidates(now);
    }

    private void Apply(Instant now, List<SectionPlan> plans)
    {
        foreach (SectionPlan plan in plans)
        {
            MediaSection? former = plan.Index < _sections.Count ? _sections[plan.Index] : null;
            if (former?.Media is RtcMedia old && (plan.Rejected || old != plan.Existing))
                Retire(old);
            RtcMedia? media = plan.Rejected || plan.IsData ? null : plan.Existing ?? AddMedia(plan.Index, plan.Mid, plan.Kind!.Value);
            MediaSection section = new()
            {
                Index = plan.Index,
                Mid = plan.Mid,
                HasMid = plan.HasMid,
                Type = plan.Description.Type,
                Protocol = plan.Description.Protocol,
                Formats = plan.Formats ?? [.. plan.Description.Formats],
                Media = media ?? (plan.Rejected ? former?.Media : null),
                IsData = plan.IsData,
                Rejected = plan.Rejected,
                Codecs = plan.Codecs,
                ExtMaps = plan.ExtMaps,
                FormatText = plan.FormatText,
                ReducedSizeRtcp = plan.Description.RtcpReducedSize,
                AllowMixedExtensions = plan.Negotiated.AllowMixedExtensions,
            };
            if (former is null)
                _sections.Add(section);
            else
                _sections[plan.Index] = section;
            if (media is not null)
                ApplyMedia(media, plan);
            else if (plan.IsData)
                ApplyData(plan.Description);
        }

        _media.Clear();
        foreach (MediaSection section in _sections)
        {
            if (section.Media is RtcMedia media)
                _media.Add(media);
        }

        ApplyDirections();
    }

    private void ApplyMedia(RtcMedia media, SectionPlan plan)
    {
        media.Index = plan.Index;
        media.Negotiated = plan.Negotiated;
        media.RemoteDirection = plan.RemoteDirection;
        media.NegotiatedLocalDirection = media.AllowedDirection;
        (media.RemoteStreamId, media.RemoteTrackId) = DescriptionReader.MsidOf(plan.Description);
        media.RemoteRids = plan.Description.Rids.Count == 0 ? [] : [.. plan.Description.Rids.Where(r => r.Send).Select(r => r.Id)];
        if (plan.Negotiated.UsesRtx)
            media.LocalRtxSsrc ??= NewSsrc();
        (uint? primary, uint? rtx) = DescriptionReader.SourcesOf(plan.Description);
        if (primary is uint ssrc && media.RemoteSsrc != ssrc && plan.RemoteDirection.Sends())
            AddStream(ssrc, media, isRtx: false);
        if (rtx is uint rtxSsrc && media.RemoteRtxSsrc != rtxSsrc && plan.RemoteDirection.Sends() && plan.Negotiated.UsesRtx)
            AddStream(rtxSsrc, media, isRtx: true);
    }

    private void ApplyData(MediaDescription description)
    {
        _remoteSctpPort = (ushort)(description.SctpPort ?? 5000);
        long size = description.MaxMessageSize ?? 65536;
        Data().RemoteMaxMessageSize = (int)Math.Min(size, int.MaxValue);
    }

    /// <summary>Ends an m-section that the descriptions rejected or recycled.</summary>
    private void Retire(RtcMedia media)
    {
        media.Stop();
        _sending.Remove(media.LocalSsrc);
    }

    private RtcMedia AddMedia(int index, string mid, MediaKind kind, RtcMediaOptions? options = null)
    {
        RtcMedia media = new(this, index, mid, kind, options ?? new());
        byte[] random = RandomBytes(4);

        // RFC 3711 §3.3.1: start below 2^15, so that early loss cannot confuse the rollover counter.
        media.InitializeSending(
            NewSsrc(), (ushort)(BitConverter.ToUInt16(random) & 0x7FFF), (ushort)(BitConverter.ToUInt16(random, 2) & 0x7FFF));
        _sending.Add(media.LocalSsrc, media);
        return media;
    }

    private void ApplyDirections()
    {
        foreach (RtcMedia media in _media)
        {
            media.ReceiveEnabled = media.Direction.Receives();
            media.SendEnabled = !AnswerIsDue && media.Direction.Sends();
        }

        RefreshReceiving();
    }

    /// <summary>Our side of the descriptions as it stands.</summary>
    private SessionDescription Describe(SdpSetup setup)
    {
        SessionDescription description = new()
        {
            Origin = new SdpOrigin("-", _sdpSessionId, ++_sdpVersion),
            IceLite = _options.IceLite,
            MsidSemantic = "WMS *",
        };
        MediaDescription? tagged = null;
        List<string> bundle = [];
        foreach (MediaSection section in _sections)
        {
            MediaDescription media = section.IsActive ? DescribeActive(section, setup) : DescribeRejected(section);
            description.Media.Add(media);
            if (!section.IsActive)
                continue;
            tagged ??= media;
            if (section.HasMid)
                bundle.Add(section.Mid);
        }

        if (bundle.Count > 0)
            description.Groups.Add(new SdpGroup("BUNDLE", bundle));
        if (tagged is not null)
        {
            foreach (IceCandidate candidate in _ice.LocalCandidates)
            {
                string text = candidate.ToString();
                tagged.Candidates.Add(text.StartsWith("candidate:", StringComparison.Ordinal) ? text["candidate:".Length..] : text);
            }

            tagged.EndOfCandidates = _options.IceLite;
        }

        return description;
    }

    private MediaDescription DescribeActive(MediaSection section, SdpSetup setup)
    {
        IceCredentials credentials = _ice.LocalCredentials;
        MediaDescription media = new()
        {
            Type = section.Type,
            Protocol = section.Protocol,
            Mid = section.HasMid ? section.Mid : null,
            IceUfrag = credentials.Ufrag,
            IcePwd = credentials.Password,
            Setup = setup,
        };
        if (!_options.IceLite)
            media.IceOptions.Add("trickle");
        DtlsFingerprint fingerprint = _options.Certificate.Fingerprint;
        media.Fingerprints.Add(new SdpFingerprint(fingerprint.Algorithm, fingerprint.Value));
        if (section.IsData)
        {
            media.Formats.Add("webrtc-datachannel");
            media.SctpPort = 5000;
            media.MaxMessageSize = _options.Limits.MaxMessageSize;
            return media;
        }

        RtcMedia rtp = section.Media!;
        media.Direction = _isOfferer ? rtp.AllowedDirection : rtp.Direction;
        media.RtcpMux = true;
        media.RtcpReducedSize = section.ReducedSizeRtcp;
        media.ExtMapAllowMixed = section.AllowMixedExtensions;
        media.PreparedFormats = section.FormatText;
        if (section.FormatText is null)
        {
            foreach (SdpExtMap map in section.ExtMaps)
                media.ExtMaps.Add(map);
            foreach (RtpCodec codec in section.Codecs)
                media.Codecs.Add(codec);
        }

        if (media.Direction.Value.Sends())
            DescribeSources(rtp, media);
        return media;
    }

    private void DescribeSources(RtcMedia rtp, MediaDescription media)
    {
        media.Msids.Add(new SdpMsid(rtp.LocalStreamId, rtp.LocalTrackId));
        media.Sources.Add(SourceOf(rtp, rtp.LocalSsrc));
        if (rtp.LocalRtxSsrc is uint rtx)
        {
            media.SourceGroups.Add(new SdpSourceGroup("FID", [rtp.LocalSsrc, rtx]));
            media.Sources.Add(SourceOf(rtp, rtx));
        }
    }

    private SdpSource SourceOf(RtcMedia rtp, uint ssrc)
    {
        SdpSource source = new(ssrc);
        source.Attributes.Add(new("cname", Cname));
        source.Attributes.Add(new("msid", $"{rtp.LocalStreamId} {rtp.LocalTrackId}"));
        return source;
    }

    private static MediaDescription DescribeRejected(MediaSection section)
    {
        MediaDescription media = new()
        {
            Type = section.Type,
            Protocol = section.Protocol,
            Port = 0,
            Mid = section.HasMid ? section.Mid : null,
            Direction = section.IsData ? null : MediaDirection.Inactive,
        };
        foreach (string format in section.Formats)
            media.Formats.Add(format);
        return media;
    }
}
