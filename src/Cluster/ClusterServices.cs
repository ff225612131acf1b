using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.InProcess;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Placement;
using Transcribe.Cluster.Redis;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.State;
using Transcribe.Cluster.Tokens;
using Transcribe.Cluster.Transcripts;

namespace Transcribe.Cluster;

public static class ClusterServices
{
    /// <summary>State, bus, log and leases in this process, and the services every role builds on.</summary>
    public static IServiceCollection AddInProcessCluster(this IServiceCollection services, ApiKeyRing keys)
    {
        services.TryAddSingleton<IMessageBus, InProcessMessageBus>();
        services.TryAddSingleton<IStateStore, InProcessStateStore>();
        services.TryAddSingleton<IEventLog, InProcessEventLog>();
        services.TryAddSingleton<ILeaseStore, InProcessLeaseStore>();
        return services.AddClusterCore(keys);
    }

    /// <summary>
    /// State, bus, log and leases in Redis, and the services every role builds on. The connection is made when the first of them is asked for.
    /// </summary>
    /// <exception cref="InvalidOperationException">An option cannot work (now), or Redis does not answer (when first asked for).</exception>
    public static IServiceCollection AddRedisCluster(this IServiceCollection services, RedisClusterOptions options, ApiKeyRing keys)
    {
        options.Validate();
        services.TryAddSingleton(options);
        services.TryAddSingleton(new ClusterKey(options.ClusterKey));
        services.TryAddSingleton(NodeHeartbeat.Cluster);
        services.TryAddSingleton<RedisClusterConnection>();
        services.TryAddSingleton<IClusterConnection>(provider => provider.GetRequiredService<RedisClusterConnection>());
        services.TryAddSingleton<IMessageBus, RedisMessageBus>();
        services.TryAddSingleton<IStateStore, RedisStateStore>();
        services.TryAddSingleton<IEventLog, RedisEventLog>();
        services.TryAddSingleton<ILeaseStore, RedisLeaseStore>();
        return services.AddClusterCore(keys);
    }

    /// <summary>The services over state, bus, log and leases, whichever implements those.</summary>
    public static IServiceCollection AddClusterCore(this IServiceCollection services, ApiKeyRing keys)
    {
        services.TryAddSingleton(TimeProvider.System);
        services.TryAddSingleton(_ => ClusterKey.CreateRandom());
        services.TryAddSingleton(NodeHeartbeat.Default);
        services.TryAddSingleton<IClusterConnection, InProcessClusterConnection>();
        services.TryAddSingleton(keys);
        services.TryAddSingleton<IAccessTokenValidator, AccessTokenValidator>();
        services.TryAddSingleton<IAccessTokenMinter, AccessTokenMinter>();
        services.TryAddSingleton<IRoomDirectory, RoomDirectory>();
        services.TryAddSingleton<ITranscriptStore, TranscriptStore>();
        services.TryAddSingleton<INodeDirectory, NodeDirectory>();
        services.TryAddSingleton<PlacementOptions>();
        services.TryAddSingleton<NodeWatcher>();
        services.TryAddSingleton<NodeStandings>();
        services.TryAddSingleton<INodeSelector, NodeSelector>();
        services.TryAddSingleton<ISignalingSelector, SignalingSelector>();
        return services;
    }
}
