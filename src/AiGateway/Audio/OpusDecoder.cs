using System.Diagnostics.CodeAnalysis;
using Transcribe.AiGateway.Native;

namespace Transcribe.AiGateway.Audio;

/// <summary>libopus, decoding straight to mono at the recogniser's rate.</summary>
public sealed class OpusDecoder : IAudioDecoder
{
    private readonly OpusDecoderHandle _decoder;
    private readonly int _granule;

    /// <param name="sampleRate">8000, 12000, 16000, 24000 or 48000.</param>
    /// <exception cref="InvalidOperationException">libopus is missing or refuses the rate.</exception>
    public OpusDecoder(int sampleRate = 16000)
    {
        if (!TryFindLibrary(out string? problem))
            throw new InvalidOperationException(problem);
        SampleRate = sampleRate;
        _granule = sampleRate / 400;
        _decoder = LibOpus.CreateDecoder(sampleRate, 1, out int error);
        if (error != LibOpus.Ok)
            throw new InvalidOperationException($"libopus refused a mono decoder at {sampleRate} Hz (error {error}); use 8000, 12000, 16000, 24000 or 48000.");
    }

    public int SampleRate { get; }

    /// <summary>Whether libopus is on this machine; else the sentence that tells how to get it.</summary>
    public static bool TryFindLibrary([NotNullWhen(false)] out string? problem)
    {
        problem = NativeLibraries.IsPresent(NativeLibraries.Opus)
            ? null
            : "The library libopus.so.0 was not found. Install it: apt install libopus0";
        return problem is null;
    }

    public unsafe bool TryDecode(ReadOnlySpan<byte> packet, Span<short> pcm, out int samples)
    {
        samples = 0;
        if (packet.IsEmpty)
            return false;
        fixed (byte* data = packet)
        fixed (short* output = pcm)
            samples = LibOpus.Decode(_decoder, data, packet.Length, output, pcm.Length, 0);
        if (samples > 0)
            return true;
        samples = 0;
        return false;
    }

    public unsafe void Recover(ReadOnlySpan<byte> next, Span<short> pcm)
    {
        // The FEC copy covers the frame right before the packet: libopus conceals what lies before that itself.
        int length = pcm.Length - (pcm.Length % _granule);
        int written = 0;
        if (!next.IsEmpty && length > 0)
        {
            fixed (byte* data = next)
            fixed (short* output = pcm)
                written = LibOpus.Decode(_decoder, data, next.Length, output, length, 1);
        }

        if (written <= 0)
            Conceal(pcm);
        else
            pcm[written..].Clear();
    }

    public unsafe void Conceal(Span<short> pcm)
    {
        int maximum = SampleRate * 120 / 1000;
        while (pcm.Length >= _granule)
        {
            int length = Math.Min(pcm.Length - (pcm.Length % _granule), maximum);
            int written;
            fixed (short* output = pcm)
                written = LibOpus.Decode(_decoder, null, 0, output, length, 0);
            if (written <= 0)
                break;
            pcm = pcm[written..];
        }

        pcm.Clear();
    }

    public void Reset() => LibOpus.DecoderControl(_decoder, LibOpus.ResetState);

    public void Dispose() => _decoder.Dispose();
}
