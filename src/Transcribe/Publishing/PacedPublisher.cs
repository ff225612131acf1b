using System.Diagnostics;
using Transcribe.Peer;

namespace Transcribe.Publishing;

/// <summary>Sends a recording in real time: each packet leaves when its last sample would have been spoken.</summary>
internal sealed class PacedPublisher(LocalAudioTrack track, IReadOnlyList<OpusFrame> frames, uint? rtpOrigin = null)
{
    /// <summary>RTP timestamp of the recording's first sample; random where none is given, as RFC 3550 §5.1 asks.</summary>
    public uint RtpOrigin { get; } = rtpOrigin ?? (uint)Random.Shared.NextInt64(uint.MaxValue);

    /// <summary>RTP timestamp after the recording's last sample: where the same stream goes on.</summary>
    public uint NextRtpOrigin => RtpOrigin + frames[^1].Timestamp + frames[^1].Duration;

    /// <summary>Stopwatch ticks at which the recording's first sample was "spoken"; 0 before <see cref="RunAsync"/>.</summary>
    public long StartedAt { get; private set; }

    /// <summary>Seconds since the recording's first sample was spoken.</summary>
    public double Elapsed => Stopwatch.GetElapsedTime(StartedAt).TotalSeconds;

    /// <summary>Plays the recording once.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        StartedAt = Stopwatch.GetTimestamp();
        bool first = true;
        foreach (OpusFrame frame in frames)
        {
            double due = (frame.Timestamp + frame.Duration) / 48000.0;
            double wait = due - Elapsed;
            if (wait > 0.001)
                await Task.Delay(TimeSpan.FromSeconds(wait), cancellationToken);
            track.Send(frame.Payload.Span, RtpOrigin + frame.Timestamp, marker: first, frame.Level);
            first = false;
        }
    }
}
