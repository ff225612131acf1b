using Microsoft.Extensions.Logging;
using Transcribe.Cluster.State;
using Transcribe.Cluster.Transcripts;
using Transcribe.Rtc;

namespace Transcribe.AiGateway.Claims;

/// <summary>Whether this gateway may say something in a room now.</summary>
internal enum PublishRight
{
    /// <summary>It holds the room, or nobody can take it because the store is away.</summary>
    Granted,

    /// <summary>The lease ran out before it was renewed, as after the process stood still: it is being asked.</summary>
    Unclear,

    /// <summary>Another gateway has the room.</summary>
    Lost,
}

/// <summary>
/// This gateway's claim on a room, kept by renewing. It is lost when another gateway has the room, and only then: a store
/// that does not answer takes nothing away, since nobody else can claim the room there either.
/// </summary>
internal sealed partial class RoomLease : IAsyncDisposable
{
    private static readonly TimeSpan AskAgain = TimeSpan.FromMilliseconds(20);

    private readonly ILeaseStore _leases;
    private readonly ITranscriptStore _transcripts;
    private readonly AiGatewayOptions _options;
    private readonly TimeProvider _clock;
    private readonly ILogger _log;
    private readonly CancellationTokenSource _stop = new();
    private readonly TaskCompletionSource _lost = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly SemaphoreSlim _asking = new(1, 1);
    private readonly Task _keeping;
    private volatile Lease _lease;
    private long _validUntil;
    private volatile bool _storeAway;
    private int _disposed;

    private RoomLease(
        string room, Lease lease, Instant asked, ILeaseStore leases, ITranscriptStore transcripts, AiGatewayOptions options, TimeProvider clock, ILogger log)
    {
        Room = room;
        _lease = lease;
        _validUntil = (asked + options.LeaseTime).Ticks;
        _leases = leases;
        _transcripts = transcripts;
        _options = options;
        _clock = clock;
        _log = log;
        _keeping = KeepAsync();
    }

    public const string Prefix = "gateway:";

    public string Room { get; }

    /// <summary>Name under which this holding writes the room's transcript.</summary>
    public string Writer => TranscriptWriter.Of(_lease);

    /// <summary>Ends when another gateway has the room.</summary>
    public Task Lost => _lost.Task;

    public PublishRight Right =>
        _lost.Task.IsCompleted ? PublishRight.Lost
        : IsValid || _storeAway ? PublishRight.Granted
        : PublishRight.Unclear;

    private bool IsValid => Instant.Of(_clock).Ticks < Interlocked.Read(ref _validUntil);

    /// <summary>Claims a room; null while somebody else has it.</summary>
    public static async Task<RoomLease?> TryClaimAsync(
        string room, ILeaseStore leases, ITranscriptStore transcripts, AiGatewayOptions options, TimeProvider clock, ILogger log,
        CancellationToken cancellationToken)
    {
        Instant asked = Instant.Of(clock);
        Lease? lease = await leases.TryAcquireAsync(Prefix + room, options.Node, options.LeaseTime, cancellationToken).AsTask()
            .WaitAsync(options.LeaseTime, clock, cancellationToken).ConfigureAwait(false);
        return lease is null ? null : new RoomLease(room, lease, asked, leases, transcripts, options, clock, log);
    }

    /// <summary>Waits until it is clear whether the room is ours; false where it is not.</summary>
    public async Task<bool> ConfirmAsync(CancellationToken cancellationToken)
    {
        PublishRight right;
        while ((right = Right) == PublishRight.Unclear)
            await Task.Delay(AskAgain, _clock, cancellationToken).ConfigureAwait(false);
        return right == PublishRight.Granted;
    }

    /// <summary>Asks the store whether the room is still ours after it refused a write, and makes us its writer again if so.</summary>
    public async Task<bool> RecheckAsync()
    {
        await RenewAsync().ConfigureAwait(false);
        if (_lost.Task.IsCompleted)
            return false;
        await _transcripts.OpenAsync(Room, Writer).ConfigureAwait(false);
        return true;
    }

    /// <summary>Somebody else sends captions into the room. While our lease holds that is the last of a former one; after that it is the next.</summary>
    public void OnForeignCaption()
    {
        if (!IsValid && Volatile.Read(ref _disposed) == 0)
            Lose();
    }

    /// <summary>Gives the room back.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
            return;
        await _stop.CancelAsync().ConfigureAwait(false);
        await _keeping.ConfigureAwait(false);
        _stop.Dispose();
        if (_lost.Task.IsCompleted)
            return;
        try
        {
            await _leases.ReleaseAsync(_lease).AsTask().WaitAsync(_options.LeaseTime, _clock).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            // It runs out by itself.
            LogNotReleased(_log, Room, e);
        }
    }

    private async Task KeepAsync()
    {
        while (!_lost.Task.IsCompleted)
        {
            await Task.Delay(_options.LeaseRenewal, _clock, _stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (_stop.IsCancellationRequested)
                return;
            await RenewAsync().ConfigureAwait(false);
        }
    }

    private async Task RenewAsync()
    {
        await _asking.WaitAsync().ConfigureAwait(false);
        try
        {
            Instant asked = Instant.Of(_clock);
            Lease? renewed = await AskAsync().WaitAsync(_options.LeaseTime / 2, _clock, _stop.Token).ConfigureAwait(false);
            if (renewed is null)
            {
                Lose();
                return;
            }

            _lease = renewed;
            Interlocked.Exchange(ref _validUntil, (asked + _options.LeaseTime).Ticks);
            _storeAway = false;
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            return;
        }
        catch (Exception e)
        {
            if (!_storeAway)
                LogNotRenewed(_log, Room, e);
            _storeAway = true;
        }
        finally
        {
            _asking.Release();
        }
    }

    private async Task<Lease?> AskAsync()
    {
        if (await _leases.TryRenewAsync(_lease, _options.LeaseTime, _stop.Token).ConfigureAwait(false) is { } renewed)
            return renewed;

        // It ran out. Whoever had the room meanwhile became its writer first; where nobody did, we go on. A store that hung may have
        // carried out by now what we asked before: then we are its writer under a newer lease.
        string? writer = await _transcripts.GetWriterAsync(Room, _stop.Token).ConfigureAwait(false);
        if (writer is not null && !TranscriptWriter.IsOf(writer, _options.Node))
            return null;
        Lease? again = await _leases.TryAcquireAsync(Prefix + Room, _options.Node, _options.LeaseTime, _stop.Token).ConfigureAwait(false);
        if (again is not null)
            await _transcripts.OpenAsync(Room, TranscriptWriter.Of(again), _stop.Token).ConfigureAwait(false);
        return again;
    }

    private void Lose()
    {
        if (_lost.TrySetResult())
            LogLost(_log, Room);
    }

    [LoggerMessage(6501, LogLevel.Warning, "Room {Room} was lost to another gateway")]
    private static partial void LogLost(ILogger logger, string room);

    [LoggerMessage(6502, LogLevel.Warning, "The lease on room {Room} cannot be renewed: the store does not answer; captions go on")]
    private static partial void LogNotRenewed(ILogger logger, string room, Exception error);

    [LoggerMessage(6503, LogLevel.Warning, "The lease on room {Room} could not be given back")]
    private static partial void LogNotReleased(ILogger logger, string room, Exception error);
}
