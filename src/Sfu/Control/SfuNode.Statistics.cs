using Transcribe.Cluster.Sfu;
using Transcribe.Sfu.Routing;
using Transcribe.Sfu.Workers;

namespace Transcribe.Sfu.Control;

// What the node has counted, for whoever operates it.
public sealed partial class SfuNode
{
    private Task StartStatisticsAsync(string node, CancellationToken cancellationToken) =>
        RespondAsync<ReadStatistics, SfuStatistics>(SfuSubjects.Statistics(node), async (_, _) => await ReadStatisticsAsync().ConfigureAwait(false), cancellationToken);

    private async Task<SfuStatistics> ReadStatisticsAsync()
    {
        IReadOnlyList<SfuWorker> workers = _relayWorker is null ? _workers : [.. _workers, _relayWorker];
        SfuStatistics[] parts = await Task.WhenAll(workers.Select(worker => AskAsync(worker, _ => StatisticsOf(worker)))).ConfigureAwait(false);
        return new SfuStatistics(
            parts.Sum(part => part.PacketsReceived), parts.Sum(part => part.PacketsForwarded), parts.Sum(part => part.PacketsRetransmitted),
            parts.Sum(part => part.BytesReceived), parts.Sum(part => part.BytesSent),
            [.. parts.SelectMany(part => part.Relays).OrderBy(relay => relay.Node, StringComparer.Ordinal).ThenBy(relay => relay.Direction)]);
    }

    /// <summary>On the worker's thread.</summary>
    private static SfuStatistics StatisticsOf(SfuWorker worker) => new(
        worker.Counters.PacketsIn, worker.Counters.PacketsForwarded, worker.Counters.PacketsRetransmitted,
        worker.SocketCounters.BytesReceived, worker.SocketCounters.BytesSent,
        [.. worker.Sessions.Where(session => session.Relay is not null).Select(session => session.DescribeRelay())]);
}
