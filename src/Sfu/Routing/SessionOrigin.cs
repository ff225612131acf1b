using Transcribe.Rtc;
using Transcribe.Rtc.Media;
using Transcribe.Rtc.Rtp;
using Transcribe.Rtc.Sdp;

namespace Transcribe.Sfu.Routing;

/// <summary>A track that a session of this worker sends on one of its m-sections.</summary>
internal sealed class SessionOrigin(SfuSession session, RtcMedia media) : ITrackOrigin
{
    public IReadOnlyList<RtpCodec> Codecs => media.Codecs;

    public RtpExtensionIds HeaderExtensions => media.HeaderExtensions;

    public bool RequestKeyframe(Instant now)
    {
        bool asked = media.RequestKeyframe(now);
        if (asked)
            session.Worker.Counters.KeyframesRequested++;
        session.Worker.Touch(session);
        return asked;
    }

    public void SetWanted(Instant now, bool wanted)
    {
        // A client sends what it publishes, wanted or not.
    }
}
