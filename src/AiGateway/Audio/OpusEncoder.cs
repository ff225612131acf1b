using Transcribe.AiGateway.Native;
using Transcribe.Rtc.Codecs;

namespace Transcribe.AiGateway.Audio;

/// <param name="Bitrate">Bits per second.</param>
/// <param name="InbandFec">Carry a low-rate copy of the previous frame, for the receiver that lost it.</param>
/// <param name="ExpectedLossPercent">0..100; libopus spends bits on FEC by it.</param>
/// <param name="Dtx">Stop sending during silence.</param>
/// <param name="Complexity">0 (fast) .. 10.</param>
public sealed record OpusEncoderOptions(
    int Bitrate = 32000, bool InbandFec = true, int ExpectedLossPercent = 5, bool Dtx = false, int Complexity = 9);

/// <summary>libopus as WebRTC uses it: 48 kHz, voice, 20 ms frames. For publishing files and for tests.</summary>
public sealed class OpusEncoder : IDisposable
{
    /// <summary>Samples per channel of a 20 ms frame, and the RTP ticks it lasts.</summary>
    public const int FrameSamples = 960;

    /// <summary>Longest packet libopus recommends room for.</summary>
    public const int MaxPacketBytes = 1500;

    private readonly OpusEncoderHandle _encoder;

    /// <exception cref="InvalidOperationException">libopus is missing.</exception>
    public OpusEncoder(int channels = 1, OpusEncoderOptions? options = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(channels, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(channels, 2);
        if (!OpusDecoder.TryFindLibrary(out string? problem))
            throw new InvalidOperationException(problem);
        options ??= new OpusEncoderOptions();
        Channels = channels;
        _encoder = LibOpus.CreateEncoder(OpusPacket.ClockRate, channels, LibOpus.ApplicationVoip, out int error);
        if (error != LibOpus.Ok)
            throw new InvalidOperationException($"libopus refused an encoder (error {error}).");
        LibOpus.EncoderControl(_encoder, LibOpus.SetBitrate, options.Bitrate);
        LibOpus.EncoderControl(_encoder, LibOpus.SetComplexity, options.Complexity);
        LibOpus.EncoderControl(_encoder, LibOpus.SetInbandFec, options.InbandFec ? 1 : 0);
        LibOpus.EncoderControl(_encoder, LibOpus.SetPacketLossPercent, options.ExpectedLossPercent);
        LibOpus.EncoderControl(_encoder, LibOpus.SetDtx, options.Dtx ? 1 : 0);
        LibOpus.EncoderControl(_encoder, LibOpus.SetSignal, LibOpus.SignalVoice);
        LibOpus.EncoderQuery(_encoder, LibOpus.GetLookahead, out int lookahead);
        Lookahead = lookahead;
    }

    public int Channels { get; }

    /// <summary>Samples at 48 kHz by which the decoded sound lags the encoded one (312, 6.5 ms).</summary>
    public int Lookahead { get; }

    /// <summary>Encodes 20 ms of interleaved 48 kHz samples and returns the packet's length; at most 2 bytes means "need not be sent" under DTX.</summary>
    /// <param name="pcm">Exactly <see cref="FrameSamples"/> times <see cref="Channels"/> samples.</param>
    /// <param name="packet">At least <see cref="MaxPacketBytes"/> long.</param>
    public unsafe int Encode(ReadOnlySpan<short> pcm, Span<byte> packet)
    {
        if (pcm.Length != FrameSamples * Channels)
            throw new ArgumentException($"A frame is {FrameSamples * Channels} samples, not {pcm.Length}.", nameof(pcm));
        int length;
        fixed (short* input = pcm)
        fixed (byte* output = packet)
            length = LibOpus.Encode(_encoder, input, FrameSamples, output, packet.Length);
        return length > 0 ? length : throw new InvalidOperationException($"libopus failed to encode (error {length}).");
    }

    public void Dispose() => _encoder.Dispose();
}
