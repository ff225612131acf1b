namespace Transcribe.Rtc;

/// <summary>
/// A point on a monotonic clock, in ticks of 100 ns since an arbitrary origin. The library never reads a clock:
/// every call that depends on time takes the current instant from its host, so tests run on a virtual clock.
/// </summary>
/// <param name="Ticks">100 ns units since the host's origin.</param>
public readonly record struct Instant(long Ticks) : IComparable<Instant>
{
    /// <summary>Later than every instant a clock reaches: "no deadline".</summary>
    public static readonly Instant Never = new(long.MaxValue);

    /// <summary>The clock's origin.</summary>
    public static readonly Instant Zero;

    /// <summary>The current instant of a <see cref="TimeProvider"/>'s monotonic clock.</summary>
    public static Instant Of(TimeProvider clock) =>
        new(clock.GetElapsedTime(0).Ticks);

    public static Instant operator +(Instant at, TimeSpan by) =>
        at.Ticks == long.MaxValue ? Never : new(at.Ticks + by.Ticks);

    public static Instant operator -(Instant at, TimeSpan by) => new(at.Ticks - by.Ticks);

    public static TimeSpan operator -(Instant later, Instant earlier) => new(later.Ticks - earlier.Ticks);

    public static bool operator <(Instant a, Instant b) => a.Ticks < b.Ticks;

    public static bool operator >(Instant a, Instant b) => a.Ticks > b.Ticks;

    public static bool operator <=(Instant a, Instant b) => a.Ticks <= b.Ticks;

    public static bool operator >=(Instant a, Instant b) => a.Ticks >= b.Ticks;

    public static Instant Min(Instant a, Instant b) => a.Ticks <= b.Ticks ? a : b;

    public static Instant Max(Instant a, Instant b) => a.Ticks >= b.Ticks ? a : b;

    public Instant Add(TimeSpan by) => this + by;

    public Instant Subtract(TimeSpan by) => this - by;

    public int CompareTo(Instant other) => Ticks.CompareTo(other.Ticks);

    /// <summary>Seconds since the origin.</summary>
    public double Seconds => (double)Ticks / TimeSpan.TicksPerSecond;

    public override string ToString() => this == Never ? "never" : $"{Seconds:F6}s";
}
