using Transcribe.Cluster.Sfu;
using Transcribe.Rtc.Rtp;

namespace Transcribe.Sfu.Routing;

/// <summary>
/// The newest packets of one audio track, for a gateway that takes a transcription over. One ring of bytes and one of
/// places in it: they grow to what the track needs and then allocate nothing. Used by its worker only.
/// </summary>
internal sealed class AudioHistory
{
    /// <summary>What is kept, on the publisher's clock.</summary>
    public const int Seconds = 15;

    private const int FirstBytes = 32 * 1024;
    private const int FirstPackets = 256;

    /// <summary>15 s at 280 kbit/s; the oldest packets of a track that sends more give way earlier.</summary>
    private const int MaxBytes = 512 * 1024;

    /// <summary>15 s of the shortest Opus packets, 2.5 ms, and some.</summary>
    private const int MaxPackets = 8192;

    private readonly int _clockRate;
    private readonly int _span;
    private byte[] _bytes = new byte[FirstBytes];
    private Place[] _places = new Place[FirstPackets];
    private int _first;
    private int _count;
    private int _used;
    private uint _ssrc;
    private uint _newest;

    /// <param name="clockRate">Ticks of the RTP clock in a second, 48000 for Opus.</param>
    public AudioHistory(int clockRate = 48000)
    {
        _clockRate = clockRate;
        _span = clockRate * Seconds;
    }

    public int ClockRate => _clockRate;

    /// <summary>Packets held.</summary>
    public int Count => _count;

    /// <summary>Bytes of payload held.</summary>
    public int PayloadBytes => _used;

    /// <summary>Keeps a packet, in whatever order it arrives.</summary>
    public void Add(in RtpPacket packet) =>
        Add(packet.Ssrc, packet.SequenceNumber, packet.Timestamp, packet.PayloadType, packet.Marker, packet.Payload);

    /// <inheritdoc cref="Add(in RtpPacket)"/>
    public void Add(uint ssrc, ushort sequenceNumber, uint timestamp, byte payloadType, bool marker, ReadOnlySpan<byte> payload)
    {
        if (payload.IsEmpty || payload.Length > MaxBytes / 4)
            return; // padding is no sound
        int ahead = (int)(timestamp - _newest);
        if (_count == 0 || ssrc != _ssrc || ahead < -_span)
        {
            // Another source, or its clock jumped back: what was kept relates to nothing any more.
            Clear();
            _ssrc = ssrc;
            _newest = timestamp;
        }
        else if (ahead > 0)
        {
            _newest = timestamp;
            while (_count > 0 && (int)(timestamp - _places[_first].Timestamp) > _span)
                DropOldest();
        }

        if (!MakeRoom(payload.Length, out int start))
            return;
        payload.CopyTo(_bytes.AsSpan(start));
        _places[(_first + _count) % _places.Length] = new(start, payload.Length, timestamp, sequenceNumber, payloadType, marker);
        _count++;
        _used += payload.Length;
    }

    public void Clear() => _first = _count = _used = 0;

    /// <summary>The packets at or after a timestamp, each once, in the order of their sequence numbers.</summary>
    /// <param name="from">Modulo 2^32; null for all.</param>
    public List<HistoryPacket> Read(uint? from = null)
    {
        var found = new List<(int Order, int Place)>(_count);
        for (int i = 0; i < _count; i++)
        {
            int at = (_first + i) % _places.Length;
            ref readonly Place place = ref _places[at];
            if (from is { } start && (int)(place.Timestamp - start) < 0)
                continue;
            // Relative to one of them: the distance is right through a wrap, as 15 s are far less than half the numbers.
            found.Add(((short)(place.SequenceNumber - _places[_first].SequenceNumber), at));
        }

        found.Sort(static (a, b) => a.Order.CompareTo(b.Order));
        var packets = new List<HistoryPacket>(found.Count);
        int last = int.MinValue;
        foreach ((int order, int at) in found)
        {
            if (order == last)
                continue; // sent twice
            last = order;
            ref readonly Place place = ref _places[at];
            packets.Add(new(
                place.SequenceNumber, place.Timestamp, place.PayloadType, place.Marker, _bytes.AsSpan(place.Start, place.Length).ToArray()));
        }

        return packets;
    }

    /// <summary>Finds a place for that many bytes in one piece behind the newest packet, and drops or grows for it.</summary>
    private bool MakeRoom(int length, out int start)
    {
        if (_count == _places.Length && !TryGrowPlaces())
            DropOldest();
        while (!TryPlace(length, out start))
        {
            if (_bytes.Length < MaxBytes)
                GrowBytes();
            else if (_count > 0)
                DropOldest();
            else
                return false;
        }

        return true;
    }

    private bool TryPlace(int length, out int start)
    {
        start = 0;
        if (_count == 0)
            return length <= _bytes.Length;
        ref readonly Place newest = ref _places[(_first + _count - 1) % _places.Length];
        int end = newest.Start + newest.Length, oldest = _places[_first].Start;
        if (newest.Start >= oldest)
        {
            // Not around the end yet: behind the newest, or before the oldest.
            if (length <= _bytes.Length - end)
                start = end;
            return start == end || length <= oldest;
        }

        start = end;
        return length <= oldest - end;
    }

    private void DropOldest()
    {
        _used -= _places[_first].Length;
        _first = (_first + 1) % _places.Length;
        _count--;
    }

    private bool TryGrowPlaces()
    {
        if (_places.Length >= MaxPackets)
            return false;
        var larger = new Place[_places.Length * 2];
        for (int i = 0; i < _count; i++)
            larger[i] = _places[(_first + i) % _places.Length];
        _places = larger;
        _first = 0;
        return true;
    }

    private void GrowBytes()
    {
        var larger = new byte[_bytes.Length * 2];
        int end = 0;
        for (int i = 0; i < _count; i++)
        {
            ref Place place = ref _places[(_first + i) % _places.Length];
            _bytes.AsSpan(place.Start, place.Length).CopyTo(larger.AsSpan(end));
            place = place with { Start = end };
            end += place.Length;
        }

        _bytes = larger;
    }

    private readonly record struct Place(int Start, int Length, uint Timestamp, ushort SequenceNumber, byte PayloadType, bool Marker);
}
