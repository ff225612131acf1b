using CsCheck;
using Transcribe.Rtc.Rtp;

namespace Transcribe.Rtc.Tests.Rtp;

public sealed class SequenceTests
{
    [Fact]
    public void Follows_any_walk_of_sequence_numbers_with_steps_below_half_the_space()
    {
        Gen.Select(Gen.UShort, Gen.Int[-32767, 32767].Array[0, 200]).Sample((start, steps) =>
        {
            SequenceUnwrapper unwrapper = new();
            long truth = start;
            Assert.Equal(truth, unwrapper.Unwrap(start));
            foreach (int step in steps)
            {
                truth += step;
                Assert.Equal(truth, unwrapper.Peek((ushort)truth));
                Assert.Equal(truth, unwrapper.Unwrap((ushort)truth));
            }
        });
    }

    [Fact]
    public void Duplicate_filter_agrees_with_a_set_within_its_window()
    {
        Gen.Select(Gen.Long[0, 70_000], Gen.Int[-600, 700].Array[1, 300]).Sample((start, steps) =>
        {
            DuplicateFilter filter = new();
            HashSet<long> seen = [];
            long at = start;
            long newest = start;
            foreach (int step in steps)
            {
                newest = Math.Max(newest, at);
                DuplicateVerdict verdict = filter.Check(at);
                if (at <= newest - DuplicateFilter.Window)
                    Assert.Equal(DuplicateVerdict.TooOld, verdict);
                else
                    Assert.Equal(seen.Add(at) ? DuplicateVerdict.New : DuplicateVerdict.Duplicate, verdict);
                at += step;
            }
        });
    }

    [Fact]
    public void Duplicate_filter_survives_a_jump_beyond_its_window()
    {
        DuplicateFilter filter = new();
        Assert.Equal(DuplicateVerdict.New, filter.Check(10));
        Assert.Equal(DuplicateVerdict.New, filter.Check(10 + (DuplicateFilter.Window * 3)));
        Assert.Equal(DuplicateVerdict.TooOld, filter.Check(10));
        Assert.Equal(DuplicateVerdict.New, filter.Check(10 + (DuplicateFilter.Window * 3) - 1));
        filter.Reset();
        Assert.Equal(DuplicateVerdict.New, filter.Check(10));
    }
}
