using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Transcribe.Rtc;
using Transcribe.Rtc.Rtp;

namespace Transcribe.Sfu.Routing;

/// <summary>
/// Packets of one track that arrived together and are forwarded together: to each subscriber all of them one behind the
/// other, so that a frame leaves as one segmented message and a subscriber's keys are fetched into the cache once. The
/// bytes stay in the worker's receive ring, unless the run is held for the rest of its frame.
/// </summary>
internal sealed unsafe class PacketRun
{
    public const int Capacity = 32;

    /// <summary>Longer packets cannot be held; none is, on any common network.</summary>
    private const int HoldSlot = 2048;

    private readonly RtpOutline[] _outlines = new RtpOutline[Capacity];
    private readonly Entry[] _entries = new Entry[Capacity];
    private byte[]? _held;

    public int Count { get; private set; }

    public bool IsFull => Count == Capacity;

    /// <summary>When the first packet came.</summary>
    public Instant Since { get; private set; }

    /// <summary>On the worker's list of runs to forward.</summary>
    public bool IsQueued { get; set; }

    /// <summary>The newest packet ends a frame.</summary>
    public bool EndsFrame => Count > 0 && _outlines[Count - 1].Marker;

    public ref readonly RtpOutline Outline(int index) => ref _outlines[index];

    /// <summary>The whole packet.</summary>
    public ReadOnlySpan<byte> Packet(int index) => new(_entries[index].Bytes, _entries[index].Length);

    /// <summary>A decoder can start with this packet; known only while somebody waits for that.</summary>
    public ref bool IsKeyframe(int index) => ref _entries[index].IsKeyframe;

    /// <summary>Adds a packet in memory that does not move and stays as it is until the run is forwarded or held.</summary>
    public void Add(Instant now, in RtpPacket packet)
    {
        if (Count == 0)
            Since = now;
        _outlines[Count] = new RtpOutline(packet, now);
        _entries[Count++] = new Entry
        {
            Bytes = (byte*)Unsafe.AsPointer(ref MemoryMarshal.GetReference(packet.Bytes)),
            Length = packet.Bytes.Length,
        };
    }

    /// <summary>Copies what is not copied yet; false where that cannot be.</summary>
    public bool TryHold()
    {
        _held ??= GC.AllocateUninitializedArray<byte>(Capacity * HoldSlot, pinned: true);
        var slots = (byte*)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(_held));
        for (int i = 0; i < Count; i++)
        {
            ref Entry entry = ref _entries[i];
            byte* slot = slots + (i * HoldSlot);
            if (entry.Bytes == slot)
                continue;
            if (entry.Length > HoldSlot)
                return false;
            Packet(i).CopyTo(new Span<byte>(slot, HoldSlot));
            entry.Bytes = slot;
        }

        return true;
    }

    public void Clear() => Count = 0;

    private struct Entry
    {
        public byte* Bytes;
        public int Length;
        public bool IsKeyframe;
    }
}
