using Transcribe.AiGateway.Audio;
using Transcribe.AiGateway.Captions;
using Transcribe.AiGateway.Recognition;
using Transcribe.AiGateway.Vad;
using Transcribe.Cluster.Captions;

namespace Transcribe.AiGateway.Tests.Support;

/// <summary>
/// "Decodes" packets of the form [TOC, value]: 20 ms in which every sample is value * 100. Loss sounds as silence.
/// </summary>
internal sealed class FakeDecoder : IAudioDecoder
{
    public const byte Toc = 9 << 3;

    public int SampleRate => 16000;

    public static byte[] Packet(int value) => [Toc, (byte)value];

    public bool TryDecode(ReadOnlySpan<byte> packet, Span<short> pcm, out int samples)
    {
        samples = 320;
        pcm[..320].Fill((short)(packet.Length > 1 ? packet[1] * 100 : 0));
        return true;
    }

    public void Recover(ReadOnlySpan<byte> next, Span<short> pcm) => pcm.Clear();

    public void Conceal(Span<short> pcm) => pcm.Clear();

    public void Reset()
    {
    }

    public void Dispose()
    {
    }
}

/// <summary>Speech is what is not zero.</summary>
internal sealed class FakeVad : IVoiceActivityDetector, IVoiceActivityDetectorFactory
{
    public string Name => "fake";

    public int ChunkSamples => 320;

    public float Process(ReadOnlySpan<short> chunk) => chunk.ContainsAnyExcept((short)0) ? 1 : 0;

    public void Reset()
    {
    }

    public void Dispose()
    {
    }

    public IVoiceActivityDetector Create() => new FakeVad();
}

/// <summary>"Hears" a word for every run of equal non-zero samples, named after the value: w5 for 500.</summary>
internal sealed class FakeRecognizer : ISpeechRecognizer
{
    public int Open;

    public int Interims;

    public string Name { get; init; } = "fake/one";

    public RecognizerTraits Traits { get; init; } = new(TimeSpan.FromMilliseconds(100), 3, TimeSpan.FromSeconds(20));

    public Exception? Failure { get; set; }

    public bool Disposed { get; private set; }

    public IRecognitionSession OpenSession(RecognitionSessionOptions options)
    {
        Interlocked.Increment(ref Open);
        return new Session(this);
    }

    public void Dispose() => Disposed = true;

    private sealed class Session(FakeRecognizer owner) : IRecognitionSession
    {
        private readonly List<short> _sound = [];

        public void Feed(ReadOnlySpan<short> samples)
        {
            if (owner.Failure is { } failure)
                throw failure;
            _sound.AddRange(samples);
        }

        public RecognitionResult? Interim()
        {
            Interlocked.Increment(ref owner.Interims);
            return new(Words(_sound.Count));
        }

        public RecognitionResult Finish(int samples) => new(Words(samples));

        public void Dispose() => Interlocked.Decrement(ref owner.Open);

        private List<RecognizedWord> Words(int samples)
        {
            var words = new List<RecognizedWord>();
            for (int i = 0; i < Math.Min(samples, _sound.Count);)
            {
                int end = i;
                while (end < Math.Min(samples, _sound.Count) && _sound[end] == _sound[i])
                    end++;
                if (_sound[i] != 0)
                    words.Add(new($"w{_sound[i] / 100}", i, end, 0.9f));
                i = end;
            }

            return words;
        }
    }
}

internal sealed class CaptionList : ICaptionSink
{
    public List<CaptionMessage> Captions { get; } = [];

    public IEnumerable<CaptionMessage> Finals => Captions.Where(caption => caption.Final);

    public List<Exception> Failures { get; } = [];

    public void OnCaption(CaptionMessage caption) => Captions.Add(caption);

    public void OnRecognitionFailed(string track, Exception error) => Failures.Add(error);
}
