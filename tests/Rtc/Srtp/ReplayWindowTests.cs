using CsCheck;
using Transcribe.Rtc.Srtp;

namespace Transcribe.Rtc.Tests.Srtp;

public sealed class ReplayWindowTests
{
    /// <summary>Against a set that forgets nothing.</summary>
    [Fact]
    public void Takes_each_index_once_and_none_behind_the_window() =>
        Gen.Select(Gen.Long[0, 1L << 40], Gen.Int[-1400, 1400].Array[1, 400]).Sample(
            (start, steps) =>
            {
                ReplayWindow window = new();
                HashSet<long> taken = [];
                long highest = -1;
                long at = start + 2000;
                foreach (int step in steps)
                {
                    at = Math.Max(0, at + (step % 7 == 0 ? step : step % 70));
                    SrtpReject expected = highest < 0 || at > highest ? SrtpReject.None
                        : highest - at >= ReplayWindow.Size ? SrtpReject.TooOld
                        : taken.Contains(at) ? SrtpReject.Replayed
                        : SrtpReject.None;
                    if (window.Check(at) != expected)
                        return false;
                    if (expected != SrtpReject.None)
                        continue;
                    window.Accept(at);
                    taken.Add(at);
                    highest = Math.Max(highest, at);
                }

                return window.Highest == highest;
            });

    [Fact]
    public void A_window_restored_from_its_highest_index_takes_only_later_ones() =>
        Gen.Select(Gen.Long[0, 1L << 40], Gen.Int[1, 3000]).Sample(
            (highest, ahead) =>
            {
                ReplayWindow window = ReplayWindow.AllUpTo(highest);
                for (long index = Math.Max(0, highest - ReplayWindow.Size); index <= highest; index++)
                {
                    if (window.Check(index) == SrtpReject.None)
                        return false;
                }

                window.Accept(highest + ahead);
                for (long index = highest + 1; index < highest + ahead; index++)
                {
                    SrtpReject expected = highest + ahead - index >= ReplayWindow.Size ? SrtpReject.TooOld : SrtpReject.None;
                    if (window.Check(index) != expected)
                        return false;
                }

                return window.Check(highest + ahead) == SrtpReject.Replayed;
            },
            iter: 300);
}

public sealed class SsrcTableTests
{
    [Fact]
    public void The_entry_unused_longest_gives_way()
    {
        SsrcTable table = new(capacity: 3, remembered: 10, mayForget: true);
        for (uint ssrc = 1; ssrc <= 3; ssrc++)
            Assert.True(table.TryGetOrAdd(ssrc, out _));
        Assert.True(table.TryGet(1, out _));
        Assert.True(table.TryGetOrAdd(4, out _));
        Assert.True(table.TryGet(1, out _));
        Assert.False(table.TryGet(2, out _));
        Assert.True(table.TryGet(3, out _));
        Assert.Equal((3, 1), (table.Count, table.RememberedCount));
    }

    [Fact]
    public void A_table_that_must_not_forget_refuses_new_entries_when_all_its_memory_is_used()
    {
        SsrcTable table = new(capacity: 2, remembered: 3, mayForget: false);
        for (uint ssrc = 1; ssrc <= 5; ssrc++)
        {
            Assert.True(table.TryGetOrAdd(ssrc, out SsrcState? state));
            state.Rtp.Accept(ssrc * 100);
        }

        Assert.False(table.TryGetOrAdd(6, out _));

        // One of those known comes back, with what it was.
        Assert.True(table.TryGetOrAdd(2, out SsrcState? known));
        Assert.Equal(SrtpReject.Replayed, known.Rtp.Check(200));
        Assert.Equal(SrtpReject.None, known.Rtp.Check(201));
        Assert.False(table.TryGetOrAdd(6, out _));
        Assert.Equal((2, 3), (table.Count, table.RememberedCount));
    }

    [Fact]
    public void A_table_that_may_forget_stays_bounded()
    {
        SsrcTable table = new(capacity: 4, remembered: 16, mayForget: true);
        Random random = new(3);
        for (int i = 0; i < 20_000; i++)
        {
            Assert.True(table.TryGetOrAdd((uint)random.Next(60), out _));
            Assert.InRange(table.Count, 1, 4);
            Assert.InRange(table.RememberedCount, 0, 16);
        }
    }
}
