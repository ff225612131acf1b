using Transcribe.AiGateway.Tests.Support;
using Transcribe.Cluster.Captions;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.State;

namespace Transcribe.AiGateway.Tests.Subscriber;

/// <summary>What holds when gateways die, stand still, or lose sight of the store.</summary>
public sealed class TakeoverTests : IAsyncLifetime
{
    private readonly Studio _studio = new();

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public ValueTask DisposeAsync() => _studio.DisposeAsync();

    [Theory]
    [InlineData(3.9, false)] // in the middle of the second utterance
    [InlineData(3.9, true)]
    [InlineData(2.5, false)] // just after a final
    [InlineData(6.5, false)] // in the silence that ends an utterance
    [InlineData(2.1, false)] // at a word's end
    public async Task A_killed_gateways_room_goes_on_without_a_final_lost_or_twice(double killedAt, bool answers)
    {
        (Studio.Gateway first, Studio.Gateway second) = await _studio.StartPairAsync();
        await _studio.RunAsync(0.5);
        _studio.Script("TR_1", Studio.Speech);
        await _studio.RunAsync(killedAt);
        if (answers)
            first.Isolate();
        else
            first.Kill();
        DateTimeOffset killed = _studio.Clock.GetUtcNow();
        await _studio.RunUntilAsync(() => second.Seats.ContainsKey("demo"));

        // Of one that answers the lease decides.
        TimeSpan taken = _studio.Clock.GetUtcNow() - killed;
        Assert.InRange(taken.TotalSeconds, answers ? 1.2 : 0, answers ? 3 : 1.2);
        await _studio.RunUntilAsync(() => _studio.Shown.Any(final => final.Text == "w11"), 60);
        await _studio.RunAsync(1);

        List<CaptionMessage> transcript = await _studio.TranscriptAsync("demo");
        Assert.Equal(Studio.Words, transcript.Select(final => final.Text));
        Assert.Equal(Studio.Words, _studio.Shown.Select(final => final.Text));
        Assert.Equal(await UndisturbedAsync(), transcript.Select(final => (final.Rtp.Start - transcript[0].Rtp.Start, final.Rtp.End - transcript[0].Rtp.Start)));
    }

    [Fact]
    public async Task A_gateway_whose_media_moves_sends_again_what_may_have_gone_out_on_a_dead_connection()
    {
        Studio.Gateway gateway = await _studio.StartAsync("g1");
        await _studio.OpenRoomAsync("demo", "TR_1");
        await _studio.RunUntilAsync(() => gateway.Seats.ContainsKey("demo"));
        _studio.Script("TR_1", (1, 0.5), (2, 0.5), (0, 60));
        await _studio.RunUntilAsync(() => _studio.Shown.Any());
        for (int i = 2; i <= 3; i++)
        {
            gateway.Seats["demo"].Observer.OnMoved();
            await _studio.RunUntilAsync(() => _studio.Sent.Count(caption => caption.Final) == i);
        }

        // Whoever was still waiting for it then has long known that its own connection is dead.
        await _studio.RunAsync(20);
        gateway.Seats["demo"].Observer.OnMoved();
        await _studio.RunAsync(1);
        Assert.Equal(3, _studio.Sent.Count(caption => caption.Final));
        Assert.Single(_studio.Shown);
        Assert.Single(await _studio.TranscriptAsync("demo"));
    }

    [Theory]
    [InlineData(3.9)] // in the middle of the second utterance
    [InlineData(2.9)] // early in it
    [InlineData(4.6)] // late in it
    public async Task A_gateway_that_is_taken_for_dead_and_lives_says_nothing_twice(double silentAt)
    {
        (Studio.Gateway first, Studio.Gateway second) = await _studio.StartPairAsync();
        await _studio.RunAsync(0.5);
        _studio.Script("TR_1", Studio.Speech);
        await _studio.RunAsync(silentAt);
        first.FallSilent();
        await _studio.RunUntilAsync(() => second.Seats.ContainsKey("demo"));
        await _studio.RunUntilAsync(() => _studio.Shown.Any(final => final.Text == "w11"), 60);
        await _studio.RunAsync(1);

        Assert.Equal(Studio.Words, (await _studio.TranscriptAsync("demo")).Select(final => final.Text));
        Assert.Equal(Studio.Words, _studio.Shown.Select(final => final.Text));
        Assert.True(first.Seats["demo"].Left);
        Assert.False(second.Seats["demo"].Left);
    }

    [Fact]
    public async Task Without_kept_sound_captions_go_on_with_what_is_said_now()
    {
        Studio.Gateway first = await _studio.StartAsync("g1");
        await _studio.OpenRoomAsync("demo", "TR_1");
        _studio.KeepsHistory = false;
        await _studio.RunUntilAsync(() => first.Seats.ContainsKey("demo"));
        Studio.Gateway second = await _studio.StartAsync("g2");
        await _studio.RunAsync(0.5);
        _studio.Script("TR_1", (1, 1));
        await _studio.RunAsync(0.5);
        first.Isolate();
        await _studio.RunUntilAsync(() => second.Seats.ContainsKey("demo"));
        await _studio.RunAsync(1);
        _studio.Script("TR_1", (2, 1), (0, 1));
        await _studio.RunAsync(3);

        Assert.Equal(["w2"], _studio.Shown.Select(final => final.Text));
    }

    [Fact]
    public async Task A_gateway_that_stops_hands_its_rooms_over_with_the_last_words()
    {
        (Studio.Gateway first, Studio.Gateway second) = await _studio.StartPairAsync();
        await _studio.RunAsync(0.5);
        _studio.Script("TR_1", Studio.Speech);
        await _studio.RunAsync(3.9);
        Task stopping = first.Service.StopAsync(CancellationToken.None);
        await _studio.RunUntilAsync(() => stopping.IsCompleted && second.Seats.ContainsKey("demo"));
        await _studio.RunUntilAsync(() => _studio.Shown.Any(final => final.Text == "w11"), 60);

        // The utterance was cut where the first one stopped; every word is there once.
        string[] words = [.. string.Join(' ', _studio.Shown.Select(final => final.Text)).Split(' ')];
        Assert.Equal(Enumerable.Range(1, 11).Select(i => $"w{i}"), words.Distinct());
        Assert.InRange(words.Length, 11, 12); // a word cut in two is heard twice
    }

    [Fact]
    public async Task A_gateway_that_stood_still_finds_its_room_lost_and_says_nothing_more()
    {
        (Studio.Gateway first, Studio.Gateway second) = await _studio.StartPairAsync();
        await _studio.RunAsync(0.5);
        _studio.Script("TR_1", Studio.Speech);
        await _studio.RunAsync(3);
        first.Stalls = true;
        await _studio.RunUntilAsync(() => second.Seats.ContainsKey("demo"));
        await _studio.RunAsync(0.5);
        first.Stalls = false;
        await _studio.RunUntilAsync(() => _studio.Shown.Any(final => final.Text == "w11"), 60);
        await _studio.RunAsync(1);

        Assert.True(first.Seats["demo"].Left);
        Assert.Equal(Studio.Words, (await _studio.TranscriptAsync("demo")).Select(final => final.Text));
        Assert.Equal(Studio.Words, _studio.Shown.Select(final => final.Text));
    }

    [Fact]
    public async Task Captions_go_on_while_the_store_is_away_and_the_transcript_catches_up()
    {
        Studio.Gateway gateway = await _studio.StartAsync("g1");
        await _studio.OpenRoomAsync("demo", "TR_1");
        await _studio.RunUntilAsync(() => gateway.Seats.ContainsKey("demo"));
        await _studio.RunAsync(1);
        gateway.StoreAway = true;
        _studio.Script("TR_1", Studio.Speech);
        await _studio.RunAsync(20);
        Assert.Equal(Studio.Words, _studio.Shown.Select(final => final.Text));
        Assert.Empty(await _studio.TranscriptAsync("demo"));

        gateway.StoreAway = false;
        await _studio.RunAsync(3);
        Assert.Equal(Studio.Words, (await _studio.TranscriptAsync("demo")).Select(final => final.Text));
        Assert.Equal(4, _studio.Sent.Count(caption => caption.Final));
    }

    [Fact]
    public async Task Rooms_spread_over_the_gateways_and_a_full_one_takes_none()
    {
        Studio.Gateway small = await _studio.StartAsync("g1", capacity: 2);
        Studio.Gateway second = await _studio.StartAsync("g2");
        Studio.Gateway third = await _studio.StartAsync("g3");
        await _studio.RunAsync(1);
        for (int i = 0; i < 12; i++)
        {
            await _studio.OpenRoomAsync($"room{i}", $"TR_{i}");
            await _studio.RunAsync(0.7);
        }

        await _studio.RunUntilAsync(() => _studio.Gateways.Sum(gateway => gateway.Seats.Count) == 12);
        Assert.InRange(small.Seats.Count, 0, 2);
        Assert.InRange(second.Seats.Count, 4, 8);
        Assert.InRange(third.Seats.Count, 4, 8);
    }

    [Fact]
    public async Task A_setting_that_the_store_lost_is_written_again_and_the_room_is_not_left()
    {
        Studio.Gateway gateway = await _studio.StartAsync("g1");
        await _studio.OpenRoomAsync("demo", "TR_1");
        await _studio.RunUntilAsync(() => gateway.Seats.ContainsKey("demo"));
        await _studio.RunAsync(0.5);
        await _studio.ForgetAsync("demo");
        gateway.Connection.Return(stateWasLost: true);
        await _studio.RunAsync(4);

        TranscriptionState state = await _studio.Rooms.GetTranscriptionAsync("demo");
        Assert.Equal((true, "fake", "en"), (state.Enabled, state.Engine, state.Language));
        Assert.False(gateway.Seats["demo"].Left);
    }

    [Fact]
    public async Task Nothing_is_claimed_right_after_the_store_came_back()
    {
        Studio.Gateway gateway = await _studio.StartAsync("g1");
        await _studio.RunAsync(0.5);
        gateway.Connection.Return(stateWasLost: false);
        await _studio.OpenRoomAsync("demo", "TR_1");
        await _studio.RunAsync(1);
        Lease? former = await _studio.Leases.TryAcquireAsync("gateway:demo", "g0", TimeSpan.FromSeconds(5), TestContext.Current.CancellationToken);
        Assert.NotNull(former);
        await _studio.RunAsync(3);
        Assert.Empty(gateway.Seats);
    }

    private static async Task<List<(uint Start, uint End)>> UndisturbedAsync()
    {
        await using var studio = new Studio();
        Studio.Gateway gateway = await studio.StartAsync("g1");
        await studio.OpenRoomAsync("demo", "TR_1");
        await studio.RunUntilAsync(() => gateway.Seats.ContainsKey("demo"));
        await studio.RunAsync(0.5);
        studio.Script("TR_1", Studio.Speech);
        await studio.RunUntilAsync(() => studio.Shown.Any(final => final.Text == "w11"), 60);
        List<CaptionMessage> finals = await studio.TranscriptAsync("demo");
        return [.. finals.Select(final => (final.Rtp.Start - finals[0].Rtp.Start, final.Rtp.End - finals[0].Rtp.Start))];
    }
}
