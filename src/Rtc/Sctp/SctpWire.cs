using System.Buffers.Binary;

namespace Transcribe.Rtc.Sctp;

internal enum SctpChunkType : byte
{
    Data = 0,
    Init = 1,
    InitAck = 2,
    Sack = 3,
    Heartbeat = 4,
    HeartbeatAck = 5,
    Abort = 6,
    Shutdown = 7,
    ShutdownAck = 8,
    Error = 9,
    CookieEcho = 10,
    CookieAck = 11,
    ShutdownComplete = 14,
    Reconfig = 130,
    ForwardTsn = 192,
}

internal enum SctpParameterType : ushort
{
    HeartbeatInfo = 1,
    IPv4Address = 5,
    IPv6Address = 6,
    StateCookie = 7,
    UnrecognizedParameter = 8,
    CookiePreservative = 9,
    HostName = 11,
    SupportedAddressTypes = 12,
    OutgoingReset = 13,
    IncomingReset = 14,
    SsnTsnReset = 15,
    ReconfigResponse = 16,
    AddOutgoingStreams = 17,
    AddIncomingStreams = 18,
    SupportedExtensions = 0x8008,
    ForwardTsnSupported = 0xC000,
}

internal enum SctpCause : ushort
{
    InvalidStream = 1,
    MissingParameter = 2,
    StaleCookie = 3,
    OutOfResource = 4,
    UnrecognizedChunk = 6,
    InvalidParameter = 7,
    UnrecognizedParameters = 8,
    NoUserData = 9,
    CookieWhileShuttingDown = 10,
    Restart = 11,
    UserAbort = 12,
    ProtocolViolation = 13,
}

/// <summary>Arithmetic modulo 2^32 and 2^16 (RFC 1982): TSNs, SSNs and request numbers wrap.</summary>
internal static class Serial
{
    public static bool Less(uint a, uint b) => (int)(a - b) < 0;

    public static bool LessOrEqual(uint a, uint b) => (int)(a - b) <= 0;

    public static bool Less(ushort a, ushort b) => (short)(a - b) < 0;

    public static bool LessOrEqual(ushort a, ushort b) => (short)(a - b) <= 0;
}

/// <summary>The common header and the chunks of one packet (RFC 9260, section 3).</summary>
internal readonly ref struct SctpPacket
{
    public const int HeaderSize = 12;

    private SctpPacket(ReadOnlySpan<byte> bytes)
    {
        SourcePort = BinaryPrimitives.ReadUInt16BigEndian(bytes);
        DestinationPort = BinaryPrimitives.ReadUInt16BigEndian(bytes[2..]);
        VerificationTag = BinaryPrimitives.ReadUInt32BigEndian(bytes[4..]);
        Chunks = bytes[HeaderSize..];
    }

    public ushort SourcePort { get; }

    public ushort DestinationPort { get; }

    public uint VerificationTag { get; }

    public ReadOnlySpan<byte> Chunks { get; }

    /// <summary>Reads the header; the checksum is <see cref="Crc32c.Verify"/>'s matter.</summary>
    public static bool TryRead(ReadOnlySpan<byte> bytes, out SctpPacket packet)
    {
        if (bytes.Length < HeaderSize + Tlv.HeaderSize)
        {
            packet = default;
            return false;
        }

        packet = new(bytes);
        return true;
    }
}

/// <summary>Type-length-value framing that chunks, parameters and error causes share: a length with header, padding to four.</summary>
internal static class Tlv
{
    public const int HeaderSize = 4;

    public static int Pad(int length) => (length + 3) & ~3;

    /// <summary>Takes the next item off <paramref name="rest"/>; <paramref name="value"/> is without header and padding. The last padding may lack.</summary>
    public static bool TryRead(ref ReadOnlySpan<byte> rest, out ushort typeAndFlags, out ReadOnlySpan<byte> value)
    {
        typeAndFlags = 0;
        value = default;
        if (rest.Length < HeaderSize)
            return false;
        int length = BinaryPrimitives.ReadUInt16BigEndian(rest[2..]);
        if (length < HeaderSize || length > rest.Length)
            return false;
        typeAndFlags = BinaryPrimitives.ReadUInt16BigEndian(rest);
        value = rest[HeaderSize..length];
        rest = rest[Math.Min(Pad(length), rest.Length)..];
        return true;
    }
}

/// <summary>One chunk.</summary>
internal readonly ref struct SctpChunk(SctpChunkType type, byte flags, ReadOnlySpan<byte> value)
{
    public SctpChunkType Type { get; } = type;

    public byte Flags { get; } = flags;

    public ReadOnlySpan<byte> Value { get; } = value;

    public static bool TryRead(ref ReadOnlySpan<byte> rest, out SctpChunk chunk)
    {
        bool ok = Tlv.TryRead(ref rest, out ushort typeAndFlags, out ReadOnlySpan<byte> value);
        chunk = new((SctpChunkType)(typeAndFlags >> 8), (byte)typeAndFlags, value);
        return ok;
    }
}

/// <summary>One parameter of INIT, INIT ACK, RE-CONFIG or HEARTBEAT.</summary>
internal readonly ref struct SctpParameter(SctpParameterType type, ReadOnlySpan<byte> value)
{
    public SctpParameterType Type { get; } = type;

    public ReadOnlySpan<byte> Value { get; } = value;

    public static bool TryRead(ref ReadOnlySpan<byte> rest, out SctpParameter parameter)
    {
        bool ok = Tlv.TryRead(ref rest, out ushort type, out ReadOnlySpan<byte> value);
        parameter = new((SctpParameterType)type, value);
        return ok;
    }
}

/// <summary>INIT and INIT ACK (RFC 9260, sections 3.3.2 and 3.3.3).</summary>
internal readonly ref struct InitChunk
{
    public const int FixedSize = 16;

    private InitChunk(ReadOnlySpan<byte> v)
    {
        InitiateTag = BinaryPrimitives.ReadUInt32BigEndian(v);
        ReceiverWindow = BinaryPrimitives.ReadUInt32BigEndian(v[4..]);
        OutboundStreams = BinaryPrimitives.ReadUInt16BigEndian(v[8..]);
        InboundStreams = BinaryPrimitives.ReadUInt16BigEndian(v[10..]);
        InitialTsn = BinaryPrimitives.ReadUInt32BigEndian(v[12..]);
        Parameters = v[FixedSize..];
    }

    public uint InitiateTag { get; }

    public uint ReceiverWindow { get; }

    public ushort OutboundStreams { get; }

    public ushort InboundStreams { get; }

    public uint InitialTsn { get; }

    public ReadOnlySpan<byte> Parameters { get; }

    /// <summary>False for a truncated chunk; the values zero that the RFC forbids are the caller's matter.</summary>
    public static bool TryRead(ReadOnlySpan<byte> value, out InitChunk chunk)
    {
        if (value.Length < FixedSize)
        {
            chunk = default;
            return false;
        }

        chunk = new(value);
        return true;
    }
}

/// <summary>DATA (RFC 9260, section 3.3.1; the I bit: RFC 7053).</summary>
internal readonly ref struct DataChunk
{
    public const int FixedSize = 12;

    public const byte End = 1;
    public const byte Begin = 2;
    public const byte Unordered = 4;
    public const byte Immediate = 8;

    private DataChunk(byte flags, ReadOnlySpan<byte> v)
    {
        Flags = flags;
        Tsn = BinaryPrimitives.ReadUInt32BigEndian(v);
        StreamId = BinaryPrimitives.ReadUInt16BigEndian(v[4..]);
        Ssn = BinaryPrimitives.ReadUInt16BigEndian(v[6..]);
        PayloadProtocolId = BinaryPrimitives.ReadUInt32BigEndian(v[8..]);
        UserData = v[FixedSize..];
    }

    public byte Flags { get; }

    public uint Tsn { get; }

    public ushort StreamId { get; }

    public ushort Ssn { get; }

    public uint PayloadProtocolId { get; }

    /// <summary>May be empty, which the RFC forbids; the caller aborts then.</summary>
    public ReadOnlySpan<byte> UserData { get; }

    public static bool TryRead(in SctpChunk chunk, out DataChunk data)
    {
        if (chunk.Value.Length < FixedSize)
        {
            data = default;
            return false;
        }

        data = new(chunk.Flags, chunk.Value);
        return true;
    }
}

/// <summary>SACK (RFC 9260, section 3.3.4).</summary>
internal readonly ref struct SackChunk
{
    public const int FixedSize = 12;

    private readonly ReadOnlySpan<byte> _gaps;
    private readonly ReadOnlySpan<byte> _duplicates;

    private SackChunk(ReadOnlySpan<byte> v, int gaps, int duplicates)
    {
        CumulativeTsn = BinaryPrimitives.ReadUInt32BigEndian(v);
        ReceiverWindow = BinaryPrimitives.ReadUInt32BigEndian(v[4..]);
        _gaps = v.Slice(FixedSize, gaps * 4);
        _duplicates = v.Slice(FixedSize + (gaps * 4), duplicates * 4);
    }

    public uint CumulativeTsn { get; }

    public uint ReceiverWindow { get; }

    public int GapCount => _gaps.Length / 4;

    public int DuplicateCount => _duplicates.Length / 4;

    /// <summary>First and last TSN of a block, as offsets from the cumulative TSN.</summary>
    public (int Start, int End) Gap(int index) =>
        (BinaryPrimitives.ReadUInt16BigEndian(_gaps[(index * 4)..]), BinaryPrimitives.ReadUInt16BigEndian(_gaps[((index * 4) + 2)..]));

    public uint Duplicate(int index) => BinaryPrimitives.ReadUInt32BigEndian(_duplicates[(index * 4)..]);

    public static bool TryRead(ReadOnlySpan<byte> value, out SackChunk chunk)
    {
        chunk = default;
        if (value.Length < FixedSize)
            return false;
        int gaps = BinaryPrimitives.ReadUInt16BigEndian(value[8..]);
        int duplicates = BinaryPrimitives.ReadUInt16BigEndian(value[10..]);
        if (value.Length < FixedSize + ((gaps + duplicates) * 4))
            return false;
        chunk = new(value, gaps, duplicates);
        return true;
    }
}

/// <summary>FORWARD TSN (RFC 3758, section 3.2).</summary>
internal readonly ref struct ForwardTsnChunk
{
    private readonly ReadOnlySpan<byte> _streams;

    private ForwardTsnChunk(ReadOnlySpan<byte> v)
    {
        NewCumulativeTsn = BinaryPrimitives.ReadUInt32BigEndian(v);
        _streams = v[4..];
    }

    public uint NewCumulativeTsn { get; }

    public int StreamCount => _streams.Length / 4;

    public (ushort StreamId, ushort Ssn) Stream(int index) =>
        (BinaryPrimitives.ReadUInt16BigEndian(_streams[(index * 4)..]), BinaryPrimitives.ReadUInt16BigEndian(_streams[((index * 4) + 2)..]));

    public static bool TryRead(ReadOnlySpan<byte> value, out ForwardTsnChunk chunk)
    {
        if (value.Length < 4)
        {
            chunk = default;
            return false;
        }

        chunk = new(value);
        return true;
    }
}

/// <summary>Outgoing SSN Reset Request parameter (RFC 6525, section 4.1).</summary>
internal readonly ref struct OutgoingResetRequest
{
    public const int FixedSize = 12;

    private readonly ReadOnlySpan<byte> _streams;

    private OutgoingResetRequest(ReadOnlySpan<byte> v)
    {
        RequestNumber = BinaryPrimitives.ReadUInt32BigEndian(v);
        ResponseNumber = BinaryPrimitives.ReadUInt32BigEndian(v[4..]);
        LastTsn = BinaryPrimitives.ReadUInt32BigEndian(v[8..]);
        _streams = v[FixedSize..];
    }

    public uint RequestNumber { get; }

    public uint ResponseNumber { get; }

    /// <summary>The last TSN its sender assigned before the reset.</summary>
    public uint LastTsn { get; }

    /// <summary>Zero means all streams.</summary>
    public int StreamCount => _streams.Length / 2;

    public ushort Stream(int index) => BinaryPrimitives.ReadUInt16BigEndian(_streams[(index * 2)..]);

    public static bool TryRead(ReadOnlySpan<byte> value, out OutgoingResetRequest request)
    {
        if (value.Length < FixedSize)
        {
            request = default;
            return false;
        }

        request = new(value);
        return true;
    }
}

/// <summary>Results of a RE-CONFIG request (RFC 6525, section 4.4).</summary>
internal enum ReconfigResult : uint
{
    NothingToDo = 0,
    Performed = 1,
    Denied = 2,
    WrongSsn = 3,
    AlreadyInProgress = 4,
    BadSequenceNumber = 5,
    InProgress = 6,
}

/// <summary>Re-configuration Response parameter (RFC 6525, section 4.4).</summary>
internal readonly record struct ReconfigResponse(uint ResponseNumber, ReconfigResult Result)
{
    public static bool TryRead(ReadOnlySpan<byte> value, out ReconfigResponse response)
    {
        if (value.Length < 8)
        {
            response = default;
            return false;
        }

        response = new(BinaryPrimitives.ReadUInt32BigEndian(value), (ReconfigResult)BinaryPrimitives.ReadUInt32BigEndian(value[4..]));
        return true;
    }
}
