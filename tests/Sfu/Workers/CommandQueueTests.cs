using Transcribe.Rtc;
using Transcribe.Sfu.Workers;

namespace Transcribe.Sfu.Tests.Workers;

public sealed class CommandQueueTests
{
    private static readonly Action<object?, Instant> Nothing = (_, _) => { };

    [Fact]
    public void Hands_commands_out_in_the_order_of_posting()
    {
        var queue = new CommandQueue(8);
        for (int round = 0; round < 5; round++)
        {
            for (int i = 0; i < 6; i++)
                Assert.True(queue.TryPost(new WorkerCommand(Nothing, i)));
            for (int i = 0; i < 6; i++)
            {
                Assert.True(queue.TryTake(out WorkerCommand command));
                Assert.Equal(i, command.State);
            }

            Assert.False(queue.TryTake(out _));
        }
    }

    [Fact]
    public void Refuses_what_it_has_no_room_for()
    {
        var queue = new CommandQueue(4);
        for (int i = 0; i < queue.Capacity; i++)
            Assert.True(queue.TryPost(new WorkerCommand(Nothing, i)));
        Assert.False(queue.TryPost(new WorkerCommand(Nothing, null)));
        Assert.True(queue.TryTake(out _));
        Assert.True(queue.TryPost(new WorkerCommand(Nothing, null)));
    }

    [Fact]
    public async Task Loses_nothing_among_many_producers_and_keeps_the_order_of_each()
    {
        const int Producers = 4;
        const int Each = 5_000;
        var queue = new CommandQueue(64);
        Task[] producers = [.. Enumerable.Range(0, Producers).Select(p => Task.Run(() =>
        {
            for (int i = 0; i < Each; i++)
            {
                while (!queue.TryPost(new WorkerCommand(Nothing, (p, i))))
                    Thread.Yield();
            }
        }))];

        int[] next = new int[Producers];
        for (int taken = 0; taken < Producers * Each;)
        {
            if (!queue.TryTake(out WorkerCommand command))
            {
                Thread.Yield();
                continue;
            }

            (int producer, int number) = ((int, int))command.State!;
            Assert.Equal(next[producer]++, number);
            taken++;
        }

        await Task.WhenAll(producers);
        Assert.False(queue.TryTake(out _));
    }
}
