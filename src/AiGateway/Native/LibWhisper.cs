using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Transcribe.AiGateway.Native;

/// <summary>
/// whisper.cpp 1.9.1, bound by hand: its library lies where it was built, so it is loaded by path. The parameter
/// structures travel as blobs; the offsets of the fields used are checked against known defaults before anything runs.
/// </summary>
internal sealed unsafe class LibWhisper
{
    public const string Version = "1.9.1";
    public const int FullParamsSize = 304;
    public const int ContextParamsSize = 48;

    // Offsets into whisper_full_params.
    public const int ThreadsAt = 4, MaxTextContextAt = 8, NoContextAt = 21, NoTimestampsAt = 22, SingleSegmentAt = 23, PrintSpecialAt = 24,
        PrintProgressAt = 25, PrintRealtimeAt = 26, PrintTimestampsAt = 27, TokenTimestampsAt = 28, MaxTokensAt = 48, AudioContextAt = 56,
        LanguageAt = 104, SuppressNonSpeechAt = 114, TemperatureAt = 116, TemperatureIncrementAt = 128, EntropyAt = 132, LogProbabilityAt = 136,
        NoSpeechAt = 140, BestOfAt = 144;

    private const int GreedySampling = 0;

    private static readonly Lock LoadLock = new();
    private static readonly Dictionary<string, LibWhisper> Loaded = new(StringComparer.Ordinal);

    private readonly delegate* unmanaged[Cdecl]<ContextParams*> _contextDefaults;
    private readonly delegate* unmanaged[Cdecl]<int, FullParams*> _fullDefaults;
    private readonly delegate* unmanaged[Cdecl]<void*, void> _freeContextParams;
    private readonly delegate* unmanaged[Cdecl]<void*, void> _freeFullParams;
    private readonly delegate* unmanaged[Cdecl]<byte*, ContextParams, IntPtr> _open;
    private readonly delegate* unmanaged[Cdecl]<IntPtr, IntPtr> _newState;
    private readonly delegate* unmanaged[Cdecl]<IntPtr, void> _freeState;
    private readonly delegate* unmanaged[Cdecl]<IntPtr, void> _free;
    private readonly delegate* unmanaged[Cdecl]<IntPtr, IntPtr, FullParams, float*, int, int> _full;
    private readonly delegate* unmanaged[Cdecl]<IntPtr, int> _segments;
    private readonly delegate* unmanaged[Cdecl]<IntPtr, int, int> _tokens;
    private readonly delegate* unmanaged[Cdecl]<IntPtr, int, int, TokenData> _tokenData;
    private readonly delegate* unmanaged[Cdecl]<IntPtr, IntPtr, int, int, byte*> _tokenText;
    private readonly delegate* unmanaged[Cdecl]<IntPtr, int, float> _noSpeech;
    private readonly delegate* unmanaged[Cdecl]<IntPtr, int> _endToken;
    private readonly delegate* unmanaged[Cdecl]<IntPtr, int> _multilingual;
    private readonly delegate* unmanaged[Cdecl]<byte*, int> _languageId;

    private LibWhisper(IntPtr library, string path)
    {
        IntPtr Export(string name) => NativeLibrary.TryGetExport(library, name, out IntPtr address)
            ? address
            : throw new InvalidOperationException($"{path} has no {name}: whisper.cpp {Version} is needed. Build it: src/AiGateway/Native/build-whisper.sh");

        var version = (delegate* unmanaged[Cdecl]<byte*>)Export("whisper_version");
        string found = Marshal.PtrToStringUTF8((IntPtr)version()) ?? "";
        if (found != Version)
            throw new InvalidOperationException($"{path} is whisper.cpp {found}; {Version} is needed. Build it: src/AiGateway/Native/build-whisper.sh");
        _contextDefaults = (delegate* unmanaged[Cdecl]<ContextParams*>)Export("whisper_context_default_params_by_ref");
        _fullDefaults = (delegate* unmanaged[Cdecl]<int, FullParams*>)Export("whisper_full_default_params_by_ref");
        _freeContextParams = (delegate* unmanaged[Cdecl]<void*, void>)Export("whisper_free_context_params");
        _freeFullParams = (delegate* unmanaged[Cdecl]<void*, void>)Export("whisper_free_params");
        _open = (delegate* unmanaged[Cdecl]<byte*, ContextParams, IntPtr>)Export("whisper_init_from_file_with_params_no_state");
        _newState = (delegate* unmanaged[Cdecl]<IntPtr, IntPtr>)Export("whisper_init_state");
        _freeState = (delegate* unmanaged[Cdecl]<IntPtr, void>)Export("whisper_free_state");
        _free = (delegate* unmanaged[Cdecl]<IntPtr, void>)Export("whisper_free");
        _full = (delegate* unmanaged[Cdecl]<IntPtr, IntPtr, FullParams, float*, int, int>)Export("whisper_full_with_state");
        _segments = (delegate* unmanaged[Cdecl]<IntPtr, int>)Export("whisper_full_n_segments_from_state");
        _tokens = (delegate* unmanaged[Cdecl]<IntPtr, int, int>)Export("whisper_full_n_tokens_from_state");
        _tokenData = (delegate* unmanaged[Cdecl]<IntPtr, int, int, TokenData>)Export("whisper_full_get_token_data_from_state");
        _tokenText = (delegate* unmanaged[Cdecl]<IntPtr, IntPtr, int, int, byte*>)Export("whisper_full_get_token_text_from_state");
        _noSpeech = (delegate* unmanaged[Cdecl]<IntPtr, int, float>)Export("whisper_full_get_segment_no_speech_prob_from_state");
        _endToken = (delegate* unmanaged[Cdecl]<IntPtr, int>)Export("whisper_token_eot");
        _multilingual = (delegate* unmanaged[Cdecl]<IntPtr, int>)Export("whisper_is_multilingual");
        _languageId = (delegate* unmanaged[Cdecl]<byte*, int>)Export("whisper_lang_id");

        var setLog = (delegate* unmanaged[Cdecl]<delegate* unmanaged[Cdecl]<int, byte*, void*, void>, void*, void>)Export("whisper_log_set");
        setLog(&Discard, null);
        Verify(DefaultParams(), path);
    }

    /// <summary>Loads the library once a path.</summary>
    /// <exception cref="InvalidOperationException">It cannot be loaded, or is another version.</exception>
    public static LibWhisper Load(string path)
    {
        lock (LoadLock)
        {
            if (Loaded.TryGetValue(path, out LibWhisper? loaded))
                return loaded;
            if (!NativeLibrary.TryLoad(path, out IntPtr library))
                throw new InvalidOperationException($"The library {path} cannot be loaded. Build it: src/AiGateway/Native/build-whisper.sh");
            return Loaded[path] = new LibWhisper(library, path);
        }
    }

    /// <summary>The parameters of greedy decoding as the library presets them.</summary>
    public FullParams DefaultParams()
    {
        FullParams* defaults = _fullDefaults(GreedySampling);
        FullParams copy = *defaults;
        _freeFullParams(defaults);
        return copy;
    }

    /// <summary>Loads a model; zero where the file is none.</summary>
    public IntPtr Open(string modelPath)
    {
        ContextParams* defaults = _contextDefaults();
        ContextParams parameters = *defaults;
        _freeContextParams(defaults);
        parameters.Bytes[0] = 0; // use_gpu
        parameters.Bytes[1] = 1; // flash_attn
        IntPtr path = Marshal.StringToCoTaskMemUTF8(modelPath);
        try
        {
            return _open((byte*)path, parameters);
        }
        finally
        {
            Marshal.FreeCoTaskMem(path);
        }
    }

    public IntPtr NewState(IntPtr context) => _newState(context);

    public void FreeState(IntPtr state) => _freeState(state);

    public void Free(IntPtr context) => _free(context);

    public int Full(IntPtr context, IntPtr state, in FullParams parameters, ReadOnlySpan<float> samples)
    {
        fixed (float* data = samples)
            return _full(context, state, parameters, data, samples.Length);
    }

    public int SegmentCount(IntPtr state) => _segments(state);

    public int TokenCount(IntPtr state, int segment) => _tokens(state, segment);

    public TokenData Token(IntPtr state, int segment, int token) => _tokenData(state, segment, token);

    /// <summary>UTF-8, possibly a part of a character only. Valid while the model is.</summary>
    public ReadOnlySpan<byte> TokenText(IntPtr context, IntPtr state, int segment, int token) =>
        MemoryMarshal.CreateReadOnlySpanFromNullTerminated(_tokenText(context, state, segment, token));

    public float NoSpeechProbability(IntPtr state, int segment) => _noSpeech(state, segment);

    /// <summary>The first id that is no text.</summary>
    public int EndToken(IntPtr context) => _endToken(context);

    public bool IsMultilingual(IntPtr context) => _multilingual(context) != 0;

    /// <summary>Negative for a language the library does not know.</summary>
    public int LanguageId(string language)
    {
        IntPtr text = Marshal.StringToCoTaskMemUTF8(language);
        try
        {
            return _languageId((byte*)text);
        }
        finally
        {
            Marshal.FreeCoTaskMem(text);
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Discard(int level, byte* text, void* userData)
    {
    }

    private static void Verify(FullParams parameters, string path)
    {
        string? language = Marshal.PtrToStringUTF8((IntPtr)(*(byte**)(parameters.Bytes + LanguageAt)));
        bool good = parameters.Int(MaxTextContextAt) == 16384 && language == "en" && parameters.Float(TemperatureIncrementAt) == 0.2f
            && parameters.Float(EntropyAt) == 2.4f && parameters.Float(LogProbabilityAt) == -1f && parameters.Float(NoSpeechAt) == 0.6f
            && parameters.Int(BestOfAt) == 5;
        if (!good)
            throw new InvalidOperationException($"{path} lays its parameters out in an unknown way. Build whisper.cpp {Version}: src/AiGateway/Native/build-whisper.sh");
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct ContextParams
    {
        private fixed ulong _alignment[ContextParamsSize / 8];

        public byte* Bytes => (byte*)Unsafe.AsPointer(ref _alignment[0]);
    }

    /// <summary>Only ever a local or a parameter: its bytes are addressed without pinning.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct FullParams
    {
        private fixed ulong _alignment[FullParamsSize / 8];

        public byte* Bytes => (byte*)Unsafe.AsPointer(ref _alignment[0]);

        public int Int(int offset) => *(int*)(Bytes + offset);

        public float Float(int offset) => *(float*)(Bytes + offset);

        public void Set(int offset, int value) => *(int*)(Bytes + offset) = value;

        public void Set(int offset, float value) => *(float*)(Bytes + offset) = value;

        public void Set(int offset, bool value) => *(Bytes + offset) = value ? (byte)1 : (byte)0;

        public void Set(int offset, IntPtr value) => *(IntPtr*)(Bytes + offset) = value;
    }

    /// <summary>whisper_token_data. Times in 10 ms, -1 where unknown.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct TokenData
    {
        public int Id;
        public int TimestampId;
        public float Probability;
        public float LogProbability;
        public float TimestampProbability;
        public float TimestampProbabilitySum;
        public long Start;
        public long End;
        public long DtwTime;
        public float VoiceLength;
    }
}
