namespace Transcribe.AiGateway.Recognition;

/// <summary>The samples of one utterance; grows as needed.</summary>
internal sealed class PcmBuffer
{
    private short[] _samples = [];
    private int _count;

    public ReadOnlySpan<short> Samples => _samples.AsSpan(0, _count);

    public int Count => _count;

    public void Append(ReadOnlySpan<short> samples)
    {
        if (_count + samples.Length > _samples.Length)
            Array.Resize(ref _samples, Math.Max(_count + samples.Length, Math.Max(16000, _samples.Length * 2)));
        samples.CopyTo(_samples.AsSpan(_count));
        _count += samples.Length;
    }

    public void Clear() => _count = 0;
}
