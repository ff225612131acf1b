using System.Runtime.InteropServices;

namespace Transcribe.AiGateway.Native;

/// <summary>libopus 1.x, the calls a gateway and a test publisher need (opus.h, opus_defines.h).</summary>
internal static partial class LibOpus
{
    public const int Ok = 0;
    public const int ApplicationVoip = 2048;
    public const int SignalVoice = 3001;

    public const int SetBitrate = 4002;
    public const int SetComplexity = 4010;
    public const int SetInbandFec = 4012;
    public const int SetPacketLossPercent = 4014;
    public const int SetDtx = 4016;
    public const int SetSignal = 4024;
    public const int ResetState = 4028;
    public const int GetLookahead = 4027;

    static LibOpus() => NativeLibraries.Register();

    [LibraryImport(NativeLibraries.Opus, EntryPoint = "opus_decoder_create")]
    public static partial OpusDecoderHandle CreateDecoder(int sampleRate, int channels, out int error);

    [LibraryImport(NativeLibraries.Opus, EntryPoint = "opus_decoder_destroy")]
    public static partial void DestroyDecoder(IntPtr decoder);

    /// <summary>Samples per channel, or a negative error. A null <paramref name="data"/> asks for concealment of <paramref name="frameSize"/> samples.</summary>
    [LibraryImport(NativeLibraries.Opus, EntryPoint = "opus_decode")]
    public static unsafe partial int Decode(OpusDecoderHandle decoder, byte* data, int length, short* pcm, int frameSize, int decodeFec);

    // The ctl functions are variadic in C. For integer arguments the variadic and the plain calling convention are the
    // same on x86-64 (System V and Windows) and on Linux arm64, the platforms this runs on.
    [LibraryImport(NativeLibraries.Opus, EntryPoint = "opus_decoder_ctl")]
    public static partial int DecoderControl(OpusDecoderHandle decoder, int request);

    [LibraryImport(NativeLibraries.Opus, EntryPoint = "opus_encoder_create")]
    public static partial OpusEncoderHandle CreateEncoder(int sampleRate, int channels, int application, out int error);

    [LibraryImport(NativeLibraries.Opus, EntryPoint = "opus_encoder_destroy")]
    public static partial void DestroyEncoder(IntPtr encoder);

    [LibraryImport(NativeLibraries.Opus, EntryPoint = "opus_encode")]
    public static unsafe partial int Encode(OpusEncoderHandle encoder, short* pcm, int frameSize, byte* data, int capacity);

    [LibraryImport(NativeLibraries.Opus, EntryPoint = "opus_encoder_ctl")]
    public static partial int EncoderControl(OpusEncoderHandle encoder, int request, int value);

    [LibraryImport(NativeLibraries.Opus, EntryPoint = "opus_encoder_ctl")]
    public static partial int EncoderQuery(OpusEncoderHandle encoder, int request, out int value);

    [LibraryImport(NativeLibraries.Opus, EntryPoint = "opus_get_version_string")]
    private static partial IntPtr VersionPointer();

    /// <summary>For example "libopus 1.3.1".</summary>
    public static string Version() => Marshal.PtrToStringUTF8(VersionPointer()) ?? "libopus";
}

internal sealed class OpusDecoderHandle : SafeHandle
{
    public OpusDecoderHandle()
        : base(IntPtr.Zero, ownsHandle: true)
    {
    }

    public override bool IsInvalid => handle == IntPtr.Zero;

    protected override bool ReleaseHandle()
    {
        LibOpus.DestroyDecoder(handle);
        return true;
    }
}

internal sealed class OpusEncoderHandle : SafeHandle
{
    public OpusEncoderHandle()
        : base(IntPtr.Zero, ownsHandle: true)
    {
    }

    public override bool IsInvalid => handle == IntPtr.Zero;

    protected override bool ReleaseHandle()
    {
        LibOpus.DestroyEncoder(handle);
        return true;
    }
}
