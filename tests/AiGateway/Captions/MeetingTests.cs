using System.Diagnostics;
using System.Text.Json;
using Transcribe.AiGateway.Audio;
using Transcribe.AiGateway.Captions;
using Transcribe.AiGateway.Evaluation;
using Transcribe.AiGateway.Recognition;
using Transcribe.AiGateway.Tests.Support;
using Transcribe.AiGateway.Vad;
using Transcribe.Cluster.Captions;
using Transcribe.Rtc;

namespace Transcribe.AiGateway.Tests.Captions;

/// <summary>The whole way from RTP packets to captions on the speech fixture, with pocketsphinx.</summary>
public sealed class MeetingTests(PocketSphinxFixture engine) : IClassFixture<PocketSphinxFixture>
{
    [Theory]
    [InlineData("silero", 0, 0)]
    [InlineData("energy", 0, 0)]
    [InlineData("silero", 0.03, 70)]
    public void Captions_ten_sentences_with_ten_finals(string vad, double loss, double jitterMs)
    {
        if (vad == "silero" && Fixtures.SileroModel is null)
            Assert.Skip("The Silero model is not there: run models/fetch-silero.sh");
        List<ReceivedCaption> received = Run(vad, Speaker.Disturb(Speaker.Encode(Fixtures.MeetingWav.Samples), 7, loss, jitterMs));

        CaptionScore score = CaptionScore.Of(Fixtures.Meeting, Speaker.RtpOrigin, received);
        TestContext.Current.SendDiagnosticMessage("{0} {1} {2}: {3}", vad, loss, jitterMs, JsonSerializer.Serialize(score));
        Assert.True(score.Complete, JsonSerializer.Serialize(score));
        Assert.Equal(10, score.SegmentsFinal);
        Assert.True(score.Wer < (loss > 0 ? 0.2 : 0.1), $"WER {score.Wer}");
        Assert.True(score.RtpErrorMs.P50 < 60, $"word starts are off by {score.RtpErrorMs.P50} ms");
        CaptionRules.Check(received.Select(r => r.Caption));
    }

    private List<ReceivedCaption> Run(string vad, List<Sent> packets)
    {
        var sink = new Sink();
        using IVoiceActivityDetectorFactory factory = vad == "silero" ? new SileroVadFactory(Fixtures.SileroModel!) : new EnergyVadFactory();
        using var track = new CaptionTrack(
            new("demo", "alice", "TR_1", "en"), engine.Recognizer, factory.Create(), new OpusDecoder(), sink, TimeProvider.System);
        Speaker.Play(track, packets, now => sink.Now = now);
        return sink.Received;
    }

    private sealed class Sink : ICaptionSink
    {
        private Instant _now;
        private long _at;

        public Instant Now
        {
            set
            {
                _now = value;
                _at = Stopwatch.GetTimestamp();
            }
        }

        public List<ReceivedCaption> Received { get; } = [];

        // Virtual arrival time, and the real time that decoding took since.
        public void OnCaption(CaptionMessage caption) =>
            Received.Add(new(caption, _now.Seconds + Stopwatch.GetElapsedTime(_at).TotalSeconds));

        public void OnRecognitionFailed(string track, Exception error) => Assert.Fail(error.ToString());
    }
}

public sealed class PocketSphinxFixture : IDisposable
{
    private readonly Lazy<ISpeechRecognizer> _recognizer = new(() => new PocketSphinxRecognizer(new() { MaxDecoders = 2 }));

    public ISpeechRecognizer Recognizer => _recognizer.Value;

    public void Dispose()
    {
        if (_recognizer.IsValueCreated)
            _recognizer.Value.Dispose();
    }
}
