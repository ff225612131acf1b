using Transcribe.AiGateway.Captions;
using Transcribe.AiGateway.Takeover;
using Transcribe.AiGateway.Tests.Support;
using Transcribe.Cluster.Captions;
using Transcribe.Cluster.Sfu;
using Transcribe.Rtc;

namespace Transcribe.AiGateway.Tests.Takeover;

/// <summary>Kept packets i = 0, 1, 2 … have the timestamp origin + 960 i and the number 65500 + i; live ones the numbers 7 + i.</summary>
public sealed class TrackIntakeTests : IDisposable
{
    private const uint Origin = uint.MaxValue - (960 * 60);

    private readonly CaptionWorkers _workers = new(1, TimeProvider.System);
    private readonly GatewayMetrics _metrics = new();
    private readonly CaptionList _sink = new();
    private readonly TrackWorker _worker;
    private readonly TrackIntake _intake;
    private readonly Instant _start = Instant.Of(TimeProvider.System);

    public TrackIntakeTests()
    {
        var track = new CaptionTrack(new("demo", "alice", "TR_1", "en"), new FakeRecognizer(), new FakeVad(), new FakeDecoder(), _sink, TimeProvider.System);
        _worker = new(track, _workers, TimeProvider.System, _metrics);
        _intake = new("TR_1", _worker, 99, _metrics);
    }

    public void Dispose()
    {
        _workers.Dispose();
        _metrics.Dispose();
    }

    [Theory]
    [InlineData(60, 80)] // in both: some
    [InlineData(0, 80)] // in both: all
    [InlineData(80, 80)] // nothing in both, nothing missing
    public async Task Joins_kept_and_live_packets_without_a_word_lost_or_twice(int firstLive, int kept)
    {
        for (int i = firstLive; i < 100; i++)
            Live(i);
        Assert.True(_intake.First.IsCompleted);
        Assert.Equal(kept, _intake.Begin(Kept(0, kept), null, _start));
        for (int i = 100; i < 200; i++)
            Live(i);
        CaptionMessage final = await FinishAsync();

        Assert.Equal("w1 w2 w3 w4", final.Text);
        Assert.Equal(unchecked(Origin + (20 * 960)), final.Words[0].S);
        Assert.Equal(unchecked(Origin + (100 * 960)), final.Words[^1].E);
    }

    [Fact]
    public async Task Joins_what_comes_after_a_silence_on_the_wire()
    {
        _intake.Begin(Kept(0, 70), null, _start + TimeSpan.FromSeconds(1.4));
        for (int i = 65; i < 200; i++)
            Live(i);
        CaptionMessage final = await FinishAsync();

        Assert.Equal("w1 w2 w3 w4", final.Text);
        Assert.Equal(99u, final.Rtp.Ssrc);
    }

    [Fact]
    public async Task Says_nothing_of_what_is_transcribed_already()
    {
        for (int i = 80; i < 200; i++)
            Live(i);
        _intake.Begin(Kept(0, 90), unchecked(Origin + (60 * 960)), _start);
        CaptionMessage final = await FinishAsync();

        Assert.Equal("w3 w4", final.Text);
        Assert.Equal(unchecked(Origin + (60 * 960)), final.Rtp.Start);
    }

    [Fact]
    public async Task A_track_that_ends_while_its_past_is_asked_for_keeps_its_words()
    {
        for (int i = 60; i < 100; i++)
            Live(i);
        _intake.Complete();
        Assert.False(_intake.Completion.IsCompleted);
        _intake.Begin(Kept(0, 80), null, _start);
        await _intake.Completion;

        Assert.Equal("w1 w2 w3 w4", Assert.Single(_sink.Finals).Text);
    }

    [Fact]
    public async Task An_abandoned_track_says_nothing()
    {
        for (int i = 0; i < 100; i++)
            Live(i);
        _intake.Abandon();
        await _intake.Completion;
        Assert.Equal(0, _intake.Begin(Kept(0, 80), null, _start));
        Live(101);

        Assert.Empty(_sink.Captions);
    }

    private static byte[] Payload(int i) => FakeDecoder.Packet(i switch { < 20 => 0, < 40 => 1, < 60 => 2, < 80 => 3, < 100 => 4, _ => 0 });

    private static TrackHistory Kept(int from, int to) => new(
        "TR_1", "opus", 48000,
        [.. Enumerable.Range(from, to - from).Select(i => new HistoryPacket(unchecked((ushort)(65500 + i)), unchecked(Origin + (uint)(i * 960)), 111, false, Payload(i)))]);

    private void Live(int i) =>
        _intake.Push(5, (ushort)(7 + i), unchecked(Origin + (uint)(i * 960)), Payload(i), _start + TimeSpan.FromMilliseconds(20 * i));

    private async Task<CaptionMessage> FinishAsync()
    {
        _intake.Complete();
        await _intake.Completion;
        CaptionRules.Check(_sink.Captions);
        return Assert.Single(_sink.Finals);
    }
}
