using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Transcribe.Sfu.Workers;

/// <summary>What a record of a <see cref="PacketRing"/> is.</summary>
internal enum RingRecordKind
{
    RtpPacket,
    SenderReport,
}

/// <summary>One record, in place: valid until the reader releases it.</summary>
internal readonly ref struct RingRecord(int channel, RingRecordKind kind, long time, Span<byte> bytes)
{
    public int Channel => channel;

    public RingRecordKind Kind => kind;

    public long Time => time;

    public Span<byte> Bytes { get; } = bytes;
}

/// <summary>
/// Bounded queue of byte records from one thread to one other, without locks and without allocation. The reader gets the
/// bytes in place; they stay until it releases them. A record never wraps around the end of the memory.
/// </summary>
internal sealed unsafe class PacketRing : IDisposable
{
    /// <summary>Records start at multiples of this; the header fills the first.</summary>
    private const int Alignment = 32;

    private const int Skip = -1;

    private readonly int _capacity;
    private byte* _memory;

    // Each on a cache line of its own: writer and reader do not disturb one another.
    private PaddedPosition _published;
    private PaddedPosition _released;
    private WriterState _writer;
    private PaddedPosition _read;

    /// <param name="capacity">Bytes; rounded up to a power of two. Taken from the system with the first record.</param>
    public PacketRing(int capacity)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, 4096);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(capacity, 1 << 30);
        _capacity = (int)BitOperations.RoundUpToPowerOf2((uint)capacity);
    }

    ~PacketRing() => Free();

    public int Capacity => _capacity;

    /// <summary>Whether all that was published is read. For the reader.</summary>
    public bool IsEmpty => Volatile.Read(ref _published.Value) == _read.Value;

    /// <summary>Adds a record; the reader sees it after <see cref="Publish"/>. False where there is no room. For the writer.</summary>
    public bool TryWrite(int channel, RingRecordKind kind, long time, ReadOnlySpan<byte> bytes)
    {
        int size = (Alignment + bytes.Length + Alignment - 1) & -Alignment;
        int offset = (int)_writer.Position & (_capacity - 1);
        int rest = _capacity - offset;
        int skip = rest < size ? rest : 0;
        if (!HasRoom(skip + size))
            return false;
        if (_memory is null)
            _memory = (byte*)NativeMemory.AlignedAlloc((nuint)_capacity, 64);
        if (skip > 0)
        {
            *(Header*)(_memory + offset) = new Header { Size = skip, Length = Skip };
            offset = 0;
        }

        *(Header*)(_memory + offset) = new Header { Size = size, Length = bytes.Length, Channel = channel, Kind = kind, Time = time };
        bytes.CopyTo(new Span<byte>(_memory + offset + Alignment, bytes.Length));
        _writer.Position += skip + size;
        return true;
    }

    /// <summary>Shows the reader everything written so far. For the writer.</summary>
    public void Publish() => Volatile.Write(ref _published.Value, _writer.Position);

    /// <summary>The next record; false where all are read. For the reader.</summary>
    public bool TryRead(out RingRecord record)
    {
        while (Volatile.Read(ref _published.Value) != _read.Value)
        {
            byte* at = _memory + ((int)_read.Value & (_capacity - 1));
            Header header = *(Header*)at;
            _read.Value += header.Size;
            if (header.Length == Skip)
                continue;
            record = new RingRecord(header.Channel, header.Kind, header.Time, new Span<byte>(at + Alignment, header.Length));
            return true;
        }

        record = default;
        return false;
    }

    /// <summary>Gives the writer back the room of everything read so far. For the reader.</summary>
    public void Release() => Volatile.Write(ref _released.Value, _read.Value);

    /// <summary>Whether bytes lie in the ring, and so stay where they are until <see cref="Release"/>.</summary>
    public bool Holds(ReadOnlySpan<byte> bytes)
    {
        var at = (byte*)Unsafe.AsPointer(ref MemoryMarshal.GetReference(bytes));
        return _memory is not null && at >= _memory && at + bytes.Length <= _memory + _capacity;
    }

    /// <summary>Neither side may use it any more.</summary>
    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    private bool HasRoom(int size)
    {
        if (_writer.Position + size - _writer.ReleasedSeen <= _capacity)
            return true;
        _writer.ReleasedSeen = Volatile.Read(ref _released.Value);
        return _writer.Position + size - _writer.ReleasedSeen <= _capacity;
    }

    private void Free()
    {
        NativeMemory.AlignedFree(_memory);
        _memory = null;
    }

    private struct Header
    {
        public int Size;
        public int Length;
        public int Channel;
        public RingRecordKind Kind;
        public long Time;
    }

    [StructLayout(LayoutKind.Explicit, Size = 128)]
    private struct PaddedPosition
    {
        [FieldOffset(64)]
        public long Value;
    }

    [StructLayout(LayoutKind.Explicit, Size = 128)]
    private struct WriterState
    {
        [FieldOffset(64)]
        public long Position;

        [FieldOffset(72)]
        public long ReleasedSeen;
    }
}
