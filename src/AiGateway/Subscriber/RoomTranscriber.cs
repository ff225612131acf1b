using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Transcribe.AiGateway.Audio;
using Transcribe.AiGateway.Captions;
using Transcribe.AiGateway.Claims;
using Transcribe.AiGateway.Recognition;
using Transcribe.AiGateway.Takeover;
using Transcribe.AiGateway.Vad;
using Transcribe.Cluster.Captions;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Cluster.Transcripts;
using Transcribe.Rtc;
using Transcribe.Rtc.Codecs;

namespace Transcribe.AiGateway.Subscriber;

/// <summary>What all rooms of a gateway share.</summary>
internal sealed record TranscriberServices(
    IRoomConnector Connector, CaptionWorkers Workers, IVoiceActivityDetectorFactory Vad, Func<IAudioDecoder> CreateDecoder,
    ITranscriptStore Transcripts, TranscriptBacklog Backlog, ITrackHistories Histories, GatewayMetrics Metrics, TimeProvider Clock, ILogger Log);

/// <summary>What is to be transcribed, and how.</summary>
internal sealed record TranscriptionTask(RoomLease Lease, string Language, ISpeechRecognizer Recognizer, CaptionTrackOptions Tracks, RoomProgress Progress)
{
    public string Room => Lease.Room;
}

/// <summary>One stay in a room: a hidden subscriber, a <see cref="TrackWorker"/> for each microphone, and the way back.</summary>
internal sealed partial class RoomTranscriber : IRoomObserver, ICaptionSink, IAsyncDisposable
{
    /// <summary>How long a first live packet is waited for before the kept ones are asked for.</summary>
    private static readonly TimeSpan FirstPacketPatience = TimeSpan.FromMilliseconds(250);

    /// <summary>How long the transcript is tried to be read.</summary>
    private static readonly TimeSpan PastPatience = TimeSpan.FromSeconds(5);

    /// <summary>Sound from before the place where recognition goes on: it tunes the decoder and the voice detector.</summary>
    private const uint WarmUp = 2 * OpusPacket.ClockRate;

    private readonly TranscriberServices _services;
    private readonly TranscriptionTask _task;
    private readonly TimeSpan _flushTimeout;
    private readonly ConcurrentDictionary<string, TrackIntake> _tracks = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<TrackIntake, bool> _ending = new();
    private readonly TaskCompletionSource<string> _closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource<TranscriptPast?> _past = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _leaving = new();
    private readonly ConcurrentQueue<CaptionMessage> _early = new();
    private volatile CaptionOutbox? _outbox;
    private IRoomConnection? _connection;
    private volatile bool _stopping;
    private bool _flushed;

    private RoomTranscriber(TranscriberServices services, TranscriptionTask task, TimeSpan flushTimeout)
    {
        _services = services;
        _task = task;
        _flushTimeout = flushTimeout;
    }

    /// <summary>Ends with the reason when the room is left, from whichever side.</summary>
    public Task<string> Closed => _closed.Task;

    private string Room => _task.Room;

    /// <summary>Joins the room and starts.</summary>
    /// <exception cref="RoomConnectionException">The room could not be joined.</exception>
    public static async Task<RoomTranscriber> StartAsync(
        TranscriberServices services, TranscriptionTask task, TimeSpan flushTimeout, CancellationToken cancellationToken)
    {
        var transcriber = new RoomTranscriber(services, task, flushTimeout);
        try
        {
            Task<TranscriptPast?> past = transcriber.ReadPastAsync();
            transcriber._connection = await services.Connector.ConnectAsync(task.Room, transcriber, cancellationToken).ConfigureAwait(false);
            var outbox = new CaptionOutbox(
                transcriber._connection, task.Lease, services.Transcripts, services.Backlog, services.Metrics, services.Log, services.Clock)
            {
                Disconnected = transcriber._closed.Task.IsCompleted,
            };
            transcriber._outbox = outbox;
            while (transcriber._early.TryDequeue(out CaptionMessage? caption))
                outbox.Post(caption);
            _ = transcriber.UsePastAsync(past, outbox);
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
            new(Room, track.Participant, track.Id, _task.Language, track.Ssrc), _task.Recognizer, _services.Vad.Create(), _services.CreateDecoder(), this,
            _services.Clock, _task.Tracks);
        var worker = new TrackWorker(captionTrack, _services.Workers, _services.Clock, _services.Metrics);
        var intake = new TrackIntake(track.Id, worker, track.Ssrc, _services.Metrics);
        _ = WatchAsync(intake);
        if (_tracks.TryRemove(track.Id, out TrackIntake? old))
            End(old);
        Task[] before = [.. _ending.Keys.Where(other => other.Track == track.Id).Select(other => other.Completion)];
        _tracks[track.Id] = intake;
        _ = BeginAsync(intake, track, before);
    }

    void IRoomObserver.OnTrackEnded(string trackId)
    {
        if (_tracks.TryRemove(trackId, out TrackIntake? intake))
            End(intake);
    }

    void IRoomObserver.OnRtp(string trackId, uint ssrc, ushort sequence, uint timestamp, ReadOnlySpan<byte> payload, Instant arrival)
    {
        if (_tracks.TryGetValue(trackId, out TrackIntake? intake))
            intake.Push(ssrc, sequence, timestamp, payload, arrival);
    }

    void IRoomObserver.OnSenderClock(string trackId, DateTimeOffset wallClock, uint timestamp)
    {
        if (_tracks.TryGetValue(trackId, out TrackIntake? intake))
            intake.SetSenderClock(wallClock, timestamp);
    }

    void IRoomObserver.OnForeignCaption() => _task.Lease.OnForeignCaption();

    void IRoomObserver.OnMoved() => _outbox?.RepeatSent();

    void IRoomObserver.OnClosed(string reason)
    {
        if (_outbox is { } outbox)
            outbox.Disconnected = true;
        _closed.TrySetResult(reason);
    }

    void ICaptionSink.OnCaption(CaptionMessage caption)
    {
        if (caption.Final)
            _task.Progress.OnFinal(caption, _services.Clock.GetUtcNow());
        if (_outbox is { } outbox)
            outbox.Post(caption);
        else
            _early.Enqueue(caption); // between the join and its return: a moment
    }

    void ICaptionSink.OnRecognitionFailed(string track, Exception error)
    {
        _services.Metrics.UtterancesFailed.Add(1);
        LogUtteranceFailed(_services.Log, track, Room, error);
    }

    /// <summary>
    /// Comes to an end such that another gateway can go on: every track ends where its speaker pauses, and who speaks on and on is cut after a
    /// while. When this returns, all is said and delivered that will be; the room is still to be left.
    /// </summary>
    /// <param name="patience">How long speakers are waited for.</param>
    /// <param name="hurry">Ends the waiting.</param>
    public async Task HandOverAsync(TimeSpan patience, CancellationToken hurry)
    {
        _stopping = true;
        TrackIntake[] tracks = [.. _tracks.Values];
        foreach (TrackIntake intake in tracks)
            intake.CompleteAtPause();
        await Task.WhenAny(Task.WhenAll(tracks.Select(intake => intake.Completion)), Task.Delay(patience, _services.Clock, hurry)).ConfigureAwait(false);
        await FlushAsync().ConfigureAwait(false);
    }

    /// <summary>Flushes the last words, delivers them, and leaves. Where the room is another gateway's, it leaves without a word.</summary>
    public async ValueTask DisposeAsync()
    {
        await FlushAsync().ConfigureAwait(false);
        if (_connection is { } connection)
            await connection.DisposeAsync().ConfigureAwait(false);
        _closed.TrySetResult("left");
        _leaving.Dispose();
    }

    private async Task FlushAsync()
    {
        if (_flushed)
            return;
        _flushed = true;
        _stopping = true;
        bool lost = _task.Lease.Right == PublishRight.Lost;
        foreach (TrackIntake intake in _tracks.Values)
        {
            if (lost)
                intake.Abandon();
        }

        foreach (string id in _tracks.Keys)
            ((IRoomObserver)this).OnTrackEnded(id);
        if (_outbox is null)
            _past.TrySetResult(null);
        Task flushed = Task.WhenAll(_ending.Keys.Select(intake => intake.Completion));
        // A failed track was logged by its watcher.
        await Task.WhenAny(flushed, Task.Delay(_flushTimeout, _services.Clock)).ConfigureAwait(false);
        await _leaving.CancelAsync().ConfigureAwait(false);
        _past.TrySetResult(null);
        if (_outbox is { } outbox)
        {
            await outbox.CompleteAsync(_flushTimeout).ConfigureAwait(false);
            await outbox.DisposeAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Becomes the transcript's writer, and then reads what was written: nobody else's final can come after that.</summary>
    private async Task<TranscriptPast?> ReadPastAsync()
    {
        Instant end = Instant.Of(_services.Clock) + PastPatience;
        while (true)
        {
            try
            {
                await _services.Transcripts.OpenAsync(Room, _task.Lease.Writer, _leaving.Token).ConfigureAwait(false);
                return await TranscriptPast.ReadAsync(_services.Transcripts, Room, _services.Clock.GetUtcNow(), _leaving.Token).ConfigureAwait(false);
            }
            catch (Exception e)
            {
                if (_leaving.IsCancellationRequested || Instant.Of(_services.Clock) > end)
                {
                    if (!_stopping)
                        LogNoPast(_services.Log, Room, e);
                    return null;
                }
            }

            await Task.Delay(TimeSpan.FromMilliseconds(200), _services.Clock, CancellationToken.None).ConfigureAwait(false);
        }
    }

    private async Task UsePastAsync(Task<TranscriptPast?> reading, CaptionOutbox outbox)
    {
        TranscriptPast? past = await reading.ConfigureAwait(false);
        foreach (CaptionMessage final in past?.Recent ?? [])
            outbox.Repeat(final);
        _past.TrySetResult(past);
    }

    /// <summary>Goes on where the recognition of the track ended, by whomever, and over to what arrives now.</summary>
    private async Task BeginAsync(TrackIntake intake, TrackInfo track, Task[] before)
    {
        uint? resumeAt = null;
        TrackHistory? history = null;
        try
        {
            // With the first live packet at hand, what is kept reaches at least up to it.
            await Task.WhenAny(intake.First, Task.Delay(FirstPacketPatience, _services.Clock)).ConfigureAwait(false);
            if (before.Length > 0)
                await Task.WhenAny(Task.WhenAll(before), Task.Delay(_flushTimeout, _services.Clock)).ConfigureAwait(false);
            TranscriptPast? past = await _past.Task.ConfigureAwait(false);
            if (past is not null)
            {
                resumeAt = past.ResumeAt(track.Id, _task.Progress, _services.Clock.GetUtcNow());
                history = await _services.Histories.ReadAsync(track, resumeAt - WarmUp, _leaving.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (_leaving.IsCancellationRequested)
        {
            // What is held is flushed all the same.
            history = null;
        }
        catch (Exception e)
        {
            LogNoReplay(_services.Log, track.Id, Room, e);
        }

        if (history is not null && !string.Equals(history.Codec, "opus", StringComparison.OrdinalIgnoreCase))
            history = null;
        if (history is { Packets.Count: > 0 } && resumeAt is { } from && (int)(history.Packets[0].Timestamp - from) is > OpusPacket.ClockRate and var gap)
            LogGap(_services.Log, track.Id, Room, gap / (double)OpusPacket.ClockRate);
        int replayed = intake.Begin(history, resumeAt, Instant.Of(_services.Clock));
        if (replayed == 0)
            return;
        _services.Metrics.PacketsReplayed.Add(replayed);
        LogReplayed(_services.Log, track.Id, Room, replayed);
    }

    private void End(TrackIntake intake)
    {
        _ending[intake] = true;
        intake.Complete();
    }

    private async Task WatchAsync(TrackIntake intake)
    {
        try
        {
            await intake.Completion.ConfigureAwait(false);
        }
        catch (Exception e)
        {
            _services.Metrics.TracksFailed.Add(1);
            LogTrackFailed(_services.Log, intake.Track, Room, e);
            _tracks.TryRemove(new KeyValuePair<string, TrackIntake>(intake.Track, intake));
        }

        _ending.TryRemove(intake, out _);
    }

    [LoggerMessage(6210, LogLevel.Error, "Captions of track {Track} in room {Room} ended by an error; the other tracks go on")]
    private static partial void LogTrackFailed(ILogger logger, string track, string room, Exception error);

    [LoggerMessage(6211, LogLevel.Error, "The speech engine failed on an utterance of track {Track} in room {Room}")]
    private static partial void LogUtteranceFailed(ILogger logger, string track, string room, Exception error);

    [LoggerMessage(6212, LogLevel.Warning, "The transcript of room {Room} could not be read: captions begin with what is said now")]
    private static partial void LogNoPast(ILogger logger, string room, Exception error);

    [LoggerMessage(6213, LogLevel.Warning, "The last seconds of track {Track} in room {Room} could not be had: its captions begin with what is said now")]
    private static partial void LogNoReplay(ILogger logger, string track, string room, Exception error);

    [LoggerMessage(6214, LogLevel.Information, "Track {Track} in room {Room}: {Seconds:0.0} s between its last final and the first sound that is kept; what was said there, if anything, is lost")]
    private static partial void LogGap(ILogger logger, string track, string room, double seconds);

    [LoggerMessage(6215, LogLevel.Debug, "Track {Track} in room {Room} goes on with {Packets} packets that were kept")]
    private static partial void LogReplayed(ILogger logger, string track, string room, int packets);
}
