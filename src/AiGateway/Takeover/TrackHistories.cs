using Microsoft.Extensions.Logging;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;

namespace Transcribe.AiGateway.Takeover;

/// <summary>Where the last seconds of a track come from.</summary>
internal interface ITrackHistories
{
    /// <summary>What is kept of a track; null where nothing is, or nobody answers.</summary>
    Task<TrackHistory?> ReadAsync(TrackInfo track, uint? from, CancellationToken cancellationToken);
}

/// <summary>Asks the SFU node that the track is published on.</summary>
internal sealed partial class TrackHistories(IMessageBus bus, ILogger<TrackHistories> log) : ITrackHistories
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    public async Task<TrackHistory?> ReadAsync(TrackInfo track, uint? from, CancellationToken cancellationToken)
    {
        try
        {
            return await bus.RequestAsync<ReadHistory, TrackHistory>(
                SfuSubjects.History(track.Node), new(track.Id, from), Patience, cancellationToken).ConfigureAwait(false);
        }
        catch (BusException e)
        {
            LogNoHistory(log, track.Id, track.Node, e.Code);
            return null;
        }
    }

    [LoggerMessage(6601, LogLevel.Information, "Nothing is kept of track {Track} on node {Node} ({Code}): captions begin with what is said now")]
    private static partial void LogNoHistory(ILogger logger, string track, string node, string code);
}
