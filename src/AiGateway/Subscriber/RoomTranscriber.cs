using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Transcribe.AiGateway.Audio;
using Transcribe.AiGateway.Captions;
using Transcribe.AiGateway.Recognition;
using Transcribe.AiGateway.Vad;
using Transcribe.Cluster.Captions;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Transcripts;
using Transcribe.Rtc;

namespace Transcribe.AiGateway.Subscriber;

/// <summary>What all rooms of a gateway share.</summary>
internal sealed record TranscriberServices(
    IRoomConnector Connector, CaptionWorkers Workers, IVoiceActivityDetectorFactory Vad, Func<IAudioDecoder> CreateDecoder,
    ITranscriptStore Transcripts, GatewayMetrics Metrics, TimeProvider Clock, ILogger Log);

/// <summary>One room being captioned: a hidden subscriber, a <see cref="TrackWorker"/> for each microphone, and the way back.</summary>
internal sealed partial class RoomTranscriber : IRoomObserver, ICaptionSink, IAsyncDisposable
{
    private readonly TranscriberServices _services;
    private readonly string _room;
    private readonly string _language;
    private readonly ISpeechRecognizer _recognizer;
    private readonly CaptionTrackOptions _trackOptions;
    private readonly ConcurrentDictionary<string, TrackWorker> _tracks = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<TrackWorker, bool> _ending = new();
    private readonly TaskCompletionSource<string> _closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TimeSpan _flushTimeout;
    private readonly ConcurrentQueue<CaptionMessage> _early = new();
    private volatile CaptionOutbox? _outbox;
    private IRoomConnection? _connection;
    private volatile bool _stopping;

    private RoomTranscriber(
        TranscriberServices services, string room, string language, ISpeechRecognizer recognizer, CaptionTrackOptions trackOptions, TimeSpan flushTimeout)
    {
        _services = services;
        _room = room;
        _language = language;
        _recognizer = recognizer;
        _trackOptions = trackOptions;
        _flushTimeout = flushTimeout;
    }

    /// <summary>Ends with the reason when the room is left, from whichever side.</summary>
    public Task<string> Closed => _closed.Task;

    /// <summary>Joins the room and starts.</summary>
    /// <exception cref="RoomConnectionException">The room could not be joined.</exception>
    public static async Task<RoomTranscriber> StartAsync(
        TranscriberServices services, string room, string language, ISpeechRecognizer recognizer, CaptionTrackOptions trackOptions,
        TimeSpan flushTimeout, CancellationToken cancellationToken)
    {
        var transcriber = new RoomTranscriber(services, room, language, recognizer, trackOptions, flushTimeout);
        try
        {
            transcriber._connection = await services.Connector.ConnectAsync(room, transcriber, cancellationToken).ConfigureAwait(false);
            transcriber._outbox = new CaptionOutbox(transcriber._connection, services.Transcripts, services.Metrics, services.Log, services.Clock)
            {
                Disconnected = transcriber._closed.Task.IsCompleted,
            };
            while (transcriber._early.TryDequeue(out CaptionMessage? caption))
                transcriber._outbox.Post(caption);
            return transcriber;
        }
        catch
        {
            await transcriber.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    void IRoomObserver.OnTrackStarted(TrackInfo track)
    {
        if (_stopping || track.Kind != TrackKind.Audio || track.Source is TrackSource.ScreenAudio)
            return;
        var captionTrack = new CaptionTrack(
            new(_room, track.Participant, track.Id, _language, track.Ssrc), _recognizer, _services.Vad.Create(), _services.CreateDecoder(), this,
            _services.Clock, _trackOptions);
        var worker = new TrackWorker(captionTrack, _services.Workers, _services.Clock, _services.Metrics);
        _ = WatchAsync(worker, track.Id);
        if (_tracks.TryRemove(track.Id, out TrackWorker? old))
            End(old);
        _tracks[track.Id] = worker;
    }

    void IRoomObserver.OnTrackEnded(string trackId)
    {
        if (_tracks.TryRemove(trackId, out TrackWorker? worker))
            End(worker);
    }

    void IRoomObserver.OnRtp(string trackId, uint ssrc, ushort sequence, uint timestamp, ReadOnlySpan<byte> payload, Instant arrival)
    {
        if (_tracks.TryGetValue(trackId, out TrackWorker? worker))
            worker.Enqueue(ssrc, sequence, timestamp, payload, arrival);
    }

    void IRoomObserver.OnSenderClock(string trackId, DateTimeOffset wallClock, uint timestamp)
    {
        if (_tracks.TryGetValue(trackId, out TrackWorker? worker))
            worker.SetSenderClock(wallClock, timestamp);
    }

    void IRoomObserver.OnClosed(string reason)
    {
        if (_outbox is { } outbox)
            outbox.Disconnected = true;
        _closed.TrySetResult(reason);
    }

    void ICaptionSink.OnCaption(CaptionMessage caption)
    {
        if (_outbox is { } outbox)
            outbox.Post(caption);
        else
            _early.Enqueue(caption); // between the join and its return: a moment
    }

    void ICaptionSink.OnRecognitionFailed(string track, Exception error)
    {
        _services.Metrics.UtterancesFailed.Add(1);
        LogUtteranceFailed(_services.Log, track, _room, error);
    }

    /// <summary>Flushes the last words, delivers them, and leaves.</summary>
    public async ValueTask DisposeAsync()
    {
        _stopping = true;
        foreach (string id in _tracks.Keys)
            ((IRoomObserver)this).OnTrackEnded(id);
        Task flushed = Task.WhenAll(_ending.Keys.Select(worker => worker.Completion));
        // A failed track was logged by its watcher.
        await Task.WhenAny(flushed, Task.Delay(_flushTimeout, _services.Clock)).ConfigureAwait(false);
        if (_outbox is { } outbox)
        {
            await outbox.CompleteAsync(_flushTimeout).ConfigureAwait(false);
            await outbox.DisposeAsync().ConfigureAwait(false);
        }

        if (_connection is { } connection)
            await connection.DisposeAsync().ConfigureAwait(false);
        _closed.TrySetResult("left");
    }

    private void End(TrackWorker worker)
    {
        _ending[worker] = true;
        worker.Complete();
    }

    private async Task WatchAsync(TrackWorker worker, string trackId)
    {
        try
        {
            await worker.Completion.ConfigureAwait(false);
        }
        catch (Exception e)
        {
            _services.Metrics.TracksFailed.Add(1);
            LogTrackFailed(_services.Log, trackId, _room, e);
            _tracks.TryRemove(new KeyValuePair<string, TrackWorker>(trackId, worker));
        }

        _ending.TryRemove(worker, out _);
    }

    [LoggerMessage(6211, LogLevel.Error, "The speech engine failed on an utterance of track {Track} in room {Room}")]
    private static partial void LogUtteranceFailed(ILogger logger, string track, string room, Exception error);

    [LoggerMessage(6210, LogLevel.Error, "Captions of track {Track} in room {Room} ended by an error; the other tracks go on")]
    private static partial void LogTrackFailed(ILogger logger, string track, string room, Exception error);
}
