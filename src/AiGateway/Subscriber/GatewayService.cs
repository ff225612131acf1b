using System.Threading.Channels;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Transcribe.AiGateway.Recognition;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.State;

namespace Transcribe.AiGateway.Subscriber;

/// <summary>
/// The gateway role: keeps every room captioned that has transcription switched on and somebody in it. Told by the bus,
/// and by comparing with the directory from time to time, in case a message was lost.
/// </summary>
internal sealed partial class GatewayService(
    AiGatewayOptions options, TranscriberServices services, RecognizerProvider recognizers, IRoomDirectory rooms, IMessageBus bus,
    ILeaseStore leases, ILogger<GatewayService> log) : BackgroundService
{
    private const int MaxPending = 4096;

    private readonly Dictionary<string, RoomWorker> _workers = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Task> _leaving = new(StringComparer.Ordinal);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        // A full queue loses a message; the next comparison with the directory finds what it said.
        var activities = Channel.CreateBounded<RoomActivity>(new BoundedChannelOptions(MaxPending) { FullMode = BoundedChannelFullMode.DropOldest });
        try
        {
            await using IAsyncDisposable subscription = await bus.SubscribeAsync<RoomActivity>(
                RoomSubjects.Transcription, (activity, _) => activities.Writer.WriteAsync(activity, CancellationToken.None), stoppingToken).ConfigureAwait(false);
            await ReconcileAsync(stoppingToken).ConfigureAwait(false);
            using var timer = new PeriodicTimer(options.ReconcileInterval, services.Clock);
            Task<bool> tick = timer.WaitForNextTickAsync(stoppingToken).AsTask(), arrival = activities.Reader.WaitToReadAsync(stoppingToken).AsTask();
            while (!stoppingToken.IsCancellationRequested)
            {
                await Task.WhenAny(tick, arrival).ConfigureAwait(false);
                stoppingToken.ThrowIfCancellationRequested();
                while (activities.Reader.TryRead(out RoomActivity? activity))
                    Apply(activity.Room, activity.Occupied, activity.Transcription);
                if (arrival.IsCompleted)
                    arrival = activities.Reader.WaitToReadAsync(stoppingToken).AsTask();
                if (!tick.IsCompleted)
                    continue;
                await ReconcileAsync(stoppingToken).ConfigureAwait(false);
                tick = timer.WaitForNextTickAsync(stoppingToken).AsTask();
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // The host stops: leave all rooms.
        }
        finally
        {
            foreach (string room in _workers.Keys.ToArray())
                Leave(room);
            await Task.WhenAll(_leaving.Values).ConfigureAwait(false);
        }
    }

    private async Task ReconcileAsync(CancellationToken cancellationToken)
    {
        try
        {
            IReadOnlyList<RoomSummary> summaries = await rooms.ListAsync(cancellationToken).ConfigureAwait(false);
            foreach (RoomSummary summary in summaries)
                Apply(summary.Room, summary.Participants > 0, summary.Transcription);
            var present = summaries.Select(summary => summary.Room).ToHashSet(StringComparer.Ordinal);
            foreach (string gone in _workers.Keys.Where(room => !present.Contains(room)).ToArray())
                Leave(gone);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            // Running rooms keep their captions while the directory is away.
            LogNoDirectory(log, e);
        }

        foreach (string done in _leaving.Where(pair => pair.Value.IsCompleted).Select(pair => pair.Key).ToArray())
            _leaving.Remove(done);
    }

    private void Apply(string room, bool occupied, TranscriptionState settings)
    {
        bool wanted = occupied && settings.Enabled;
        if (_workers.TryGetValue(room, out RoomWorker? running))
        {
            if (wanted && running.Engine == settings.Engine && running.Language == settings.Language)
                return;
            Leave(room);
        }

        if (wanted)
            _workers[room] = new RoomWorker(room, settings, options, services, recognizers, leases, rooms, _leaving.GetValueOrDefault(room));
    }

    private void Leave(string room)
    {
        if (_workers.Remove(room, out RoomWorker? worker))
            _leaving[room] = worker.DisposeAsync().AsTask();
    }

    [LoggerMessage(6401, LogLevel.Warning, "The room directory does not answer; captioned rooms go on")]
    private static partial void LogNoDirectory(ILogger logger, Exception error);
}
