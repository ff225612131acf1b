using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace Transcribe.Rtc.Rtp;

/// <summary>
/// Writes one RTP packet into a buffer: header, extensions, then payload. Starts in the one-byte extension form and
/// changes to the two-byte form only where an element needs it and the destination allows it.
/// <code>
/// var writer = new RtpHeaderWriter(buffer, payloadType, marker, sequenceNumber, timestamp, ssrc);
/// writer.SetExtension(midId, mid);
/// writer.CopyExtensions(source, map);
/// int length = writer.Finish(source.Payload);
/// </code>
/// </summary>
public ref struct RtpHeaderWriter
{
    private readonly Span<byte> _buffer;
    private readonly bool _allowTwoByte;
    private readonly int _blockStart;
    private ExtensionBits _present;
    private int _position;
    private bool _twoByte;

    /// <summary>Begins a packet.</summary>
    /// <param name="destination">Room for the whole packet, at least 12 bytes and the contributing sources.</param>
    /// <param name="payloadType">0..127.</param>
    /// <param name="marker">The M bit.</param>
    /// <param name="sequenceNumber">Sequence number.</param>
    /// <param name="timestamp">RTP timestamp.</param>
    /// <param name="ssrc">Synchronisation source.</param>
    /// <param name="contributingSources">Four big-endian bytes each, at most fifteen.</param>
    /// <param name="allowTwoByte">The destination negotiated <c>extmap-allow-mixed</c>.</param>
    /// <exception cref="ArgumentException">The buffer cannot hold even the fixed header.</exception>
    public RtpHeaderWriter(
        Span<byte> destination,
        byte payloadType,
        bool marker,
        ushort sequenceNumber,
        uint timestamp,
        uint ssrc,
        ReadOnlySpan<byte> contributingSources = default,
        bool allowTwoByte = false)
    {
        int csrcLength = Math.Min(contributingSources.Length / 4, 15) * 4;
        if (destination.Length < RtpPacket.FixedHeaderSize + csrcLength)
            throw new ArgumentException("The buffer is smaller than an RTP header.", nameof(destination));

        destination[0] = (byte)(0x80 | (csrcLength / 4));
        destination[1] = (byte)((marker ? 0x80 : 0) | (payloadType & 0x7F));
        BinaryPrimitives.WriteUInt16BigEndian(destination[2..], sequenceNumber);
        BinaryPrimitives.WriteUInt32BigEndian(destination[4..], timestamp);
        BinaryPrimitives.WriteUInt32BigEndian(destination[8..], ssrc);
        contributingSources[..csrcLength].CopyTo(destination[RtpPacket.FixedHeaderSize..]);
        _buffer = destination;
        _allowTwoByte = allowTwoByte;
        _blockStart = RtpPacket.FixedHeaderSize + csrcLength + 4;
        _position = _blockStart;
        _twoByte = false;
        _present = default;
    }

    /// <summary>True once an element made the two-byte form necessary.</summary>
    public readonly bool IsTwoByte => _twoByte;

    /// <summary>Where the payload would start if the header were finished now.</summary>
    public readonly int HeaderLength =>
        _position == _blockStart ? _blockStart - 4 : _blockStart + ((_position - _blockStart + 3) & ~3);

    /// <summary>Adds an element, or replaces the one of the same id.</summary>
    /// <param name="id">Negotiated id; 0 ("not negotiated") adds nothing.</param>
    /// <param name="data">0..255 bytes.</param>
    /// <returns>False where it was left out: id 0, no room, or only the two-byte form could carry it and that is not allowed.</returns>
    public bool SetExtension(byte id, scoped ReadOnlySpan<byte> data)
    {
        if (!TryReserve(id, data.Length, out Span<byte> room))
            return false;
        data.CopyTo(room);
        return true;
    }

    /// <summary>Adds or replaces an element and hands out its bytes to fill, zeroed or old.</summary>
    /// <param name="id">Negotiated id; 0 ("not negotiated") adds nothing.</param>
    /// <param name="length">0..255.</param>
    /// <param name="room">Where the element's data goes.</param>
    /// <returns>False as for <see cref="SetExtension"/>.</returns>
    public bool TryReserve(byte id, int length, out Span<byte> room)
    {
        room = default;
        if (id == 0 || length > 255)
            return false;
        bool needsTwoByte = id > 14 || length is 0 or > 16;
        if (needsTwoByte && !_twoByte && (!_allowTwoByte || !TryChangeToTwoByte()))
            return false;

        if (_present.Contains(id) && TryReplace(id, length, out room))
            return true;

        int header = _twoByte ? 2 : 1;
        if (((_position + header + length + 3) & ~3) > _buffer.Length)
            return false;
        if (_twoByte)
        {
            _buffer[_position] = id;
            _buffer[_position + 1] = (byte)length;
        }
        else
        {
            _buffer[_position] = (byte)((id << 4) | (length - 1));
        }

        room = _buffer.Slice(_position + header, length);
        _position += header + length;
        _present.Add(id);
        return true;
    }

    /// <summary>
    /// Copies the source's elements under their destination ids. Elements that the map drops, and those that were set
    /// before under the same destination id, are left out.
    /// </summary>
    public void CopyExtensions(in RtpPacket source, RtpExtensionMap map)
    {
        foreach (RtpHeaderExtension extension in source.Extensions)
        {
            byte id = map[extension.Id];
            if (id != 0 && !_present.Contains(id))
                SetExtension(id, extension.Data);
        }
    }

    /// <summary>Ends the header and copies the payload.</summary>
    /// <returns>Length of the packet, or 0 where the buffer is too small.</returns>
    public int Finish(scoped ReadOnlySpan<byte> payload)
    {
        int start = FinishHeader();
        if (payload.Length > _buffer.Length - start)
            return 0;
        payload.CopyTo(_buffer[start..]);
        return start + payload.Length;
    }

    /// <summary>Ends the header and writes a retransmission's payload: the original sequence number, then the original payload (RFC 4588 §4).</summary>
    /// <returns>Length of the packet, or 0 where the buffer is too small.</returns>
    public int FinishRetransmission(ushort originalSequenceNumber, scoped ReadOnlySpan<byte> payload)
    {
        int start = FinishHeader();
        if (payload.Length + 2 > _buffer.Length - start)
            return 0;
        BinaryPrimitives.WriteUInt16BigEndian(_buffer[start..], originalSequenceNumber);
        payload.CopyTo(_buffer[(start + 2)..]);
        return start + 2 + payload.Length;
    }

    /// <summary>Ends the header and writes nothing but padding, as bandwidth probes do.</summary>
    /// <param name="paddingLength">1..255.</param>
    /// <returns>Length of the packet, or 0 where the buffer is too small.</returns>
    public int FinishPadding(byte paddingLength)
    {
        int start = FinishHeader();
        if (paddingLength == 0 || paddingLength > _buffer.Length - start)
            return 0;
        _buffer.Slice(start, paddingLength).Clear();
        _buffer[start + paddingLength - 1] = paddingLength;
        _buffer[0] |= 0x20;
        return start + paddingLength;
    }

    /// <summary>Ends the header alone.</summary>
    /// <returns>Where the payload has to follow.</returns>
    public int FinishHeader()
    {
        if (_position == _blockStart)
            return _blockStart - 4;

        int end = HeaderLength;
        _buffer[_position..end].Clear();
        _buffer[0] |= 0x10;
        Span<byte> block = _buffer[(_blockStart - 4)..];
        BinaryPrimitives.WriteUInt16BigEndian(
            block, _twoByte ? RtpExtensionEnumerable.TwoByteProfile : RtpExtensionEnumerable.OneByteProfile);
        BinaryPrimitives.WriteUInt16BigEndian(block[2..], (ushort)((end - _blockStart) / 4));
        _position = end;
        return end;
    }

    private bool TryReplace(byte id, int length, out Span<byte> room)
    {
        room = default;
        int header = _twoByte ? 2 : 1;
        for (int at = _blockStart; at < _position;)
        {
            int elementId = _twoByte ? _buffer[at] : _buffer[at] >> 4;
            int elementLength = _twoByte ? _buffer[at + 1] : (_buffer[at] & 0x0F) + 1;
            int next = at + header + elementLength;
            if (elementId == id)
            {
                if (elementLength == length)
                {
                    room = _buffer.Slice(at + header, length);
                    return true;
                }

                // Another length: take the old one out, the caller appends the new one.
                _buffer[next.._position].CopyTo(_buffer[at..]);
                _position -= next - at;
                _present.Remove(id);
                return false;
            }

            at = next;
        }

        return false;
    }

    private bool TryChangeToTwoByte()
    {
        // One byte more per element; from back to front would need a list, so go through a copy.
        Span<byte> old = stackalloc byte[14 * 17];
        int oldLength = _position - _blockStart;
        _buffer[_blockStart.._position].CopyTo(old);

        int count = 0;
        for (int at = 0; at < oldLength; at += (old[at] & 0x0F) + 2)
            count++;
        if (_position + count > _buffer.Length)
            return false;

        int to = _blockStart;
        for (int at = 0; at < oldLength;)
        {
            int length = (old[at] & 0x0F) + 1;
            _buffer[to] = (byte)(old[at] >> 4);
            _buffer[to + 1] = (byte)length;
            old.Slice(at + 1, length).CopyTo(_buffer[(to + 2)..]);
            to += 2 + length;
            at += 1 + length;
        }

        _position = to;
        _twoByte = true;
        return true;
    }

    /// <summary>A set of ids 0..255 without a heap object.</summary>
    [InlineArray(4)]
    private struct ExtensionBits
    {
        private ulong _word;

        [UnscopedRef]
        private Span<ulong> Words => this;

        public readonly bool Contains(byte id) => (this[id >> 6] & (1UL << (id & 63))) != 0;

        public void Add(byte id) => Words[id >> 6] |= 1UL << (id & 63);

        public void Remove(byte id) => Words[id >> 6] &= ~(1UL << (id & 63));
    }
}
