using System.Numerics;
using Transcribe.Rtc;

namespace Transcribe.Sfu.Workers;

/// <summary>Something with a deadline on a <see cref="TimerWheel"/>; an object can be on one wheel once.</summary>
internal abstract class WheelTimer
{
    internal WheelTimer? Previous;
    internal WheelTimer? Next;
    internal int Slot = -1;

    /// <summary>When it is due; meaningful while <see cref="IsScheduled"/>.</summary>
    public Instant Due { get; internal set; } = Instant.Never;

    public bool IsScheduled => Slot >= 0;

    /// <summary>The deadline has come. The timer is off the wheel, and may be scheduled again.</summary>
    public abstract void Fire(Instant now);
}

/// <summary>
/// Hashed timer wheel: slots of 1 ms, constant time to add, move and remove, no allocation. A deadline beyond the
/// wheel's 4.096 s waits in the farthest slot and is put on again from there.
/// </summary>
internal sealed class TimerWheel
{
    private const int Slots = 4096;
    private const int Mask = Slots - 1;
    private const long TickLength = TimeSpan.TicksPerMillisecond;

    private readonly WheelTimer?[] _heads = new WheelTimer?[Slots];
    private readonly ulong[] _occupied = new ulong[Slots / 64];
    private long _current;

    public TimerWheel(Instant now) => _current = now.Ticks / TickLength;

    public int Count { get; private set; }

    /// <summary>Not later than the first deadline, and exact to the millisecond within the wheel's reach; never without timers.</summary>
    public Instant NextDue
    {
        get
        {
            if (Count == 0)
                return Instant.Never;
            int start = (int)((_current + 1) & Mask);
            int word = start >> 6;
            ulong bits = _occupied[word] & (ulong.MaxValue << (start & 63));
            for (int i = 0; i <= _occupied.Length; i++)
            {
                if (bits != 0)
                {
                    int slot = (word << 6) + BitOperations.TrailingZeroCount(bits);
                    return new Instant((_current + 1 + ((slot - start) & Mask)) * TickLength);
                }

                word = (word + 1) & (_occupied.Length - 1);
                bits = _occupied[word];
            }

            return Instant.Never;
        }
    }

    /// <summary>Puts the timer on the wheel, or moves it. <see cref="Instant.Never"/> takes it off.</summary>
    public void Schedule(WheelTimer timer, Instant due)
    {
        if (due == Instant.Never)
        {
            Cancel(timer);
            return;
        }

        long tick = (due.Ticks + TickLength - 1) / TickLength;
        tick = Math.Clamp(tick, _current + 1, _current + Slots - 1);
        int slot = (int)(tick & Mask);
        timer.Due = due;
        if (timer.Slot == slot)
            return;
        Unlink(timer);
        Link(timer, slot);
    }

    /// <summary>As <see cref="Schedule"/>, but leaves a timer alone that is due earlier: it will find nothing to do and be scheduled again.</summary>
    public void ScheduleNoLater(WheelTimer timer, Instant due)
    {
        if (!timer.IsScheduled || due < timer.Due)
            Schedule(timer, due);
    }

    public void Cancel(WheelTimer timer)
    {
        Unlink(timer);
        timer.Due = Instant.Never;
    }

    /// <summary>Fires what is due.</summary>
    public void Advance(Instant now)
    {
        long target = now.Ticks / TickLength;
        if (Count == 0 || target <= _current)
        {
            _current = Math.Max(_current, target);
            return;
        }

        // After a long pause every slot is visited once, not once per turn of the wheel.
        if (target - _current > Slots)
            _current = target - Slots;
        while (_current < target)
        {
            _current++;
            int slot = (int)(_current & Mask);
            while (_heads[slot] is WheelTimer timer)
            {
                Unlink(timer);
                if (timer.Due > now)
                    Schedule(timer, timer.Due);
                else
                    timer.Fire(now);
            }
        }
    }

    private void Link(WheelTimer timer, int slot)
    {
        WheelTimer? head = _heads[slot];
        timer.Next = head;
        timer.Previous = null;
        timer.Slot = slot;
        if (head is not null)
            head.Previous = timer;
        _heads[slot] = timer;
        _occupied[slot >> 6] |= 1ul << (slot & 63);
        Count++;
    }

    private void Unlink(WheelTimer timer)
    {
        if (timer.Slot < 0)
            return;
        if (timer.Next is WheelTimer next)
            next.Previous = timer.Previous;
        if (timer.Previous is WheelTimer previous)
            previous.Next = timer.Next;
        else
            _heads[timer.Slot] = timer.Next;
        if (_heads[timer.Slot] is null)
            _occupied[timer.Slot >> 6] &= ~(1ul << (timer.Slot & 63));
        timer.Slot = -1;
        timer.Next = timer.Previous = null;
        Count--;
    }
}
