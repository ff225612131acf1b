using Transcribe.Sfu.Routing;

namespace Transcribe.Sfu.Tests.Routing;

public sealed class AudioActivityTests
{
    private static void Interval(AudioActivity activity, byte level)
    {
        for (int i = 0; i < 15; i++)
            activity.OnLevel(level);
        activity.EndInterval();
    }

    [Fact]
    public void Speech_starts_within_two_intervals_and_noise_never_does()
    {
        var speech = new AudioActivity();
        var noise = new AudioActivity();
        for (int i = 0; i < 2; i++)
            Interval(speech, 25);
        for (int i = 0; i < 20; i++)
            Interval(noise, 55);
        Assert.True(speech.IsActive);
        Assert.False(noise.IsActive);
    }

    [Fact]
    public void A_short_pause_does_not_end_a_turn_and_a_long_one_does()
    {
        var activity = new AudioActivity();
        for (int i = 0; i < 5; i++)
            Interval(activity, 25);
        Interval(activity, 127);
        Assert.True(activity.IsActive);
        for (int i = 0; i < 8; i++)
            activity.EndInterval();
        Assert.False(activity.IsActive);
    }

    [Fact]
    public void The_level_converges_to_what_is_heard()
    {
        var activity = new AudioActivity();
        Assert.Equal(127, activity.Level);
        for (int i = 0; i < 20; i++)
            Interval(activity, 30);
        Assert.Equal(30, activity.Level);
    }
}
