using System.Text.Json;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using Transcribe.Cluster;
using Transcribe.Cluster.Captions;
using Transcribe.Cluster.Transcripts;

namespace Transcribe.AiGateway.Subscriber;

/// <summary>
/// Carries captions to the room's data channel and finals to the transcript store, off the decoding threads, in order.
/// Neither waits for the other. Interims may be left out, finals are tried again until the room is left.
/// </summary>
internal sealed partial class CaptionOutbox : IAsyncDisposable
{
    private const int MaxCaptions = 2048;
    private const int BusyCaptions = 128;
    private const int MaxFinals = 4096;

    private readonly Channel<CaptionMessage> _captions = Channel.CreateBounded<CaptionMessage>(new BoundedChannelOptions(MaxCaptions) { SingleReader = true });
    private readonly Channel<CaptionMessage> _finals = Channel.CreateBounded<CaptionMessage>(new BoundedChannelOptions(MaxFinals) { SingleReader = true });
    private readonly IRoomConnection _connection;
    private readonly ITranscriptStore _transcripts;
    private readonly GatewayMetrics _metrics;
    private readonly ILogger _log;
    private readonly TimeProvider _clock;
    private readonly CancellationTokenSource _abandoned = new();
    private readonly Task _sending;
    private readonly Task _storing;

    public CaptionOutbox(IRoomConnection connection, ITranscriptStore transcripts, GatewayMetrics metrics, ILogger log, TimeProvider clock)
    {
        _connection = connection;
        _transcripts = transcripts;
        _metrics = metrics;
        _log = log;
        _clock = clock;
        _sending = Task.Run(SendAsync);
        _storing = Task.Run(StoreAsync);
    }

    /// <summary>Set when the room is gone: nothing can be sent, finals are still stored.</summary>
    public bool Disconnected { get; set; }

    public void Post(CaptionMessage caption)
    {
        bool taken = (caption.Final || _captions.Reader.Count < BusyCaptions) && _captions.Writer.TryWrite(caption);
        if (!taken)
            CountUnsent(caption);
        if (caption.Final && caption.Text.Length > 0 && !_finals.Writer.TryWrite(caption))
            LogFull(_log, caption.Room);
    }

    /// <summary>Delivers what is queued, within the time given.</summary>
    public async Task CompleteAsync(TimeSpan timeout)
    {
        _captions.Writer.TryComplete();
        _finals.Writer.TryComplete();
        Task all = Task.WhenAll(_sending, _storing);
        await Task.WhenAny(all, Task.Delay(timeout, _clock)).ConfigureAwait(false);
    }

    public async ValueTask DisposeAsync()
    {
        _captions.Writer.TryComplete();
        _finals.Writer.TryComplete();
        await _abandoned.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(_sending, _storing).ConfigureAwait(false);
        _abandoned.Dispose();
    }

    private async Task SendAsync()
    {
        await foreach (CaptionMessage caption in _captions.Reader.ReadAllAsync().ConfigureAwait(false))
        {
            byte[] message = JsonSerializer.SerializeToUtf8Bytes(caption, ClusterJson.Options);
            bool sent = TrySend(message);
            // A full buffer drains by itself; a final is worth the wait.
            while (!sent && caption.Final && !Disconnected && !_abandoned.IsCancellationRequested)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(50), _clock, _abandoned.Token).ContinueWith(_ => { }, TaskScheduler.Default).ConfigureAwait(false);
                sent = TrySend(message);
            }

            if (sent)
                _metrics.Captions.Add(1, new("final", caption.Final), new("engine", caption.Engine));
            else
                CountUnsent(caption);
        }
    }

    private bool TrySend(byte[] message)
    {
        if (Disconnected)
            return false;
        try
        {
            return _connection.TrySend(CaptionMessage.ChannelLabel, message);
        }
        catch (ObjectDisposedException)
        {
            Disconnected = true;
            return false;
        }
    }

    private async Task StoreAsync()
    {
        await foreach (CaptionMessage final in _finals.Reader.ReadAllAsync().ConfigureAwait(false))
        {
            for (int attempt = 0; ; attempt++)
            {
                try
                {
                    await _transcripts.AppendAsync(final, _connection.DisplayName(final.Participant), CancellationToken.None).ConfigureAwait(false);
                    break;
                }
                catch (Exception e) when (!_abandoned.IsCancellationRequested)
                {
                    // The store is idempotent, so trying again is safe; captions go on meanwhile.
                    LogRetry(_log, final.Room, e);
                    await Task.Delay(TimeSpan.FromMilliseconds(Math.Min(100 << Math.Min(attempt, 6), 5000)), _clock, _abandoned.Token)
                        .ContinueWith(_ => { }, TaskScheduler.Default).ConfigureAwait(false);
                }
                catch (Exception e)
                {
                    LogLost(_log, final.Room, e);
                    break;
                }
            }
        }
    }

    private void CountUnsent(CaptionMessage caption) => _metrics.CaptionsUnsent.Add(1, new KeyValuePair<string, object?>("final", caption.Final));

    [LoggerMessage(6201, LogLevel.Error, "The transcript of room {Room} is too far behind: a final caption was not stored")]
    private static partial void LogFull(ILogger logger, string room);

    [LoggerMessage(6202, LogLevel.Warning, "The transcript store does not take captions of room {Room}; trying again")]
    private static partial void LogRetry(ILogger logger, string room, Exception error);

    [LoggerMessage(6203, LogLevel.Error, "A final caption of room {Room} was not stored")]
    private static partial void LogLost(ILogger logger, string room, Exception error);
}
