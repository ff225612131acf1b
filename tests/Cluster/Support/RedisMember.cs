using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Redis;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.State;
using Transcribe.Cluster.Tokens;

namespace Transcribe.Cluster.Tests.Support;

/// <summary>The cluster services of one process; several in a test are several processes to Redis.</summary>
internal sealed class RedisMember : IAsyncDisposable
{
    public const string Key = "a cluster key of a test, long enough";

    private readonly ServiceProvider _services;

    public RedisMember(RedisServer server, string prefix = "test", string key = Key, TimeProvider? time = null)
    {
        Options = new RedisClusterOptions { Redis = server.ConnectionString, ClusterKey = key, Prefix = prefix };
        var services = new ServiceCollection();
        services.AddSingleton<ILoggerFactory>(NullLoggerFactory.Instance);
        services.AddSingleton(typeof(ILogger<>), typeof(NullLogger<>));
        services.AddSingleton(time ?? TimeProvider.System);
        services.AddRedisCluster(Options, ApiKeyRing.CreateDevelopment());
        _services = services.BuildServiceProvider();
        _ = Bus;
    }

    public RedisClusterOptions Options { get; }

    public IServiceProvider Services => _services;

    public IClusterConnection Connection => Get<IClusterConnection>();

    public RedisMessageBus Bus => (RedisMessageBus)Get<IMessageBus>();

    public IStateStore State => Get<IStateStore>();

    public IEventLog Log => Get<IEventLog>();

    public ILeaseStore Leases => Get<ILeaseStore>();

    public INodeDirectory Nodes => Get<INodeDirectory>();

    public IRoomDirectory Rooms => Get<IRoomDirectory>();

    public T Get<T>()
        where T : notnull => _services.GetRequiredService<T>();

    public ValueTask DisposeAsync() => _services.DisposeAsync();
}
