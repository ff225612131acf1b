using Transcribe.Rtc;
using Transcribe.Rtc.Rtp;
using Transcribe.Rtc.Sdp;

namespace Transcribe.Sfu.Routing;

/// <summary>
/// Where the packets of a <see cref="Publication"/> come from: a session of this worker, another worker of the node, or
/// another node. Whoever implements it hands packets to <see cref="Publication.OnPacket"/> on the worker's thread.
/// </summary>
internal interface ITrackOrigin
{
    /// <summary>The payload types of the packets.</summary>
    IReadOnlyList<RtpCodec> Codecs { get; }

    /// <summary>The header extension ids of the packets.</summary>
    RtpExtensionIds HeaderExtensions { get; }

    /// <summary>Asks for a keyframe.</summary>
    /// <returns>False where one was asked for only just now.</returns>
    bool RequestKeyframe(Instant now);

    /// <summary>The first receiver came, or the last one left: nobody else needs the packets.</summary>
    void SetWanted(Instant now, bool wanted);
}
