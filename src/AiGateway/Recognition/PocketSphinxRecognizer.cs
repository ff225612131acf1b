using System.Diagnostics.CodeAnalysis;
using Transcribe.AiGateway.Native;

namespace Transcribe.AiGateway.Recognition;

public sealed record PocketSphinxOptions
{
    /// <summary>Holds en-us/, en-us.lm.bin and cmudict-en-us.dict.</summary>
    public string ModelDirectory { get; init; } = "/usr/share/pocketsphinx/model/en-us";

    /// <summary>People who get interim captions at the same time; each costs a decoder of about 100 MB once needed.</summary>
    public int MaxDecoders { get; init; } = 4;
}

/// <summary>
/// CMU PocketSphinx with its US English model: the engine that needs no download. It decodes while the words are
/// spoken. Where more people speak than there are decoders, the others' utterances are decoded when they end.
/// </summary>
public sealed class PocketSphinxRecognizer : ISpeechRecognizer
{
    private readonly PocketSphinxOptions _options;
    private readonly Lock _lock = new();
    private readonly Lock _reserveLock = new();
    private readonly List<PocketSphinxDecoder> _idle = [];
    private PocketSphinxDecoder? _reserve;
    private int _created;
    private bool _loading;
    private bool _disposed;

    /// <summary>Loads the model (0.6 s) once, to fail now if it cannot be.</summary>
    /// <exception cref="InvalidOperationException">Library or model is missing; the message says how to get it.</exception>
    public PocketSphinxRecognizer(PocketSphinxOptions? options = null)
    {
        _options = options ?? new PocketSphinxOptions();
        if (!TryFind(_options, out string? problem))
            throw new InvalidOperationException(problem);
        _idle.Add(new PocketSphinxDecoder(_options));
        _created = 1;
    }

    public string Name => "pocketsphinx/en-us";

    public RecognizerTraits Traits { get; } = new(TimeSpan.FromMilliseconds(100), 8, TimeSpan.FromSeconds(20));

    /// <summary>Whether library and model are on this machine; else the sentence that tells how to get them.</summary>
    public static bool TryFind(PocketSphinxOptions options, [NotNullWhen(false)] out string? problem)
    {
        problem = null;
        if (!NativeLibraries.IsPresent(NativeLibraries.PocketSphinx) || !NativeLibraries.IsPresent(NativeLibraries.SphinxBase))
            problem = "The library libpocketsphinx.so.3 was not found. Install it: apt install libpocketsphinx3";
        else if (!File.Exists(Path.Combine(options.ModelDirectory, "en-us.lm.bin")) || !Directory.Exists(Path.Combine(options.ModelDirectory, "en-us")))
            problem = $"The pocketsphinx model was not found in {options.ModelDirectory}. Install it: apt install pocketsphinx-en-us";
        return problem is null;
    }

    public IRecognitionSession OpenSession(RecognitionSessionOptions options) => new Session(this, options.Speaker);

    public void Dispose()
    {
        List<PocketSphinxDecoder> idle;
        lock (_lock)
        {
            if (_disposed)
                return;
            _disposed = true;
            idle = [.. _idle];
            _idle.Clear();
        }

        idle.ForEach(decoder => decoder.Dispose());
        lock (_reserveLock)
            _reserve?.Dispose();
    }

    /// <summary>
    /// A decoder that is free now. A speaker without one of their own gets somebody else's, or none, while another is
    /// being loaded in the background: loading takes 0.6 s, and nobody's captions wait for that.
    /// </summary>
    private PocketSphinxDecoder? TryRent(string speaker)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            // Its cepstral mean has settled on a voice: best the same again.
            int index = _idle.FindIndex(decoder => decoder.Speaker == speaker);
            if (index < 0)
                index = _idle.FindIndex(decoder => decoder.Speaker is null);
            if (index < 0 && !_loading && _created < _options.MaxDecoders)
            {
                _loading = true;
                _created++;
                _ = Task.Run(LoadAnother);
            }

            if (_idle.Count == 0)
                return null;
            index = Math.Max(index, 0);
            PocketSphinxDecoder decoder = _idle[index];
            _idle.RemoveAt(index);
            return decoder;
        }
    }

    private void LoadAnother()
    {
        PocketSphinxDecoder? decoder = null;
        try
        {
            decoder = new PocketSphinxDecoder(_options);
        }
        catch (InvalidOperationException)
        {
            // No memory for another, although one was loaded before: the ones there are have to do.
            decoder = null;
        }

        lock (_lock)
            _loading = false;
        if (decoder is not null)
            Return(decoder);
    }

    private void Return(PocketSphinxDecoder decoder)
    {
        lock (_lock)
        {
            if (!_disposed)
            {
                _idle.Add(decoder);
                return;
            }
        }

        decoder.Dispose();
    }

    private RecognitionResult DecodeWhole(ReadOnlySpan<short> samples, int length)
    {
        lock (_reserveLock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            _reserve ??= new PocketSphinxDecoder(_options);
            _reserve.Start(newSpeaker: true);
            _reserve.Feed(samples[..Math.Min(samples.Length, length)]);
            _reserve.End();
            return new(_reserve.ReadWords(length));
        }
    }

    private sealed class Session(PocketSphinxRecognizer owner, string speaker) : IRecognitionSession
    {
        private readonly PcmBuffer _waiting = new();
        private PocketSphinxDecoder? _decoder;
        private int _fed;
        private bool _finished;

        public void Feed(ReadOnlySpan<short> samples)
        {
            _fed += samples.Length;
            if (_decoder is null && (_decoder = owner.TryRent(speaker)) is not null)
            {
                _decoder.Start(_decoder.Speaker is not null && _decoder.Speaker != speaker);
                _decoder.Speaker = speaker;
                _decoder.Feed(_waiting.Samples);
                _waiting.Clear();
            }

            if (_decoder is not null)
                _decoder.Feed(samples);
            else
                _waiting.Append(samples);
        }

        public RecognitionResult? Interim() => _decoder is null ? null : new(_decoder.ReadWords(_fed));

        public RecognitionResult Finish(int samples)
        {
            _finished = true;
            if (_decoder is null)
                return owner.DecodeWhole(_waiting.Samples, samples);
            _decoder.End();
            var result = new RecognitionResult(_decoder.ReadWords(samples));
            owner.Return(_decoder);
            _decoder = null;
            return result;
        }

        public void Dispose()
        {
            if (_decoder is null || _finished)
                return;
            _decoder.End();
            owner.Return(_decoder);
            _decoder = null;
        }
    }
}
