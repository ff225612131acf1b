namespace Transcribe.Sfu.Routing;

/// <summary>How loud one audio track is, from the RFC 6464 levels of its packets.</summary>
internal sealed class AudioActivity
{
    /// <summary>-45 dBov: quieter is no speech.</summary>
    private const double StartThreshold = 0.0056;

    /// <summary>-51 dBov: a speaker stays one down to here.</summary>
    private const double StopThreshold = 0.0028;
    private const double Smoothing = 0.5;

    private static readonly double[] Linear = [.. Enumerable.Range(0, 128).Select(level => level == 127 ? 0 : Math.Pow(10, -level / 20.0))];

    private double _sum;
    private int _count;
    private double _smoothed;

    /// <summary>Whether the track speaks, as of the last <see cref="EndInterval"/>.</summary>
    public bool IsActive { get; private set; }

    /// <summary>Smoothed level, 0 (loudest) to 127 (silence).</summary>
    public int Level => _smoothed <= 0 ? 127 : (int)Math.Clamp(Math.Round(-20 * Math.Log10(_smoothed)), 0, 127);

    /// <summary>Smoothed amplitude, 0 to 1.</summary>
    public double Loudness => _smoothed;

    /// <param name="level">-dBov, 0 to 127.</param>
    public void OnLevel(byte level)
    {
        _sum += Linear[level & 127];
        _count++;
    }

    /// <summary>Takes the levels since the last call into account.</summary>
    public void EndInterval()
    {
        double average = _count == 0 ? 0 : _sum / _count;
        (_sum, _count) = (0, 0);
        _smoothed += (average - _smoothed) * Smoothing;
        IsActive = _smoothed >= (IsActive ? StopThreshold : StartThreshold);
    }

    public void Reset()
    {
        (_sum, _count, _smoothed) = (0, 0, 0);
        IsActive = false;
    }
}
