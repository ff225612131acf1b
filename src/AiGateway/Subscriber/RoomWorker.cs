using Microsoft.Extensions.Logging;
using Transcribe.AiGateway.Captions;
using Transcribe.AiGateway.Claims;
using Transcribe.AiGateway.Recognition;
using Transcribe.AiGateway.Takeover;
using Transcribe.Cluster.Rooms;

namespace Transcribe.AiGateway.Subscriber;

/// <summary>
/// Keeps one claimed room captioned: joins, reports the engine, starts again after a failure or with other settings, and
/// gives everything back when stopped. Ends by itself when the room is lost, or cannot be joined from here.
/// </summary>
internal sealed partial class RoomWorker : IAsyncDisposable
{
    private static readonly TimeSpan FirstRetry = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan LastRetry = TimeSpan.FromSeconds(15);

    /// <summary>Joins that fail in a row until another gateway may try.</summary>
    private const int MaxFailures = 5;

    private readonly RoomLease _lease;
    private readonly AiGatewayOptions _options;
    private readonly TranscriberServices _services;
    private readonly RecognizerProvider _recognizers;
    private readonly IRoomDirectory _rooms;
    private readonly RoomProgress _progress = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly ILogger _log;
    private volatile TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Action<string>? _released;
    private readonly TaskCompletionSource<TimeSpan> _handOver = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile TranscriptionState _settings;
    private bool _isReleased;

    /// <param name="released">Told, once, that the room is anybody's to claim.</param>
    public RoomWorker(
        RoomLease lease, TranscriptionState settings, AiGatewayOptions options, TranscriberServices services, RecognizerProvider recognizers,
        IRoomDirectory rooms, Action<string>? released = null)
    {
        _lease = lease;
        _settings = settings;
        _options = options;
        _services = services;
        _recognizers = recognizers;
        _rooms = rooms;
        _released = released;
        _log = services.Log;
        Completion = Task.Run(RunAsync);
    }

    /// <summary>What the room's admin asked for.</summary>
    public TranscriptionState Settings => _settings;

    /// <summary>Ends when the room is left for good.</summary>
    public Task Completion { get; }

    /// <summary>The room could not be joined from here: somebody else should try.</summary>
    public bool GaveUp { get; private set; }

    private string Room => _lease.Room;

    /// <summary>Goes on with another engine or language.</summary>
    public void Change(TranscriptionState settings)
    {
        bool same = settings.Engine == _settings.Engine && settings.Language == _settings.Language;
        _settings = settings;
        if (!same)
            _changed.TrySetResult();
    }

    /// <summary>Leaves the room to another gateway, at a moment at which that one can go on. <see cref="Completion"/> ends soon.</summary>
    /// <param name="patience">How long people who are speaking may speak on.</param>
    public void HandOver(TimeSpan patience) => _handOver.TrySetResult(patience);

    /// <summary>Leaves the room.</summary>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await Completion.ConfigureAwait(false);
        _stop.Dispose();
    }

    private async Task RunAsync()
    {
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
        CancellationToken end = ended.Token;
        _ = _lease.Lost.ContinueWith(_ => CancelQuietly(ended), TaskScheduler.Default);
        TimeSpan retry = FirstRetry;
        int failures = 0;
        while (!end.IsCancellationRequested && failures < MaxFailures && !_handOver.Task.IsCompleted)
        {
            _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
            try
            {
                await CaptionAsync(end).ConfigureAwait(false);
                retry = FirstRetry;
                failures = 0;
            }
            catch (OperationCanceledException) when (end.IsCancellationRequested)
            {
                break;
            }
            catch (RecognizerUnavailableException e)
            {
                LogUnavailable(_log, Room, e.Message);
                await ReportAsync(null, e.Message).ConfigureAwait(false);
            }
            catch (RoomConnectionException e)
            {
                failures++;
                LogNotJoined(_log, Room, e.Message);
            }
            catch (Exception e)
            {
                failures++;
                LogFailed(_log, Room, e);
            }

            if (_handOver.Task.IsCompleted)
                break;
            await Task.WhenAny(Task.Delay(retry, _services.Clock, end), _changed.Task, _handOver.Task).ConfigureAwait(false);
            retry = retry * 2 < LastRetry ? retry * 2 : LastRetry;
        }

        GaveUp = failures >= MaxFailures;
        if (_lease.Right == PublishRight.Lost)
            _services.Metrics.RoomsLost.Add(1);
        await ReleaseAsync().ConfigureAwait(false);
    }

    private async Task ReleaseAsync()
    {
        if (_isReleased)
            return;
        _isReleased = true;
        await _lease.DisposeAsync().ConfigureAwait(false);
        if (_lease.Right != PublishRight.Lost)
            _released?.Invoke(Room);
    }

    /// <summary>One stay in the room: until stopped, thrown out, changed, handed over, or the room is lost.</summary>
    private async Task CaptionAsync(CancellationToken end)
    {
        TranscriptionState settings = _settings;
        RecognizerChoice choice = _recognizers.Get(settings.Engine, settings.Language);
        var task = new TranscriptionTask(
            _lease, settings.Language, choice.Recognizer, new CaptionTrackOptions { Segmenter = _options.Segmenter }, _progress);
        RoomTranscriber transcriber = await RoomTranscriber.StartAsync(_services, task, _options.FlushTimeout, end).ConfigureAwait(false);
        try
        {
            await ReportAsync(choice.Recognizer.Name, choice.Notice).ConfigureAwait(false);
            _services.Metrics.Rooms.Add(1);
            LogStarted(_log, Room, choice.Recognizer.Name);
            await Task.WhenAny(transcriber.Closed, _changed.Task, _handOver.Task, Task.Delay(Timeout.InfiniteTimeSpan, end)).ConfigureAwait(false);
            _services.Metrics.Rooms.Add(-1);
            if (transcriber.Closed.IsCompleted)
                LogLeft(_log, Room, await transcriber.Closed.ConfigureAwait(false));
            else if (_stop.IsCancellationRequested)
                LogStopped(_log, Room);
            else if (_handOver.Task.IsCompleted && _lease.Right != PublishRight.Lost)
            {
                await transcriber.HandOverAsync(await _handOver.Task.ConfigureAwait(false), end).ConfigureAwait(false);

                // Before goodbyes are said: the next one need not wait for those.
                await ReleaseAsync().ConfigureAwait(false);
                LogHandedOver(_log, Room);
            }
        }
        finally
        {
            await transcriber.DisposeAsync().ConfigureAwait(false);
            if (_lease.Right != PublishRight.Lost && !_isReleased)
                await ReportAsync(null, null).ConfigureAwait(false);
        }
    }

    private static void CancelQuietly(CancellationTokenSource source)
    {
        try
        {
            source.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // The worker ended first.
            return;
        }
    }

    private async Task ReportAsync(string? engine, string? notice)
    {
        try
        {
            await _rooms.ReportTranscriptionAsync(Room, engine, notice, CancellationToken.None).AsTask()
                .WaitAsync(_options.LeaseTime, _services.Clock).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            LogNotReported(_log, Room, e);
        }
    }

    [LoggerMessage(6301, LogLevel.Information, "Captioning room {Room} with {Engine}")]
    private static partial void LogStarted(ILogger logger, string room, string engine);

    [LoggerMessage(6302, LogLevel.Information, "Captioning of room {Room} is switched off")]
    private static partial void LogStopped(ILogger logger, string room);

    [LoggerMessage(6310, LogLevel.Information, "Room {Room} is left to another gateway")]
    private static partial void LogHandedOver(ILogger logger, string room);

    [LoggerMessage(6303, LogLevel.Information, "The gateway is out of room {Room}: {Reason}")]
    private static partial void LogLeft(ILogger logger, string room, string reason);

    [LoggerMessage(6304, LogLevel.Warning, "Room {Room} cannot be captioned: {Reason}")]
    private static partial void LogUnavailable(ILogger logger, string room, string reason);

    [LoggerMessage(6305, LogLevel.Warning, "Room {Room} could not be joined: {Reason}")]
    private static partial void LogNotJoined(ILogger logger, string room, string reason);

    [LoggerMessage(6306, LogLevel.Error, "Captioning of room {Room} failed; trying again")]
    private static partial void LogFailed(ILogger logger, string room, Exception error);

    [LoggerMessage(6309, LogLevel.Warning, "The engine of room {Room} could not be reported")]
    private static partial void LogNotReported(ILogger logger, string room, Exception error);
}
