using Transcribe.Rtc;
using Transcribe.Rtc.Rtp;
using Transcribe.Rtc.Sdp;
using Transcribe.Sfu.Workers;

namespace Transcribe.Sfu.Routing;

/// <summary>
/// A track whose packets another worker of the node has. They cross by that worker's <see cref="WorkerLink"/>, once,
/// however many receivers are here, and only while there are any.
/// </summary>
/// <param name="here">The worker of the publication.</param>
/// <param name="there">The worker of <paramref name="source"/>.</param>
/// <param name="source">The other worker's publication: only handed back to it, never looked into from here.</param>
internal sealed class WorkerOrigin(
    SfuWorker here, SfuWorker there, Publication source, IReadOnlyList<RtpCodec> codecs, RtpExtensionIds headerExtensions) : ITrackOrigin
{
    private static readonly TimeSpan KeyframeInterval = TimeSpan.FromMilliseconds(100);

    private Instant _keyframeAsked = new(long.MinValue / 2);
    private int _channel;

    /// <summary>The publication that this one feeds.</summary>
    public Publication Target { get; set; } = null!;

    public SfuWorker There => there;

    public IReadOnlyList<RtpCodec> Codecs => codecs;

    public RtpExtensionIds HeaderExtensions => headerExtensions;

    public bool RequestKeyframe(Instant now)
    {
        if (now - _keyframeAsked < KeyframeInterval)
            return false;
        _keyframeAsked = now;
        here.Post(there, static (state, at) => ((Publication)state!).RequestKeyframe(at), source);
        return true;
    }

    public void SetWanted(Instant now, bool wanted)
    {
        if (wanted == (_channel != 0))
            return;
        if (wanted)
        {
            _channel = here.OpenChannel(Target);
            here.Post(there, static (state, at) => ((Crossing)state!).Attach(at), new Crossing(source, here, _channel));
        }
        else
        {
            here.CloseChannel(_channel);
            here.Post(there, static (state, _) => ((Crossing)state!).Detach(), new Crossing(source, here, _channel));
            _channel = 0;
        }
    }

    private sealed record Crossing(Publication Source, SfuWorker To, int Channel)
    {
        public void Attach(Instant now) => Source.AddCrossing(now, To, Channel);

        public void Detach() => Source.RemoveCrossing(To, Channel);
    }
}
