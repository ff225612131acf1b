using CsCheck;
using Transcribe.AiGateway.Tests.Support;
using Transcribe.AiGateway.Vad;

namespace Transcribe.AiGateway.Tests.Vad;

public sealed class UtteranceSegmenterTests
{
    private const int Second = 16000;

    private readonly Recorder _recorder = new();

    [Fact]
    public void Gives_the_speech_with_a_pre_roll_and_ends_after_the_hangover()
    {
        using UtteranceSegmenter segmenter = Make();
        Feed(segmenter, (0, 1.0), (5, 1.0), (0, 1.0));

        Utterance utterance = Assert.Single(_recorder.Utterances);
        Assert.InRange(utterance.SpeechStart, Second - 1000, Second);
        Assert.Equal(Second - 4000, utterance.AudioStart);
        Assert.Equal(2 * Second, utterance.SpeechEnd);
        Assert.InRange(utterance.Cut, (2 * Second) + 6400, (2 * Second) + 7100);
        Assert.Equal(utterance.Cut - utterance.AudioStart, utterance.Sound.Count);
        Assert.Equal(Second, utterance.Sound.Count(s => s == 500));
    }

    [Fact]
    public void Takes_no_click_for_speech()
    {
        using UtteranceSegmenter segmenter = Make();
        Feed(segmenter, (0, 1.0), (5, 0.06), (0, 1.0), (5, 0.06), (0, 1.0));

        Assert.Empty(_recorder.Utterances);
        Assert.False(segmenter.IsOpen);
    }

    [Fact]
    public void Keeps_a_sentence_with_a_short_pause_whole_and_parts_two_sentences()
    {
        using UtteranceSegmenter segmenter = Make();
        Feed(segmenter, (0, 0.5), (5, 1.0), (0, 0.35), (6, 1.0), (0, 0.6), (7, 0.5), (0, 1));

        Assert.Equal(2, _recorder.Utterances.Count);
        Assert.True(_recorder.Utterances[1].AudioStart >= _recorder.Utterances[0].Cut);
    }

    [Fact]
    public void Splits_endless_speech_at_its_quietest_point()
    {
        using UtteranceSegmenter segmenter = Make(new() { SoftLength = TimeSpan.FromSeconds(4), MaxLength = TimeSpan.FromSeconds(6) });
        Feed(segmenter, (0, 0.5), (50, 5.0), (2, 0.06), (50, 3.0), (0, 1));

        Assert.Equal(2, _recorder.Utterances.Count);
        Assert.InRange(_recorder.Utterances[0].Cut, 5.5 * Second, 5.56 * Second);
        Assert.Equal(_recorder.Utterances[0].Cut, _recorder.Utterances[1].AudioStart);
    }

    [Fact]
    public void Accepts_shorter_pauses_in_long_speech()
    {
        using UtteranceSegmenter segmenter = Make(new() { SoftLength = TimeSpan.FromSeconds(4), MaxLength = TimeSpan.FromSeconds(8) });
        Feed(segmenter, (0, 0.5), (5, 2.0), (0, 0.3), (5, 4.8), (0, 0.3), (5, 1), (0, 1));

        Assert.Equal(2, _recorder.Utterances.Count);
        Assert.InRange(_recorder.Utterances[0].SpeechEnd, 7.55 * Second, 7.65 * Second);
    }

    [Fact]
    public void Closes_what_is_open_and_goes_on_at_the_same_place()
    {
        using UtteranceSegmenter segmenter = Make();
        Feed(segmenter, (0, 0.5), (5, 0.51));
        segmenter.Close();
        Feed(segmenter, (6, 0.5), (0, 1));

        Assert.Equal(2, _recorder.Utterances.Count);
        Assert.Equal((long)(1.01 * Second), _recorder.Utterances[0].SpeechEnd);
        Assert.Equal(8000, _recorder.Utterances[1].Sound.Count(s => s == 600));
    }

    [Fact]
    public void Skips_silence_without_losing_count()
    {
        using UtteranceSegmenter segmenter = Make();
        Feed(segmenter, (0, 0.5), (5, 0.5));
        segmenter.Skip(100 * Second);
        Feed(segmenter, (6, 0.5), (0, 1));

        Assert.Equal(2, _recorder.Utterances.Count);
        Assert.InRange(_recorder.Utterances[1].SpeechStart, 101 * Second, (101 * Second) + 10);
    }

    [Fact]
    public void Never_gives_the_same_sound_twice_nor_out_of_order()
    {
        Gen.Select(Gen.Int[0, 3], Gen.Int[1, 120]).Array[1, 60].Sample(parts =>
        {
            var recorder = new Recorder();
            using var segmenter = new UtteranceSegmenter(
                new FakeVad(), recorder, new() { SoftLength = TimeSpan.FromSeconds(2), MaxLength = TimeSpan.FromSeconds(5) });
            var sound = new List<short>();
            foreach ((int kind, int length) in parts)
            {
                if (kind == 3 && length < 20)
                {
                    segmenter.Close();
                    continue;
                }

                short[] samples = [.. Enumerable.Range(0, length * 100).Select(i => (short)(kind == 0 ? 0 : 1 + ((sound.Count + i) % 30000)))];
                sound.AddRange(samples);
                segmenter.Feed(samples);
            }

            segmenter.Close();
            long previous = 0;
            foreach (Utterance utterance in recorder.Utterances)
            {
                Assert.True(utterance.AudioStart >= previous);
                Assert.InRange(utterance.SpeechStart, utterance.AudioStart, utterance.SpeechEnd);
                Assert.True(utterance.Cut >= utterance.SpeechEnd);
                int length = (int)(utterance.Cut - utterance.AudioStart);
                Assert.Equal(sound.GetRange((int)utterance.AudioStart, length), utterance.Sound.GetRange(0, length));
                Assert.True(utterance.SpeechEnd - utterance.SpeechStart <= 5.1 * Second);
                previous = utterance.Cut;
            }

            // Nothing audible for half a second and more is left out.
            Assert.True(sound.Count(s => s != 0) - recorder.Utterances.Sum(u => u.Sound.Take((int)(u.Cut - u.AudioStart)).Count(s => s != 0)) < parts.Length * 2500);
        }, iter: 200);
    }

    private static void Feed(UtteranceSegmenter segmenter, params (int Value, double Seconds)[] parts)
    {
        foreach ((int value, double seconds) in parts)
        {
            var samples = new short[(int)(seconds * Second)];
            Array.Fill(samples, (short)(value * 100));
            foreach (short[] piece in samples.Chunk(333))
                segmenter.Feed(piece);
        }
    }

    private UtteranceSegmenter Make(SegmenterOptions? options = null) => new(new FakeVad(), _recorder, options ?? new());

    private sealed record Utterance(long SpeechStart, long AudioStart)
    {
        public List<short> Sound { get; } = [];

        public long SpeechEnd { get; set; }

        public long Cut { get; set; }
    }

    private sealed class Recorder : IUtteranceSink
    {
        private Utterance? _open;

        public List<Utterance> Utterances { get; } = [];

        public void OnUtteranceStarted(long speechStart, long audioStart)
        {
            Assert.Null(_open);
            _open = new Utterance(speechStart, audioStart);
        }

        public void OnUtteranceAudio(ReadOnlySpan<short> samples) => _open!.Sound.AddRange(samples);

        public void OnUtteranceEnded(long speechEnd, long cut)
        {
            _open!.SpeechEnd = speechEnd;
            _open.Cut = cut;
            Utterances.Add(_open);
            _open = null;
        }
    }
}
