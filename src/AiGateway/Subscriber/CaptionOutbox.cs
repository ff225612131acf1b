using System.Collections.Concurrent;
using System.Text.Json;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using Transcribe.AiGateway.Claims;
using Transcribe.Cluster;
using Transcribe.Cluster.Captions;
using Transcribe.Cluster.Transcripts;
using Transcribe.Rtc;

namespace Transcribe.AiGateway.Subscriber;

/// <summary>
/// Carries captions out, off the decoding threads, in order: a final to the transcript first and then to the room's data
/// channel, so that whoever takes the room over knows what was said. A store that does not answer at once is not waited
/// for. Nothing leaves once the room is another gateway's.
/// </summary>
internal sealed partial class CaptionOutbox : IAsyncDisposable
{
    private const int MaxCaptions = 2048;
    private const int BusyCaptions = 128;

    /// <summary>Nobody takes longer to notice that a connection is dead.</summary>
    private static readonly TimeSpan RepeatWindow = TimeSpan.FromSeconds(15);

    /// <summary>How long a final waits for the store.</summary>
    private static readonly TimeSpan StorePatience = TimeSpan.FromMilliseconds(300);

    private readonly Channel<(CaptionMessage Caption, bool Written)> _captions =
        Channel.CreateBounded<(CaptionMessage, bool)>(new BoundedChannelOptions(MaxCaptions) { SingleReader = true });
    private readonly Channel<CaptionMessage> _outgoing =
        Channel.CreateBounded<CaptionMessage>(new BoundedChannelOptions(MaxCaptions) { SingleReader = true, SingleWriter = true });
    private readonly IRoomConnection _connection;
    private readonly RoomLease _lease;
    private readonly ITranscriptStore _transcripts;
    private readonly TranscriptBacklog _backlog;
    private readonly GatewayMetrics _metrics;
    private readonly ILogger _log;
    private readonly TimeProvider _clock;
    private readonly ConcurrentQueue<(CaptionMessage Final, Instant At)> _sent = new();
    private readonly CancellationTokenSource _abandoned = new();
    private readonly Task _working;

    public CaptionOutbox(
        IRoomConnection connection, RoomLease lease, ITranscriptStore transcripts, TranscriptBacklog backlog, GatewayMetrics metrics, ILogger log,
        TimeProvider clock)
    {
        _connection = connection;
        _lease = lease;
        _transcripts = transcripts;
        _backlog = backlog;
        _metrics = metrics;
        _log = log;
        _clock = clock;
        _working = Task.WhenAll(Task.Run(WriteAsync), Task.Run(SendAsync));
    }

    /// <summary>Set when the room is gone: nothing can be sent, finals are still stored.</summary>
    public bool Disconnected { get; set; }

    public void Post(CaptionMessage caption)
    {
        if ((caption.Final || _captions.Reader.Count < BusyCaptions) && _captions.Writer.TryWrite((caption, false)))
            return;
        CountUnsent(caption);
        if (IsWorthWriting(caption))
            _backlog.Add(caption, _connection.DisplayName(caption.Participant), _lease);
    }

    /// <summary>Sends a final that is in the transcript and may not have been sent. Who has it drops it: same segment, same revision.</summary>
    public void Repeat(CaptionMessage final) => _captions.Writer.TryWrite((final, true));

    /// <summary>Sends the last finals again: the connection that they went out on is gone, perhaps for a while already.</summary>
    public void RepeatSent()
    {
        TrimSent();
        foreach ((CaptionMessage final, _) in _sent)
            Repeat(final);
    }

    /// <summary>Delivers what is queued, within the time given.</summary>
    public async Task CompleteAsync(TimeSpan timeout)
    {
        _captions.Writer.TryComplete();
        await Task.WhenAny(_working, Task.Delay(timeout, _clock)).ConfigureAwait(false);
    }

    public async ValueTask DisposeAsync()
    {
        _captions.Writer.TryComplete();
        await _abandoned.CancelAsync().ConfigureAwait(false);
        await _working.ConfigureAwait(false);
        _abandoned.Dispose();
    }

    private static bool IsWorthWriting(CaptionMessage caption) => caption.Final && caption.Text.Length > 0;

    private async Task WriteAsync()
    {
        await foreach ((CaptionMessage caption, bool written) in _captions.Reader.ReadAllAsync().ConfigureAwait(false))
        {
            bool ours = await MayPublishAsync(caption).ConfigureAwait(false) && (written || await WriteAsync(caption).ConfigureAwait(false));
            if (!ours || (!caption.Final && _outgoing.Reader.Count >= BusyCaptions) || !_outgoing.Writer.TryWrite(caption))
                CountUnsent(caption);
        }

        _outgoing.Writer.TryComplete();
    }

    private async Task SendAsync()
    {
        await foreach (CaptionMessage caption in _outgoing.Reader.ReadAllAsync().ConfigureAwait(false))
        {
            byte[] message = JsonSerializer.SerializeToUtf8Bytes(caption, ClusterJson.Options);
            bool sent = TrySend(message);
            // A full buffer drains by itself; a final is worth the wait.
            while (!sent && caption.Final && !Disconnected && !_abandoned.IsCancellationRequested && _lease.Right != PublishRight.Lost)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(50), _clock, _abandoned.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                sent = TrySend(message);
            }

            if (sent && caption.Final)
                Remember(caption);

            if (sent)
                _metrics.Captions.Add(1, new("final", caption.Final), new("engine", caption.Engine));
            else
                CountUnsent(caption);
        }
    }

    private void Remember(CaptionMessage final)
    {
        TrimSent();
        if (_sent.All(other => other.Final.Segment != final.Segment))
            _sent.Enqueue((final, Instant.Of(_clock)));
    }

    private void TrimSent()
    {
        while (_sent.TryPeek(out (CaptionMessage Final, Instant At) oldest) && Instant.Of(_clock) - oldest.At > RepeatWindow)
            _sent.TryDequeue(out _);
    }

    /// <summary>A final waits until it is clear whose room it is; an interim is worth no wait.</summary>
    private async ValueTask<bool> MayPublishAsync(CaptionMessage caption)
    {
        PublishRight right = _lease.Right;
        if (right != PublishRight.Unclear || !caption.Final)
            return right == PublishRight.Granted;
        try
        {
            return await _lease.ConfirmAsync(_abandoned.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    /// <summary>Writes a final, or leaves that to the backlog; false where it is not ours to say.</summary>
    private async ValueTask<bool> WriteAsync(CaptionMessage caption)
    {
        if (!IsWorthWriting(caption))
            return true;
        string? name = _connection.DisplayName(caption.Participant);
        if (!_backlog.IsBehind)
        {
            try
            {
                if (await AppendAsync(caption, name).WaitAsync(StorePatience, _clock).ConfigureAwait(false))
                    return true;
                return await _lease.RecheckAsync().ConfigureAwait(false) && await AppendAsync(caption, name).WaitAsync(StorePatience, _clock).ConfigureAwait(false);
            }
            catch (Exception e)
            {
                LogNotWritten(_log, caption.Room, e);
            }
        }

        _backlog.Add(caption, name, _lease);
        return true;
    }

    private Task<bool> AppendAsync(CaptionMessage caption, string? name) =>
        Task.Run(() => _transcripts.TryAppendAsync(caption, name, _lease.Writer, CancellationToken.None).AsTask());

    private bool TrySend(byte[] message)
    {
        if (Disconnected || _lease.Right == PublishRight.Lost)
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

    private void CountUnsent(CaptionMessage caption) => _metrics.CaptionsUnsent.Add(1, new KeyValuePair<string, object?>("final", caption.Final));

    [LoggerMessage(6204, LogLevel.Warning, "The transcript store is away: captions of room {Room} go out and are written later")]
    private static partial void LogNotWritten(ILogger logger, string room, Exception error);
}
