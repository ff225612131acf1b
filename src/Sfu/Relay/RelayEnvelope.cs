using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Text;
using Transcribe.Sfu.Routing;

namespace Transcribe.Sfu.Relay;

/// <summary>Who numbered a message: a node, and one life of a room on it.</summary>
internal readonly record struct MessageOrigin(string Node, ulong Epoch);

internal enum RelayEnvelopeKind : byte
{
    /// <summary>A data message of somebody in the room.</summary>
    Message = 1,

    /// <summary>A child joins the room's tree here and tells what it has seen.</summary>
    Open = 2,

    /// <summary>The answer to <see cref="Open"/>: what the parent has seen.</summary>
    Seen = 3,

    /// <summary>The sender takes and gives nothing of the room any more.</summary>
    Close = 4,
}

/// <summary>
/// What two nodes say to each other on a link's data channel "relay". Compact and binary: strings are UTF-8 with a 16-bit
/// length, numbers are big-endian.
/// </summary>
internal sealed class RelayEnvelope
{
    /// <summary>Label of the data channel, reliable and ordered, opened by the node that opened the link.</summary>
    public const string ChannelLabel = "relay";

    /// <summary>Bytes an envelope takes beyond its payload, at most.</summary>
    public const int MaxOverhead = 4096;

    /// <summary>Origins told in one <see cref="RelayEnvelopeKind.Open"/> or <see cref="RelayEnvelopeKind.Seen"/>.</summary>
    public const int MaxOrigins = 4096;

    private const int MaxName = 1024;

    [Flags]
    private enum Flags : byte
    {
        None = 0,
        Text = 1,
        Ordered = 2,
        MaxRetransmits = 4,
        MaxPacketLifetime = 8,
        Fresh = 16,
    }

    private RelayEnvelope(RelayEnvelopeKind kind, string room) => (Kind, Room) = (kind, room);

    public RelayEnvelopeKind Kind { get; }

    public string Room { get; }

    public MessageOrigin Origin { get; private init; }

    /// <summary>Of the message, counted by its origin: 1, 2, 3 …</summary>
    public long Sequence { get; private init; }

    public DataMessage Message { get; private init; }

    public ReadOnlyMemory<byte> Payload { get; private init; }

    /// <summary>The sender never had a neighbour in this room: nothing old is to be sent to it.</summary>
    public bool IsFresh { get; private init; }

    /// <summary>For each origin the number up to which the sender has every message.</summary>
    public IReadOnlyDictionary<MessageOrigin, long> Floors { get; private init; } = new Dictionary<MessageOrigin, long>();

    public static byte[] WriteMessage(string room, MessageOrigin origin, long sequence, in DataMessage message, ReadOnlySpan<byte> payload)
    {
        Flags flags = (message.IsText ? Flags.Text : 0) | (message.Ordered ? Flags.Ordered : 0)
            | (message.MaxRetransmits is not null ? Flags.MaxRetransmits : 0) | (message.MaxPacketLifetime is not null ? Flags.MaxPacketLifetime : 0);
        int size = 2 + SizeOf(room) + SizeOf(origin.Node) + 16 + SizeOf(message.Label) + SizeOf(message.Protocol)
            + (message.MaxRetransmits is not null ? 2 : 0) + (message.MaxPacketLifetime is not null ? 2 : 0) + payload.Length;
        byte[] bytes = new byte[size];
        var writer = new Writer(bytes);
        writer.Byte((byte)RelayEnvelopeKind.Message);
        writer.Byte((byte)flags);
        writer.Text(room);
        writer.Text(origin.Node);
        writer.UInt64(origin.Epoch);
        writer.UInt64((ulong)sequence);
        writer.Text(message.Label);
        writer.Text(message.Protocol);
        if (message.MaxRetransmits is int retransmits)
            writer.UInt16((ushort)retransmits);
        if (message.MaxPacketLifetime is TimeSpan lifetime)
            writer.UInt16((ushort)Math.Clamp(lifetime.TotalMilliseconds, 0, ushort.MaxValue));
        payload.CopyTo(writer.Rest);
        return bytes;
    }

    /// <summary>Whether a message can be put into an envelope: names longer than this are no use to anybody.</summary>
    public static bool Fits(in DataMessage message) =>
        Encoding.UTF8.GetByteCount(message.Label) <= MaxName && Encoding.UTF8.GetByteCount(message.Protocol) <= MaxName;

    public static byte[] WriteOpen(string room, bool fresh, IReadOnlyCollection<KeyValuePair<MessageOrigin, long>> floors) =>
        WriteFloors(RelayEnvelopeKind.Open, room, fresh, floors);

    public static byte[] WriteSeen(string room, IReadOnlyCollection<KeyValuePair<MessageOrigin, long>> floors) =>
        WriteFloors(RelayEnvelopeKind.Seen, room, false, floors);

    public static byte[] WriteClose(string room)
    {
        byte[] bytes = new byte[2 + SizeOf(room)];
        var writer = new Writer(bytes);
        writer.Byte((byte)RelayEnvelopeKind.Close);
        writer.Byte(0);
        writer.Text(room);
        return bytes;
    }

    /// <summary>False for anything that is not an envelope. The payload stays in <paramref name="bytes"/>.</summary>
    public static bool TryRead(ReadOnlyMemory<byte> bytes, [NotNullWhen(true)] out RelayEnvelope? envelope)
    {
        envelope = null;
        var reader = new Reader(bytes.Span);
        if (!reader.TryByte(out byte kind) || !reader.TryByte(out byte rawFlags) || !reader.TryText(out string? room) || room.Length == 0)
            return false;
        var flags = (Flags)rawFlags;
        switch ((RelayEnvelopeKind)kind)
        {
            case RelayEnvelopeKind.Close:
                envelope = new RelayEnvelope(RelayEnvelopeKind.Close, room);
                return reader.Left == 0;
            case RelayEnvelopeKind.Open or RelayEnvelopeKind.Seen:
                if (!TryReadFloors(ref reader, out Dictionary<MessageOrigin, long>? floors))
                    return false;
                envelope = new RelayEnvelope((RelayEnvelopeKind)kind, room) { IsFresh = flags.HasFlag(Flags.Fresh), Floors = floors };
                return true;
            case RelayEnvelopeKind.Message:
                return TryReadMessage(ref reader, bytes, room, flags, out envelope);
            default:
                return false;
        }
    }

    private static bool TryReadMessage(
        ref Reader reader, ReadOnlyMemory<byte> bytes, string room, Flags flags, [NotNullWhen(true)] out RelayEnvelope? envelope)
    {
        envelope = null;
        ushort retransmits = 0, lifetime = 0;
        if (!reader.TryText(out string? node) || !reader.TryUInt64(out ulong epoch) || !reader.TryUInt64(out ulong sequence)
            || sequence is 0 or > long.MaxValue || !reader.TryText(out string? label) || !reader.TryText(out string? protocol)
            || (flags.HasFlag(Flags.MaxRetransmits) && !reader.TryUInt16(out retransmits))
            || (flags.HasFlag(Flags.MaxPacketLifetime) && !reader.TryUInt16(out lifetime)))
        {
            return false;
        }

        envelope = new RelayEnvelope(RelayEnvelopeKind.Message, room)
        {
            Origin = new MessageOrigin(node, epoch),
            Sequence = (long)sequence,
            Message = new DataMessage(
                label, flags.HasFlag(Flags.Text), flags.HasFlag(Flags.Ordered),
                flags.HasFlag(Flags.MaxRetransmits) ? retransmits : null,
                flags.HasFlag(Flags.MaxPacketLifetime) && !flags.HasFlag(Flags.MaxRetransmits) ? TimeSpan.FromMilliseconds(lifetime) : null,
                protocol),
            Payload = bytes[^reader.Left..],
        };
        return true;
    }

    private static byte[] WriteFloors(RelayEnvelopeKind kind, string room, bool fresh, IReadOnlyCollection<KeyValuePair<MessageOrigin, long>> floors)
    {
        KeyValuePair<MessageOrigin, long>[] told = [.. floors.Take(MaxOrigins)];
        byte[] bytes = new byte[4 + SizeOf(room) + told.Sum(floor => SizeOf(floor.Key.Node) + 16)];
        var writer = new Writer(bytes);
        writer.Byte((byte)kind);
        writer.Byte((byte)(fresh ? Flags.Fresh : Flags.None));
        writer.Text(room);
        writer.UInt16((ushort)told.Length);
        foreach ((MessageOrigin origin, long floor) in told)
        {
            writer.Text(origin.Node);
            writer.UInt64(origin.Epoch);
            writer.UInt64((ulong)floor);
        }

        return bytes;
    }

    private static bool TryReadFloors(ref Reader reader, [NotNullWhen(true)] out Dictionary<MessageOrigin, long>? floors)
    {
        floors = null;
        if (!reader.TryUInt16(out ushort count) || count > MaxOrigins)
            return false;
        var read = new Dictionary<MessageOrigin, long>();
        for (int i = 0; i < count; i++)
        {
            if (!reader.TryText(out string? node) || !reader.TryUInt64(out ulong epoch) || !reader.TryUInt64(out ulong floor) || floor > long.MaxValue)
                return false;
            read[new MessageOrigin(node, epoch)] = (long)floor;
        }

        floors = read;
        return reader.Left == 0;
    }

    private static int SizeOf(string text) => 2 + Encoding.UTF8.GetByteCount(text);

    private ref struct Writer(Span<byte> bytes)
    {
        public Span<byte> Rest { get; private set; } = bytes;

        public void Byte(byte value)
        {
            Rest[0] = value;
            Rest = Rest[1..];
        }

        public void UInt16(ushort value)
        {
            BinaryPrimitives.WriteUInt16BigEndian(Rest, value);
            Rest = Rest[2..];
        }

        public void UInt64(ulong value)
        {
            BinaryPrimitives.WriteUInt64BigEndian(Rest, value);
            Rest = Rest[8..];
        }

        public void Text(string text)
        {
            int length = Encoding.UTF8.GetBytes(text, Rest[2..]);
            UInt16((ushort)length);
            Rest = Rest[length..];
        }
    }

    private ref struct Reader(ReadOnlySpan<byte> bytes)
    {
        private ReadOnlySpan<byte> _rest = bytes;

        public readonly int Left => _rest.Length;

        public bool TryByte(out byte value)
        {
            value = _rest.IsEmpty ? (byte)0 : _rest[0];
            return TrySkip(1);
        }

        public bool TryUInt16(out ushort value) => BinaryPrimitives.TryReadUInt16BigEndian(_rest, out value) && TrySkip(2);

        public bool TryUInt64(out ulong value) => BinaryPrimitives.TryReadUInt64BigEndian(_rest, out value) && TrySkip(8);

        public bool TryText([NotNullWhen(true)] out string? text)
        {
            text = null;
            if (!TryUInt16(out ushort length) || length > MaxName || length > _rest.Length)
                return false;
            text = Encoding.UTF8.GetString(_rest[..length]);
            return TrySkip(length);
        }

        private bool TrySkip(int count)
        {
            if (count > _rest.Length)
                return false;
            _rest = _rest[count..];
            return true;
        }
    }
}
