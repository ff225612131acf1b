namespace Transcribe.Rtc.Rtp;

/// <summary>Bounds of a <see cref="RetransmissionCache"/>.</summary>
public sealed record RetransmissionCacheOptions
{
    /// <summary>Packets remembered at most; rounded up to a power of two, at most 16384.</summary>
    public int MaxPackets { get; init; } = 1024;

    /// <summary>Bytes held at most; they are allocated with the first packet.</summary>
    public int MaxBytes { get; init; } = 1 << 20;

    /// <summary>A packet older than this is not sent again: its receiver has given up on it.</summary>
    public TimeSpan MaxAge { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>Two seconds of video up to about 4 Mbit/s.</summary>
    public static RetransmissionCacheOptions Video { get; } = new();

    /// <summary>Two seconds of audio.</summary>
    public static RetransmissionCacheOptions Audio { get; } = new() { MaxPackets = 256, MaxBytes = 1 << 16 };
}

/// <summary>
/// The last packets of one published track, by sequence number, for all its subscribers: one copy a packet, however
/// many receive it. The bytes live in one ring buffer, so nothing is allocated after the first packet; a packet is
/// gone when the ring has overwritten it, its slot was taken, or it is too old. For use by one thread.
/// </summary>
public sealed class RetransmissionCache
{
    private readonly Slot[] _slots;
    private readonly int _maxBytes;
    private readonly TimeSpan _maxAge;
    private byte[]? _ring;
    private long _written;

    public RetransmissionCache(RetransmissionCacheOptions? options = null)
    {
        options ??= RetransmissionCacheOptions.Video;
        int slots = (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)Math.Clamp(options.MaxPackets, 16, 16384));
        _slots = new Slot[slots];
        _maxBytes = Math.Max(options.MaxBytes, 4096);
        _maxAge = options.MaxAge;
    }

    /// <summary>Remembers a packet as its publisher sent it (after decryption, header included).</summary>
    /// <returns>False where it was not taken: larger than the cache, or older than the packet that has its slot.</returns>
    public bool Add(Instant now, in RtpPacket packet)
    {
        ReadOnlySpan<byte> bytes = packet.Bytes;
        if (bytes.Length > _maxBytes)
            return false;

        ref Slot slot = ref _slots[packet.SequenceNumber & (_slots.Length - 1)];
        if (IsLive(slot, now) && (short)(packet.SequenceNumber - slot.SequenceNumber) < 0)
            return false;

        _ring ??= GC.AllocateUninitializedArray<byte>(_maxBytes);
        int offset = (int)(_written % _maxBytes);
        if (offset + bytes.Length > _maxBytes)
        {
            // Packets are contiguous: leave the end of the ring unused.
            _written += _maxBytes - offset;
            offset = 0;
        }

        bytes.CopyTo(_ring.AsSpan(offset));
        slot = new Slot(_written, now, bytes.Length, packet.SequenceNumber);
        _written += bytes.Length;
        return true;
    }

    /// <summary>Finds a packet by the sequence number its publisher gave it. The view is valid until the next <see cref="Add"/>.</summary>
    public bool TryGet(Instant now, ushort sequenceNumber, out RtpPacket packet)
    {
        ref Slot slot = ref _slots[sequenceNumber & (_slots.Length - 1)];
        if (slot.SequenceNumber == sequenceNumber && IsLive(slot, now))
            return RtpPacket.TryParse(_ring.AsSpan((int)(slot.Position % _maxBytes), slot.Length), out packet);
        packet = default;
        return false;
    }

    /// <summary>Forgets every packet, and keeps the buffers.</summary>
    public void Clear() => Array.Clear(_slots);

    private bool IsLive(in Slot slot, Instant now) =>
        slot.Length > 0 && _written - slot.Position <= _maxBytes && now - slot.Arrival <= _maxAge;

    /// <param name="Position">Bytes written to the ring, ends left unused included, before this packet.</param>
    private readonly record struct Slot(long Position, Instant Arrival, int Length, ushort SequenceNumber);
}
