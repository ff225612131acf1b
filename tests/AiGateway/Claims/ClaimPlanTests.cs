using Transcribe.AiGateway.Claims;
using Transcribe.Rtc;

namespace Transcribe.AiGateway.Tests.Claims;

public sealed class ClaimPlanTests
{
    private readonly ClaimPlan _plan = new(() => 0);

    [Fact]
    public void Who_has_the_most_room_left_tries_at_once_and_others_later_by_rank()
    {
        _plan.Rank(0, 10, [10, 5, 0]);
        _plan.Add(Instant.Zero, "demo");
        Assert.Equal(Instant.Zero, _plan.Next);
        _plan.Rank(5, 10, [6, 7, 2]);
        TimeSpan behindTwo = _plan.Next - Instant.Zero;
        _plan.Rank(5, 10, [6, 2, 2]);
        TimeSpan behindOne = _plan.Next - Instant.Zero;
        Assert.True(TimeSpan.Zero < behindOne && behindOne < behindTwo);
        _plan.Rank(10, 10, Enumerable.Repeat(10, 50));
        Assert.InRange(_plan.Next - Instant.Zero, behindTwo, TimeSpan.FromMilliseconds(300));
    }

    [Fact]
    public void A_room_is_tried_once_until_it_is_seen_free_again()
    {
        _plan.Rank(0, 10, []);
        _plan.Update(Instant.Zero, new HashSet<string> { "demo" });
        Assert.True(_plan.TryTake(Instant.Zero, out string room));
        Assert.Equal("demo", room);
        Assert.False(_plan.TryTake(Instant.Zero, out _));
        Assert.Equal(Instant.Never, _plan.Next);
        _plan.Update(Instant.Zero, new HashSet<string> { "demo" });
        _plan.Update(Instant.Zero, new HashSet<string>());
        Assert.False(_plan.TryTake(Instant.Zero, out _));
    }
}
