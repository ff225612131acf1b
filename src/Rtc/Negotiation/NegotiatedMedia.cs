using Transcribe.Rtc.Rtp;
using Transcribe.Rtc.Sdp;

namespace Transcribe.Rtc.Negotiation;

/// <summary>What both sides agreed on for one m-section, in the form that the packet path wants. Immutable.</summary>
internal sealed class NegotiatedMedia
{
    private readonly RtpCodec?[] _codecs = new RtpCodec?[128];

    // Primary payload type + 1 by RTX payload type; 0 is "no RTX".
    private readonly byte[] _primaryOfRtx = new byte[128];

    /// <summary>Nothing negotiated yet.</summary>
    public static NegotiatedMedia None { get; } = new([], RtpExtensionIds.None, allowMixed: false, reducedSize: false);

    public NegotiatedMedia(IReadOnlyList<RtpCodec> codecs, RtpExtensionIds extensions, bool allowMixed, bool reducedSize)
    {
        Codecs = codecs;
        Extensions = extensions;
        AllowMixedExtensions = allowMixed;
        ReducedSizeRtcp = reducedSize;
        OwnExtensions = RtpExtensionMap.Between(extensions, extensions);
        foreach (RtpCodec codec in codecs)
        {
            _codecs[codec.PayloadType & 127] ??= codec;
            if (codec.RtxPayloadType is byte rtx)
                _primaryOfRtx[rtx & 127] = (byte)(codec.PayloadType + 1);
            UsesNack |= codec.HasFeedback(RtcpFeedback.Nack);
            UsesRtx |= codec.RtxPayloadType is not null;
            UsesPictureLoss |= codec.HasFeedback(RtcpFeedback.PictureLoss);
            UsesFullIntraRequest |= codec.HasFeedback(RtcpFeedback.FullIntraRequest);
            UsesRemb |= codec.HasFeedback(RtcpFeedback.Remb);
            UsesTransportWide |= codec.HasFeedback(RtcpFeedback.TransportWide);
        }
    }

    /// <summary>Primary codecs, in the offerer's order.</summary>
    public IReadOnlyList<RtpCodec> Codecs { get; }

    public RtpExtensionIds Extensions { get; }

    /// <summary>From our extensions to themselves, the hop-by-hop ones left out: for packets of our own sent again.</summary>
    public RtpExtensionMap OwnExtensions { get; }

    public bool AllowMixedExtensions { get; }

    public bool ReducedSizeRtcp { get; }

    public bool UsesNack { get; }

    public bool UsesRtx { get; }

    public bool UsesPictureLoss { get; }

    public bool UsesFullIntraRequest { get; }

    public bool UsesRemb { get; }

    public bool UsesTransportWide { get; }

    public RtpCodec? FindCodec(byte payloadType) => _codecs[payloadType & 127];

    /// <summary>The payload type whose packets this retransmission format carries.</summary>
    public bool TryGetPrimaryOfRtx(byte rtxPayloadType, out byte payloadType)
    {
        payloadType = (byte)(_primaryOfRtx[rtxPayloadType & 127] - 1);
        return _primaryOfRtx[rtxPayloadType & 127] != 0;
    }

    /// <summary>Payload type for retransmissions of a codec, 0 where there is none.</summary>
    public byte RtxPayloadTypeOf(byte payloadType) => _codecs[payloadType & 127]?.RtxPayloadType ?? 0;
}
