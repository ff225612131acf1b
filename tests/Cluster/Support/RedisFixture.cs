using Transcribe.Cluster.Tests.Support;

[assembly: AssemblyFixture(typeof(RedisFixture))]

namespace Transcribe.Cluster.Tests.Support;

/// <summary>One Redis for all tests that do not kill it; started by the first that asks.</summary>
public sealed class RedisFixture : IAsyncDisposable
{
    private readonly Lazy<Task<RedisServer>> _server = new(RedisServer.StartAsync);

    public Task<RedisServer> Server => _server.Value;

    public async ValueTask DisposeAsync()
    {
        if (_server.IsValueCreated)
            await (await _server.Value).DisposeAsync();
    }
}
