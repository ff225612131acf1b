using Transcribe.AiGateway.Audio;
using Transcribe.AiGateway.Captions;
using Transcribe.AiGateway.Recognition;
using Transcribe.AiGateway.Tests.Recognition;
using Transcribe.AiGateway.Tests.Support;
using Transcribe.AiGateway.Vad;

namespace Transcribe.AiGateway.Tests.Captions;

/// <summary>The whole pipeline with whisper.cpp in it, on a model that speaks nonsense: everything but the words must be right.</summary>
public sealed class WhisperTrackTests(WhisperRecognizerTests.GeneratedModel model) : IClassFixture<WhisperRecognizerTests.GeneratedModel>
{
    [Fact]
    public void Keeps_the_rules_of_captions()
    {
        if (WhisperLibrary.Find() is not { } library)
        {
            Assert.Skip("whisper.cpp is not built: run src/AiGateway/Native/build-whisper.sh");
            return;
        }

        using var recognizer = new WhisperRecognizer(
            new() { LibraryPath = library, ModelPath = model.Path, ModelName = "test.en", Workers = 1, Filter = new() { Enabled = false } });
        var sink = new CaptionList();
        using var track = new CaptionTrack(
            new("demo", "alice", "TR_1", "en"), recognizer, new EnergyVad(), new OpusDecoder(), sink, TimeProvider.System);
        Speaker.Play(track, Speaker.Encode(Fixtures.MeetingWav.Samples.AsSpan(0, 48000 * 15)));

        Assert.Empty(sink.Failures);
        Assert.Equal(3, sink.Finals.Count());
        Assert.True(sink.Captions.Count > 6, "no interims");
        CaptionRules.Check(sink.Captions);
    }
}
