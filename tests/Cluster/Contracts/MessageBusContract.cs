using System.Threading.Channels;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Rooms;

namespace Transcribe.Cluster.Tests.Contracts;

/// <summary>What every <see cref="IMessageBus"/> does.</summary>
public abstract class MessageBusContract
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    protected abstract IMessageBus Bus { get; }

    private string Subject { get; } = "test." + Guid.NewGuid().ToString("N");

    private sealed record Number(int Value);

    [Fact]
    public async Task Events_of_one_publisher_arrive_in_order_at_every_subscriber()
    {
        Channel<int> a = Channel.CreateUnbounded<int>();
        Channel<int> b = Channel.CreateUnbounded<int>();
        await using IAsyncDisposable first = await Bus.SubscribeAsync<Number>(Subject, (n, _) => a.Writer.WriteAsync(n.Value));
        await using IAsyncDisposable second = await Bus.SubscribeAsync<Number>(Subject, (n, _) => b.Writer.WriteAsync(n.Value));
        for (int i = 0; i < 100; i++)
            await Bus.PublishAsync(Subject, new Number(i));

        Assert.Equal(Enumerable.Range(0, 100), await TakeAsync(a, 100));
        Assert.Equal(Enumerable.Range(0, 100), await TakeAsync(b, 100));
    }

    [Fact]
    public async Task A_handler_runs_sequentially_and_its_failure_does_not_end_the_subscription()
    {
        Channel<int> seen = Channel.CreateUnbounded<int>();
        int inside = 0;
        await using IAsyncDisposable subscription = await Bus.SubscribeAsync<Number>(Subject, async (n, _) =>
        {
            Assert.Equal(1, Interlocked.Increment(ref inside));
            await Task.Yield();
            Interlocked.Decrement(ref inside);
            await seen.Writer.WriteAsync(n.Value);
            if (n.Value % 2 == 0)
                throw new InvalidOperationException("as the test wants");
        });
        for (int i = 0; i < 20; i++)
            await Bus.PublishAsync(Subject, new Number(i));

        Assert.Equal(Enumerable.Range(0, 20), await TakeAsync(seen, 20));
    }

    [Fact]
    public async Task A_derived_event_keeps_its_type()
    {
        Channel<RoomEvent> seen = Channel.CreateUnbounded<RoomEvent>();
        await using IAsyncDisposable subscription = await Bus.SubscribeAsync<RoomEvent>(Subject, (e, _) => seen.Writer.WriteAsync(e));
        await Bus.PublishAsync(Subject, new RoomClosed("empty") { Sequence = 7 });
        RoomEvent received = Assert.Single(await TakeAsync(seen, 1));
        Assert.Equal(new RoomClosed("empty") { Sequence = 7 }, received);
    }

    [Fact]
    public async Task A_disposed_subscription_hears_nothing_more()
    {
        Channel<int> seen = Channel.CreateUnbounded<int>();
        Channel<int> other = Channel.CreateUnbounded<int>();
        IAsyncDisposable subscription = await Bus.SubscribeAsync<Number>(Subject, (n, _) => seen.Writer.WriteAsync(n.Value));
        await using IAsyncDisposable control = await Bus.SubscribeAsync<Number>(Subject, (n, _) => other.Writer.WriteAsync(n.Value));
        await subscription.DisposeAsync();
        await Bus.PublishAsync(Subject, new Number(1));
        await TakeAsync(other, 1);
        Assert.False(seen.Reader.TryRead(out _));
    }

    [Fact]
    public async Task A_handler_can_end_its_own_subscription()
    {
        var done = new TaskCompletionSource();
        IAsyncDisposable? subscription = null;
        subscription = await Bus.SubscribeAsync<Number>(Subject, async (_, _) =>
        {
            await subscription!.DisposeAsync();
            done.SetResult();
        });
        await Bus.PublishAsync(Subject, new Number(1));
        await done.Task.WaitAsync(Patience);
    }

    [Fact]
    public async Task A_request_gets_the_responders_answer_also_many_at_once()
    {
        await using IAsyncDisposable responder = await Bus.RespondAsync<Number, Number>(Subject, async (n, _) =>
        {
            await Task.Yield();
            return new Number(n.Value * 2);
        });
        Number[] replies = await Task.WhenAll(Enumerable.Range(0, 50).Select(
            i => Bus.RequestAsync<Number, Number>(Subject, new Number(i), Patience).AsTask()));
        Assert.Equal(Enumerable.Range(0, 50).Select(i => i * 2), replies.Select(reply => reply.Value));
    }

    [Fact]
    public async Task A_refusal_reaches_the_asker_with_its_code()
    {
        await using IAsyncDisposable responder = await Bus.RespondAsync<Number, Number>(
            Subject, (_, _) => throw new BusException("sdp_invalid", "The offer has no m-section."));
        BusException refusal = await Assert.ThrowsAsync<BusException>(
            () => Bus.RequestAsync<Number, Number>(Subject, new Number(1), Patience).AsTask());
        Assert.Equal("sdp_invalid", refusal.Code);
        Assert.Equal("The offer has no m-section.", refusal.Message);
    }

    [Fact]
    public async Task A_failure_of_the_responder_is_internal_and_tells_no_details()
    {
        await using IAsyncDisposable responder = await Bus.RespondAsync<Number, Number>(
            Subject, (_, _) => throw new InvalidOperationException("secret detail"));
        BusException refusal = await Assert.ThrowsAsync<BusException>(
            () => Bus.RequestAsync<Number, Number>(Subject, new Number(1), Patience).AsTask());
        Assert.Equal(BusException.Internal, refusal.Code);
        Assert.DoesNotContain("secret", refusal.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Without_a_responder_the_asker_is_told_so()
    {
        IAsyncDisposable responder = await Bus.RespondAsync<Number, Number>(Subject, (n, _) => ValueTask.FromResult(n));
        await responder.DisposeAsync();
        BusException refusal = await Assert.ThrowsAsync<BusException>(
            () => Bus.RequestAsync<Number, Number>(Subject, new Number(1), TimeSpan.FromSeconds(2)).AsTask());
        Assert.Equal(BusException.NoResponder, refusal.Code);
    }

    [Fact]
    public async Task A_responder_that_does_not_answer_in_time_is_a_timeout()
    {
        await using IAsyncDisposable responder = await Bus.RespondAsync<Number, Number>(Subject, async (n, token) =>
        {
            await Task.Delay(Timeout.Infinite, token);
            return n;
        });
        BusException refusal = await Assert.ThrowsAsync<BusException>(
            () => Bus.RequestAsync<Number, Number>(Subject, new Number(1), TimeSpan.FromMilliseconds(100)).AsTask());
        Assert.Equal(BusException.Timeout, refusal.Code);
    }

    private static async Task<List<T>> TakeAsync<T>(Channel<T> channel, int count)
    {
        using var patience = new CancellationTokenSource(Patience);
        var taken = new List<T>();
        while (taken.Count < count)
            taken.Add(await channel.Reader.ReadAsync(patience.Token));

        return taken;
    }
}
