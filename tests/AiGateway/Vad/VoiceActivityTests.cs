using Transcribe.AiGateway.Audio;
using Transcribe.AiGateway.Captions;
using Transcribe.AiGateway.Tests.Support;
using Transcribe.AiGateway.Vad;

namespace Transcribe.AiGateway.Tests.Vad;

public sealed class VoiceActivityTests
{
    public static TheoryData<string, string> SoundsThatAreNoSpeech
    {
        get
        {
            var data = new TheoryData<string, string>();
            foreach (string vad in new[] { "energy", "silero" })
            {
                foreach (string sound in new[] { "silence", "hiss", "loud hiss", "hum", "clicks" })
                    data.Add(vad, sound);
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(SoundsThatAreNoSpeech))]
    public void Makes_no_caption_of_what_is_no_speech(string vad, string sound)
    {
        if (vad == "silero" && Fixtures.SileroModel is null)
            Assert.Skip("The Silero model is not there: run models/fetch-silero.sh");
        var sink = new CaptionList();
        var recognizer = new FakeRecognizer();
        using IVoiceActivityDetectorFactory factory = vad == "silero" ? new SileroVadFactory(Fixtures.SileroModel!) : new EnergyVadFactory();
        using var track = new CaptionTrack(new("demo", "alice", "TR_1", "en"), recognizer, factory.Create(), new OpusDecoder(), sink, TimeProvider.System);

        Speaker.Play(track, Speaker.Encode(Sound(sound, 10)));

        Assert.Empty(sink.Captions);
    }

    [Theory]
    [InlineData("energy", 0.15)]
    [InlineData("silero", 0.05)]
    public void Finds_the_speech_of_the_fixture_and_only_that(string vad, double most)
    {
        if (vad == "silero" && Fixtures.SileroModel is null)
            Assert.Skip("The Silero model is not there: run models/fetch-silero.sh");
        using IVoiceActivityDetectorFactory factory = vad == "silero" ? new SileroVadFactory(Fixtures.SileroModel!) : new EnergyVadFactory();
        using IVoiceActivityDetector detector = factory.Create();
        short[] sound = Fixtures.MeetingWav.ToMono(16000);
        int missed = 0, invented = 0, chunks = sound.Length / detector.ChunkSamples;
        for (int i = 0; i < chunks; i++)
        {
            bool speech = detector.Process(sound.AsSpan(i * detector.ChunkSamples, detector.ChunkSamples)) >= 0.35f;
            double start = i * detector.ChunkSamples / 16000.0, end = start + (detector.ChunkSamples / 16000.0);
            bool inside = Fixtures.Meeting.Sentences.Any(s => start > s.Start + 0.05 && end < s.End - 0.05);
            bool outside = Fixtures.Meeting.Sentences.All(s => end < s.Start - 0.05 || start > s.End + 0.3);
            missed += inside && !speech ? 1 : 0;
            invented += outside && speech ? 1 : 0;
        }

        Assert.True(missed < chunks * most, $"{missed} of {chunks} missed");
        Assert.True(invented < chunks * 0.01, $"{invented} of {chunks} invented");
    }

    private static short[] Sound(string kind, int seconds)
    {
        var random = new Random(5);
        var samples = new short[seconds * 48000];
        for (int i = 0; i < samples.Length; i++)
        {
            samples[i] = (short)(kind switch
            {
                "silence" => 0,
                "hiss" => random.Next(-300, 300),
                "loud hiss" => random.Next(-4000, 4000),
                "hum" => (1500 * Math.Sin(2 * Math.PI * 50 * i / 48000)) + random.Next(-50, 50),
                _ => random.Next(-30, 30) + (i % 24000 < 200 ? random.Next(-20000, 20000) : 0),
            });
        }

        return samples;
    }
}
