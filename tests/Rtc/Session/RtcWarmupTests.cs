namespace Transcribe.Rtc.Tests.Session;

public sealed class RtcWarmupTests
{
    [Fact]
    public void The_sessions_of_the_warm_up_come_to_their_end()
    {
        Assert.True(RtcWarmup.Run());
        Assert.True(RtcWarmup.Run(sessions: 3));
    }

    [Fact]
    public void It_ends_when_it_is_no_longer_wanted() => Assert.False(RtcWarmup.Run(int.MaxValue, new CancellationToken(canceled: true)));
}
