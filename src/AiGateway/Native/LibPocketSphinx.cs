using System.Runtime.InteropServices;

namespace Transcribe.AiGateway.Native;

/// <summary>libpocketsphinx.so.3 and libsphinxbase.so.3 (0.8+5prealpha), the calls of a streaming recogniser.</summary>
internal static partial class LibPocketSphinx
{
    static LibPocketSphinx() => NativeLibraries.Register();

    [LibraryImport(NativeLibraries.PocketSphinx, EntryPoint = "ps_args")]
    public static partial IntPtr ArgumentDefinitions();

    /// <summary>The argument strings must outlive the configuration.</summary>
    [LibraryImport(NativeLibraries.SphinxBase, EntryPoint = "cmd_ln_parse_r")]
    public static unsafe partial IntPtr ParseArguments(IntPtr inout, IntPtr definitions, int count, IntPtr* arguments, int strict);

    [LibraryImport(NativeLibraries.SphinxBase, EntryPoint = "cmd_ln_free_r")]
    public static partial int FreeConfiguration(IntPtr configuration);

    [LibraryImport(NativeLibraries.PocketSphinx, EntryPoint = "ps_init")]
    public static partial IntPtr Create(IntPtr configuration);

    [LibraryImport(NativeLibraries.PocketSphinx, EntryPoint = "ps_free")]
    public static partial int Free(IntPtr decoder);

    [LibraryImport(NativeLibraries.PocketSphinx, EntryPoint = "ps_start_stream")]
    public static partial int StartStream(IntPtr decoder);

    [LibraryImport(NativeLibraries.PocketSphinx, EntryPoint = "ps_start_utt")]
    public static partial int StartUtterance(IntPtr decoder);

    [LibraryImport(NativeLibraries.PocketSphinx, EntryPoint = "ps_end_utt")]
    public static partial int EndUtterance(IntPtr decoder);

    [LibraryImport(NativeLibraries.PocketSphinx, EntryPoint = "ps_process_raw")]
    public static unsafe partial int Process(IntPtr decoder, short* samples, nuint count, int noSearch, int fullUtterance);

    // Releases differ in whether the score argument exists; an extra argument is harmless, a missing one is not.
    [LibraryImport(NativeLibraries.PocketSphinx, EntryPoint = "ps_seg_iter")]
    public static partial IntPtr FirstSegment(IntPtr decoder, out int score);

    [LibraryImport(NativeLibraries.PocketSphinx, EntryPoint = "ps_seg_next")]
    public static partial IntPtr NextSegment(IntPtr segment);

    [LibraryImport(NativeLibraries.PocketSphinx, EntryPoint = "ps_seg_word")]
    public static partial IntPtr SegmentWord(IntPtr segment);

    [LibraryImport(NativeLibraries.PocketSphinx, EntryPoint = "ps_seg_frames")]
    public static partial void SegmentFrames(IntPtr segment, out int first, out int last);

    [LibraryImport(NativeLibraries.PocketSphinx, EntryPoint = "ps_seg_prob")]
    public static partial int SegmentProbability(IntPtr segment, out int acoustic, out int language, out int backoff);

    [LibraryImport(NativeLibraries.PocketSphinx, EntryPoint = "ps_get_logmath")]
    public static partial IntPtr LogMath(IntPtr decoder);

    [LibraryImport(NativeLibraries.SphinxBase, EntryPoint = "logmath_exp")]
    public static partial double Exp(IntPtr logMath, int value);
}
