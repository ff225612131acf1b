using Transcribe.Rtc;
using Transcribe.Rtc.Codecs;

namespace Transcribe.AiGateway.Audio;

/// <summary>
/// Takes the stream in order of time. Timestamps are RTP timestamps extended to 64 bit; the low 32 bits are what the
/// publisher wrote. Spans are valid during the call only.
/// </summary>
internal interface IJitterBufferSink
{
    /// <summary>A new timeline begins (first packet, another SSRC, a jump of the clock): nothing relates to what was before.</summary>
    void OnTimeline(long timestamp);

    void OnPacket(long timestamp, ReadOnlySpan<byte> payload);

    /// <summary>Sound that was sent and never arrived.</summary>
    /// <param name="next">The packet right after the hole: it may carry a copy of its end.</param>
    void OnLoss(long timestamp, int ticks, ReadOnlySpan<byte> next);

    /// <summary>Sound that was never sent (DTX, a pause of the sender).</summary>
    void OnGap(long timestamp, long ticks);
}

internal sealed record JitterBufferOptions
{
    /// <summary>How long a hole is waited for before it counts as lost.</summary>
    public TimeSpan Hold { get; init; } = TimeSpan.FromMilliseconds(60);

    /// <summary>How far the wait grows where packets keep coming late.</summary>
    public TimeSpan MaxHold { get; init; } = TimeSpan.FromMilliseconds(200);

    /// <summary>A step of the RTP clock beyond this, forward, starts a new timeline.</summary>
    public TimeSpan MaxGap { get; init; } = TimeSpan.FromMinutes(1);
}

/// <summary>
/// Brings the RTP packets of one audio track in order. A recogniser needs no steady pace, so packets pass as soon as
/// they are in sequence; only a hole makes the ones behind it wait, for a short and bounded time.
/// </summary>
internal sealed class JitterBuffer
{
    private const int Capacity = 256;
    private const int CalmPackets = 1000;

    private readonly Slot[] _slots = new Slot[Capacity];
    private readonly IJitterBufferSink _sink;
    private readonly JitterBufferOptions _options;
    private bool _started;
    private uint _ssrc;
    private ushort _next;
    private int _buffered;
    private long _expected;
    private int _lastTicks = 960;
    private int? _restartAt;
    private TimeSpan _hold;
    private int _calm;
    private Instant _lostAt;
    private ushort _lostFrom;
    private int _lostCount;

    public JitterBuffer(IJitterBufferSink sink, JitterBufferOptions? options = null)
    {
        _sink = sink;
        _options = options ?? new JitterBufferOptions();
        _hold = _options.Hold;
        for (int i = 0; i < Capacity; i++)
            _slots[i] = new Slot();
    }

    /// <summary>When <see cref="HandleTimeout"/> has something to do.</summary>
    public Instant NextTimeout { get; private set; } = Instant.Never;

    /// <summary>The wait for a hole as it stands.</summary>
    public TimeSpan Hold => _hold;

    public long Received { get; private set; }

    public long Lost { get; private set; }

    public long Late { get; private set; }

    public long Duplicates { get; private set; }

    public long Malformed { get; private set; }

    /// <summary>Packets far outside of the sequence, not (yet) followed by a second one.</summary>
    public long OutOfWindow { get; private set; }

    public void Push(Instant now, uint ssrc, ushort sequence, uint timestamp, ReadOnlySpan<byte> payload)
    {
        Received++;
        if (!_started || ssrc != _ssrc)
        {
            Restart(now, ssrc, sequence);
        }
        else
        {
            int ahead = (short)(sequence - _next);
            if (ahead is < -Capacity or >= Capacity)
            {
                // One stray packet changes nothing; two in a row are a stream that went on somewhere else.
                if (_restartAt != sequence)
                {
                    OutOfWindow++;
                    _restartAt = (ushort)(sequence + 1);
                    return;
                }

                Restart(now, ssrc, sequence);
            }
            else if (ahead < 0)
            {
                CountLate(now, sequence);
                return;
            }
        }

        _restartAt = null;
        Slot slot = _slots[sequence % Capacity];
        if (slot.Present)
        {
            Duplicates++;
            return;
        }

        slot.Store(sequence, timestamp, now, payload);
        _buffered++;
        Release(now, force: false);
    }

    public void HandleTimeout(Instant now)
    {
        if (now >= NextTimeout)
            Release(now, force: false);
    }

    /// <summary>Passes on everything that is there: the track ends.</summary>
    public void Drain(Instant now) => Release(now, force: true);

    private void Restart(Instant now, uint ssrc, ushort sequence)
    {
        Release(now, force: true);
        _started = true;
        _ssrc = ssrc;
        _next = sequence;
        _expected = -1;
        _lostCount = 0;
    }

    private void CountLate(Instant now, ushort sequence)
    {
        bool wasLost = (ushort)(sequence - _lostFrom) < _lostCount;
        if (!wasLost)
        {
            Duplicates++;
            return;
        }

        Late++;
        _calm = 0;
        TimeSpan needed = _hold + (now - _lostAt) + TimeSpan.FromMilliseconds(10);
        _hold = needed < _options.MaxHold ? needed : _options.MaxHold;
    }

    private void Release(Instant now, bool force)
    {
        NextTimeout = Instant.Never;
        while (_buffered > 0)
        {
            Slot slot = _slots[_next % Capacity];
            int missing = 0;
            if (!slot.Present)
            {
                Instant firstArrival = Instant.Never;
                for (int i = Capacity - 1; i > 0; i--)
                {
                    Slot later = _slots[(_next + i) % Capacity];
                    if (!later.Present)
                        continue;
                    slot = later;
                    missing = i;
                    firstArrival = Instant.Min(firstArrival, later.Arrival);
                }

                Instant deadline = firstArrival + _hold;
                if (!force && now < deadline)
                {
                    NextTimeout = deadline;
                    return;
                }

                Lost += missing;
                _lostAt = now;
                _lostFrom = _next;
                _lostCount = missing;
            }

            slot.Present = false;
            _buffered--;
            _next = (ushort)(slot.Sequence + 1);
            Emit(slot, missing);
            if (++_calm >= CalmPackets)
            {
                _calm = 0;
                TimeSpan shorter = _hold - TimeSpan.FromMilliseconds(10);
                _hold = shorter > _options.Hold ? shorter : _options.Hold;
            }
        }
    }

    private void Emit(Slot slot, int missing)
    {
        ReadOnlySpan<byte> payload = slot.Payload;
        if (payload.IsEmpty)
            return; // padding only: a place in the sequence, no sound
        if (!OpusPacket.TryGetDuration(payload, out int ticks))
        {
            Malformed++;
            return;
        }

        long timestamp = _expected < 0 ? slot.Timestamp : _expected + (int)(slot.Timestamp - (uint)_expected);
        long ahead = timestamp - _expected;
        if (_expected < 0 || ahead < 0 || ahead > (long)(_options.MaxGap.TotalSeconds * OpusPacket.ClockRate))
        {
            timestamp = slot.Timestamp;
            _sink.OnTimeline(timestamp);
        }
        else if (ahead > 0)
        {
            // What was lost lies right before this packet; what is more than the lost packets can have held was silence.
            int lost = (int)Math.Min(ahead, Math.Min((long)missing * _lastTicks, OpusPacket.MaxTicks));
            if (ahead > lost)
                _sink.OnGap(_expected, ahead - lost);
            if (lost > 0)
                _sink.OnLoss(timestamp - lost, lost, payload);
        }

        _sink.OnPacket(timestamp, payload);
        _expected = timestamp + ticks;
        _lastTicks = ticks;
    }

    private sealed class Slot
    {
        private byte[] _bytes = [];
        private int _length;

        public bool Present { get; set; }

        public ushort Sequence { get; private set; }

        public uint Timestamp { get; private set; }

        public Instant Arrival { get; private set; }

        public ReadOnlySpan<byte> Payload => _bytes.AsSpan(0, _length);

        public void Store(ushort sequence, uint timestamp, Instant arrival, ReadOnlySpan<byte> payload)
        {
            if (_bytes.Length < payload.Length)
                _bytes = new byte[Math.Max(256, payload.Length)];
            payload.CopyTo(_bytes);
            _length = payload.Length;
            Present = true;
            Sequence = sequence;
            Timestamp = timestamp;
            Arrival = arrival;
        }
    }
}
