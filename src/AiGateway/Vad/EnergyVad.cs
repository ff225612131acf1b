using System.Numerics.Tensors;

namespace Transcribe.AiGateway.Vad;

/// <summary>
/// The detector that needs no model: speech is louder than the room's own noise and, at least at its vowels, periodic
/// at a human pitch. It knows less than Silero does; music and other talk in the room pass for speech.
/// </summary>
public sealed class EnergyVad : IVoiceActivityDetector
{
    private const int Chunk = 320; // 20 ms
    private const int Window = 320; // 40 ms at 8 kHz
    private const int MinLag = 20; // 400 Hz
    private const int MaxLag = 110; // 73 Hz
    private const float Silent = -70;

    private readonly float[] _history = new float[Window + MaxLag];
    private readonly float[] _minima = new float[15];
    private float _previous;
    private float _minimum = float.PositiveInfinity;
    private int _minimumChunks;
    private float _floor = -55;
    private int _voicedAgo = int.MaxValue / 2;

    public string Name => "energy";

    public int ChunkSamples => Chunk;

    /// <inheritdoc/>
    public float Process(ReadOnlySpan<short> chunk)
    {
        // Down to 8 kHz with a two-tap average, and a first difference against hum and DC.
        Span<float> fresh = stackalloc float[Chunk / 2];
        for (int i = 0; i < fresh.Length; i++)
        {
            float sample = (chunk[2 * i] + chunk[(2 * i) + 1]) / 65536f;
            fresh[i] = sample - (0.9f * _previous);
            _previous = sample;
        }

        _history.AsSpan(fresh.Length).CopyTo(_history);
        fresh.CopyTo(_history.AsSpan(_history.Length - fresh.Length));

        float level = 10 * MathF.Log10((TensorPrimitives.SumOfSquares<float>(fresh) / fresh.Length) + 1e-10f);
        TrackFloor(level);
        float above = level - MathF.Max(_floor, Silent);
        bool loud = above > 9 && level > -62;
        if (loud && Periodicity() > 0.55f)
            _voicedAgo = 0;
        else
            _voicedAgo++;

        // Consonants carry no pitch: loud enough and within 200 ms of a vowel will do.
        if (!loud)
            return above > 6 && _voicedAgo < 6 ? 0.4f : 0.05f;
        return _voicedAgo == 0 ? 0.95f : _voicedAgo < 10 ? 0.7f : 0.2f;
    }

    public void Reset()
    {
        Array.Clear(_history);
        Array.Clear(_minima);
        _previous = 0;
        _minimum = float.PositiveInfinity;
        _minimumChunks = 0;
        _floor = -55;
        _voicedAgo = int.MaxValue / 2;
    }

    public void Dispose()
    {
    }

    /// <summary>The floor is the least level of the last three seconds: speech always has holes, noise has none.</summary>
    private void TrackFloor(float level)
    {
        if (level < -90)
            return; // digital silence says nothing about the room
        _minimum = MathF.Min(_minimum, level);
        if (level < _floor)
            _floor += (level - _floor) * 0.3f;
        if (++_minimumChunks < 10)
            return;
        _minima.AsSpan(1).CopyTo(_minima);
        _minima[^1] = _minimum;
        _minimum = float.PositiveInfinity;
        _minimumChunks = 0;
        float least = TensorPrimitives.Min<float>(_minima); // empty places hold 0 dB and never win
        _floor += (MathF.Min(least, -25) - _floor) * 0.25f;
    }

    private float Periodicity()
    {
        ReadOnlySpan<float> recent = _history.AsSpan(MaxLag, Window);
        float energy = TensorPrimitives.SumOfSquares(recent);
        float best = 0;
        for (int lag = MinLag; lag <= MaxLag; lag++)
        {
            ReadOnlySpan<float> earlier = _history.AsSpan(MaxLag - lag, Window);
            float product = TensorPrimitives.Dot(recent, earlier);
            if (product <= best * energy)
                continue;
            float norm = MathF.Sqrt(energy * TensorPrimitives.SumOfSquares(earlier)) + 1e-9f;
            best = MathF.Max(best, product / norm);
        }

        return best;
    }
}

/// <summary>Makes <see cref="EnergyVad"/>s.</summary>
public sealed class EnergyVadFactory : IVoiceActivityDetectorFactory
{
    public IVoiceActivityDetector Create() => new EnergyVad();

    public void Dispose()
    {
    }
}
