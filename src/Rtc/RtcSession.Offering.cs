using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using Transcribe.Rtc.Dtls;
using Transcribe.Rtc.Negotiation;
using Transcribe.Rtc.Sdp;

namespace Transcribe.Rtc;

/// <summary>The offering side of JSEP (RFC 8829 §5.2, §5.11).</summary>
public sealed partial class RtcSession
{
    private readonly List<RtcMedia> _unofferedMedia = [];
    private readonly IReadOnlyList<RtpCodec> _offerAudio;
    private readonly IReadOnlyList<RtpCodec> _offerVideo;
    private readonly ulong _sdpSessionId;
    private readonly Dictionary<string, int> _offeredExtensions = [];
    private ulong _sdpVersion;
    private int _nextMid;
    private bool _answerExpected;

    /// <summary>Adds an m-section to the next offer (client side).</summary>
    public RtcMedia AddMedia(MediaKind kind, MediaDirection direction, RtcMediaOptions? options = null)
    {
        RtcMedia media = AddMedia(-1, NewMid(), kind, options);
        media.AllowedDirection = direction;
        _unofferedMedia.Add(media);
        return media;
    }

    /// <summary>
    /// Makes an offer of all m-sections: those in force, those added since, and one for data channels unless the options
    /// say no. An offer that was not answered may be replaced by another.
    /// </summary>
    /// <exception cref="InvalidOperationException">The session answers offers, is closed, or has nothing to offer.</exception>
    public string CreateOffer(Instant now)
    {
        _now = now;
        if (_closed)
            throw new InvalidOperationException("The session is closed.");
        if (_hasRemoteDescription && !_isOfferer)
            throw new InvalidOperationException("This session answers offers; it cannot make one.");
        _isOfferer = true;
        foreach (RtcMedia media in _unofferedMedia)
        {
            media.Index = _sections.Count;
            _sections.Add(OfferedSection(media));
            _media.Add(media);
        }

        _unofferedMedia.Clear();
        if (_options.DataChannels && !_sections.Any(s => s.IsData))
        {
            _sections.Add(new MediaSection
            {
                Index = _sections.Count,
                Mid = NewMid(),
                Type = "application",
                Protocol = "UDP/DTLS/SCTP",
                Formats = ["webrtc-datachannel"],
                IsData = true,
            });
        }

        if (!_sections.Any(s => s.IsActive))
            throw new InvalidOperationException("There is nothing to offer: add an m-section or allow data channels.");
        _answerExpected = true;
        return Describe(SdpSetup.ActPass).ToString();
    }

    /// <summary>Applies the answer to the offer made last.</summary>
    /// <param name="error">A sentence; the session goes on as before.</param>
    public bool TrySetRemoteAnswer(Instant now, [NotNullWhen(true)] string? sdp, [NotNullWhen(false)] out string? error)
    {
        _now = now;
        if (!CanNegotiate(out error))
            return false;
        if (!_answerExpected)
        {
            error = "There is no offer that waits for an answer.";
            return false;
        }

        if (!TryParse(sdp, out SessionDescription? answer, out error)
            || !DescriptionReader.TryGetBundle(answer, out IReadOnlyList<MediaDescription> bundled, out error)
            || !TryPlanAnswer(answer, bundled, out List<SectionPlan>? plans, out error))
        {
            return false;
        }

        if (bundled.Count == 0)
        {
            error = "The answer rejects every m-section.";
            return false;
        }

        if (!DescriptionReader.TryReadTransport(answer, bundled, out RemoteTransport? transport, out error))
            return false;
        if (transport.Setup == SdpSetup.ActPass)
        {
            error = "The answer does not choose a DTLS role: a=setup must be active or passive.";
            return false;
        }

        DtlsRole role = _dtlsRole ?? (transport.Setup == SdpSetup.Active ? DtlsRole.Server : DtlsRole.Client);
        if (!FitsTransport(transport, role, out error))
            return false;

        _answerExpected = false;
        Apply(now, plans);
        ApplyTransport(now, transport, role);
        StartData(now);
        StartDtls(now);
        UpdateState();
        error = null;
        return true;
    }

    private bool TryPlanAnswer(
        SessionDescription answer,
        IReadOnlyList<MediaDescription> bundled,
        [NotNullWhen(true)] out List<SectionPlan>? plans,
        [NotNullWhen(false)] out string? error)
    {
        plans = null;
        if (answer.Media.Count != _sections.Count)
        {
            error = $"The answer has {answer.Media.Count} m-sections and the offer {_sections.Count}.";
            return false;
        }

        List<SectionPlan> made = [];
        for (int i = 0; i < _sections.Count; i++)
        {
            MediaSection section = _sections[i];
            MediaDescription description = answer.Media[i];
            SectionPlan plan = new()
            {
                Index = i,
                Mid = section.Mid,
                Description = description,
                Existing = section.Media,
                Kind = section.Media?.Kind,
                RemoteDirection = answer.DirectionOf(description),
                Rejected = description.IsRejected || !section.IsActive,
            };
            made.Add(plan);
            if (description.Mid is not null && description.Mid != section.Mid)
            {
                error = $"The answer changes the mid of m-section {i}.";
                return false;
            }

            if (plan.Rejected)
                continue;
            if (description.Type != section.Type || section.IsData != description.IsDataChannel)
            {
                error = $"The answer changes the kind of m-section {i}.";
                return false;
            }

            if (!bundled.Contains(description))
            {
                error = $"The answer takes m-section {i} out of the bundle; only one transport is supported.";
                return false;
            }

            plan.IsData = section.IsData;
            if (!section.IsData && !TryPlanAnsweredMedia(answer, section, plan, out error))
                return false;
        }

        plans = made;
        error = null;
        return true;
    }

    private static bool TryPlanAnsweredMedia(
        SessionDescription answer, MediaSection section, SectionPlan plan, [NotNullWhen(false)] out string? error)
    {
        error = null;
        MediaDescription description = plan.Description;
        IReadOnlyList<RtpCodec> matched = CodecNegotiation.Match(description.Codecs, section.Codecs, out _);
        if (!description.RtcpMux)
            error = $"The answer does not multiplex RTCP (a=rtcp-mux) in m-section {plan.Index}.";
        else if (matched.Count == 0)
            error = $"The answer accepts m-section {plan.Index} without any codec that was offered.";

        // What we list in later offers stays what we can do; what is in force is the answer's part of it.
        plan.Codecs = section.Codecs;
        plan.ExtMaps = section.ExtMaps;
        IReadOnlyList<SdpExtMap> extensions =
            DescriptionReader.MatchExtensions(answer, description, [.. section.ExtMaps.Select(e => e.Uri)]);
        plan.Negotiated = DescriptionReader.Negotiate(answer, description, matched, extensions);
        return error is null;
    }

    private MediaSection OfferedSection(RtcMedia media)
    {
        bool audio = media.Kind == MediaKind.Audio;
        IReadOnlyList<RtpCodec> own = audio ? _offerAudio : _offerVideo;
        if (media.Options.Codecs is { } wanted)
            own = [.. wanted.Select(w => CodecNegotiation.FindSame(w, own)).OfType<RtpCodec>().Distinct()];
        List<RtpCodec> listed = [];
        foreach (RtpCodec codec in own)
        {
            listed.Add(codec);
            if (codec.RtxPayloadType is byte rtx)
            {
                listed.Add(new RtpCodec
                {
                    Name = "rtx",
                    PayloadType = rtx,
                    ClockRate = codec.ClockRate,
                    Parameters = RtpCodec.ParseParameters($"apt={codec.PayloadType}"),
                });
                media.LocalRtxSsrc ??= NewSsrc();
            }
        }

        return new MediaSection
        {
            Index = media.Index,
            Mid = media.Mid,
            Type = audio ? "audio" : "video",
            Protocol = "UDP/TLS/RTP/SAVPF",
            Media = media,
            Codecs = listed,
            ExtMaps = [.. (audio ? _options.AudioExtensions : _options.VideoExtensions).Select(uri => new SdpExtMap(ExtensionId(uri), uri))],
            ReducedSizeRtcp = true,
            AllowMixedExtensions = true,
        };
    }

    /// <summary>One id per extension in the whole bundle (RFC 8843 §9.1.1).</summary>
    private int ExtensionId(string uri)
    {
        if (!_offeredExtensions.TryGetValue(uri, out int id))
            _offeredExtensions.Add(uri, id = _offeredExtensions.Count < 14 ? _offeredExtensions.Count + 1 : _offeredExtensions.Count + 2);
        return id;
    }

    private string NewMid()
    {
        string mid;
        do
        {
            mid = _nextMid++.ToString(CultureInfo.InvariantCulture);
        }
        while (_sections.Any(s => s.Mid == mid));

        return mid;
    }

    /// <summary>Our codecs with payload types that are free of conflicts in the whole bundle.</summary>
    private (IReadOnlyList<RtpCodec> Audio, IReadOnlyList<RtpCodec> Video) NumberOwnCodecs()
    {
        HashSet<byte> used = [];
        return (Number(_options.AudioCodecs, used), Number(_options.VideoCodecs, used));
    }

    private static List<RtpCodec> Number(IReadOnlyList<RtpCodec> codecs, HashSet<byte> used)
    {
        List<RtpCodec> numbered = [];
        foreach (RtpCodec codec in codecs)
        {
            byte payloadType = Take(codec.PayloadType, codec.NameIs("PCMU"), used);
            byte? rtx = codec.RtxPayloadType is byte wanted ? Take(wanted, false, used) : null;
            numbered.Add(codec with { PayloadType = payloadType, RtxPayloadType = rtx });
        }

        return numbered;
    }

    private static byte Take(byte wanted, bool zeroIsMeant, HashSet<byte> used)
    {
        if ((wanted != 0 || zeroIsMeant) && wanted < 128 && used.Add(wanted))
            return wanted;

        // Dynamic payload types, then those that RTCP multiplexing leaves free (RFC 5761 §4).
        for (byte free = 96; free < 128; free++)
        {
            if (used.Add(free))
                return free;
        }

        for (byte free = 35; free < 64; free++)
        {
            if (used.Add(free))
                return free;
        }

        throw new ArgumentException("RtcSessionOptions has more codecs than there are payload types; remove some of VideoCodecs.");
    }
}
