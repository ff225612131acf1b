using Transcribe.Cluster;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Placement;
using Transcribe.Cluster.Tokens;
using Transcribe.Signaling;

namespace Transcribe.Hosting;

/// <summary>The cluster's services of a process with one role, and how it makes itself known.</summary>
internal static class ClusterWiring
{
    public static void Add(IServiceCollection services, RoleOptions options)
    {
        services.AddSingleton(options.Placement);

        // An SFU node reads and makes no tokens; what the container needs is a key that nobody knows.
        services.AddRedisCluster(options.Redis, options.Keys ?? ApiKeyRing.CreateDevelopment());
        if (options.ServesClients)
            services.AddHostedService(provider => new Announcement(provider, options));
    }

    /// <summary>SFU nodes and gateways announce themselves; for the roles that clients reach by a URL this does it, once the port is known.</summary>
    private sealed class Announcement(IServiceProvider services, RoleOptions options) : IHostedLifecycleService
    {
        private NodeAnnouncer? _announcer;

        public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public async Task StartedAsync(CancellationToken cancellationToken)
        {
            string address = (options.PublicUrl ?? HostBasics.PublicUrl(services)).ToString().TrimEnd('/');
            _announcer = NodeAnnouncer.Create(services, () => new NodeInfo(
                options.NodeId, options.Role, address, options.Region, Load: Load(), Version: HostBasics.Version));
            await _announcer.StartAsync(cancellationToken);
        }

        public async Task StoppingAsync(CancellationToken cancellationToken)
        {
            // Nobody new is sent here; who is here may finish.
            if (_announcer is not null)
                await _announcer.WithdrawAsync();
        }

        public async Task StopAsync(CancellationToken cancellationToken)
        {
            if (_announcer is not null)
                await _announcer.StopAsync(cancellationToken);
        }

        public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        private int Load() => options.Role == NodeRole.Signaling ? SignalingServices.CountSessions(services) : 0;
    }
}
