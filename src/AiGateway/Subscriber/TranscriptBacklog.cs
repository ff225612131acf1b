using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using Transcribe.AiGateway.Claims;
using Transcribe.Cluster.Captions;
using Transcribe.Cluster.Transcripts;

namespace Transcribe.AiGateway.Subscriber;

/// <summary>
/// Finals that were sent while the transcript store was away: written in order when it is back, also those of rooms that
/// were left meanwhile. One for the gateway, bounded.
/// </summary>
internal sealed partial class TranscriptBacklog : IAsyncDisposable, IDisposable
{
    /// <summary>An hour of one lively conversation, or a minute of sixty.</summary>
    public const int MaxFinals = 1000;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LastChance = TimeSpan.FromSeconds(2);

    private readonly Channel<Entry> _entries = Channel.CreateBounded<Entry>(new BoundedChannelOptions(MaxFinals) { SingleReader = true });
    private readonly ITranscriptStore _transcripts;
    private readonly GatewayMetrics _metrics;
    private readonly TimeProvider _clock;
    private readonly ILogger _log;
    private readonly CancellationTokenSource _abandoned = new();
    private readonly Task _writing;
    private int _count;
    private int _disposed;

    public TranscriptBacklog(ITranscriptStore transcripts, GatewayMetrics metrics, TimeProvider clock, ILogger log)
    {
        _transcripts = transcripts;
        _metrics = metrics;
        _clock = clock;
        _log = log;
        _writing = Task.Run(WriteAsync);
    }

    /// <summary>Whether the store is behind: what comes now has to wait its turn.</summary>
    public bool IsBehind => Volatile.Read(ref _count) > 0;

    /// <summary>Takes a final to write when the store takes it.</summary>
    public void Add(CaptionMessage final, string? speakerName, RoomLease lease)
    {
        Interlocked.Increment(ref _count);
        if (_entries.Writer.TryWrite(new(final, speakerName, lease)))
        {
            _metrics.FinalsWaiting.Add(1);
            return;
        }

        Interlocked.Decrement(ref _count);
        _metrics.FinalsLost.Add(1, new KeyValuePair<string, object?>("reason", "backlog_full"));
        LogFull(_log, final.Room, MaxFinals);
    }

    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
            return;
        _entries.Writer.TryComplete();
        await Task.WhenAny(_writing, Task.Delay(LastChance, _clock)).ConfigureAwait(false);
        await _abandoned.CancelAsync().ConfigureAwait(false);
        await _writing.ConfigureAwait(false);
        _abandoned.Dispose();
    }

    /// <summary>Gives up what waits.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
            return;
        _entries.Writer.TryComplete();
        _abandoned.Cancel();
    }

    private async Task WriteAsync()
    {
        await foreach (Entry entry in _entries.Reader.ReadAllAsync().ConfigureAwait(false))
        {
            await WriteAsync(entry).ConfigureAwait(false);
            _metrics.FinalsWaiting.Add(-1);
            Interlocked.Decrement(ref _count);
        }
    }

    private async Task WriteAsync(Entry entry)
    {
        for (int attempt = 0; ; attempt++)
        {
            try
            {
                _abandoned.Token.ThrowIfCancellationRequested();
                if (await _transcripts.TryAppendAsync(entry.Final, entry.SpeakerName, entry.Lease.Writer).AsTask()
                    .WaitAsync(Patience, _clock, _abandoned.Token).ConfigureAwait(false))
                {
                    return;
                }

                if (!await entry.Lease.RecheckAsync().ConfigureAwait(false))
                {
                    // Its successor has the room, and recognises from the last final that is written.
                    _metrics.FinalsLost.Add(1, new KeyValuePair<string, object?>("reason", "room_lost"));
                    return;
                }
            }
            catch (OperationCanceledException) when (_abandoned.IsCancellationRequested)
            {
                _metrics.FinalsLost.Add(1, new KeyValuePair<string, object?>("reason", "stopped"));
                LogLost(_log, entry.Final.Room);
                return;
            }
            catch (Exception e)
            {
                // Idempotent, so trying again is safe; captions go on meanwhile.
                if (attempt == 0)
                    LogRetry(_log, entry.Final.Room, e);
            }

            TimeSpan pause = TimeSpan.FromMilliseconds(100 << Math.Min(attempt, 6));
            await Task.Delay(pause < LongestPause ? pause : LongestPause, _clock, _abandoned.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private readonly record struct Entry(CaptionMessage Final, string? SpeakerName, RoomLease Lease);

    [LoggerMessage(6201, LogLevel.Error, "A final caption of room {Room} was not stored: {Max} are waiting for the transcript store already")]
    private static partial void LogFull(ILogger logger, string room, int max);

    [LoggerMessage(6202, LogLevel.Warning, "The transcript store does not take captions of room {Room}; trying again")]
    private static partial void LogRetry(ILogger logger, string room, Exception error);

    [LoggerMessage(6203, LogLevel.Error, "A final caption of room {Room} was not stored: the gateway stops and the store is away")]
    private static partial void LogLost(ILogger logger, string room);
}
