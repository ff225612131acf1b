using Transcribe.AiGateway.Captions;
using Transcribe.AiGateway.Tests.Support;
using Transcribe.Rtc;

namespace Transcribe.AiGateway.Tests.Captions;

public sealed class TrackWorkerTests : IDisposable
{
    private readonly CaptionWorkers _workers = new(2, TimeProvider.System);
    private readonly GatewayMetrics _metrics = new();
    private readonly CaptionList _sink = new();
    private readonly FakeRecognizer _recognizer = new();

    public void Dispose()
    {
        _workers.Dispose();
        _metrics.Dispose();
    }

    [Theory]
    [InlineData(0, true)]
    [InlineData(1.5, false)]
    [InlineData(6, false)]
    public async Task Gives_up_interims_when_it_is_behind_and_never_finals(double secondsBehind, bool interims)
    {
        TrackWorker worker = Start();
        Instant arrival = Instant.Of(TimeProvider.System) - TimeSpan.FromSeconds(secondsBehind);
        for (int i = 0; i < 300; i++)
            worker.Enqueue(1, (ushort)i, (uint)i * 960, FakeDecoder.Packet(i < 200 ? 1 + (i / 40) : 0), arrival);
        worker.Complete();
        await worker.Completion;

        Assert.Equal("w1 w2 w3 w4 w5", Assert.Single(_sink.Finals).Text);
        Assert.Equal(interims, _recognizer.Interims > 0);
        Assert.Equal(0, _workers.Count);
    }

    [Fact]
    public async Task Ends_an_utterance_by_the_clock_when_packets_stop()
    {
        TrackWorker worker = Start();
        for (int i = 0; i < 50; i++)
            worker.Enqueue(1, (ushort)i, (uint)i * 960, FakeDecoder.Packet(3), Instant.Of(TimeProvider.System));

        await Eventually.TrueAsync(() => _sink.Finals.Any());
        worker.Complete();
        await worker.Completion;
        worker.Enqueue(1, 51, 51 * 960, FakeDecoder.Packet(3), Instant.Of(TimeProvider.System));
        Assert.Single(_sink.Finals);
    }

    [Fact]
    public async Task Fails_alone()
    {
        var track = new CaptionTrack(new("demo", "a", "TR_1", "en"), _recognizer, new FakeVad(), new FakeDecoder(), new Thrower(), TimeProvider.System);
        var broken = new TrackWorker(track, _workers, TimeProvider.System, _metrics);
        TrackWorker good = Start();
        foreach (TrackWorker worker in new[] { broken, good })
        {
            for (int i = 0; i < 100; i++)
                worker.Enqueue(1, (ushort)i, (uint)i * 960, FakeDecoder.Packet(i < 50 ? 3 : 0), Instant.Of(TimeProvider.System));
        }

        await Assert.ThrowsAsync<InvalidOperationException>(() => broken.Completion);
        good.Complete();
        await good.Completion;
        Assert.Single(_sink.Finals);
        Assert.Equal(0, _recognizer.Open);
    }

    private TrackWorker Start() => new(
        new CaptionTrack(new("demo", "alice", "TR_1", "en"), _recognizer, new FakeVad(), new FakeDecoder(), _sink, TimeProvider.System),
        _workers, TimeProvider.System, _metrics);

    private sealed class Thrower : ICaptionSink
    {
        public void OnCaption(Cluster.Captions.CaptionMessage caption) => throw new InvalidOperationException("nobody takes it");

        public void OnRecognitionFailed(string track, Exception error) => throw new InvalidOperationException("nobody hears it");
    }
}
