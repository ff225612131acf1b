using System.Buffers.Binary;
using System.Security.Cryptography;

namespace Transcribe.Rtc.Sctp;

/// <summary>
/// What the side that answers an INIT must know when the cookie comes back (RFC 9260, section 5.1.3). It travels
/// authenticated through the peer, so that nothing is kept for an INIT.
/// </summary>
internal readonly record struct StateCookie
{
    private const int BodySize = 8 + (4 * 7) + (2 * 2) + 4;
    private const int MacSize = 32;

    public const int Size = BodySize + MacSize;

    public Instant Created { get; init; }

    public uint LocalTag { get; init; }

    public uint PeerTag { get; init; }

    public uint LocalInitialTsn { get; init; }

    public uint PeerInitialTsn { get; init; }

    public uint PeerWindow { get; init; }

    public ushort PeerOutboundStreams { get; init; }

    public ushort PeerInboundStreams { get; init; }

    /// <summary>Tags of the association that existed when the INIT came; 0 if none did.</summary>
    public uint LocalTieTag { get; init; }

    public uint PeerTieTag { get; init; }

    public bool PeerForwardTsn { get; init; }

    public bool PeerReconfig { get; init; }

    public void Write(Span<byte> to, ReadOnlySpan<byte> secret)
    {
        BinaryPrimitives.WriteInt64BigEndian(to, Created.Ticks);
        BinaryPrimitives.WriteUInt32BigEndian(to[8..], LocalTag);
        BinaryPrimitives.WriteUInt32BigEndian(to[12..], PeerTag);
        BinaryPrimitives.WriteUInt32BigEndian(to[16..], LocalInitialTsn);
        BinaryPrimitives.WriteUInt32BigEndian(to[20..], PeerInitialTsn);
        BinaryPrimitives.WriteUInt32BigEndian(to[24..], PeerWindow);
        BinaryPrimitives.WriteUInt32BigEndian(to[28..], LocalTieTag);
        BinaryPrimitives.WriteUInt32BigEndian(to[32..], PeerTieTag);
        BinaryPrimitives.WriteUInt16BigEndian(to[36..], PeerOutboundStreams);
        BinaryPrimitives.WriteUInt16BigEndian(to[38..], PeerInboundStreams);
        BinaryPrimitives.WriteUInt32BigEndian(to[40..], (PeerForwardTsn ? 1u : 0) | (PeerReconfig ? 2u : 0));
        HMACSHA256.HashData(secret, to[..BodySize], to[BodySize..]);
    }

    /// <summary>False for a cookie that we did not write.</summary>
    public static bool TryRead(ReadOnlySpan<byte> from, ReadOnlySpan<byte> secret, out StateCookie cookie)
    {
        cookie = default;
        if (from.Length != Size)
            return false;
        Span<byte> mac = stackalloc byte[MacSize];
        HMACSHA256.HashData(secret, from[..BodySize], mac);
        if (!CryptographicOperations.FixedTimeEquals(mac, from[BodySize..]))
            return false;
        uint flags = BinaryPrimitives.ReadUInt32BigEndian(from[40..]);
        cookie = new()
        {
            Created = new(BinaryPrimitives.ReadInt64BigEndian(from)),
            LocalTag = BinaryPrimitives.ReadUInt32BigEndian(from[8..]),
            PeerTag = BinaryPrimitives.ReadUInt32BigEndian(from[12..]),
            LocalInitialTsn = BinaryPrimitives.ReadUInt32BigEndian(from[16..]),
            PeerInitialTsn = BinaryPrimitives.ReadUInt32BigEndian(from[20..]),
            PeerWindow = BinaryPrimitives.ReadUInt32BigEndian(from[24..]),
            LocalTieTag = BinaryPrimitives.ReadUInt32BigEndian(from[28..]),
            PeerTieTag = BinaryPrimitives.ReadUInt32BigEndian(from[32..]),
            PeerOutboundStreams = BinaryPrimitives.ReadUInt16BigEndian(from[36..]),
            PeerInboundStreams = BinaryPrimitives.ReadUInt16BigEndian(from[38..]),
            PeerForwardTsn = (flags & 1) != 0,
            PeerReconfig = (flags & 2) != 0,
        };
        return true;
    }
}
