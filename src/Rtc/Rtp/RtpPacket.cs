using System.Buffers.Binary;

namespace Transcribe.Rtc.Rtp;

/// <summary>
/// A view of one RTP packet (RFC 3550 §5.1) over the bytes it arrived in. Parsing checks every length once;
/// reading a field afterwards costs a load. Valid only as long as the bytes are.
/// </summary>
public readonly ref struct RtpPacket
{
    /// <summary>Bytes of the header without contributing sources and extensions.</summary>
    public const int FixedHeaderSize = 12;

    private readonly ReadOnlySpan<byte> _bytes;
    private readonly int _extensionOffset;
    private readonly int _extensionLength;
    private readonly int _paddingLength;

    private RtpPacket(ReadOnlySpan<byte> bytes, int headerLength, int extensionOffset, int extensionLength, int paddingLength)
    {
        _bytes = bytes;
        HeaderLength = headerLength;
        _extensionOffset = extensionOffset;
        _extensionLength = extensionLength;
        _paddingLength = paddingLength;
    }

    /// <summary>The whole packet: header, payload and padding.</summary>
    public ReadOnlySpan<byte> Bytes => _bytes;

    /// <summary>Bytes before the payload: fixed header, contributing sources and extensions.</summary>
    public int HeaderLength { get; }

    /// <summary>The M bit.</summary>
    public bool Marker => (_bytes[1] & 0x80) != 0;

    /// <summary>Payload type, 0..127.</summary>
    public byte PayloadType => (byte)(_bytes[1] & 0x7F);

    /// <summary>Sequence number.</summary>
    public ushort SequenceNumber => BinaryPrimitives.ReadUInt16BigEndian(_bytes[2..]);

    /// <summary>RTP timestamp, in units of the payload's clock.</summary>
    public uint Timestamp => BinaryPrimitives.ReadUInt32BigEndian(_bytes[4..]);

    /// <summary>Synchronisation source.</summary>
    public uint Ssrc => BinaryPrimitives.ReadUInt32BigEndian(_bytes[8..]);

    /// <summary>Number of contributing sources, 0..15.</summary>
    public int ContributingSourceCount => _bytes[0] & 0x0F;

    /// <summary>The contributing sources, four big-endian bytes each.</summary>
    public ReadOnlySpan<byte> ContributingSources => _bytes.Slice(FixedHeaderSize, ContributingSourceCount * 4);

    /// <summary>Payload without padding.</summary>
    public ReadOnlySpan<byte> Payload => _bytes[HeaderLength..(_bytes.Length - _paddingLength)];

    /// <summary>Number of padding bytes behind the payload, the count byte included; 0 without the P bit.</summary>
    public int PaddingLength => _paddingLength;

    /// <summary>True where the X bit is set, whatever the profile of the extension.</summary>
    public bool HasExtensionBlock => (_bytes[0] & 0x10) != 0;

    /// <summary>The header extension elements (RFC 8285, one-byte or two-byte form); empty for other profiles.</summary>
    public RtpExtensionEnumerable Extensions =>
        _extensionOffset == 0
            ? default
            : new RtpExtensionEnumerable(
                _bytes.Slice(_extensionOffset, _extensionLength),
                BinaryPrimitives.ReadUInt16BigEndian(_bytes[(_extensionOffset - 4)..]));

    /// <summary>Finds a header extension element by its negotiated id.</summary>
    /// <param name="id">1..14 in the one-byte form, 1..255 in the two-byte form; 0 finds nothing.</param>
    /// <param name="data">The element's data.</param>
    public bool TryGetExtension(byte id, out ReadOnlySpan<byte> data)
    {
        if (id != 0)
        {
            foreach (RtpHeaderExtension extension in Extensions)
            {
                if (extension.Id == id)
                {
                    data = extension.Data;
                    return true;
                }
            }
        }

        data = default;
        return false;
    }

    /// <summary>Checks a datagram and makes a view of it.</summary>
    /// <returns>False for another version than 2, or a length that does not fit the datagram.</returns>
    public static bool TryParse(ReadOnlySpan<byte> bytes, out RtpPacket packet)
    {
        packet = default;
        if (bytes.Length < FixedHeaderSize || bytes[0] >> 6 != 2)
            return false;

        int offset = FixedHeaderSize + ((bytes[0] & 0x0F) * 4);
        int extensionOffset = 0;
        int extensionLength = 0;
        if ((bytes[0] & 0x10) != 0)
        {
            if (bytes.Length < offset + 4)
                return false;
            extensionOffset = offset + 4;
            extensionLength = BinaryPrimitives.ReadUInt16BigEndian(bytes[(offset + 2)..]) * 4;
            offset = extensionOffset + extensionLength;
        }

        if (offset > bytes.Length)
            return false;

        int padding = 0;
        if ((bytes[0] & 0x20) != 0)
        {
            padding = bytes[^1];
            if (padding == 0 || padding > bytes.Length - offset)
                return false;
        }

        packet = new RtpPacket(bytes, offset, extensionOffset, extensionLength, padding);
        return true;
    }
}
