using System.Runtime.InteropServices;
using Transcribe.Rtc;

namespace Transcribe.Sfu.Net;

/// <summary>
/// Memory for one batch of received datagrams, outside the garbage-collected heap so that the kernel may write to it.
/// One slot takes one message of the kernel, which is several datagrams where receive offload merged them.
/// </summary>
internal sealed unsafe class ReceiveRing : IDisposable
{
    /// <summary>Most datagrams the kernel merges into one message (UDP_MAX_SEGMENTS of current kernels).</summary>
    internal const int MaxSegments = 128;

    private readonly Entry[] _entries;
    private readonly TransportPath[] _paths;
    private byte* _memory;
    private int _count;

    /// <param name="slots">Messages per batch.</param>
    /// <param name="slotSize">Bytes per message: at least 65,536 for receive offload, else the longest datagram to accept.</param>
    public ReceiveRing(int slots, int slotSize)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(slots, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(slotSize, 64);
        Slots = slots;
        SlotSize = slotSize;
        _memory = (byte*)NativeMemory.AlignedAlloc((nuint)slots * (nuint)slotSize, 64);
        _paths = new TransportPath[slots];
        _entries = new Entry[slotSize >= ushort.MaxValue ? slots * MaxSegments : slots];
    }

    ~ReceiveRing() => Free();

    public int Slots { get; }

    public int SlotSize { get; }

    public int Count => _count;

    /// <summary>The bytes of a datagram: valid, and the receiver's to change, until the next batch.</summary>
    public Span<byte> Datagram(int index, out TransportPath path)
    {
        ref readonly Entry entry = ref _entries.AsSpan(0, _count)[index];
        path = _paths[entry.Slot];
        return new Span<byte>(_memory + entry.Offset, entry.Length);
    }

    /// <summary>Whether bytes lie in the ring, and so stay where they are until the next batch.</summary>
    internal bool Holds(ReadOnlySpan<byte> bytes)
    {
        var at = (byte*)System.Runtime.CompilerServices.Unsafe.AsPointer(ref MemoryMarshal.GetReference(bytes));
        return at >= _memory && at + bytes.Length <= _memory + ((nint)Slots * SlotSize);
    }

    internal byte* Slot(int slot) => _memory + ((nint)slot * SlotSize);

    internal Span<byte> SlotSpan(int slot) => new(Slot(slot), SlotSize);

    internal void Clear() => _count = 0;

    /// <summary>Adds the message in a slot, as one datagram or as several of <paramref name="segmentSize"/> bytes.</summary>
    internal void Add(int slot, int length, int segmentSize, in TransportPath path)
    {
        _paths[slot] = path;
        int offset = slot * SlotSize;
        if (segmentSize <= 0 || length <= segmentSize)
        {
            AddEntry(slot, offset, length);
            return;
        }

        for (int at = 0; at < length; at += segmentSize)
            AddEntry(slot, offset + at, Math.Min(segmentSize, length - at));
    }

    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    private void AddEntry(int slot, int offset, int length)
    {
        if (_count < _entries.Length)
            _entries[_count++] = new Entry { Slot = slot, Offset = offset, Length = length };
    }

    private void Free()
    {
        NativeMemory.AlignedFree(_memory);
        _memory = null;
        _count = 0;
    }

    private struct Entry
    {
        public int Slot;
        public int Offset;
        public int Length;
    }
}
