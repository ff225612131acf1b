namespace Transcribe.AiGateway.Vad;

/// <summary>Where speech starts and ends. All durations; defaults fit conversation.</summary>
public sealed record SegmenterOptions
{
    /// <summary>Probability from which a chunk counts as speech.</summary>
    public float StartThreshold { get; init; } = 0.5f;

    /// <summary>Probability below which a chunk of an open utterance counts as silence.</summary>
    public float EndThreshold { get; init; } = 0.35f;

    /// <summary>Speech within a quarter second that opens an utterance; less is a click or a cough.</summary>
    public TimeSpan MinSpeech { get; init; } = TimeSpan.FromMilliseconds(90);

    /// <summary>Sound from before the first speech chunk that the recogniser gets as well.</summary>
    public TimeSpan PreRoll { get; init; } = TimeSpan.FromMilliseconds(250);

    /// <summary>Silence that ends an utterance.</summary>
    public TimeSpan Hangover { get; init; } = TimeSpan.FromMilliseconds(420);

    /// <summary>Length from which shorter and shorter pauses end an utterance.</summary>
    public TimeSpan SoftLength { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Length at which an utterance is split at its quietest point of the last three seconds.</summary>
    public TimeSpan MaxLength { get; init; } = TimeSpan.FromSeconds(20);
}

/// <summary>Receives utterances. Positions are samples at 16 kHz since the timeline's start; calls nest as Started, Audio*, Ended.</summary>
internal interface IUtteranceSink
{
    /// <param name="speechStart">Where the speech begins.</param>
    /// <param name="audioStart">Position of the first sample of <see cref="OnUtteranceAudio"/>: earlier, by the pre-roll.</param>
    void OnUtteranceStarted(long speechStart, long audioStart);

    void OnUtteranceAudio(ReadOnlySpan<short> samples);

    /// <param name="speechEnd">Where the speech ends; sound beyond it may have been given already.</param>
    /// <param name="cut">Sound from here on belongs to the next utterance; only different from "everything given" after a split.</param>
    void OnUtteranceEnded(long speechEnd, long cut);
}

/// <summary>Cuts a track's sound into utterances by voice activity.</summary>
internal sealed class UtteranceSegmenter : IDisposable
{
    private const int SampleRate = 16000;
    private const int HistorySamples = 1 << 16; // 4.1 s
    private const int ShortestPause = SampleRate / 10;

    private readonly IVoiceActivityDetector _vad;
    private readonly IUtteranceSink _sink;
    private readonly SegmenterOptions _options;
    private readonly short[] _history = new short[HistorySamples];
    private readonly short[] _chunk;
    private readonly float[] _levels;
    private readonly int _chunkSamples;
    private readonly int _confirmWindow;
    private int _filled;
    private long _position; // of the end of the last whole chunk
    private long _historyStart;
    private bool _open;
    private long _candidate = -1;
    private int _candidateSpeech;
    private long _speechStart;
    private long _lastSpeechEnd;
    private long _closedAt;
    private long _warmUntil;

    public UtteranceSegmenter(IVoiceActivityDetector vad, IUtteranceSink sink, SegmenterOptions options)
    {
        _vad = vad;
        _sink = sink;
        _options = options;
        _chunkSamples = vad.ChunkSamples;
        _chunk = new short[_chunkSamples];
        _levels = new float[HistorySamples / _chunkSamples];
        _confirmWindow = SampleRate / 4;
    }

    /// <summary>Whether an utterance is open.</summary>
    public bool IsOpen => _open;

    /// <summary>End of the sound taken so far.</summary>
    public long Position => _position + _filled;

    /// <summary>Factor on the hangover, above 1 under overload: longer utterances cost less.</summary>
    public double Patience { get; set; } = 1;

    public void Feed(ReadOnlySpan<short> samples)
    {
        while (!samples.IsEmpty)
        {
            int take = Math.Min(samples.Length, _chunkSamples - _filled);
            samples[..take].CopyTo(_chunk.AsSpan(_filled));
            _filled += take;
            samples = samples[take..];
            if (_filled == _chunkSamples)
            {
                _filled = 0;
                ProcessChunk();
            }
        }
    }

    /// <summary>Jumps over silence; an open utterance ends.</summary>
    public void Skip(long samples)
    {
        Close();
        _position += _filled + samples;
        _filled = 0;
        _historyStart = _position;
        _closedAt = Math.Max(_position, _warmUntil);
    }

    /// <summary>Sound before this position belongs to utterances that ended: the detector hears it, and nothing else.</summary>
    public void WarmUntil(long position) => _warmUntil = _closedAt = position;

    /// <summary>Ends the open utterance now: nothing more comes for the moment. What comes later goes on at the same position.</summary>
    public void Close()
    {
        if (_open && _filled > 0)
        {
            // The rest of a chunk is speech as much as what came before it was.
            int rest = _filled;
            _chunk.AsSpan(rest).Clear();
            if (_vad.Process(_chunk) >= _options.EndThreshold)
                _lastSpeechEnd = _position + rest;
            _sink.OnUtteranceAudio(_chunk.AsSpan(0, rest));
            Remember(_chunk.AsSpan(0, rest));
            _position += rest;
            _filled = 0;
        }

        if (_open)
            End(_lastSpeechEnd, Position);
        _candidate = -1;
    }

    /// <summary>A new timeline: closes what is open and starts counting at 0.</summary>
    public void Reset()
    {
        Close();
        _vad.Reset();
        _position = _historyStart = _closedAt = _warmUntil = 0;
        _filled = 0;
    }

    public void Dispose() => _vad.Dispose();

    private void ProcessChunk()
    {
        float probability = _vad.Process(_chunk);
        long start = _position;
        Remember(_chunk);
        _position += _chunkSamples;
        if (_open)
            Continue(probability);
        else if (_position > _warmUntil)
            Watch(probability, start);
    }

    private void Watch(float probability, long start)
    {
        if (_candidate >= 0 && _position - _candidate > _confirmWindow)
            _candidate = -1;
        if (probability < _options.StartThreshold)
            return;
        if (_candidate < 0)
        {
            _candidate = start;
            _candidateSpeech = 0;
        }

        _candidateSpeech += _chunkSamples;
        if (_candidateSpeech < Samples(_options.MinSpeech))
            return;
        // A detector needs a moment of voice to believe in it: the speech began a little before the chunk it named.
        long earliest = Math.Max(_closedAt, _historyStart);
        _speechStart = Math.Max(earliest, _candidate - (SampleRate * 60 / 1000));
        long audioStart = Math.Max(earliest, _candidate - Samples(_options.PreRoll));
        _candidate = -1;
        _open = true;
        _lastSpeechEnd = _position;
        _sink.OnUtteranceStarted(_speechStart, audioStart);
        Replay(audioStart);
    }

    private void Continue(float probability)
    {
        _sink.OnUtteranceAudio(_chunk);
        if (probability >= _options.EndThreshold)
            _lastSpeechEnd = _position;
        if (_position - _lastSpeechEnd >= AllowedPause())
            End(_lastSpeechEnd, _position);
        else if (_position - _speechStart >= Samples(_options.MaxLength))
            Split();
    }

    private long AllowedPause()
    {
        long hangover = (long)(Samples(_options.Hangover) * Patience);
        long length = _position - _speechStart, soft = Samples(_options.SoftLength), max = Samples(_options.MaxLength);
        if (length <= soft || max <= soft || hangover <= ShortestPause)
            return hangover;
        return hangover - ((hangover - ShortestPause) * Math.Min(length - soft, max - soft) / (max - soft));
    }

    private void Split()
    {
        // The quietest place of the last three seconds, judged over three chunks, not at the very edge.
        long last = (_position / _chunkSamples) - 2;
        long first = Math.Max((_position - (3 * SampleRate)) / _chunkSamples, last - _levels.Length + 4);
        long best = last;
        float least = float.PositiveInfinity;
        for (long i = first; i <= last; i++)
        {
            float level = Level(i - 1) + Level(i) + Level(i + 1);
            if (level >= least)
                continue;
            least = level;
            best = i;
        }

        long cut = Math.Max((best * _chunkSamples) + (_chunkSamples / 2), Math.Max(_historyStart, _speechStart + 1));
        End(Math.Min(_lastSpeechEnd, cut), cut);
        if (_lastSpeechEnd <= cut)
            return; // it was quiet from there on
        _open = true;
        _speechStart = cut;
        _sink.OnUtteranceStarted(cut, cut);
        Replay(cut);
    }

    private float Level(long chunk) => _levels[(int)(chunk % _levels.Length)];

    private void End(long speechEnd, long cut)
    {
        _open = false;
        _closedAt = cut;
        _sink.OnUtteranceEnded(speechEnd, cut);
    }

    private void Remember(ReadOnlySpan<short> samples)
    {
        double sum = 0;
        for (int i = 0; i < samples.Length; i++)
        {
            _history[(int)((_position + i) % HistorySamples)] = samples[i];
            sum += (double)samples[i] * samples[i];
        }

        _levels[(int)(_position / _chunkSamples % _levels.Length)] = (float)sum;
        _historyStart = Math.Max(_historyStart, _position + samples.Length - HistorySamples);
    }

    private void Replay(long from)
    {
        while (from < _position)
        {
            int offset = (int)(from % HistorySamples);
            int length = (int)Math.Min(_position - from, HistorySamples - offset);
            _sink.OnUtteranceAudio(_history.AsSpan(offset, length));
            from += length;
        }
    }

    private static long Samples(TimeSpan duration) => (long)(duration.TotalSeconds * SampleRate);
}
