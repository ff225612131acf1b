using System.Diagnostics;
using Transcribe.AiGateway.Audio;
using Transcribe.AiGateway.Recognition;
using Transcribe.AiGateway.Vad;
using Transcribe.Cluster.Captions;
using Transcribe.Rtc;
using Transcribe.Rtc.Codecs;

namespace Transcribe.AiGateway.Captions;

/// <summary>Receives a track's captions, during the calls into <see cref="CaptionTrack"/>.</summary>
internal interface ICaptionSink
{
    void OnCaption(CaptionMessage caption);

    /// <summary>The engine failed on an utterance of this track. What was shown of it became final; the next one gets a new session.</summary>
    void OnRecognitionFailed(string track, Exception error);
}

/// <summary>
/// One microphone track from RTP packets to captions. No sockets, threads or clocks: packets come with their arrival
/// instants, captions leave by the sink during the call. One thread at a time.
/// </summary>
internal sealed class CaptionTrack : ITrackAudioSink, IUtteranceSink, IDisposable
{
    /// <summary>A place to go on from that is further ahead belongs to another timeline.</summary>
    private const int MaxResume = 60 * OpusPacket.ClockRate;

    private readonly CaptionTrackInfo _info;
    private readonly ISpeechRecognizer _recognizer;
    private readonly ICaptionSink _sink;
    private readonly CaptionTrackOptions _options;
    private readonly SegmentId _segmentIds;
    private readonly TrackDecoder _decoder;
    private readonly JitterBuffer _jitter;
    private readonly UtteranceSegmenter _segmenter;
    private readonly int _interimSamples;
    private uint _ssrc;
    private long _origin;
    private Instant _lastArrival = Instant.Never;
    private (DateTimeOffset Time, uint Timestamp)? _senderReport;
    private IRecognitionSession? _session;
    private Utterance? _utterance;
    private int _fed;
    private int _sinceInterim;
    private CaptionLoad _load;
    private uint? _resumeAt;

    public CaptionTrack(
        CaptionTrackInfo info, ISpeechRecognizer recognizer, IVoiceActivityDetector vad, IAudioDecoder decoder, ICaptionSink sink,
        TimeProvider clock, CaptionTrackOptions? options = null)
    {
        _info = info;
        _recognizer = recognizer;
        _sink = sink;
        _options = options ?? new CaptionTrackOptions();
        _segmentIds = new SegmentId(clock);
        _decoder = new TrackDecoder(decoder, this);
        _jitter = new JitterBuffer(_decoder, _options.Jitter);
        SegmenterOptions segmenter = _options.Segmenter;
        if (segmenter.MaxLength > recognizer.Traits.MaxUtterance)
        {
            segmenter = segmenter with
            {
                MaxLength = recognizer.Traits.MaxUtterance,
                SoftLength = TimeSpan.FromTicks(Math.Min(segmenter.SoftLength.Ticks, recognizer.Traits.MaxUtterance.Ticks / 2)),
            };
        }

        _segmenter = new UtteranceSegmenter(vad, this, segmenter);
        _interimSamples = (int)(recognizer.Traits.InterimInterval.TotalSeconds * TrackDecoder.SampleRate);
    }

    /// <summary>Somebody is speaking: an utterance has begun and not ended.</summary>
    public bool IsSpeaking => _segmenter.IsOpen;

    /// <summary>When <see cref="HandleTimeout"/> has something to do.</summary>
    public Instant NextTimeout => Instant.Min(
        _jitter.NextTimeout, _segmenter.IsOpen && _lastArrival != Instant.Never ? _lastArrival + _options.IdleClose : Instant.Never);

    /// <summary>Set by the owner from its backlog.</summary>
    public CaptionLoad Load
    {
        get => _load;
        set
        {
            _load = value;
            _segmenter.Patience = value == CaptionLoad.LengthenUtterances ? 1.8 : 1;
        }
    }

    public JitterBuffer Jitter => _jitter;

    /// <summary>Interim passes left out under load, or for want of a free decoder.</summary>
    public long DroppedInterims { get; private set; }

    /// <summary>Time spent in the engine, in stopwatch ticks.</summary>
    public long RecognitionTicks { get; private set; }

    public void Push(Instant arrival, uint ssrc, ushort sequence, uint timestamp, ReadOnlySpan<byte> payload)
    {
        HandleTimeout(arrival);
        _lastArrival = arrival;
        if (_ssrc != ssrc)
        {
            // What is open belongs to the old source, and is named after it.
            Flush(arrival);
            _ssrc = ssrc;
        }

        _jitter.Push(arrival, ssrc, sequence, timestamp, payload);
    }

    /// <summary>
    /// Before the first packet: what is said before this RTP timestamp is transcribed already. It only tunes the decoder and the
    /// voice detector.
    /// </summary>
    public void ResumeAt(uint timestamp) => _resumeAt = timestamp;

    /// <summary>The publisher's own mapping of wall clock and RTP clock, from an RTCP sender report.</summary>
    public void SetSenderReport(DateTimeOffset time, uint timestamp) => _senderReport = (time, timestamp);

    public void HandleTimeout(Instant now)
    {
        _jitter.HandleTimeout(now);
        if (_segmenter.IsOpen && _lastArrival != Instant.Never && now >= _lastArrival + _options.IdleClose)
            _segmenter.Close();
    }

    /// <summary>The track ends, or pauses: everything heard so far becomes final.</summary>
    public void Flush(Instant now)
    {
        _jitter.Drain(now);
        _segmenter.Close();
    }

    public void Dispose()
    {
        _session?.Dispose();
        _segmenter.Dispose();
        _decoder.Dispose();
    }

    void ITrackAudioSink.OnTimeline(long timestamp)
    {
        _segmenter.Reset();
        _origin = timestamp;
        if (_resumeAt is not { } resume)
            return;
        _resumeAt = null;
        int ahead = (int)(resume - (uint)timestamp);
        if (ahead is > 0 and < MaxResume)
            _segmenter.WarmUntil(ahead / TrackDecoder.TicksPerSample);
    }

    void ITrackAudioSink.OnAudio(ReadOnlySpan<short> samples) => _segmenter.Feed(samples);

    void ITrackAudioSink.OnSkip(long samples) => _segmenter.Skip(samples);

    void IUtteranceSink.OnUtteranceStarted(long speechStart, long audioStart)
    {
        _utterance = new Utterance(_segmentIds.Next(), speechStart, audioStart, new StableText(_recognizer.Traits.Agreement));
        _fed = 0;
        _sinceInterim = 0;
        try
        {
            _session = _recognizer.OpenSession(new(_info.Language, _info.Track));
        }
        catch (Exception e)
        {
            _sink.OnRecognitionFailed(_info.Track, e);
        }
    }

    void IUtteranceSink.OnUtteranceAudio(ReadOnlySpan<short> samples)
    {
        _fed += samples.Length;
        _sinceInterim += samples.Length;
        if (_session is null)
            return; // it failed on this utterance
        long started = Stopwatch.GetTimestamp();
        RecognitionResult? interim = null;
        try
        {
            _session.Feed(samples);
            if (_sinceInterim >= _interimSamples)
            {
                _sinceInterim = 0;
                interim = Load == CaptionLoad.Normal ? _session.Interim() : null;
                DroppedInterims += interim is null ? 1 : 0;
            }
        }
        catch (Exception e)
        {
            Fail(e);
        }

        RecognitionTicks += Stopwatch.GetTimestamp() - started;
        if (interim is not null)
            Publish(interim, final: false, _utterance!.AudioStart + _fed);
    }

    void IUtteranceSink.OnUtteranceEnded(long speechEnd, long cut)
    {
        long started = Stopwatch.GetTimestamp();
        RecognitionResult? result = null;
        try
        {
            result = _session?.Finish((int)Math.Min(cut - _utterance!.AudioStart, _fed));
            _session?.Dispose();
            _session = null;
        }
        catch (Exception e)
        {
            Fail(e);
        }

        RecognitionTicks += Stopwatch.GetTimestamp() - started;
        Publish(result ?? new(_utterance!.Words), final: true, speechEnd);
        _utterance = null;
    }

    /// <summary>An engine's error costs the rest of one utterance, and nothing else.</summary>
    private void Fail(Exception error)
    {
        IRecognitionSession? session = _session;
        _session = null;
        _sink.OnRecognitionFailed(_info.Track, error);
        try
        {
            session?.Dispose();
        }
        catch (Exception e)
        {
            _sink.OnRecognitionFailed(_info.Track, e);
        }
    }

    private void Publish(RecognitionResult result, bool final, long end)
    {
        Utterance utterance = _utterance!;
        IReadOnlyList<RecognizedWord> words = final ? utterance.Stable.Complete(result.Words) : utterance.Stable.Update(result.Words);
        string text = WordText.Join(words);
        int stable = final ? text.Length : utterance.Stable.Stable.Length;
        if (utterance.Revision == 0 ? text.Length == 0 : !final && text == utterance.Text && stable == utterance.StableLength)
            return; // nothing to say (yet), or nothing new
        utterance.Words = words;
        utterance.Text = text;
        utterance.StableLength = stable;
        utterance.Revision++;

        uint start = ToRtp(utterance.SpeechStart);
        long last = Math.Max(end, utterance.SpeechStart + 1);
        var captionWords = new CaptionWord[words.Count];
        long previous = utterance.SpeechStart;
        for (int i = 0; i < words.Count; i++)
        {
            // Words keep inside the segment and in order, whatever the engine says.
            long from = Math.Clamp(utterance.AudioStart + words[i].Start, previous, last);
            long to = Math.Clamp(utterance.AudioStart + words[i].End, from, last);
            captionWords[i] = new(words[i].Text, ToRtp(from), ToRtp(to), MathF.Round(words[i].Probability, 3));
            previous = from;
        }

        _sink.OnCaption(new CaptionMessage(
            _info.Room, _info.Participant, _info.Track, utterance.Id, utterance.Revision, final, _info.Language, text, stable,
            new CaptionRtp(_info.PublisherSsrc ?? _ssrc, OpusPacket.ClockRate, start, ToRtp(last)),
            captionWords, ToNtp(start, ToRtp(last)), _recognizer.Name));
    }

    private uint ToRtp(long sample) => (uint)(_origin + (sample * TrackDecoder.TicksPerSample));

    private CaptionNtp? ToNtp(uint start, uint end) =>
        _senderReport is { } report
            ? new(report.Time.AddSeconds((int)(start - report.Timestamp) / (double)OpusPacket.ClockRate),
                report.Time.AddSeconds((int)(end - report.Timestamp) / (double)OpusPacket.ClockRate))
            : null;

    private sealed class Utterance(string id, long speechStart, long audioStart, StableText stable)
    {
        public string Id { get; } = id;

        public long SpeechStart { get; } = speechStart;

        public long AudioStart { get; } = audioStart;

        public StableText Stable { get; } = stable;

        public int Revision { get; set; }

        public string Text { get; set; } = "";

        public IReadOnlyList<RecognizedWord> Words { get; set; } = [];

        public int StableLength { get; set; }
    }
}
