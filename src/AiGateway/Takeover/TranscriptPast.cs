using System.Collections.Concurrent;
using Transcribe.Cluster.Captions;
using Transcribe.Cluster.Transcripts;

namespace Transcribe.AiGateway.Takeover;

/// <summary>How far a track is transcribed.</summary>
/// <param name="End">RTP timestamp of the end of its last final.</param>
/// <param name="At">When that was said to be so: a timestamp means something for half a turn of the RTP clock only.</param>
internal readonly record struct TrackEnd(uint End, DateTimeOffset At);

/// <summary>How far each track of a room is transcribed, as far as this gateway did it: it outlives a stay in the room.</summary>
internal sealed class RoomProgress
{
    private readonly ConcurrentDictionary<string, TrackEnd> _ends = new(StringComparer.Ordinal);

    public void OnFinal(CaptionMessage final, DateTimeOffset now) => _ends[final.Track] = new(final.Rtp.End, now);

    public TrackEnd? Find(string track) => _ends.TryGetValue(track, out TrackEnd end) ? end : null;
}

/// <summary>What the transcript says of the last seconds of a room.</summary>
/// <param name="Recent">Finals that a gateway may have written and not sent, oldest first.</param>
internal sealed record TranscriptPast(IReadOnlyDictionary<string, TrackEnd> Ends, IReadOnlyList<CaptionMessage> Recent)
{
    /// <summary>As long as the SFU keeps sound.</summary>
    public static TimeSpan Window { get; } = TimeSpan.FromSeconds(15);

    /// <summary>More finals than a room can have within <see cref="Window"/>.</summary>
    private const int MaxFinals = 500;

    public static async Task<TranscriptPast> ReadAsync(
        ITranscriptStore transcripts, string room, DateTimeOffset now, CancellationToken cancellationToken)
    {
        IReadOnlyList<TranscriptSegment> segments = await transcripts.ReadLastAsync(room, MaxFinals, cancellationToken).ConfigureAwait(false);
        var ends = new Dictionary<string, TrackEnd>(StringComparer.Ordinal);
        foreach (TranscriptSegment segment in segments)
            ends[segment.Caption.Track] = new(segment.Caption.Rtp.End, segment.At);
        return new(ends, [.. segments.Where(segment => now - segment.At <= Window).Select(segment => segment.Caption)]);
    }

    /// <summary>Where the recognition of a track goes on: behind its last final; null where that is longer ago than any sound that is kept.</summary>
    public uint? ResumeAt(string track, RoomProgress own, DateTimeOffset now)
    {
        TrackEnd? stored = Ends.TryGetValue(track, out TrackEnd end) && IsRecent(end) ? end : null;
        TrackEnd? done = own.Find(track) is { } mine && IsRecent(mine) ? mine : null;
        if (stored is not { } a)
            return done?.End;
        return done is { } b && (int)(b.End - a.End) > 0 ? b.End : a.End;

        // Generous: clocks differ, and a final is written well after it was said.
        bool IsRecent(TrackEnd of) => now - of.At < TimeSpan.FromMinutes(1);
    }
}
