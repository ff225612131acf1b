using System.Text.Json.Serialization;

namespace Transcribe.Cluster.Captions;

/// <summary>
/// One revision of a caption: what travels on the data channel <see cref="ChannelLabel"/>, one UTF-8 JSON object a
/// message, in <see cref="ClusterJson"/>'s dialect. DESIGN §4.
/// </summary>
/// <param name="Participant">Who spoke.</param>
/// <param name="Track">The publisher's audio track.</param>
/// <param name="Segment">ULID, constant over all revisions of one utterance.</param>
/// <param name="Rev">1, 2, 3 … within the segment.</param>
/// <param name="Final">The last revision. Exactly one a segment.</param>
/// <param name="Lang">BCP 47 language tag.</param>
/// <param name="Stable">Number of leading UTF-16 code units of <paramref name="Text"/> that no later revision changes.</param>
/// <param name="Ntp">Wall-clock times from the publisher's sender reports; null before the first one.</param>
/// <param name="Engine">"whisper/base.en", "pocketsphinx/en-us", …</param>
public sealed record CaptionMessage(
    string Room,
    string Participant,
    string Track,
    string Segment,
    int Rev,
    bool Final,
    string Lang,
    string Text,
    int Stable,
    CaptionRtp Rtp,
    IReadOnlyList<CaptionWord> Words,
    CaptionNtp? Ntp,
    string Engine)
{
    /// <summary>The reserved data channel label.</summary>
    public const string ChannelLabel = "captions";

    public const int CurrentVersion = 1;

    public const string CaptionType = "caption";

    [JsonPropertyOrder(-2)]
    public int V { get; init; } = CurrentVersion;

    [JsonPropertyOrder(-1)]
    public string Type { get; init; } = CaptionType;

    /// <summary>What makes transcripts idempotent across gateways: no two finals over the same audio.</summary>
    [JsonIgnore]
    public string IdempotencyKey => $"{Track}+{Rtp.Start}";
}

/// <summary>RTP timestamps of the publisher's audio track, modulo 2^32.</summary>
/// <param name="Ssrc">The publisher's SSRC.</param>
/// <param name="Clock">Ticks a second, 48000 for Opus.</param>
public sealed record CaptionRtp(uint Ssrc, int Clock, uint Start, uint End);

/// <param name="W">The word.</param>
/// <param name="S">RTP timestamp of its start.</param>
/// <param name="E">RTP timestamp of its end.</param>
/// <param name="P">Probability, 0 to 1.</param>
public sealed record CaptionWord(string W, uint S, uint E, float P);

public sealed record CaptionNtp(
    [property: JsonConverter(typeof(UtcMillisecondsConverter))] DateTimeOffset Start,
    [property: JsonConverter(typeof(UtcMillisecondsConverter))] DateTimeOffset End);
