using CsCheck;
using Transcribe.Rtc.Rtp;

namespace Transcribe.Rtc.Tests.Rtp;

public sealed class RtpJitterStatisticsTests
{
    private static readonly Instant Start = Instant.Zero + TimeSpan.FromDays(200);

    [Fact]
    public void Counts_a_clean_stream_over_two_wraps()
    {
        RtpJitterStatistics statistics = new(48000);
        for (int i = 0; i < 140_000; i++)
            Assert.True(statistics.Update(Start + TimeSpan.FromMilliseconds(20 * i), (ushort)(65_000 + i), (uint)(i * 960)));
        Assert.Equal(140_000, statistics.Received);
        Assert.Equal(0, statistics.CumulativeLost);
        Assert.Equal(65_000u + 139_999u, statistics.ExtendedHighestSequence);
        Assert.Equal(0u, statistics.Jitter);
        Assert.Equal(0, statistics.TakeFractionLost());
    }

    [Fact]
    public void Reports_the_fraction_lost_of_each_interval()
    {
        RtpJitterStatistics statistics = new(90000);
        ushort sequence = 0;
        for (int i = 0; i < 100; i++, sequence++)
            statistics.Update(Start, sequence, 0);
        Assert.Equal(0, statistics.TakeFractionLost());
        for (int i = 0; i < 100; i++, sequence++)
        {
            if (i % 4 != 0)
                statistics.Update(Start, sequence, 0);
        }

        Assert.Equal(64, statistics.TakeFractionLost());
        Assert.Equal(25, statistics.CumulativeLost);
        Assert.Equal(0, statistics.TakeFractionLost());
    }

    [Fact]
    public void Lets_duplicates_make_the_loss_negative()
    {
        RtpJitterStatistics statistics = new(90000);
        statistics.Update(Start, 1, 0);
        statistics.Update(Start, 1, 0);
        Assert.Equal(-1, statistics.CumulativeLost);
        Assert.Equal(0, statistics.TakeFractionLost());
    }

    [Fact]
    public void Counts_reordered_packets_as_received()
    {
        RtpJitterStatistics statistics = new(90000);
        foreach (ushort sequence in (ushort[])[65534, 0, 65535, 2, 1])
            statistics.Update(Start, sequence, 0);
        Assert.Equal(0, statistics.CumulativeLost);
        Assert.Equal(65538u, statistics.ExtendedHighestSequence);
    }

    [Fact]
    public void Restarts_after_two_packets_in_a_row_agree_on_a_far_sequence_number()
    {
        RtpJitterStatistics statistics = new(90000);
        statistics.Update(Start, 100, 0);
        Assert.False(statistics.Update(Start, 30_000, 0));
        Assert.True(statistics.Update(Start, 101, 0));
        Assert.False(statistics.Update(Start, 40_000, 0));
        Assert.True(statistics.Update(Start, 40_001, 0));
        Assert.Equal(1, statistics.Received);
        Assert.Equal(0, statistics.CumulativeLost);
    }

    [Fact]
    public void Converges_to_the_mean_difference_of_transit_times()
    {
        // Every second packet is 10 ms late, so consecutive transits differ by 10 ms: 480 units of 48 kHz.
        RtpJitterStatistics statistics = new(48000);
        for (int i = 0; i < 500; i++)
            statistics.Update(Start + TimeSpan.FromMilliseconds((20 * i) + (i % 2 * 10)), (ushort)i, (uint)(i * 960));
        Assert.InRange(statistics.Jitter, 470u, 481u);
    }

    [Fact]
    public void Takes_any_input()
    {
        Gen.Select(Gen.UShort, Gen.UInt, Gen.Long[0, long.MaxValue / 2]).Array[0, 200].Sample(packets =>
        {
            RtpJitterStatistics statistics = new(90000);
            foreach ((ushort sequence, uint timestamp, long ticks) in packets)
                statistics.Update(new Instant(ticks), sequence, timestamp);
            statistics.TakeFractionLost();
            Assert.True(statistics.Jitter <= 90000u * 5);
        });
    }
}
