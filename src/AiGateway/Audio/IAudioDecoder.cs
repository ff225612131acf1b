namespace Transcribe.AiGateway.Audio;

/// <summary>
/// Decodes the packets of one track, in order. The seam where another Opus library (Concentus, say) plugs in.
/// One instance belongs to one track and one thread at a time.
/// </summary>
public interface IAudioDecoder : IDisposable
{
    /// <summary>Samples per second of the output, which is mono: 16000 for recognition.</summary>
    int SampleRate { get; }

    /// <summary>Decodes one packet; false for a packet that is no valid Opus (nothing is written then).</summary>
    /// <param name="pcm">At least 120 ms long, the longest packet Opus has.</param>
    bool TryDecode(ReadOnlySpan<byte> packet, Span<short> pcm, out int samples);

    /// <summary>Fills <paramref name="pcm"/> for a lost packet by in-band FEC data of the packet after it, where that has any; by concealment else.</summary>
    void Recover(ReadOnlySpan<byte> next, Span<short> pcm);

    /// <summary>Fills <paramref name="pcm"/> for a lost packet from what came before.</summary>
    void Conceal(Span<short> pcm);

    /// <summary>Forgets the past: what follows is another stream.</summary>
    void Reset();
}
