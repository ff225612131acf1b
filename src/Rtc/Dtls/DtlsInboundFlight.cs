using System.Buffers.Binary;
using System.Collections;

namespace Transcribe.Rtc.Dtls;

/// <summary>
/// Which handshake messages of the peer's unprotected flights have come, and how much of each. It serves two ends:
/// to hold the peer's ChangeCipherSpec back until all before it is there (BouncyCastle would change its keys at
/// once and then never take the messages that were overtaken), and to make BouncyCastle send its last flight again,
/// which it does when it sees the peer's previous flight a second time.
/// </summary>
internal sealed class DtlsInboundFlight
{
    private const int MaxMessages = 16;
    private const int MaxMessageLength = 32 * 1024;

    private readonly Dictionary<ushort, Message> _current = [];
    private List<(ushort Sequence, byte Type, int Length)> _previous = [];
    private int _floor;

    /// <summary>True once a flight was answered with one of ours.</summary>
    public bool HasPrevious => _previous.Count > 0;

    public void Note(ReadOnlySpan<byte> body)
    {
        while (DtlsFragment.TryRead(ref body, out DtlsFragment fragment))
        {
            if (fragment.MessageSequence < _floor || fragment.MessageLength > MaxMessageLength)
                continue;
            if (!_current.TryGetValue(fragment.MessageSequence, out Message? message))
            {
                if (_current.Count == MaxMessages)
                    continue;
                message = new(fragment.MessageType, fragment.MessageLength);
                _current.Add(fragment.MessageSequence, message);
            }

            if (message.Type == fragment.MessageType && message.Length == fragment.MessageLength)
                message.Cover(fragment.Offset, fragment.Length);
        }
    }

    /// <summary>We have answered: what has come so far is the previous flight.</summary>
    public void Turn()
    {
        if (_current.Count == 0)
            return;
        _previous = [.. _current.Select(entry => (entry.Key, entry.Value.Type, entry.Value.Length)).OrderBy(entry => entry.Key)];
        _floor = _previous[^1].Sequence + 1;
        _current.Clear();
    }

    /// <summary>Whether a message of this type and every one of the flight before it are complete.</summary>
    public bool IsCompleteUpTo(byte type)
    {
        for (int sequence = _floor; _current.TryGetValue((ushort)sequence, out Message? message) && message.IsComplete; sequence++)
        {
            if (message.Type == type)
                return true;
        }

        return false;
    }

    /// <summary>
    /// Records that repeat the previous flight, with zeros for content: BouncyCastle looks only at type, length and
    /// coverage of messages that it has processed before.
    /// </summary>
    public IEnumerable<byte[]> RepeatPrevious()
    {
        const int most = DtlsRecord.MaxHandshakeLength - DtlsRecord.HeaderLength - DtlsRecord.HandshakeHeaderLength;
        foreach ((ushort sequence, byte type, int length) in _previous)
        {
            int offset = 0;
            do
            {
                int part = Math.Min(most, length - offset);
                byte[] record = new byte[DtlsRecord.HeaderLength + DtlsRecord.HandshakeHeaderLength + part];
                record[0] = DtlsRecord.Handshake;
                (record[1], record[2]) = (0xFE, 0xFD);
                BinaryPrimitives.WriteUInt16BigEndian(record.AsSpan(11), (ushort)(record.Length - DtlsRecord.HeaderLength));
                Span<byte> header = record.AsSpan(DtlsRecord.HeaderLength);
                header[0] = type;
                DtlsRecord.WriteUInt24(header[1..], length);
                BinaryPrimitives.WriteUInt16BigEndian(header[4..], sequence);
                DtlsRecord.WriteUInt24(header[6..], offset);
                DtlsRecord.WriteUInt24(header[9..], part);
                yield return record;
                offset += part;
            }
            while (offset < length);
        }
    }

    private sealed class Message
    {
        private readonly BitArray _covered;
        private int _missing;

        public Message(byte type, int length)
        {
            (Type, Length, _missing) = (type, length, length);
            _covered = new BitArray(length);
        }

        public byte Type { get; }

        public int Length { get; }

        public bool IsComplete => _missing == 0;

        public void Cover(int offset, int count)
        {
            for (int i = offset; i < offset + count; i++)
            {
                if (!_covered[i])
                {
                    _covered[i] = true;
                    _missing--;
                }
            }
        }
    }
}
