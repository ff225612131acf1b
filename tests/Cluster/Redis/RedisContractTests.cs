using Transcribe.Cluster.Bus;
using Transcribe.Cluster.State;
using Transcribe.Cluster.Tests.Contracts;
using Transcribe.Cluster.Tests.Support;

namespace Transcribe.Cluster.Tests.Redis;

public sealed class RedisStateStoreTests(RedisFixture redis) : StateStoreContract, IAsyncLifetime
{
    private RedisMember _member = null!;

    protected override IStateStore Store => _member.State;

    public async ValueTask InitializeAsync() => _member = new RedisMember(await redis.Server);

    public ValueTask DisposeAsync() => _member.DisposeAsync();

    // Redis has a clock of its own.
    protected override async ValueTask AdvanceAsync(TimeSpan by) => await Task.Delay(by);
}

public sealed class RedisEventLogTests(RedisFixture redis) : EventLogContract, IAsyncLifetime
{
    private RedisMember _member = null!;

    protected override IEventLog Log => _member.Log;

    public async ValueTask InitializeAsync() => _member = new RedisMember(await redis.Server);

    public ValueTask DisposeAsync() => _member.DisposeAsync();
}

public sealed class RedisLeaseStoreTests(RedisFixture redis) : LeaseStoreContract, IAsyncLifetime
{
    private RedisMember _member = null!;

    protected override ILeaseStore Leases => _member.Leases;

    public async ValueTask InitializeAsync() => _member = new RedisMember(await redis.Server);

    public ValueTask DisposeAsync() => _member.DisposeAsync();

    // Redis has a clock of its own.
    protected override async ValueTask AdvanceAsync(TimeSpan by) => await Task.Delay(by);
}

public sealed class RedisMessageBusTests(RedisFixture redis) : MessageBusContract, IAsyncLifetime
{
    private RedisMember _member = null!;

    protected override IMessageBus Bus => _member.Bus;

    public async ValueTask InitializeAsync() => _member = new RedisMember(await redis.Server);

    public ValueTask DisposeAsync() => _member.DisposeAsync();
}
