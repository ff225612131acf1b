using System.Runtime.InteropServices;
using Transcribe.AiGateway.Native;

namespace Transcribe.AiGateway.Recognition;

public sealed record WhisperOptions
{
    /// <summary>libwhisper.so of whisper.cpp 1.9.1.</summary>
    public required string LibraryPath { get; init; }

    /// <summary>A ggml model file.</summary>
    public required string ModelPath { get; init; }

    /// <summary>As captions name it: "base.en".</summary>
    public required string ModelName { get; init; }

    /// <summary>Decodes that run at the same time, one thread and about 35 MB each.</summary>
    public int Workers { get; init; } = Math.Max(1, Environment.ProcessorCount);

    /// <summary>Sound between two passes over an open utterance.</summary>
    public TimeSpan InterimInterval { get; init; } = TimeSpan.FromMilliseconds(900);

    public WhisperFilterOptions Filter { get; init; } = new();
}

/// <summary>
/// Whisper by whisper.cpp. Whisper reads whole utterances: interims re-read the open one with a short audio context,
/// the final reads it once more with a margin. One shared model, a fixed pool of states.
/// </summary>
public sealed class WhisperRecognizer : ISpeechRecognizer
{
    private const int SampleRate = 16000;
    private const int FullContext = 1500;

    private readonly LibWhisper _library;
    private readonly WhisperOptions _options;
    private readonly IntPtr _context;
    private readonly int _endToken;
    private readonly SemaphoreSlim _free;
    private readonly Stack<IntPtr> _states = new();
    private readonly Dictionary<string, IntPtr> _languages = new(StringComparer.Ordinal);
    private readonly Lock _lock = new();
    private bool _disposed;

    /// <summary>Loads library and model.</summary>
    /// <exception cref="InvalidOperationException">One of them cannot be; the message says what to do.</exception>
    public WhisperRecognizer(WhisperOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Workers, 1);
        _options = options;
        _library = LibWhisper.Load(options.LibraryPath);
        if (!File.Exists(options.ModelPath))
            throw new InvalidOperationException($"The Whisper model {options.ModelPath} does not exist. Fetch it: transcribe models fetch {options.ModelName}");
        _context = _library.Open(options.ModelPath);
        if (_context == IntPtr.Zero)
            throw new InvalidOperationException($"{options.ModelPath} is no Whisper model in ggml format. Delete it and fetch it again: transcribe models fetch {options.ModelName}");
        _endToken = _library.EndToken(_context);
        IsMultilingual = _library.IsMultilingual(_context);
        _free = new SemaphoreSlim(options.Workers, options.Workers);
        Traits = new(options.InterimInterval, 2, TimeSpan.FromSeconds(28));
    }

    public string Name => $"whisper/{_options.ModelName}";

    public RecognizerTraits Traits { get; }

    /// <summary>Whether the model knows more than English.</summary>
    public bool IsMultilingual { get; }

    public IRecognitionSession OpenSession(RecognitionSessionOptions options)
    {
        string language = options.Language.Split('-', '_')[0].ToLowerInvariant();
        return new Session(this, IsMultilingual && _library.LanguageId(language) >= 0 ? language : "en");
    }

    public void Dispose()
    {
        lock (_lock)
        {
            if (_disposed)
                return;
            _disposed = true;
        }

        // Waits for the decodes that run: the model must not go from under them.
        for (int i = 0; i < _options.Workers; i++)
            _free.Wait();
        while (_states.TryPop(out IntPtr state))
            _library.FreeState(state);
        _library.Free(_context);
        foreach (IntPtr language in _languages.Values)
            Marshal.FreeCoTaskMem(language);
        _free.Dispose();
    }

    private RecognitionResult? Decode(ReadOnlySpan<short> samples, string language, bool final)
    {
        if (samples.Length < SampleRate / 8)
            return RecognitionResult.Empty;
        // A guess that has to wait is not worth making; a final is.
        if (!final && !_free.Wait(0))
            return null;
        if (final)
            _free.Wait();
        IntPtr state = IntPtr.Zero;
        try
        {
            IntPtr languageText;
            lock (_lock)
            {
                ObjectDisposedException.ThrowIf(_disposed, this);
                _states.TryPop(out state);
                if (!_languages.TryGetValue(language, out languageText))
                    _languages[language] = languageText = Marshal.StringToCoTaskMemUTF8(language);
            }

            if (state == IntPtr.Zero)
                state = _library.NewState(_context);
            if (state == IntPtr.Zero)
                throw new InvalidOperationException("whisper.cpp has no memory for another decoder. Lower the number of workers.");
            return Run(state, samples, language, languageText, final);
        }
        finally
        {
            lock (_lock)
            {
                if (state != IntPtr.Zero)
                    _states.Push(state);
            }

            _free.Release();
        }
    }

    private RecognitionResult Run(IntPtr state, ReadOnlySpan<short> samples, string language, IntPtr languageText, bool final)
    {
        double seconds = (double)samples.Length / SampleRate;
        float[] sound = new float[samples.Length];
        for (int i = 0; i < sound.Length; i++)
            sound[i] = samples[i] / 32768f;

        LibWhisper.FullParams parameters = _library.DefaultParams();
        parameters.Set(LibWhisper.ThreadsAt, 1);
        parameters.Set(LibWhisper.NoContextAt, true);
        parameters.Set(LibWhisper.SingleSegmentAt, true);
        parameters.Set(LibWhisper.PrintSpecialAt, false);
        parameters.Set(LibWhisper.PrintProgressAt, false);
        parameters.Set(LibWhisper.PrintRealtimeAt, false);
        parameters.Set(LibWhisper.PrintTimestampsAt, false);
        parameters.Set(LibWhisper.TokenTimestampsAt, true);
        parameters.Set(LibWhisper.MaxTokensAt, Math.Min(220, 24 + (int)(10 * seconds)));
        // Sound beyond the context is ignored, a context that just fits makes Whisper repeat itself: finals get more room.
        parameters.Set(LibWhisper.AudioContextAt, Math.Min(FullContext, RoundUp64((int)(50 * seconds) + (final ? 256 : 128))));
        parameters.Set(LibWhisper.LanguageAt, languageText);
        parameters.Set(LibWhisper.SuppressNonSpeechAt, true);
        parameters.Set(LibWhisper.TemperatureAt, 0f);
        parameters.Set(LibWhisper.TemperatureIncrementAt, 0f);
        int error = _library.Full(_context, state, parameters, sound);
        if (error != 0)
            throw new InvalidOperationException($"whisper.cpp failed (error {error}).");

        var words = new List<RecognizedWord>();
        for (int segment = 0; segment < _library.SegmentCount(state); segment++)
        {
            List<WhisperToken> tokens = ReadTokens(state, segment);
            if (WhisperTranscript.IsTrustworthy(tokens, _library.NoSpeechProbability(state, segment), _options.Filter))
                words.AddRange(WhisperTranscript.ToWords(tokens, samples.Length, language, _options.Filter));
        }

        return new(words);
    }

    private List<WhisperToken> ReadTokens(IntPtr state, int segment)
    {
        var tokens = new List<WhisperToken>();
        for (int i = 0; i < _library.TokenCount(state, segment); i++)
        {
            LibWhisper.TokenData data = _library.Token(state, segment, i);
            if (data.Id >= _endToken)
                continue; // timestamps and control tokens
            tokens.Add(new(
                _library.TokenText(_context, state, segment, i).ToArray(), ToSample(data.Start), ToSample(data.End), data.Probability, data.LogProbability));
        }

        return tokens;
    }

    private static int ToSample(long hundredths) => hundredths < 0 ? -1 : (int)Math.Min(hundredths * (SampleRate / 100), int.MaxValue);

    private static int RoundUp64(int value) => (value + 63) / 64 * 64;

    private sealed class Session(WhisperRecognizer owner, string language) : IRecognitionSession
    {
        private readonly PcmBuffer _sound = new();

        public void Feed(ReadOnlySpan<short> samples) => _sound.Append(samples);

        public RecognitionResult? Interim() => owner.Decode(_sound.Samples, language, final: false);

        public RecognitionResult Finish(int samples) =>
            owner.Decode(_sound.Samples[..Math.Min(samples, _sound.Count)], language, final: true) ?? RecognitionResult.Empty;

        public void Dispose()
        {
        }
    }
}
