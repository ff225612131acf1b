using Transcribe.Rtc.Sdp;

namespace Transcribe.Rtc.Negotiation;

/// <summary>One m-section of a session as it stands in the descriptions, whatever it carries.</summary>
internal sealed class MediaSection
{
    public required int Index { get; init; }

    /// <summary>Identification tag; made up where the offer has none.</summary>
    public required string Mid { get; init; }

    /// <summary>The offer told the mid, so the answer repeats it.</summary>
    public bool HasMid { get; init; } = true;

    public required string Type { get; init; }

    public required string Protocol { get; init; }

    /// <summary>Formats of the offer's m-line, for rejecting it.</summary>
    public IReadOnlyList<string> Formats { get; init; } = [];

    /// <summary>Audio or video; null for data and for what is rejected.</summary>
    public RtcMedia? Media { get; init; }

    public bool IsData { get; init; }

    /// <summary>Port 0 in the latest descriptions.</summary>
    public bool Rejected { get; set; }

    /// <summary>Codecs in force with their retransmission formats, as our description lists them.</summary>
    public IReadOnlyList<RtpCodec> Codecs { get; set; } = [];

    /// <summary>Header extensions in force, as our description lists them.</summary>
    public IReadOnlyList<SdpExtMap> ExtMaps { get; set; } = [];

    /// <summary>Codecs and header extensions as our description writes them; null to write them from the lists.</summary>
    public SdpFormatText? FormatText { get; set; }

    public bool ReducedSizeRtcp { get; set; }

    public bool AllowMixedExtensions { get; set; }

    public bool IsActive => !Rejected && Media is not { IsStopped: true };
}

/// <summary>What an m-section of the peer comes down to, worked out before anything is changed.</summary>
internal sealed class SectionPlan
{
    public required int Index { get; init; }

    public required string Mid { get; init; }

    public bool HasMid { get; init; } = true;

    public required MediaDescription Description { get; init; }

    /// <summary>The instance that stays in use; null for a new one, for data, and for a rejected one.</summary>
    public RtcMedia? Existing { get; set; }

    public MediaKind? Kind { get; set; }

    public bool IsData { get; set; }

    public bool Rejected { get; set; }

    public MediaDirection RemoteDirection { get; set; }

    public NegotiatedMedia Negotiated { get; set; } = NegotiatedMedia.None;

    /// <summary>Formats of the offer's m-line; null to take them from there.</summary>
    public IReadOnlyList<string>? Formats { get; set; }

    public IReadOnlyList<RtpCodec> Codecs { get; set; } = [];

    public IReadOnlyList<SdpExtMap> ExtMaps { get; set; } = [];

    /// <summary>Codecs and header extensions as our description writes them; null to write them from the lists.</summary>
    public SdpFormatText? FormatText { get; set; }
}
