using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.InProcess;
using Transcribe.Cluster.State;
using Transcribe.Cluster.Tests.Contracts;

namespace Transcribe.Cluster.Tests.InProcess;

public sealed class InProcessStateStoreTests : StateStoreContract
{
    private readonly FakeTimeProvider _time = new();

    public InProcessStateStoreTests() => Store = new InProcessStateStore(_time);

    protected override IStateStore Store { get; }

    protected override ValueTask AdvanceAsync(TimeSpan by)
    {
        _time.Advance(by);
        return ValueTask.CompletedTask;
    }
}

public sealed class InProcessEventLogTests : EventLogContract
{
    protected override IEventLog Log { get; } = new InProcessEventLog(new FakeTimeProvider());
}

public sealed class InProcessLeaseStoreTests : LeaseStoreContract
{
    private readonly FakeTimeProvider _time = new();

    public InProcessLeaseStoreTests() => Leases = new InProcessLeaseStore(_time);

    protected override ILeaseStore Leases { get; }

    protected override ValueTask AdvanceAsync(TimeSpan by)
    {
        _time.Advance(by);
        return ValueTask.CompletedTask;
    }
}

public sealed class InProcessMessageBusTests : MessageBusContract, IAsyncDisposable
{
    private readonly InProcessMessageBus _bus = new(NullLogger<InProcessMessageBus>.Instance, TimeProvider.System);

    protected override IMessageBus Bus => _bus;

    public ValueTask DisposeAsync() => _bus.DisposeAsync();

    [Fact]
    public async Task A_subscriber_that_falls_behind_loses_the_oldest_events_and_they_are_counted()
    {
        var first = new TaskCompletionSource();
        var go = new TaskCompletionSource();
        var last = new TaskCompletionSource<int>();
        int handled = 0;
        const int Sent = InProcessMessageBus.QueueCapacity + 100;
        await using IAsyncDisposable subscription = await _bus.SubscribeAsync<int[]>("slow", async (value, _) =>
        {
            handled++;
            first.TrySetResult();
            await go.Task;
            if (value[0] == Sent)
                last.TrySetResult(handled);
        });
        await _bus.PublishAsync("slow", new[] { 0 });
        await first.Task.WaitAsync(TimeSpan.FromSeconds(10));
        for (int i = 1; i <= Sent; i++)
            await _bus.PublishAsync("slow", new[] { i });

        go.SetResult();
        Assert.Equal(1 + InProcessMessageBus.QueueCapacity, await last.Task.WaitAsync(TimeSpan.FromSeconds(10)));
        Assert.Equal(100, _bus.DroppedEvents);
    }
}
