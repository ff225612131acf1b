using CsCheck;
using Transcribe.Sfu.Routing;

namespace Transcribe.Sfu.Tests.Routing;

public sealed class SequenceRewriterTests
{
    private static ushort Map(SequenceRewriter rewriter, int source)
    {
        Assert.True(rewriter.TryMap((ushort)source, out ushort number));
        return number;
    }

    [Fact]
    public void Starts_where_it_is_told_and_keeps_the_gaps_of_the_source()
    {
        var rewriter = new SequenceRewriter(100, remember: true);
        Assert.Equal(100, Map(rewriter, 5000));
        Assert.Equal(101, Map(rewriter, 5001));
        Assert.Equal(104, Map(rewriter, 5004));
        Assert.Equal(102, Map(rewriter, 5002));
    }

    [Fact]
    public void Wraps_on_both_sides()
    {
        var rewriter = new SequenceRewriter(65_534, remember: true);
        Assert.Equal(65_534, Map(rewriter, 65_535));
        Assert.Equal(65_535, Map(rewriter, 0));
        Assert.Equal(0, Map(rewriter, 1));
        Assert.True(rewriter.TryFindSource(65_535, out ushort source));
        Assert.Equal(0, source);
    }

    [Fact]
    public void A_packet_left_out_leaves_no_gap()
    {
        var rewriter = new SequenceRewriter(1, remember: true);
        Assert.Equal(1, Map(rewriter, 10));
        rewriter.Skip(11);
        Assert.Equal(2, Map(rewriter, 12));
        rewriter.Skip(13);
        rewriter.Skip(14);
        Assert.Equal(3, Map(rewriter, 15));
    }

    [Fact]
    public void A_late_packet_from_before_a_left_out_one_fills_its_own_gap()
    {
        var rewriter = new SequenceRewriter(1, remember: true);
        Assert.Equal(1, Map(rewriter, 10));
        Assert.Equal(3, Map(rewriter, 12));
        rewriter.Skip(13);
        Assert.Equal(4, Map(rewriter, 14));
        Assert.Equal(2, Map(rewriter, 11));
        Assert.False(rewriter.TryMap(13, out _));
    }

    [Fact]
    public void A_new_source_goes_on_without_a_gap_and_the_old_one_cannot_be_asked_for()
    {
        var rewriter = new SequenceRewriter(1, remember: true);
        Map(rewriter, 10);
        Map(rewriter, 11);
        rewriter.Restart(newSource: true);
        Assert.False(rewriter.TryFindSource(2, out _));
        Assert.Equal(3, Map(rewriter, 40_000));
        Assert.False(rewriter.TryMap(39_999, out _));
    }

    [Fact]
    public void After_a_pause_earlier_packets_can_still_be_asked_for()
    {
        var rewriter = new SequenceRewriter(1, remember: true);
        Map(rewriter, 10);
        rewriter.Restart(newSource: false);
        Assert.Equal(2, Map(rewriter, 50));
        Assert.True(rewriter.TryFindSource(1, out ushort source));
        Assert.Equal(10, source);
    }

    [Fact]
    public void A_jump_of_the_source_is_no_jump_for_the_subscriber()
    {
        var rewriter = new SequenceRewriter(1, remember: true);
        Assert.Equal(1, Map(rewriter, 10));
        Assert.Equal(2, Map(rewriter, 30_000));
        Assert.Equal(3, Map(rewriter, 30_001));
    }

    [Fact]
    public void A_packet_missing_at_the_source_can_be_asked_for_in_case_it_came_since()
    {
        var rewriter = new SequenceRewriter(1, remember: true);
        Map(rewriter, 10);
        rewriter.Skip(11);
        Map(rewriter, 14);
        Assert.True(rewriter.TryFindSource(2, out ushort source));
        Assert.Equal(12, source);
        Assert.True(rewriter.TryFindSource(3, out source));
        Assert.Equal(13, source);
        Assert.False(rewriter.TryFindSource(5, out _));
        Assert.False(rewriter.TryFindSource(0, out _));
    }

    [Fact]
    public void Nothing_is_found_that_was_not_sent()
    {
        var rewriter = new SequenceRewriter(0, remember: true);
        for (int i = 0; i < 65_536; i++)
            Assert.False(rewriter.TryFindSource((ushort)i, out _));
        Assert.False(new SequenceRewriter(0, remember: false).TryFindSource(0, out _));
    }

    [Fact]
    public void No_number_is_used_for_two_packets()
    {
        Gen.Select(Gen.Int[-6, 8], Gen.Int[0, 9]).Array[1, 400].Sample(steps =>
        {
            var rewriter = new SequenceRewriter(60_000, remember: true);
            var used = new Dictionary<ushort, (int Generation, ushort Source)>();
            int generation = 0;
            var skipped = new HashSet<ushort>();
            var mapped = new HashSet<ushort>();
            ushort position = 65_000;
            foreach ((int step, int action) in steps)
            {
                position = (ushort)(position + step);
                if (action == 9)
                {
                    rewriter.Restart(newSource: true);
                    generation++;
                    skipped.Clear();
                    mapped.Clear();
                    position += 100;
                }
                else if (action >= 7 && !mapped.Contains(position))
                {
                    rewriter.Skip(position);
                    skipped.Add(position);
                }
                else if (!skipped.Contains(position) && mapped.Add(position) && rewriter.TryMap(position, out ushort number))
                {
                    Assert.False(used.TryGetValue(number, out var former) && former != (generation, position), $"{number}: {former} then {generation} {position}");
                    used[number] = (generation, position);
                    Assert.True(rewriter.TryFindSource(number, out ushort source));
                    Assert.Equal(position, source);
                }
            }
        });
    }
}
