using System.Runtime.InteropServices;
using Transcribe.AiGateway.Native;

namespace Transcribe.AiGateway.Recognition;

/// <summary>One native decoder with its model (about 100 MB). One utterance at a time, one thread at a time.</summary>
internal sealed class PocketSphinxDecoder : IDisposable
{
    private const int SamplesPerFrame = 160;

    private readonly List<IntPtr> _arguments = [];
    private readonly unsafe IntPtr* _argumentVector;
    private readonly IntPtr _configuration;
    private readonly IntPtr _decoder;
    private readonly IntPtr _logMath;
    private bool _disposed;

    /// <exception cref="InvalidOperationException">The model cannot be loaded.</exception>
    public unsafe PocketSphinxDecoder(PocketSphinxOptions options)
    {
        string[] arguments =
        [
            "transcribe",
            "-hmm", Path.Combine(options.ModelDirectory, "en-us"),
            "-lm", Path.Combine(options.ModelDirectory, "en-us.lm.bin"),
            "-dict", Path.Combine(options.ModelDirectory, "cmudict-en-us.dict"),
            "-logfn", "/dev/null",
            "-remove_silence", "no",
            // One pass with narrow beams: half the cost of the defaults, a tenth of the wait at the end, the same errors.
            "-fwdflat", "no",
            "-maxhmmpf", "3000",
            "-maxwpf", "20",
        ];
        _argumentVector = (IntPtr*)NativeMemory.AllocZeroed((nuint)arguments.Length + 1, (nuint)sizeof(IntPtr));
        for (int i = 0; i < arguments.Length; i++)
        {
            IntPtr text = Marshal.StringToCoTaskMemUTF8(arguments[i]);
            _arguments.Add(text);
            _argumentVector[i] = text;
        }

        _configuration = LibPocketSphinx.ParseArguments(IntPtr.Zero, LibPocketSphinx.ArgumentDefinitions(), arguments.Length, _argumentVector, 1);
        _decoder = _configuration == IntPtr.Zero ? IntPtr.Zero : LibPocketSphinx.Create(_configuration);
        if (_decoder == IntPtr.Zero)
        {
            Dispose();
            throw new InvalidOperationException(
                $"pocketsphinx cannot load its model from {options.ModelDirectory}. Install it: apt install pocketsphinx-en-us");
        }

        _logMath = LibPocketSphinx.LogMath(_decoder);
    }

    ~PocketSphinxDecoder() => Release();

    /// <summary>Whose voice it heard last.</summary>
    public string? Speaker { get; set; }

    public void Start(bool newSpeaker)
    {
        if (newSpeaker)
            _ = LibPocketSphinx.StartStream(_decoder);
        _ = LibPocketSphinx.StartUtterance(_decoder);
    }

    public unsafe void Feed(ReadOnlySpan<short> samples)
    {
        fixed (short* data = samples)
            _ = LibPocketSphinx.Process(_decoder, data, (nuint)samples.Length, 0, 0);
    }

    public void End() => _ = LibPocketSphinx.EndUtterance(_decoder);

    /// <summary>The words so far, or, after <see cref="End"/>, the result.</summary>
    public List<RecognizedWord> ReadWords(int samples)
    {
        var words = new List<RecognizedWord>();
        int origin = -1;
        for (IntPtr segment = LibPocketSphinx.FirstSegment(_decoder, out _); segment != IntPtr.Zero; segment = LibPocketSphinx.NextSegment(segment))
        {
            LibPocketSphinx.SegmentFrames(segment, out int first, out int last);
            if (origin < 0)
                origin = first; // frames are counted over the whole stream
            string word = Marshal.PtrToStringUTF8(LibPocketSphinx.SegmentWord(segment)) ?? "";
            if (IsFiller(word))
                continue;
            int start = (first - origin) * SamplesPerFrame, end = (last + 1 - origin) * SamplesPerFrame;
            if (start >= samples)
                continue;
            double probability = LibPocketSphinx.Exp(_logMath, LibPocketSphinx.SegmentProbability(segment, out _, out _, out _));
            words.Add(new(Display(word, words.Count == 0), start, Math.Min(end, samples), (float)Math.Clamp(probability, 0, 1)));
        }

        return words;
    }

    public void Dispose()
    {
        if (_disposed)
            return;
        _disposed = true;
        Release();
        GC.SuppressFinalize(this);
    }

    /// <summary>"&lt;sil&gt;", "[NOISE]", "++COUGH++".</summary>
    private static bool IsFiller(string word) => word.Length == 0 || word[0] is '<' or '[' or '+';

    private static string Display(string word, bool first)
    {
        int variant = word.IndexOf('(', StringComparison.Ordinal);
        if (variant > 0)
            word = word[..variant];
        bool upper = first || word == "i" || word.StartsWith("i'", StringComparison.Ordinal);
        return upper ? char.ToUpperInvariant(word[0]) + word[1..] : word;
    }

    private unsafe void Release()
    {
        if (_decoder != IntPtr.Zero)
            _ = LibPocketSphinx.Free(_decoder);
        if (_configuration != IntPtr.Zero)
            _ = LibPocketSphinx.FreeConfiguration(_configuration);
        foreach (IntPtr argument in _arguments)
            Marshal.FreeCoTaskMem(argument);
        NativeMemory.Free(_argumentVector);
    }
}
