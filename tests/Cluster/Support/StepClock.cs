using System.Diagnostics;
using Microsoft.Extensions.Time.Testing;

namespace Transcribe.Cluster.Tests.Support;

/// <summary>A virtual clock that goes on only when whoever is tested waits for it again: no test depends on how fast this machine is.</summary>
internal sealed class StepClock : FakeTimeProvider
{
    private int _timers;

    /// <summary>Waits somebody has to be in before time goes on.</summary>
    public int ExpectedWaits { get; set; } = 1;

    public TimeSpan Now => GetUtcNow() - Start;

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        ITimer timer = base.CreateTimer(callback, state, dueTime, period);
        Interlocked.Increment(ref _timers);
        return new Counted(timer, () => Interlocked.Decrement(ref _timers));
    }

    public async Task StepAsync(TimeSpan step)
    {
        await SettleAsync();
        Advance(step);
        await SettleAsync();
    }

    private async Task SettleAsync()
    {
        var waited = Stopwatch.StartNew();
        while (Volatile.Read(ref _timers) < ExpectedWaits)
        {
            Assert.True(waited.Elapsed < TimeSpan.FromSeconds(20), "Nobody waits for the clock.");
            if (waited.ElapsedMilliseconds < 1)
                await Task.Yield();
            else
                await Task.Delay(1);
        }
    }

    private sealed class Counted(ITimer timer, Action disposed) : ITimer
    {
        private int _disposed;

        public bool Change(TimeSpan dueTime, TimeSpan period) => timer.Change(dueTime, period);

        public void Dispose()
        {
            timer.Dispose();
            if (Interlocked.Exchange(ref _disposed, 1) == 0)
                disposed();
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
