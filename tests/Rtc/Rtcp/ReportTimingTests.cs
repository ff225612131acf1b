using CsCheck;
using Transcribe.Rtc.Rtcp;

namespace Transcribe.Rtc.Tests.Rtcp;

public sealed class ReportTimingTests
{
    private static readonly DateTimeOffset Civil = new(2026, 11, 22, 10, 0, 0, 120, TimeSpan.Zero);

    [Theory]
    [InlineData("1970-01-01T00:00:00Z", 0x83AA7E80_00000000)]
    [InlineData("2036-02-07T06:28:15.5Z", 0xFFFFFFFF_80000000)]
    [InlineData("2036-02-07T06:28:16Z", 0x00000000_00000000)]
    public void Converts_civil_time(string time, ulong value)
    {
        DateTimeOffset civil = DateTimeOffset.Parse(time, System.Globalization.CultureInfo.InvariantCulture);
        Assert.Equal(value, NtpTimestamp.From(civil).Value);
        Assert.Equal(civil, new NtpTimestamp(value).ToDateTimeOffset());
    }

    [Fact]
    public void Round_trips_civil_time_to_the_tick()
    {
        Gen.Long[new DateTime(1970, 1, 1).Ticks, new DateTime(2100, 1, 1).Ticks].Sample(ticks =>
        {
            DateTimeOffset civil = new(ticks, TimeSpan.Zero);
            Assert.InRange(NtpTimestamp.From(civil).ToDateTimeOffset().Ticks, ticks - 1, ticks);
        });
    }

    [Fact]
    public void Adds_and_subtracts_durations_across_the_wrap()
    {
        Gen.Select(Gen.ULong, Gen.Long[-1_000_000_000_000, 1_000_000_000_000]).Sample((value, ticks) =>
        {
            NtpTimestamp start = new(value);
            TimeSpan by = new(ticks);
            Assert.InRange(((start + by) - start - by).Ticks, -1, 1);
            Assert.Equal(ticks > 0, start + by > start);
        });
    }

    [Fact]
    public void Measures_the_round_trip_from_a_report_block()
    {
        NtpClock clock = new(Instant.Zero, NtpTimestamp.From(Civil));
        ReceptionReportBuilder receiver = new(7, 48000);
        Instant sent = Instant.Zero + TimeSpan.FromSeconds(3);
        SenderReport report = new(7, clock.At(sent), 0, 0, 0);

        receiver.OnSenderReport(Instant.Zero + TimeSpan.FromHours(5), report);
        receiver.Statistics.Update(Instant.Zero + TimeSpan.FromHours(5), 1, 0);
        Assert.True(receiver.TryBuild(Instant.Zero + TimeSpan.FromHours(5) + TimeSpan.FromMilliseconds(700), out ReportBlock block));

        Instant back = sent + TimeSpan.FromMilliseconds(780);
        Assert.True(block.TryGetRoundTripTime(clock.At(back), out TimeSpan roundTrip));
        Assert.InRange(roundTrip.TotalMilliseconds, 79.9, 80.1);
    }

    [Fact]
    public void Has_no_round_trip_without_or_with_an_impossible_echo()
    {
        NtpTimestamp now = NtpTimestamp.From(Civil);
        Assert.False(default(ReportBlock).TryGetRoundTripTime(now, out _));
        ReportBlock future = default(ReportBlock) with { LastSenderReport = (now + TimeSpan.FromSeconds(9)).Compact };
        Assert.False(future.TryGetRoundTripTime(now, out _));
        ReportBlock ancient = default(ReportBlock) with { LastSenderReport = (now + TimeSpan.FromMinutes(-5)).Compact };
        Assert.False(ancient.TryGetRoundTripTime(now, out _));
        ReportBlock early = default(ReportBlock) with { LastSenderReport = (now + TimeSpan.FromMilliseconds(1)).Compact };
        Assert.True(early.TryGetRoundTripTime(now, out TimeSpan roundTrip));
        Assert.Equal(TimeSpan.Zero, roundTrip);
    }

    [Fact]
    public void Builds_no_block_before_the_first_packet()
    {
        Assert.False(new ReceptionReportBuilder(7, 48000).TryBuild(Instant.Zero, out _));
    }

    [Fact]
    public void Builds_a_block_without_an_echo_before_the_first_sender_report()
    {
        ReceptionReportBuilder receiver = new(7, 48000);
        receiver.Statistics.Update(Instant.Zero, 5, 0);
        receiver.Statistics.Update(Instant.Zero, 8, 0);
        Assert.True(receiver.TryBuild(Instant.Zero, out ReportBlock block));
        Assert.Equal(new ReportBlock(7, 128, 2, 8, 0, 0, 0), block);
    }

    [Fact]
    public void Maps_between_the_rtp_and_the_ntp_clock()
    {
        Gen.Select(Gen.UInt, Gen.Int[-(1 << 30), 1 << 30], Gen.Int[0, 2].Select(i => new[] { 8000, 48000, 90000 }[i])).Sample((anchor, units, clockRate) =>
        {
            RtpNtpMapping mapping = new(NtpTimestamp.From(Civil), anchor, clockRate);
            uint rtp = unchecked(anchor + (uint)units);
            NtpTimestamp ntp = mapping.ToNtp(rtp);
            Assert.InRange(unchecked((int)(mapping.ToRtp(ntp) - rtp)), -1, 1);
            Assert.InRange(((ntp - mapping.Ntp).TotalSeconds * clockRate) - units, -1, 1);

            RtpNtpMapping moved = mapping.At(ntp);
            Assert.InRange((moved.ToNtp(anchor) - mapping.Ntp).TotalSeconds * clockRate, -2, 2);
        });
    }

    [Fact]
    public void Clock_maps_there_and_back()
    {
        NtpClock clock = new(Instant.Zero + TimeSpan.FromSeconds(3), NtpTimestamp.From(Civil));
        Instant later = Instant.Zero + TimeSpan.FromDays(40);
        Assert.InRange((clock.InstantOf(clock.At(later)) - later).Ticks, -1, 1);
    }
}
