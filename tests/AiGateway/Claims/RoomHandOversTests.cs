using Transcribe.AiGateway.Claims;
using Transcribe.Rtc;

namespace Transcribe.AiGateway.Tests.Claims;

public sealed class RoomHandOversTests
{
    private static readonly Instant Start = Instant.Zero + TimeSpan.FromSeconds(100);
    private static readonly string[] Rooms = [.. Enumerable.Range(10, 20).Select(i => $"r{i}")];

    private readonly RoomHandOvers _handOvers = new();

    [Fact]
    public void With_time_to_spare_the_next_room_goes_when_the_one_before_has_arrived()
    {
        Assert.Equal(["r10"], Choose(3600));
        Assert.Empty(Choose(3600));
        _handOvers.OnTaken(new HashSet<string> { "r10" });
        Assert.Equal(["r11"], _handOvers.Choose(Start, Rooms.Skip(1), 100, TimeSpan.FromHours(1)));
    }

    [Fact]
    public void Without_a_deadline_there_is_time_to_spare() => Assert.Single(_handOvers.Choose(Start, Rooms, 100, null));

    [Fact]
    public void The_less_time_is_left_the_more_go_at_once_up_to_a_bound()
    {
        Assert.Equal(2, Choose(60).Count);
        Assert.Equal(6, Choose(0).Count);
        Assert.Empty(Choose(-5));
    }

    [Fact]
    public void No_more_go_than_others_have_room_for()
    {
        Assert.Equal(3, _handOvers.Choose(Start, Rooms, 3, TimeSpan.Zero).Count);
        Assert.Empty(_handOvers.Choose(Start, Rooms, 3, TimeSpan.Zero));
    }

    [Fact]
    public void After_a_room_came_back_nothing_goes_for_a_while()
    {
        Assert.Single(Choose(3600));
        Assert.True(_handOvers.Remove("r10"));
        _handOvers.Rest(Start);
        Assert.Empty(Choose(3600));
        Assert.Single(_handOvers.Choose(Start + TimeSpan.FromSeconds(31), Rooms, 100, TimeSpan.FromHours(1)));

        // Nor is it remembered over an order that was withdrawn.
        _handOvers.Rest(Start);
        _handOvers.Clear();
        Assert.Single(Choose(3600));
    }

    [Fact]
    public void A_room_that_never_arrives_is_not_waited_for_for_ever()
    {
        Assert.Equal(["r10"], Choose(3600));
        Assert.Equal(["r10"], _handOvers.Choose(Start + TimeSpan.FromSeconds(25), Rooms, 100, TimeSpan.FromHours(1)));
    }

    private IReadOnlyList<string> Choose(double left) => _handOvers.Choose(Start, Rooms, 100, TimeSpan.FromSeconds(left));
}
