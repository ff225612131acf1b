using Transcribe.AiGateway.Tests.Support;
using Transcribe.Cluster.Captions;
using Transcribe.Cluster.Nodes;

namespace Transcribe.AiGateway.Tests.Subscriber;

/// <summary>A gateway that is being drained gives its rooms to others, and leaves none uncaptioned.</summary>
public sealed class DrainTests : IAsyncLifetime
{
    private readonly Studio _studio = new();

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public ValueTask DisposeAsync() => _studio.DisposeAsync();

    [Theory]
    [InlineData(3.9)] // in the middle of the second utterance
    [InlineData(2.5)] // just after a final
    [InlineData(6.5)] // in the silence that ends an utterance
    [InlineData(0.5)] // before anything was said
    public async Task A_room_goes_to_another_gateway_in_a_pause_and_no_final_is_cut_lost_or_twice(double drainedAt)
    {
        (Studio.Gateway first, Studio.Gateway second) = await _studio.StartPairAsync();
        await _studio.RunAsync(0.7);
        _studio.Script("TR_1", Studio.Speech);
        await _studio.RunAsync(drainedAt);
        await DrainAsync("g1", 60);
        await _studio.RunUntilAsync(() => first.Seats["demo"].Left, 6);
        await _studio.RunUntilAsync(() => second.Seats.ContainsKey("demo"), 1);
        await _studio.RunUntilAsync(() => _studio.Shown.Any(final => final.Text == "w11"), 60);
        await _studio.RunAsync(1);

        List<CaptionMessage> transcript = await _studio.TranscriptAsync("demo");
        Assert.Equal(Studio.Words, transcript.Select(final => final.Text));
        Assert.Equal(Studio.Words, _studio.Shown.Select(final => final.Text));
        Assert.All(transcript.Zip(transcript.Skip(1)), pair => Assert.True((int)(pair.Second.Rtp.Start - pair.First.Rtp.End) >= 0));
        Assert.Equal(0, (await NodeAsync("g1")).Load);
    }

    [Fact]
    public async Task Who_speaks_on_and_on_is_cut_and_every_word_is_heard()
    {
        (Studio.Gateway first, Studio.Gateway second) = await _studio.StartPairAsync();
        await _studio.RunAsync(0.7);
        _studio.Script("TR_1", [(0, 0.5), .. Enumerable.Range(1, 16).Select(word => (word, 0.5)), (0, 2)]);
        await _studio.RunAsync(1.5);
        await DrainAsync("g1", 0);
        await _studio.RunUntilAsync(() => second.Seats.ContainsKey("demo"), 4);
        await _studio.RunUntilAsync(() => _studio.Shown.Any(final => final.Text.EndsWith("w16", StringComparison.Ordinal)), 60);

        string[] words = [.. string.Join(' ', _studio.Shown.Select(final => final.Text)).Split(' ')];
        Assert.Equal(Enumerable.Range(1, 16).Select(i => $"w{i}"), words.Distinct());
        Assert.InRange(words.Length, 16, 17); // a word cut in two is heard twice
    }

    [Fact]
    public async Task Rooms_go_one_after_the_other_as_far_as_others_have_room_and_the_rest_stays_beyond_the_deadline()
    {
        Studio.Gateway first = await _studio.StartAsync("g1");
        for (int i = 0; i < 4; i++)
            await _studio.OpenRoomAsync($"room{i}", $"TR_{i}");
        await _studio.RunUntilAsync(() => first.Seats.Count == 4);
        Studio.Gateway second = await _studio.StartAsync("g2", capacity: 2);
        await _studio.RunAsync(0.7);
        await DrainAsync("g1", 8);
        int gone = 0, most = 0;
        for (int i = 0; i < 100; i++)
        {
            await _studio.RunAsync(0.1);
            most = Math.Max(most, first.Seats.Values.Count(seat => seat.Left) - gone);
            gone = first.Seats.Values.Count(seat => seat.Left);
        }

        Assert.Equal((2, 2), (gone, second.Seats.Count));
        Assert.Equal(2, (await NodeAsync("g1")).Load);
        Assert.Equal(2, (await NodeAsync("g1")).Rooms);
        Assert.True(most <= 2);

        // As soon as there is more room, the others follow.
        Studio.Gateway third = await _studio.StartAsync("g3");
        await _studio.RunUntilAsync(() => third.Seats.Count == 2 && first.Seats.Values.All(seat => seat.Left), 10);
    }

    [Fact]
    public async Task A_withdrawn_order_ends_the_handing_over()
    {
        Studio.Gateway first = await _studio.StartAsync("g1");
        for (int i = 0; i < 5; i++)
            await _studio.OpenRoomAsync($"room{i}", $"TR_{i}");
        await _studio.RunUntilAsync(() => first.Seats.Count == 5);
        Studio.Gateway second = await _studio.StartAsync("g2");
        await _studio.RunAsync(0.7);
        await DrainAsync("g1", 3600);
        await _studio.RunUntilAsync(() => !second.Seats.IsEmpty, 5);
        await TellAsync("g1", new SetNodeState(NodeState.Active));
        await _studio.RunAsync(1);
        int taken = second.Seats.Count;
        Assert.InRange(taken, 1, 3);
        await _studio.RunAsync(4);
        Assert.Equal(taken, second.Seats.Count);
        Assert.Equal(5 - taken, first.Seats.Values.Count(seat => !seat.Left));
    }

    [Fact]
    public async Task A_draining_gateway_takes_a_new_room_only_where_nobody_else_does()
    {
        Studio.Gateway first = await _studio.StartAsync("g1");
        await _studio.RunAsync(0.5);
        await DrainAsync("g1", 60);
        await _studio.OpenRoomAsync("demo", "TR_1");
        await _studio.RunAsync(2.5);
        Assert.Empty(first.Seats);
        await _studio.RunUntilAsync(() => first.Seats.ContainsKey("demo"), 3);

        Studio.Gateway second = await _studio.StartAsync("g2");
        await _studio.RunUntilAsync(() => second.Seats.ContainsKey("demo") && first.Seats["demo"].Left, 5);
        await _studio.OpenRoomAsync("later", "TR_2");
        await _studio.RunUntilAsync(() => second.Seats.ContainsKey("later"), 2);
        await _studio.RunAsync(4);
        Assert.Single(first.Seats);
    }

    private Task DrainAsync(string gateway, double seconds) =>
        TellAsync(gateway, new SetNodeState(NodeState.Draining, _studio.Clock.GetUtcNow().AddSeconds(seconds)));

    private async Task TellAsync(string gateway, SetNodeState order) =>
        await _studio.Bus.RequestAsync<SetNodeState, Pong>(NodeSubjects.State(NodeRole.Gateway, gateway), order, TimeSpan.FromSeconds(5));

    private async Task<NodeInfo> NodeAsync(string gateway) =>
        (await _studio.Nodes.ListAsync(NodeRole.Gateway)).Single(node => node.Id == gateway);
}
