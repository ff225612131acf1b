namespace Transcribe.AiGateway.Vad;

/// <summary>Tells speech from everything else, chunk by chunk, for one track. One thread at a time.</summary>
public interface IVoiceActivityDetector : IDisposable
{
    /// <summary>"silero" or "energy".</summary>
    string Name { get; }

    /// <summary>Samples at 16 kHz that <see cref="Process"/> takes at once.</summary>
    int ChunkSamples { get; }

    /// <summary>Probability of speech in the chunk, 0..1.</summary>
    float Process(ReadOnlySpan<short> chunk);

    /// <summary>Forgets the past.</summary>
    void Reset();
}

/// <summary>Makes a detector for a new track; holds what the tracks share.</summary>
public interface IVoiceActivityDetectorFactory : IDisposable
{
    IVoiceActivityDetector Create();
}
