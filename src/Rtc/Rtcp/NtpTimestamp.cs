namespace Transcribe.Rtc.Rtcp;

/// <summary>A 64-bit NTP timestamp: seconds since 1900 in 32.32 fixed point (RFC 3550 §4).</summary>
/// <param name="Value">The 64 bits.</param>
public readonly record struct NtpTimestamp(ulong Value) : IComparable<NtpTimestamp>
{
    private static readonly DateTimeOffset Epoch = new(1900, 1, 1, 0, 0, 0, TimeSpan.Zero);

    /// <summary>Whole seconds since 1900, modulo 2^32.</summary>
    public uint Seconds => (uint)(Value >> 32);

    /// <summary>Fraction of a second in units of 2^-32 s.</summary>
    public uint Fraction => (uint)Value;

    /// <summary>The middle 32 bits: seconds in 16.16 fixed point, as reports echo it (LSR).</summary>
    public uint Compact => (uint)(Value >> 16);

    /// <summary>The timestamp of a point in civil time; from 2036 on it wraps into NTP era 1.</summary>
    public static NtpTimestamp From(DateTimeOffset time)
    {
        long ticks = (time - Epoch).Ticks;
        long seconds = Math.DivRem(ticks, TimeSpan.TicksPerSecond, out long rest);
        return new(((ulong)seconds << 32) | (((ulong)rest << 32) / TimeSpan.TicksPerSecond));
    }

    /// <summary>
    /// Civil time, to 100 ns. As RFC 4330 §3 has it, a timestamp without the top bit lies in era 1 (2036 to 2104).
    /// </summary>
    public DateTimeOffset ToDateTimeOffset()
    {
        ulong seconds = Seconds;
        if ((seconds & 0x8000_0000) == 0)
            seconds += 1UL << 32;
        return Epoch.AddTicks(((long)seconds * TimeSpan.TicksPerSecond) + (long)((Fraction * (ulong)TimeSpan.TicksPerSecond) >> 32));
    }

    /// <summary>Moves a timestamp, with wrap.</summary>
    public static NtpTimestamp operator +(NtpTimestamp at, TimeSpan by)
    {
        long seconds = Math.DivRem(by.Ticks, TimeSpan.TicksPerSecond, out long rest);
        return new(unchecked(at.Value + (ulong)(seconds << 32) + (ulong)((rest << 32) / TimeSpan.TicksPerSecond)));
    }

    /// <summary>Time from <paramref name="earlier"/> to <paramref name="later"/>, across the wrap; negative where it is the other way round.</summary>
    public static TimeSpan operator -(NtpTimestamp later, NtpTimestamp earlier)
    {
        long difference = unchecked((long)(later.Value - earlier.Value));
        long seconds = difference >> 32;
        long fraction = difference & 0xFFFF_FFFF;
        return new((seconds * TimeSpan.TicksPerSecond) + ((fraction * TimeSpan.TicksPerSecond) >> 32));
    }

    /// <summary>Adds a duration.</summary>
    public NtpTimestamp Add(TimeSpan by) => this + by;

    /// <summary>Time since an earlier timestamp.</summary>
    public TimeSpan Subtract(NtpTimestamp earlier) => this - earlier;

    public int CompareTo(NtpTimestamp other) => unchecked((long)(Value - other.Value)).CompareTo(0L);

    public static bool operator <(NtpTimestamp a, NtpTimestamp b) => a.CompareTo(b) < 0;

    public static bool operator >(NtpTimestamp a, NtpTimestamp b) => a.CompareTo(b) > 0;

    public static bool operator <=(NtpTimestamp a, NtpTimestamp b) => a.CompareTo(b) <= 0;

    public static bool operator >=(NtpTimestamp a, NtpTimestamp b) => a.CompareTo(b) >= 0;

    /// <summary>A duration in units of 2^-16 s, as reports carry it (DLSR); limited to what 32 bits hold.</summary>
    public static uint ToCompactDuration(TimeSpan duration) =>
        duration.Ticks <= 0
            ? 0
            : (uint)Math.Min(duration.Ticks / (double)TimeSpan.TicksPerSecond * 65536.0, uint.MaxValue);

    /// <summary>The duration of a number of 2^-16 s units.</summary>
    public static TimeSpan FromCompactDuration(uint duration) => new((duration * TimeSpan.TicksPerSecond) >> 16);
}

/// <summary>Fixes the host's monotonic clock to civil time, so that sender reports never jump.</summary>
/// <param name="Origin">An instant.</param>
/// <param name="AtOrigin">Civil time at that instant.</param>
public readonly record struct NtpClock(Instant Origin, NtpTimestamp AtOrigin)
{
    /// <summary>NTP time at an instant.</summary>
    public NtpTimestamp At(Instant now) => AtOrigin + (now - Origin);

    /// <summary>The instant of an NTP time.</summary>
    public Instant InstantOf(NtpTimestamp ntp) => Origin + (ntp - AtOrigin);
}

/// <summary>
/// Ties a stream's RTP timestamps to NTP time, as its sender reports do. Both sides of the mapping are points of one
/// line whose slope is the clock rate.
/// </summary>
/// <param name="Ntp">NTP time of the anchor.</param>
/// <param name="RtpTimestamp">RTP timestamp of the anchor.</param>
/// <param name="ClockRate">RTP clock, Hz.</param>
public readonly record struct RtpNtpMapping(NtpTimestamp Ntp, uint RtpTimestamp, int ClockRate)
{
    /// <summary>NTP time of an RTP timestamp within half the wrap of the anchor.</summary>
    public NtpTimestamp ToNtp(uint rtpTimestamp)
    {
        long units = (int)(rtpTimestamp - RtpTimestamp);
        return Ntp + new TimeSpan(units * TimeSpan.TicksPerSecond / ClockRate);
    }

    /// <summary>RTP timestamp at an NTP time.</summary>
    public uint ToRtp(NtpTimestamp ntp)
    {
        long ticks = (ntp - Ntp).Ticks;
        long seconds = Math.DivRem(ticks, TimeSpan.TicksPerSecond, out long rest);
        return unchecked(RtpTimestamp + (uint)((seconds * ClockRate) + (rest * ClockRate / TimeSpan.TicksPerSecond)));
    }

    /// <summary>The same line with the anchor moved to another NTP time: what a sender report sent then has to say.</summary>
    public RtpNtpMapping At(NtpTimestamp ntp) => this with { Ntp = ntp, RtpTimestamp = ToRtp(ntp) };
}
