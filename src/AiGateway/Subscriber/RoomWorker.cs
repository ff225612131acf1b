using Microsoft.Extensions.Logging;
using Transcribe.AiGateway.Captions;
using Transcribe.AiGateway.Recognition;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.State;

namespace Transcribe.AiGateway.Subscriber;

/// <summary>
/// Keeps one room captioned while it should be: claims its lease, joins, reports the engine, starts again after a
/// failure, and gives everything back when stopped.
/// </summary>
internal sealed partial class RoomWorker : IAsyncDisposable
{
    private static readonly TimeSpan FirstRetry = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan LastRetry = TimeSpan.FromSeconds(15);

    private readonly string _room;
    private readonly AiGatewayOptions _options;
    private readonly TranscriberServices _services;
    private readonly RecognizerProvider _recognizers;
    private readonly ILeaseStore _leases;
    private readonly IRoomDirectory _rooms;
    private readonly CancellationTokenSource _stop = new();
    private readonly ILogger _log;
    private readonly Task _predecessor;
    private readonly Task _running;

    public RoomWorker(
        string room, TranscriptionState settings, AiGatewayOptions options, TranscriberServices services, RecognizerProvider recognizers,
        ILeaseStore leases, IRoomDirectory rooms, Task? predecessor = null)
    {
        _room = room;
        Engine = settings.Engine;
        Language = settings.Language;
        _options = options;
        _services = services;
        _recognizers = recognizers;
        _leases = leases;
        _rooms = rooms;
        _log = services.Log;
        _predecessor = predecessor ?? Task.CompletedTask;
        _running = Task.Run(RunAsync);
    }

    public string Engine { get; }

    public string Language { get; }

    /// <summary>Leaves the room.</summary>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        await _running.ConfigureAwait(false);
        _stop.Dispose();
    }

    private async Task RunAsync()
    {
        // The lease is this gateway's, not this object's: who had the room before must have given it back.
        await _predecessor.ConfigureAwait(false);
        TimeSpan retry = FirstRetry;
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                retry = await CaptionAsync().ConfigureAwait(false) ? FirstRetry : _options.LeaseTime / 3;
            }
            catch (OperationCanceledException) when (_stop.IsCancellationRequested)
            {
                break;
            }
            catch (RecognizerUnavailableException e)
            {
                LogUnavailable(_log, _room, e.Message);
                await ReportAsync(null, e.Message).ConfigureAwait(false);
            }
            catch (RoomConnectionException e)
            {
                LogNotJoined(_log, _room, e.Message);
            }
            catch (Exception e)
            {
                LogFailed(_log, _room, e);
            }

            await Task.Delay(retry, _services.Clock, _stop.Token).ContinueWith(_ => { }, TaskScheduler.Default).ConfigureAwait(false);
            retry = retry * 2 < LastRetry ? retry * 2 : LastRetry;
        }
    }

    /// <summary>One stay in the room; true if it was joined.</summary>
    private async Task<bool> CaptionAsync()
    {
        Lease? lease = await _leases.TryAcquireAsync($"gateway:{_room}", _options.Node, _options.LeaseTime, _stop.Token).ConfigureAwait(false);
        if (lease is null)
            return false; // another gateway has it
        bool reported = false;
        try
        {
            RecognizerChoice choice = _recognizers.Get(Engine, Language);
            await using RoomTranscriber transcriber = await RoomTranscriber.StartAsync(
                _services, _room, Language, choice.Recognizer, new CaptionTrackOptions { Segmenter = _options.Segmenter }, _options.FlushTimeout,
                _stop.Token).ConfigureAwait(false);
            await ReportAsync(choice.Recognizer.Name, choice.Notice).ConfigureAwait(false);
            reported = true;
            _services.Metrics.Rooms.Add(1);
            LogStarted(_log, _room, choice.Recognizer.Name);
            try
            {
                lease = await StayAsync(transcriber, lease).ConfigureAwait(false);
            }
            finally
            {
                _services.Metrics.Rooms.Add(-1);
            }
        }
        finally
        {
            if (lease is not null)
            {
                if (reported)
                    await ReportAsync(null, null).ConfigureAwait(false);
                await _leases.ReleaseAsync(lease, CancellationToken.None).ConfigureAwait(false);
            }
        }

        return true;
    }

    /// <summary>Until stopped, thrown out, or the lease is lost; returns the lease where it is still ours.</summary>
    private async Task<Lease?> StayAsync(RoomTranscriber transcriber, Lease lease)
    {
        DateTimeOffset renewedAt = _services.Clock.GetUtcNow();
        while (!_stop.IsCancellationRequested)
        {
            Task pause = Task.Delay(_options.LeaseTime / 3, _services.Clock, _stop.Token);
            if (await Task.WhenAny(pause, transcriber.Closed).ConfigureAwait(false) == transcriber.Closed)
            {
                LogLeft(_log, _room, await transcriber.Closed.ConfigureAwait(false));
                return lease;
            }

            if (_stop.IsCancellationRequested)
                break;
            try
            {
                Lease? renewed = await _leases.TryRenewAsync(lease, _options.LeaseTime, CancellationToken.None).ConfigureAwait(false);
                if (renewed is null)
                {
                    LogLeaseLost(_log, _room);
                    return null;
                }

                lease = renewed;
                renewedAt = _services.Clock.GetUtcNow();
            }
            catch (Exception e)
            {
                // Without the store nobody else can claim the room either: captions go on.
                LogNotRenewed(_log, _room, renewedAt, e);
            }
        }

        LogStopped(_log, _room);
        return lease;
    }

    private async Task ReportAsync(string? engine, string? notice)
    {
        try
        {
            await _rooms.ReportTranscriptionAsync(_room, engine, notice, CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            LogNotReported(_log, _room, e);
        }
    }

    [LoggerMessage(6301, LogLevel.Information, "Captioning room {Room} with {Engine}")]
    private static partial void LogStarted(ILogger logger, string room, string engine);

    [LoggerMessage(6302, LogLevel.Information, "Captioning of room {Room} is switched off")]
    private static partial void LogStopped(ILogger logger, string room);

    [LoggerMessage(6303, LogLevel.Information, "The gateway is out of room {Room}: {Reason}")]
    private static partial void LogLeft(ILogger logger, string room, string reason);

    [LoggerMessage(6304, LogLevel.Warning, "Room {Room} cannot be captioned: {Reason}")]
    private static partial void LogUnavailable(ILogger logger, string room, string reason);

    [LoggerMessage(6305, LogLevel.Warning, "Room {Room} could not be joined: {Reason}")]
    private static partial void LogNotJoined(ILogger logger, string room, string reason);

    [LoggerMessage(6306, LogLevel.Error, "Captioning of room {Room} failed; trying again")]
    private static partial void LogFailed(ILogger logger, string room, Exception error);

    [LoggerMessage(6307, LogLevel.Warning, "The lease on room {Room} was lost to another gateway")]
    private static partial void LogLeaseLost(ILogger logger, string room);

    [LoggerMessage(6308, LogLevel.Warning, "The lease on room {Room} could not be renewed since {Since}")]
    private static partial void LogNotRenewed(ILogger logger, string room, DateTimeOffset since, Exception error);

    [LoggerMessage(6309, LogLevel.Warning, "The engine of room {Room} could not be reported")]
    private static partial void LogNotReported(ILogger logger, string room, Exception error);
}
