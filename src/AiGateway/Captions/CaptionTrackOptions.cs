using Transcribe.AiGateway.Audio;
using Transcribe.AiGateway.Vad;

namespace Transcribe.AiGateway.Captions;

/// <summary>What a caption says about where it comes from.</summary>
/// <param name="Language">BCP 47 tag.</param>
/// <param name="PublisherSsrc">The publisher's own SSRC; null: the one that the packets carry.</param>
internal sealed record CaptionTrackInfo(string Room, string Participant, string Track, string Language, uint? PublisherSsrc = null);

internal sealed record CaptionTrackOptions
{
    public JitterBufferOptions Jitter { get; init; } = new();

    public SegmenterOptions Segmenter { get; init; } = new();

    /// <summary>Silence on the wire (no packet at all) that ends an open utterance.</summary>
    public TimeSpan IdleClose { get; init; } = TimeSpan.FromMilliseconds(700);
}

/// <summary>How far the gateway is behind; each step gives up more, the final text never.</summary>
internal enum CaptionLoad
{
    Normal,
    DropInterims,
    LengthenUtterances,
}
