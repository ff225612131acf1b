using Transcribe.Cluster.Nodes;

namespace Transcribe.Hosting;

/// <summary>Keeps this process's SFU node known to the node directory.</summary>
internal sealed partial class SfuAnnouncer(INodeDirectory nodes, NodeInfo node, TimeProvider time, ILogger<SfuAnnouncer> logger) : BackgroundService
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(5);

    private readonly ILogger _logger = logger;

    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        // Before the HTTP port opens: the first client must find a node.
        await nodes.AnnounceAsync(node, cancellationToken);
        await base.StartAsync(cancellationToken);
    }

    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        await base.StopAsync(cancellationToken);
        await nodes.RemoveAsync(node.Role, node.Id, cancellationToken);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, time);
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            try
            {
                await nodes.AnnounceAsync(node, stoppingToken);
            }
            catch (Exception e) when (e is not OperationCanceledException)
            {
                LogAnnounceFailed(node.Id, e);
            }
        }
    }

    [LoggerMessage(4001, LogLevel.Warning, "Node {Node} could not be announced; trying again")]
    private partial void LogAnnounceFailed(string node, Exception exception);
}
