using Transcribe.AiGateway.Captions;
using Transcribe.Cluster.Sfu;
using Transcribe.Rtc;
using Transcribe.Rtc.Codecs;

namespace Transcribe.AiGateway.Takeover;

/// <summary>
/// The beginning of a track: holds the packets that arrive while its last seconds are asked for, then puts both together
/// and lets everything through. Kept and live packets are numbered differently (a downtrack has numbers of its own); what
/// they share is the RTP timestamp, which nobody rewrites.
/// </summary>
internal sealed class TrackIntake
{
    /// <summary>A minute of 20 ms packets: far longer than anybody waits for an answer.</summary>
    private const int MaxHeld = 3000;

    private readonly TrackWorker _worker;
    private readonly uint? _publisherSsrc;
    private readonly GatewayMetrics _metrics;
    private readonly Lock _lock = new();
    private readonly TaskCompletionSource _first = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private List<TrackPacket>? _held = [];
    private volatile bool _passes;
    private bool _ended;
    private (ushort Sequence, uint Timestamp)? _joint;
    private uint? _liveSsrc;
    private uint _ssrc;
    private ushort _shift;

    public TrackIntake(string track, TrackWorker worker, uint? publisherSsrc, GatewayMetrics metrics)
    {
        Track = track;
        _worker = worker;
        _publisherSsrc = publisherSsrc;
        _metrics = metrics;
    }

    public string Track { get; }

    /// <summary>Ends with the first live packet.</summary>
    public Task First => _first.Task;

    /// <summary>Ends when the track was completed, or failed.</summary>
    public Task Completion => _worker.Completion;

    public void SetSenderClock(DateTimeOffset wallClock, uint timestamp) => _worker.SetSenderClock(wallClock, timestamp);

    /// <summary>A live packet.</summary>
    public void Push(uint ssrc, ushort sequence, uint timestamp, ReadOnlySpan<byte> payload, Instant arrival)
    {
        if (!_passes)
        {
            lock (_lock)
            {
                if (_held is not null)
                {
                    if (_held.Count < MaxHeld)
                        _held.Add(new(ssrc, sequence, timestamp, payload.ToArray(), arrival, Replayed: false));
                    else
                        _metrics.PacketsDropped.Add(1);
                    _first.TrySetResult();
                    return;
                }

                if (_joint is { } last && !TryJoin(last, ssrc, sequence, timestamp))
                    return;
            }
        }

        _worker.Enqueue(ssrc == _liveSsrc ? _ssrc : ssrc, (ushort)(sequence + _shift), timestamp, payload, arrival);
    }

    /// <summary>Begins: what was kept, what was held, and from now on what arrives.</summary>
    /// <param name="history">What was kept; null where nothing was.</param>
    /// <param name="resumeAt">Everything before this timestamp is transcribed already.</param>
    /// <returns>How many kept packets were taken.</returns>
    public int Begin(TrackHistory? history, uint? resumeAt, Instant now)
    {
        lock (_lock)
        {
            if (_held is not { } held)
                return 0;
            _held = null;
            if (resumeAt is { } at)
                _worker.ResumeAt(at);
            var packets = new List<TrackPacket>(held.Count + (history?.Packets.Count ?? 0));
            _liveSsrc = held.Count > 0 ? held[0].Ssrc : null;
            _ssrc = _liveSsrc ?? _publisherSsrc ?? 0;
            if (history is { Packets.Count: > 0 })
                Merge(history, held, packets, now);
            else
                packets.AddRange(held);
            _passes = _joint is null;
            _worker.Enqueue(packets);
            if (_ended)
                _worker.Complete();
            return packets.Count(packet => packet.Replayed);
        }
    }

    /// <summary>Nothing more comes: what is there gets captioned, then the track is flushed.</summary>
    public void Complete()
    {
        lock (_lock)
        {
            _ended = true;
            if (_held is null)
                _worker.Complete();
        }
    }

    /// <summary>What is being said is captioned to its end; all that follows is left to whoever goes on with the track.</summary>
    public void CompleteAtPause()
    {
        lock (_lock)
        {
            if (_held is null)
            {
                _worker.CompleteAtPause();
                return;
            }
        }

        // It has not begun: all of it is the other's.
        Abandon();
    }

    /// <summary>Nothing more is to be said, not even what is there.</summary>
    public void Abandon()
    {
        lock (_lock)
        {
            _held = null;
            _passes = true;
            _worker.Abandon();
        }
    }

    private void Merge(TrackHistory history, List<TrackPacket> held, List<TrackPacket> packets, Instant now)
    {
        HistoryPacket last = history.Packets[^1];
        var kept = new Dictionary<uint, ushort>(history.Packets.Count);
        foreach (HistoryPacket packet in history.Packets)
            kept[packet.Timestamp] = packet.SequenceNumber;

        // A packet that is in both tells how the numbers relate. Without one, what is live follows what was kept.
        int shared = held.FindIndex(packet => kept.ContainsKey(packet.Timestamp));
        int next = shared >= 0 ? shared : held.FindIndex(packet => (int)(packet.Timestamp - last.Timestamp) > 0);
        if (shared >= 0)
            _shift = (ushort)(kept[held[shared].Timestamp] - held[shared].Sequence);
        else if (next >= 0)
            _shift = (ushort)(last.SequenceNumber + 1 - held[next].Sequence);
        else
            _joint = (last.SequenceNumber, last.Timestamp);

        // Kept packets arrive, for whoever measures time by it, as far apart as they were sent.
        (Instant at, uint timestamp) = held.Count > 0 ? (held[0].Arrival, held[0].Timestamp) : (now, last.Timestamp);
        foreach (HistoryPacket packet in history.Packets)
        {
            TimeSpan before = TimeSpan.FromSeconds((int)(timestamp - packet.Timestamp) / (double)OpusPacket.ClockRate);
            packets.Add(new(_ssrc, packet.SequenceNumber, packet.Timestamp, packet.Payload, at - before, Replayed: true));
        }

        foreach (TrackPacket packet in held)
        {
            bool known = kept.ContainsKey(packet.Timestamp) || (shared < 0 && (int)(packet.Timestamp - last.Timestamp) <= 0);
            if (!known)
                packets.Add(packet with { Ssrc = packet.Ssrc == _liveSsrc ? _ssrc : packet.Ssrc, Sequence = (ushort)(packet.Sequence + _shift) });
        }
    }

    /// <summary>The first live packet after kept ones that nothing was held with.</summary>
    private bool TryJoin((ushort Sequence, uint Timestamp) last, uint ssrc, ushort sequence, uint timestamp)
    {
        if ((int)(timestamp - last.Timestamp) <= 0)
            return false; // it was among them
        _liveSsrc = ssrc;
        _shift = (ushort)(last.Sequence + 1 - sequence);
        _joint = null;
        _passes = true;
        return true;
    }
}
