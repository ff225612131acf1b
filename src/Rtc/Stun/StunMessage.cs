using System.Buffers.Binary;
using System.Security.Cryptography;
using Transcribe.Rtc.Srtp;

namespace Transcribe.Rtc.Stun;

/// <summary>
/// A view of a STUN message inside a datagram (RFC 8489). Nothing is copied or allocated; the view is valid as long
/// as the datagram's bytes are. Attributes behind MESSAGE-INTEGRITY are not shown, as section 14.5 asks.
/// </summary>
public readonly ref struct StunMessage
{
    public const int HeaderSize = 20;
    public const int AttributeHeaderSize = 4;
    public const uint MagicCookie = 0x2112_A442;

    /// <summary>Longest message that is read or written, in bytes: more than any datagram of a usual path carries.</summary>
    public const int MaxSize = 2048;

    private const int MaxUsername = 513;

    private readonly ReadOnlySpan<byte> _bytes;
    private readonly int _end;
    private readonly int _integrity;
    private readonly int _fingerprint;

    private StunMessage(ReadOnlySpan<byte> bytes, int end, int integrity, int fingerprint)
    {
        _bytes = bytes;
        _end = end;
        _integrity = integrity;
        _fingerprint = fingerprint;
    }

    public StunClass Class
    {
        get
        {
            int type = BinaryPrimitives.ReadUInt16BigEndian(_bytes);
            return (StunClass)(((type >> 4) & 1) | ((type >> 7) & 2));
        }
    }

    public StunMethod Method
    {
        get
        {
            int type = BinaryPrimitives.ReadUInt16BigEndian(_bytes);
            return (StunMethod)((type & 0xF) | ((type >> 1) & 0x70) | ((type >> 2) & 0xF80));
        }
    }

    public StunTransactionId TransactionId => StunTransactionId.Read(_bytes[8..]);

    /// <summary>The whole message.</summary>
    public ReadOnlySpan<byte> Bytes => _bytes;

    public bool HasIntegrity => _integrity >= 0;

    public bool HasFingerprint => _fingerprint >= 0;

    /// <summary>True where the message carries USE-CANDIDATE.</summary>
    public bool UseCandidate => TryGet(StunAttributeType.UseCandidate, out _);

    /// <summary>
    /// Parses a datagram that holds exactly one well-formed STUN message with the RFC 5389 magic cookie.
    /// Neither integrity nor fingerprint is verified here. Never throws.
    /// </summary>
    public static bool TryParse(ReadOnlySpan<byte> datagram, out StunMessage message)
    {
        message = default;
        if (!TryReadHeader(datagram))
        {
            return false;
        }

        int integrity = -1, fingerprint = -1, position = HeaderSize;
        while (position < datagram.Length)
        {
            if (fingerprint >= 0 || !TryReadAttribute(datagram, position, out int type, out int length))
            {
                return false;
            }

            switch ((StunAttributeType)type)
            {
                case StunAttributeType.Fingerprint when length == 4:
                    fingerprint = position;
                    break;
                case StunAttributeType.MessageIntegrity when length == StunCrypto.IntegritySize:
                    integrity = integrity < 0 ? position : integrity;
                    break;
                case StunAttributeType.Fingerprint or StunAttributeType.MessageIntegrity:
                    return false;
            }

            position += AttributeHeaderSize + Padded(length);
        }

        int end = integrity >= 0 ? integrity : fingerprint >= 0 ? fingerprint : datagram.Length;
        message = new StunMessage(datagram, end, integrity, fingerprint);
        return true;
    }

    /// <summary>
    /// Finds the receiver's username fragment (the part of USERNAME before the colon) in a binding request, without
    /// verifying anything: what a server that shares one port between sessions needs to find the session.
    /// </summary>
    /// <param name="datagram">Any datagram from outside.</param>
    /// <param name="ufrag">The fragment, ASCII bytes inside <paramref name="datagram"/>; never empty on success.</param>
    public static bool TryReadUfrag(ReadOnlySpan<byte> datagram, out ReadOnlySpan<byte> ufrag)
    {
        ufrag = default;
        if (!TryReadHeader(datagram) || datagram[0] != 0 || datagram[1] != (byte)StunMethod.Binding)
        {
            return false;
        }

        int position = HeaderSize;
        while (position < datagram.Length)
        {
            if (!TryReadAttribute(datagram, position, out int type, out int length))
            {
                return false;
            }

            if (type == (int)StunAttributeType.Username)
            {
                ReadOnlySpan<byte> username = datagram.Slice(position + AttributeHeaderSize, length);
                int colon = username.IndexOf((byte)':');
                if (colon <= 0 || length > MaxUsername)
                {
                    return false;
                }

                ufrag = username[..colon];
                return true;
            }

            position += AttributeHeaderSize + Padded(length);
        }

        return false;
    }

    /// <summary>Verifies MESSAGE-INTEGRITY with a short-term credential's password (UTF-8), in constant time.</summary>
    /// <returns>False also where the attribute is missing.</returns>
    public bool VerifyIntegrity(ReadOnlySpan<byte> key)
    {
        if (_integrity < 0)
        {
            return false;
        }

        Span<byte> mac = stackalloc byte[StunCrypto.IntegritySize];
        StunCrypto.ComputeIntegrity(_bytes[.._integrity], key, mac);
        return CryptographicOperations.FixedTimeEquals(
            mac,
            _bytes.Slice(_integrity + AttributeHeaderSize, StunCrypto.IntegritySize));
    }

    /// <summary>The same under a key that is prepared once for many messages.</summary>
    internal bool VerifyIntegrity(HmacSha1 key)
    {
        if (_integrity < 0)
        {
            return false;
        }

        Span<byte> mac = stackalloc byte[StunCrypto.IntegritySize];
        StunCrypto.ComputeIntegrity(_bytes[.._integrity], key, mac);
        return CryptographicOperations.FixedTimeEquals(
            mac,
            _bytes.Slice(_integrity + AttributeHeaderSize, StunCrypto.IntegritySize));
    }

    /// <summary>Verifies FINGERPRINT; false also where the attribute is missing.</summary>
    public bool VerifyFingerprint() =>
        _fingerprint >= 0
        && BinaryPrimitives.ReadUInt32BigEndian(_bytes[(_fingerprint + AttributeHeaderSize)..])
            == StunCrypto.ComputeFingerprint(_bytes[.._fingerprint]);

    /// <summary>The value of the first attribute of a type.</summary>
    public bool TryGet(StunAttributeType type, out ReadOnlySpan<byte> value)
    {
        int position = HeaderSize;
        while (position < _end)
        {
            int length = BinaryPrimitives.ReadUInt16BigEndian(_bytes[(position + 2)..]);
            if (BinaryPrimitives.ReadUInt16BigEndian(_bytes[position..]) == (int)type)
            {
                value = _bytes.Slice(position + AttributeHeaderSize, length);
                return true;
            }

            position += AttributeHeaderSize + Padded(length);
        }

        value = default;
        return false;
    }

    /// <summary>USERNAME as bytes; false where missing, empty or longer than 513 bytes.</summary>
    public bool TryGetUsername(out ReadOnlySpan<byte> username) =>
        TryGet(StunAttributeType.Username, out username) && username.Length is > 0 and <= MaxUsername;

    public bool TryGetPriority(out uint priority)
    {
        bool found = TryGet(StunAttributeType.Priority, out ReadOnlySpan<byte> value) && value.Length == 4;
        priority = found ? BinaryPrimitives.ReadUInt32BigEndian(value) : 0;
        return found;
    }

    public bool TryGetIceControlling(out ulong tieBreaker) =>
        TryGetUInt64(StunAttributeType.IceControlling, out tieBreaker);

    public bool TryGetIceControlled(out ulong tieBreaker) =>
        TryGetUInt64(StunAttributeType.IceControlled, out tieBreaker);

    /// <summary>ERROR-CODE: a code of 300 to 699 and its reason phrase in UTF-8.</summary>
    public bool TryGetErrorCode(out int code, out ReadOnlySpan<byte> reason)
    {
        code = 0;
        reason = default;
        if (!TryGet(StunAttributeType.ErrorCode, out ReadOnlySpan<byte> value) || value.Length < 4)
        {
            return false;
        }

        int hundreds = value[2] & 7;
        if (hundreds is < 3 or > 6 || value[3] > 99)
        {
            return false;
        }

        code = (hundreds * 100) + value[3];
        reason = value[4..];
        return true;
    }

    /// <summary>XOR-MAPPED-ADDRESS, IPv4 or IPv6.</summary>
    public bool TryGetXorMappedAddress(out TransportAddress address)
    {
        address = default;
        if (!TryGet(StunAttributeType.XorMappedAddress, out ReadOnlySpan<byte> value) || value.Length < 8)
        {
            return false;
        }

        ushort port = (ushort)(BinaryPrimitives.ReadUInt16BigEndian(value[2..]) ^ (MagicCookie >> 16));
        switch (value[1], value.Length)
        {
            case (1, 8):
                address = TransportAddress.FromIPv4(
                    BinaryPrimitives.ReadUInt32BigEndian(value[4..]) ^ MagicCookie,
                    port);
                return true;
            case (2, 20):
                address = new TransportAddress(
                    BinaryPrimitives.ReadUInt64BigEndian(value[4..])
                        ^ BinaryPrimitives.ReadUInt64BigEndian(_bytes[4..]),
                    BinaryPrimitives.ReadUInt64BigEndian(value[12..])
                        ^ BinaryPrimitives.ReadUInt64BigEndian(_bytes[12..]),
                    port);
                return true;
            default:
                return false;
        }
    }

    /// <summary>
    /// Collects the comprehension-required attribute types (below 0x8000) that this library does not know.
    /// </summary>
    /// <returns>How many were written to <paramref name="types"/>; more are left out.</returns>
    public int FindUnknownRequired(Span<ushort> types)
    {
        int count = 0, position = HeaderSize;
        while (position < _end && count < types.Length)
        {
            ushort type = BinaryPrimitives.ReadUInt16BigEndian(_bytes[position..]);
            if (type < 0x8000 && !IsKnown((StunAttributeType)type))
            {
                types[count++] = type;
            }

            position += AttributeHeaderSize + Padded(BinaryPrimitives.ReadUInt16BigEndian(_bytes[(position + 2)..]));
        }

        return count;
    }

    internal static int Padded(int length) => (length + 3) & ~3;

    private static bool IsKnown(StunAttributeType type) => type is
        StunAttributeType.MappedAddress or StunAttributeType.Username or StunAttributeType.MessageIntegrity
        or StunAttributeType.ErrorCode or StunAttributeType.UnknownAttributes or StunAttributeType.Realm
        or StunAttributeType.Nonce or StunAttributeType.MessageIntegritySha256 or StunAttributeType.XorMappedAddress
        or StunAttributeType.Priority or StunAttributeType.UseCandidate;

    private static bool TryReadHeader(ReadOnlySpan<byte> datagram) =>
        datagram.Length is >= HeaderSize and <= MaxSize
        && datagram[0] < 0x40
        && BinaryPrimitives.ReadUInt32BigEndian(datagram[4..]) == MagicCookie
        && (datagram.Length & 3) == 0
        && BinaryPrimitives.ReadUInt16BigEndian(datagram[2..]) == datagram.Length - HeaderSize;

    private static bool TryReadAttribute(ReadOnlySpan<byte> datagram, int position, out int type, out int length)
    {
        if (datagram.Length - position < AttributeHeaderSize)
        {
            type = length = 0;
            return false;
        }

        type = BinaryPrimitives.ReadUInt16BigEndian(datagram[position..]);
        length = BinaryPrimitives.ReadUInt16BigEndian(datagram[(position + 2)..]);
        return Padded(length) <= datagram.Length - position - AttributeHeaderSize;
    }

    private bool TryGetUInt64(StunAttributeType type, out ulong number)
    {
        bool found = TryGet(type, out ReadOnlySpan<byte> value) && value.Length == 8;
        number = found ? BinaryPrimitives.ReadUInt64BigEndian(value) : 0;
        return found;
    }
}
