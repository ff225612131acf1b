using System.Buffers;
using System.Collections.Concurrent;
using Transcribe.AiGateway.Takeover;
using Transcribe.Rtc;

namespace Transcribe.AiGateway.Captions;

/// <summary>
/// One track's way to a worker thread: packets are queued by the network thread and run through the
/// <see cref="CaptionTrack"/> by one worker at a time. Time inside the track is arrival time, so a late worker changes
/// no result, only the lag.
/// </summary>
internal sealed class TrackWorker
{
    /// <summary>Five minutes of 20 ms packets, a megabyte or two: what a stalled engine may be behind before sound is lost.</summary>
    private const int MaxQueued = 15000;

    private const int Quantum = 50;

    private readonly CaptionTrack _track;
    private readonly CaptionWorkers _workers;
    private readonly TimeProvider _clock;
    private readonly GatewayMetrics _metrics;
    private readonly ConcurrentQueue<Packet> _queue = new();
    private readonly TaskCompletionSource _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile SenderClock? _senderClock;
    private int _queued;
    private int _scheduled;
    private long _nextTimeout = long.MaxValue;
    private volatile bool _completing;
    private volatile bool _abandoned;
    private volatile bool _leaving;

    public TrackWorker(CaptionTrack track, CaptionWorkers workers, TimeProvider clock, GatewayMetrics metrics)
    {
        _track = track;
        _workers = workers;
        _clock = clock;
        _metrics = metrics;
        workers.Add(this);
    }

    /// <summary>Ends when the track was completed, or failed.</summary>
    public Task Completion => _done.Task;

    public void Enqueue(uint ssrc, ushort sequence, uint timestamp, ReadOnlySpan<byte> payload, Instant arrival)
    {
        if (_completing)
            return;
        if (Interlocked.Increment(ref _queued) > MaxQueued)
        {
            Interlocked.Decrement(ref _queued);
            _metrics.PacketsDropped.Add(1);
            return;
        }

        Add(ssrc, sequence, timestamp, payload, arrival, replayed: false);
        Schedule();
    }

    /// <summary>Many at once: no time passes for the track between them but the time between their arrivals.</summary>
    public void Enqueue(IReadOnlyCollection<TrackPacket> packets)
    {
        foreach (TrackPacket packet in packets)
        {
            Interlocked.Increment(ref _queued);
            Add(packet.Ssrc, packet.Sequence, packet.Timestamp, packet.Payload.Span, packet.Arrival, packet.Replayed);
        }

        if (packets.Count > 0)
            Schedule();
    }

    /// <summary>Before the first packet: what is said before this RTP timestamp is transcribed already.</summary>
    public void ResumeAt(uint timestamp) => _track.ResumeAt(timestamp);

    public void SetSenderClock(DateTimeOffset wallClock, uint timestamp) => _senderClock = new(wallClock, timestamp);

    /// <summary>Nothing more comes: what is queued gets captioned, then the track is flushed.</summary>
    public void Complete()
    {
        _completing = true;
        Schedule();
    }

    /// <summary>Ends where nobody speaks: what is being said is heard to its end, and all that follows is left to whoever goes on with the track.</summary>
    public void CompleteAtPause()
    {
        _leaving = true;
        Schedule();
    }

    /// <summary>Ends without another word.</summary>
    public void Abandon()
    {
        _abandoned = true;
        Complete();
    }

    /// <summary>Called by the workers' clock.</summary>
    public void Tick(Instant now)
    {
        if (now.Ticks >= Interlocked.Read(ref _nextTimeout))
            Schedule();
    }

    /// <summary>Runs on a worker thread.</summary>
    public void Run()
    {
        try
        {
            if (_done.Task.IsCompleted)
                return;
            if (_abandoned)
            {
                End();
                return;
            }

            if (_senderClock is { } clock)
            {
                _track.SetSenderReport(clock.WallClock, clock.Timestamp);
                _senderClock = null;
            }

            long ticksBefore = _track.RecognitionTicks, droppedBefore = _track.DroppedInterims;
            bool drained = Drain();
            if (drained)
                _track.HandleTimeout(Instant.Of(_clock));
            if (IsAtPause)
                End();
            else if (drained && _completing)
                Finish();
            Interlocked.Exchange(ref _nextTimeout, _track.NextTimeout.Ticks);
            if (_track.RecognitionTicks > ticksBefore)
                _metrics.DecodeMilliseconds.Record((_track.RecognitionTicks - ticksBefore) * 1000.0 / System.Diagnostics.Stopwatch.Frequency);
            if (_track.DroppedInterims > droppedBefore)
                _metrics.InterimsDropped.Add(_track.DroppedInterims - droppedBefore);
        }
        catch (Exception e)
        {
            Fail(e);
        }
        finally
        {
            Volatile.Write(ref _scheduled, 0);
            if (!_done.Task.IsCompleted && (!_queue.IsEmpty || _completing))
                Schedule();
        }
    }

    private bool IsAtPause => _leaving && !_track.IsSpeaking;

    private bool Drain()
    {
        for (int i = 0; i < Quantum && !_abandoned && !IsAtPause; i++)
        {
            if (!_queue.TryDequeue(out Packet packet))
                return true;
            Interlocked.Decrement(ref _queued);
            if (packet.Replayed)
            {
                // Only finals are worth catching up with.
                _track.Load = CaptionLoad.DropInterims;
            }
            else
            {
                TimeSpan lag = Instant.Of(_clock) - packet.Arrival;
                _track.Load = Assess(lag, _track.Load);
                _metrics.LagMilliseconds.Record(lag.TotalMilliseconds);
            }

            try
            {
                _track.Push(packet.Arrival, packet.Ssrc, packet.Sequence, packet.Timestamp, packet.Payload.AsSpan(0, packet.Length));
            }
            finally
            {
                ArrayPool<byte>.Shared.Return(packet.Payload);
            }
        }

        return _queue.IsEmpty;
    }

    private static CaptionLoad Assess(TimeSpan lag, CaptionLoad before) => lag.TotalMilliseconds switch
    {
        > 4000 => CaptionLoad.LengthenUtterances,
        > 800 => before == CaptionLoad.LengthenUtterances ? before : CaptionLoad.DropInterims,
        < 250 => CaptionLoad.Normal,
        _ => before,
    };

    private void Finish()
    {
        _track.Flush(Instant.Of(_clock));
        End();
    }

    private void End()
    {
        Release();
        _done.TrySetResult();
    }

    private void Release()
    {
        _workers.Remove(this);
        while (_queue.TryDequeue(out Packet packet))
            ArrayPool<byte>.Shared.Return(packet.Payload);
        _track.Dispose();
    }

    private void Add(uint ssrc, ushort sequence, uint timestamp, ReadOnlySpan<byte> payload, Instant arrival, bool replayed)
    {
        byte[] copy = ArrayPool<byte>.Shared.Rent(Math.Max(1, payload.Length));
        payload.CopyTo(copy);
        _queue.Enqueue(new(ssrc, sequence, timestamp, copy, payload.Length, arrival, replayed));
    }

    /// <summary>A track that failed ends alone.</summary>
    private void Fail(Exception error)
    {
        _completing = true;
        Release();
        _done.TrySetException(error);
    }

    private void Schedule()
    {
        if (!_done.Task.IsCompleted && Interlocked.CompareExchange(ref _scheduled, 1, 0) == 0)
            _workers.Enqueue(this);
    }

    private readonly record struct Packet(uint Ssrc, ushort Sequence, uint Timestamp, byte[] Payload, int Length, Instant Arrival, bool Replayed);

    private sealed record SenderClock(DateTimeOffset WallClock, uint Timestamp);
}
