using System.Buffers.Binary;

namespace Transcribe.Rtc.Rtcp;

/// <summary>
/// The receive side of transport-wide congestion control: remembers when packets arrived, and builds the feedback
/// that says so. Packets are reported once; those missing in between as not received. A packet that arrives after
/// its number was reported as missing is reported again, on its own. Nothing is allocated after construction.
/// </summary>
public sealed class TransportFeedbackRecorder
{
    /// <summary>Sequence numbers remembered; what is not reported by then is lost to the estimator.</summary>
    public const int Window = 2048;

    private const long NotReceived = long.MinValue;
    private const int HeaderSize = 20;

    private readonly long[] _arrivals = new long[Window];
    private Rtp.SequenceUnwrapper _unwrapper;
    private long _next;
    private long _end;
    private long _reported = long.MinValue;
    private bool _started;
    private byte _feedbackCount;

    public TransportFeedbackRecorder() => Array.Fill(_arrivals, NotReceived);

    /// <summary>True where arrivals wait to be reported.</summary>
    public bool HasPending => _started && _next < _end;

    /// <summary>Takes note of a packet.</summary>
    public void OnPacket(Instant arrival, ushort sequenceNumber)
    {
        long number = _unwrapper.Unwrap(sequenceNumber);
        if (!_started)
        {
            _started = true;
            _next = _end = number;
        }

        if (number >= _end)
        {
            if (number - _end >= Window)
            {
                // So large a gap is a sender that began again.
                Array.Fill(_arrivals, NotReceived);
                _next = number;
                _reported = number;
            }
            else
            {
                for (long lost = _end; lost < number; lost++)
                    Slot(lost) = NotReceived;
            }

            _end = number + 1;
            if (_end - _next > Window)
                _next = _end - Window;
            Slot(number) = Units(arrival);
            return;
        }

        if (number <= _end - Window)
            return;
        if (number < _next)
        {
            // Late, and reported as missing: go back to it. What lies between was reported, so it is skipped as missing.
            for (long reported = number + 1; reported < _next; reported++)
                Slot(reported) = NotReceived;
            _next = number;
            Slot(number) = Units(arrival);
        }
        else if (Slot(number) == NotReceived)
        {
            Slot(number) = Units(arrival);
        }
    }

    /// <summary>
    /// Appends one feedback packet. Call again while <see cref="HasPending"/>: a packet ends where the buffer does, or
    /// where an arrival is too far from the one before it for its 16-bit delta.
    /// </summary>
    /// <returns>False where nothing waits, or not even one status fits.</returns>
    public bool TryWrite(ref RtcpWriter writer, uint senderSsrc, uint mediaSsrc)
    {
        // A packet starts with one that was received: leading gaps have been reported, or will never be.
        while (_next < _end && Slot(_next) == NotReceived)
            _next++;
        if (_next >= _end)
            return false;

        long reference = FloorDivide(Slot(_next), TransportFeedback.UnitsPerReference);
        Span<byte> symbols = stackalloc byte[Window];
        Span<short> deltas = stackalloc short[Window];
        int count = Gather(reference, writer.Free.Length - HeaderSize, symbols, deltas);
        if (count == 0)
            return false;
        symbols = symbols[..count];

        int deltaBytes = 0;
        foreach (byte symbol in symbols)
            deltaBytes += symbol;
        int chunks = WriteChunks(symbols, default);
        int contentLength = HeaderSize + (chunks * 2) + deltaBytes;
        int padding = -contentLength & 3;
        if (!writer.TryBegin(RtcpPacketType.TransportFeedback, TransportFeedbackFormat.TransportWide, contentLength + padding - 4, out Span<byte> body))
            return false;

        BinaryPrimitives.WriteUInt32BigEndian(body, senderSsrc);
        BinaryPrimitives.WriteUInt32BigEndian(body[4..], mediaSsrc);
        BinaryPrimitives.WriteUInt16BigEndian(body[8..], (ushort)_next);
        BinaryPrimitives.WriteUInt16BigEndian(body[10..], (ushort)count);
        BinaryPrimitives.WriteUInt32BigEndian(body[12..], ((uint)(reference & 0xFF_FFFF) << 8) | _feedbackCount++);
        WriteChunks(symbols, body[16..]);
        WriteDeltas(symbols, deltas, body[(16 + (chunks * 2))..]);
        if (padding > 0)
            writer.EndWithPadding(body, padding);
        _next += count;
        _reported = Math.Max(_reported, _next);
        return true;
    }

    /// <summary>Collects the statuses of one packet: as many as surely fit, and whose deltas can be told.</summary>
    private int Gather(long reference, int room, Span<byte> symbols, Span<short> deltas)
    {
        long previous = reference * TransportFeedback.UnitsPerReference;
        int deltaBytes = 0;
        int count = 0;
        for (long number = _next; number < _end; number++, count++)
        {
            long arrival = Slot(number);
            int symbol = StatusChunk.NotReceived;
            long delta = 0;
            if (arrival != NotReceived)
            {
                delta = arrival - previous;
                if (delta is < short.MinValue or > short.MaxValue)
                    break;
                symbol = delta is >= 0 and <= 255 ? StatusChunk.SmallDelta : StatusChunk.LargeDelta;
                previous = arrival;
            }
            else if (number < _reported)
            {
                // Told before, perhaps as received: a late arrival is reported without its neighbours.
                break;
            }

            // A chunk holds at least seven statuses, but for the last; three bytes may pad the end.
            deltaBytes += symbol;
            if (((count / StatusChunk.TwoBitCapacity) + 1) * 2 + deltaBytes + 3 > room)
                break;
            symbols[count] = (byte)symbol;
            deltas[count] = (short)delta;
        }

        return count;
    }

    /// <summary>Writes status chunks, each the one that covers most; or only counts them where there is no room given.</summary>
    private static int WriteChunks(ReadOnlySpan<byte> symbols, Span<byte> destination)
    {
        int chunks = 0;
        while (!symbols.IsEmpty)
        {
            int run = symbols.IndexOfAnyExcept(symbols[0]);
            run = Math.Min(run < 0 ? symbols.Length : run, StatusChunk.MaxRun);
            ReadOnlySpan<byte> vector = symbols[..Math.Min(symbols.Length, StatusChunk.OneBitCapacity)];
            bool twoBits = vector.Contains((byte)StatusChunk.LargeDelta);
            if (twoBits)
                vector = vector[..Math.Min(vector.Length, StatusChunk.TwoBitCapacity)];

            int chunk;
            int covered;
            if (run >= vector.Length)
            {
                chunk = StatusChunk.Run(symbols[0], run);
                covered = run;
            }
            else
            {
                covered = vector.Length;
                chunk = twoBits ? 0xC000 : 0x8000;
                for (int i = 0; i < vector.Length; i++)
                    chunk |= twoBits ? vector[i] << (12 - (i * 2)) : vector[i] << (13 - i);
            }

            if (!destination.IsEmpty)
                BinaryPrimitives.WriteUInt16BigEndian(destination[(chunks * 2)..], (ushort)chunk);
            chunks++;
            symbols = symbols[covered..];
        }

        return chunks;
    }

    private static void WriteDeltas(ReadOnlySpan<byte> symbols, ReadOnlySpan<short> deltas, Span<byte> destination)
    {
        int at = 0;
        for (int i = 0; i < symbols.Length; i++)
        {
            if (symbols[i] == StatusChunk.SmallDelta)
                destination[at] = (byte)deltas[i];
            else if (symbols[i] == StatusChunk.LargeDelta)
                BinaryPrimitives.WriteInt16BigEndian(destination[at..], deltas[i]);
            at += symbols[i];
        }
    }

    private ref long Slot(long number) => ref _arrivals[(int)((ulong)number % Window)];

    private static long Units(Instant arrival) => FloorDivide(arrival.Ticks, TimeSpan.TicksPerSecond / TransportFeedback.UnitsPerSecond);

    private static long FloorDivide(long value, long by) => (value / by) - (value % by < 0 ? 1 : 0);
}
