using Transcribe.Rtc.Codecs;

namespace Transcribe.AiGateway.Audio;

/// <summary>Takes a track's sound as an unbroken run of 16 kHz samples, each at a known place of the publisher's RTP clock.</summary>
internal interface ITrackAudioSink
{
    /// <summary>A new run begins; its sample 0 is at this (extended) RTP timestamp.</summary>
    void OnTimeline(long timestamp);

    void OnAudio(ReadOnlySpan<short> samples);

    /// <summary>A long silence that is not worth the samples.</summary>
    void OnSkip(long samples);
}

/// <summary>Turns ordered packets, losses and gaps into samples, keeping to the RTP clock exactly.</summary>
internal sealed class TrackDecoder : IJitterBufferSink, IDisposable
{
    public const int SampleRate = 16000;
    public const int TicksPerSample = OpusPacket.ClockRate / SampleRate;
    private const int LongSilence = SampleRate;

    private readonly IAudioDecoder _decoder;
    private readonly ITrackAudioSink _sink;
    private readonly short[] _pcm = new short[SampleRate * 120 / 1000];
    private readonly short[] _silence = new short[SampleRate / 50];
    private long _origin;
    private long _position;

    public TrackDecoder(IAudioDecoder decoder, ITrackAudioSink sink)
    {
        if (decoder.SampleRate != SampleRate)
            throw new ArgumentException($"The recognisers take {SampleRate} Hz, the decoder gives {decoder.SampleRate}.", nameof(decoder));
        _decoder = decoder;
        _sink = sink;
    }

    /// <summary>Packets that passed the format check and that the decoder refused all the same.</summary>
    public long Undecodable { get; private set; }

    public void OnTimeline(long timestamp)
    {
        _decoder.Reset();
        _origin = timestamp;
        _position = 0;
        _sink.OnTimeline(timestamp);
    }

    public void OnPacket(long timestamp, ReadOnlySpan<byte> payload)
    {
        OpusPacket.TryGetDuration(payload, out int ticks);
        long end = SampleAt(timestamp + ticks);
        // Opus frames are multiples of 2.5 ms, so this is 0 unless a sender's clock is off the grid.
        FillSilence(SampleAt(timestamp));
        if (!_decoder.TryDecode(payload, _pcm, out int samples))
        {
            Undecodable++;
            _decoder.Conceal(_pcm.AsSpan(0, samples = ticks / TicksPerSample));
        }

        Deliver(_pcm.AsSpan(0, (int)Math.Clamp(end - _position, 0, samples)));
    }

    public void OnLoss(long timestamp, int ticks, ReadOnlySpan<byte> next)
    {
        FillSilence(SampleAt(timestamp));
        int samples = (int)Math.Min(SampleAt(timestamp + ticks) - _position, _pcm.Length);
        if (samples <= 0)
            return;
        Span<short> pcm = _pcm.AsSpan(0, samples);
        _decoder.Recover(next, pcm);
        Deliver(pcm);
    }

    public void OnGap(long timestamp, long ticks)
    {
        long end = SampleAt(timestamp + ticks);
        if (end - _position <= LongSilence)
        {
            FillSilence(end);
            return;
        }

        FillSilence(_position + LongSilence);
        long skipped = end - _position;
        _position = end;
        _sink.OnSkip(skipped);
    }

    public void Dispose() => _decoder.Dispose();

    private long SampleAt(long timestamp) => (timestamp - _origin) / TicksPerSample;

    private void FillSilence(long until)
    {
        while (_position < until)
            Deliver(_silence.AsSpan(0, (int)Math.Min(until - _position, _silence.Length)));
    }

    private void Deliver(ReadOnlySpan<short> samples)
    {
        if (samples.IsEmpty)
            return;
        _position += samples.Length;
        _sink.OnAudio(samples);
    }
}
