namespace Transcribe.AiGateway.Audio;

/// <summary>Changes the sample rate of a whole recording: a windowed-sinc filter of 32 zero crossings, any ratio.</summary>
public static class Resampler
{
    private const int ZeroCrossings = 16;

    /// <summary>Mono samples at another rate. The length is rounded down to whole samples.</summary>
    public static short[] Resample(ReadOnlySpan<short> samples, int fromRate, int toRate)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(fromRate);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(toRate);
        if (fromRate == toRate)
            return samples.ToArray();
        var output = new short[(long)samples.Length * toRate / fromRate];
        double cutoff = Math.Min(1.0, (double)toRate / fromRate) * 0.97;
        int reach = (int)Math.Ceiling(ZeroCrossings / cutoff);
        (int phases, float[][] kernels) = MakeKernels(fromRate, toRate, cutoff, reach);
        for (int i = 0; i < output.Length; i++)
        {
            long scaled = (long)i * fromRate;
            int centre = (int)(scaled / toRate);
            float[] kernel = kernels[(int)(scaled % toRate * phases / toRate)];
            float sum = 0;
            int first = centre - reach + 1;
            for (int k = Math.Max(0, -first); k < kernel.Length && first + k < samples.Length; k++)
                sum += samples[first + k] * kernel[k];
            output[i] = (short)Math.Clamp(MathF.Round(sum), short.MinValue, short.MaxValue);
        }

        return output;
    }

    private static (int Phases, float[][] Kernels) MakeKernels(int fromRate, int toRate, double cutoff, int reach)
    {
        // Every position between two samples that the ratio can ask for, or 512 of them where that is finer than ears are.
        int phases = Math.Min(toRate / Gcd(fromRate, toRate), 512);
        var kernels = new float[phases][];
        for (int phase = 0; phase < phases; phase++)
        {
            double offset = (double)phase / phases;
            var kernel = new float[2 * reach];
            double sum = 0;
            for (int k = 0; k < kernel.Length; k++)
            {
                double x = k - reach + 1 - offset;
                double window = 0.5 + (0.5 * Math.Cos(Math.PI * Math.Clamp(x / reach, -1, 1)));
                double value = x == 0 ? cutoff : Math.Sin(Math.PI * cutoff * x) / (Math.PI * x);
                kernel[k] = (float)(value * window);
                sum += value * window;
            }

            for (int k = 0; k < kernel.Length; k++)
                kernel[k] = (float)(kernel[k] / sum);
            kernels[phase] = kernel;
        }

        return (phases, kernels);
    }

    private static int Gcd(int a, int b) => b == 0 ? a : Gcd(b, a % b);
}
