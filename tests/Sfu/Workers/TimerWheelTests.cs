using CsCheck;
using Transcribe.Rtc;
using Transcribe.Sfu.Workers;

namespace Transcribe.Sfu.Tests.Workers;

public sealed class TimerWheelTests
{
    private static Instant At(double milliseconds) => new((long)(milliseconds * TimeSpan.TicksPerMillisecond));

    [Fact]
    public void Fires_at_the_deadline_and_not_before()
    {
        var wheel = new TimerWheel(Instant.Zero);
        var timer = new Recorder();
        wheel.Schedule(timer, At(10.5));
        wheel.Advance(At(10.4));
        Assert.Empty(timer.Fired);
        wheel.Advance(At(11));
        Assert.Equal([At(11)], timer.Fired);
        Assert.False(timer.IsScheduled);
        Assert.Equal(Instant.Never, wheel.NextDue);
    }

    [Fact]
    public void A_deadline_beyond_the_reach_of_the_wheel_waits()
    {
        var wheel = new TimerWheel(At(123));
        var timer = new Recorder();
        wheel.Schedule(timer, At(100_000));
        for (double now = 123; now < 100_000; now += 777)
            wheel.Advance(At(now));
        Assert.Empty(timer.Fired);
        wheel.Advance(At(100_001));
        Assert.Single(timer.Fired);
    }

    [Fact]
    public void A_past_deadline_fires_at_the_next_chance()
    {
        var wheel = new TimerWheel(At(50));
        var timer = new Recorder();
        wheel.Schedule(timer, At(10));
        wheel.Advance(At(51));
        Assert.Single(timer.Fired);
    }

    [Fact]
    public void A_moved_or_cancelled_timer_does_not_fire_at_its_old_deadline()
    {
        var wheel = new TimerWheel(Instant.Zero);
        var moved = new Recorder();
        var cancelled = new Recorder();
        wheel.Schedule(moved, At(10));
        wheel.Schedule(cancelled, At(10));
        wheel.Schedule(moved, At(30));
        wheel.Cancel(cancelled);
        wheel.Advance(At(20));
        Assert.Empty(moved.Fired);
        wheel.Advance(At(40));
        Assert.Single(moved.Fired);
        Assert.Empty(cancelled.Fired);
        Assert.Equal(0, wheel.Count);
    }

    [Fact]
    public void A_timer_that_schedules_itself_again_fires_once_a_turn()
    {
        var wheel = new TimerWheel(Instant.Zero);
        Recorder? timer = null;
        timer = new Recorder { Then = now => wheel.Schedule(timer!, now) };
        wheel.Schedule(timer, At(5));
        wheel.Advance(At(100));
        Assert.InRange(timer.Fired.Count, 1, 100);
        Assert.True(timer.IsScheduled);
    }

    [Fact]
    public void Agrees_with_a_sorted_list_whatever_is_scheduled()
    {
        Gen.Select(Gen.Int[0, 30], Gen.Int[0, 20_000], Gen.Int[0, 3_000]).Array[1, 200].Sample(steps =>
        {
            var wheel = new TimerWheel(Instant.Zero);
            var timers = Enumerable.Range(0, 31).Select(_ => new Recorder()).ToArray();
            var expected = new Instant?[31];
            Instant now = Instant.Zero;
            foreach ((int index, int due, int advance) in steps)
            {
                Instant at = now + TimeSpan.FromMilliseconds(due);
                wheel.Schedule(timers[index], at);
                expected[index] = at;
                now += TimeSpan.FromMilliseconds(advance);
                if (wheel.NextDue > now && expected.Any(e => e is Instant x && x < now))
                    return false;
                wheel.Advance(now);
                for (int i = 0; i < timers.Length; i++)
                {
                    // A deadline of this very instant may fire with the next tick.
                    bool fired = timers[i].Fired.Count > 0;
                    bool due1 = expected[i] is Instant e && e <= now;
                    if (fired && !due1)
                        return false;
                    if (!fired && due1 && now - expected[i]!.Value >= TimeSpan.FromMilliseconds(1))
                        return false;
                    if (fired)
                    {
                        timers[i].Fired.Clear();
                        expected[i] = null;
                    }
                }
            }

            return wheel.Count == expected.Count(e => e is not null);
        });
    }

    private sealed class Recorder : WheelTimer
    {
        public List<Instant> Fired { get; } = [];

        public Action<Instant>? Then { get; init; }

        public override void Fire(Instant now)
        {
            Fired.Add(now);
            Then?.Invoke(now);
        }
    }
}
