using System.Runtime.InteropServices;
using Transcribe.Rtc;

namespace Transcribe.Sfu.Net;

/// <summary>
/// Datagrams on their way out, written one behind the other into one block of memory and chained by destination, so
/// that a socket can hand equal-size runs to one destination over as a single segmented message, whatever the order
/// in which they were added.
/// </summary>
internal sealed unsafe class SendBatch : IDisposable
{
    private const int None = -1;

    private readonly Entry[] _entries;
    private readonly Group[] _groups;
    private readonly int[] _table;
    private readonly int _capacityBytes;
    private byte* _memory;
    private int _used;
    private int _count;
    private int _groupCount;
    private int _reserved = None;
    private int _reservedGroup = None;
    private TransportPath _reservedPath;

    /// <param name="capacity">Datagrams.</param>
    /// <param name="capacityBytes">Bytes in all.</param>
    public SendBatch(int capacity = 1024, int capacityBytes = 1 << 20)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(capacityBytes, 2048);
        _entries = new Entry[capacity];
        _groups = new Group[capacity];
        _table = new int[(int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)capacity * 2)];
        Array.Fill(_table, None);
        _capacityBytes = capacityBytes;
        _memory = (byte*)NativeMemory.AlignedAlloc((nuint)capacityBytes, 64);
    }

    ~SendBatch() => Free();

    /// <summary>Datagrams in the batch.</summary>
    public int Count => _count;

    /// <summary>Distinct paths in the batch.</summary>
    public int GroupCount => _groupCount;

    /// <summary>Bytes in the batch.</summary>
    public int Bytes => _used;

    /// <summary>Grows with each <see cref="Clear"/>: what <see cref="Open"/> told is good while it stays the same.</summary>
    public int Epoch { get; private set; }

    /// <summary>The group of a path, to reserve room in again and again without looking for it.</summary>
    public int Open(in TransportPath path) => _groupCount < _groups.Length ? FindGroup(path) : None;

    /// <summary>As <see cref="TryReserve(in TransportPath, int, out Span{byte})"/>, in a group that <see cref="Open"/> told in this epoch.</summary>
    public bool TryReserve(int group, int maxLength, out Span<byte> destination)
    {
        if (group < 0 || _count == _entries.Length || _capacityBytes - _used < maxLength)
        {
            destination = default;
            return false;
        }

        _reserved = maxLength;
        _reservedGroup = group;
        destination = new Span<byte>(_memory + _used, maxLength);
        return true;
    }

    /// <summary>Room for a datagram to be written in place; false if the batch must be sent first.</summary>
    /// <param name="maxLength">Upper bound of the length that <see cref="Commit"/> will tell.</param>
    public bool TryReserve(in TransportPath path, int maxLength, out Span<byte> destination)
    {
        if (_count == _entries.Length || _groupCount == _groups.Length || _capacityBytes - _used < maxLength)
        {
            destination = default;
            return false;
        }

        _reserved = maxLength;
        _reservedGroup = None;
        _reservedPath = path;
        destination = new Span<byte>(_memory + _used, maxLength);
        return true;
    }

    /// <summary>Adds the reserved datagram with its real length.</summary>
    public void Commit(int length)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)length, (uint)Math.Max(_reserved, 0));
        _reserved = None;
        int index = _count++;
        _entries[index] = new Entry { Offset = _used, Length = length, Next = None };
        _used += length;
        ref Group group = ref _groups[_reservedGroup != None ? _reservedGroup : FindGroup(_reservedPath)];
        if (group.Head == None)
            group.Head = index;
        else
            _entries[group.Tail].Next = index;
        group.Tail = index;
        group.Count++;
    }

    /// <summary>Adds a copy of a datagram; false if the batch must be sent first.</summary>
    public bool TryAdd(in TransportPath path, ReadOnlySpan<byte> datagram)
    {
        if (!TryReserve(path, datagram.Length, out Span<byte> destination))
            return false;
        datagram.CopyTo(destination);
        Commit(datagram.Length);
        return true;
    }

    /// <summary>The first entry of a path, or -1; continue with <see cref="Next"/>.</summary>
    internal int First(int group, out TransportPath path)
    {
        path = _groups[group].Path;
        return _groups[group].Head;
    }

    /// <summary>The following entry of the same path; -1 at the end.</summary>
    internal int Next(int entry) => _entries[entry].Next;

    internal int Length(int entry) => _entries[entry].Length;

    internal byte* Pointer(int entry) => _memory + _entries[entry].Offset;

    internal ReadOnlySpan<byte> Datagram(int entry) => new(Pointer(entry), _entries[entry].Length);

    public void Clear()
    {
        for (int i = 0; i < _groupCount; i++)
            _table[_groups[i].Slot] = None;
        _groupCount = 0;
        _count = 0;
        _used = 0;
        _reserved = None;
        Epoch++;
    }

    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    private int FindGroup(in TransportPath path)
    {
        // A run of packets to one peer is the common case: look at the newest group first.
        if (_groupCount > 0 && _groups[_groupCount - 1].Path == path)
            return _groupCount - 1;

        int mask = _table.Length - 1;
        int slot = Hash(path) & mask;
        while (true)
        {
            int group = _table[slot];
            if (group == None)
            {
                _groups[_groupCount] = new Group { Path = path, Head = None, Tail = None, Slot = slot };
                _table[slot] = _groupCount;
                return _groupCount++;
            }

            if (_groups[group].Path == path)
                return group;
            slot = (slot + 1) & mask;
        }
    }

    private static int Hash(in TransportPath path)
    {
        ulong h = (path.Remote.Low * 0x9E37_79B9_7F4A_7C15) ^ ((ulong)path.Remote.Port * 0xC2B2_AE3D_27D4_EB4F) ^ path.Remote.High;
        h ^= path.Local.Low * 0x1656_67B1_9E37_79F9;
        return (int)((h ^ (h >> 29)) >> 8) & int.MaxValue;
    }

    private void Free()
    {
        NativeMemory.AlignedFree(_memory);
        _memory = null;
    }

    private struct Entry
    {
        public int Offset;
        public int Length;
        public int Next;
    }

    private struct Group
    {
        public TransportPath Path;
        public int Head;
        public int Tail;
        public int Count;
        public int Slot;
    }
}
