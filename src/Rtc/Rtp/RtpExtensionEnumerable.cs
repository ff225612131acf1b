namespace Transcribe.Rtc.Rtp;

/// <summary>One element of an RTP header extension block (RFC 8285).</summary>
public readonly ref struct RtpHeaderExtension(byte id, ReadOnlySpan<byte> data)
{
    /// <summary>The id negotiated by <c>a=extmap</c>, 1..255.</summary>
    public byte Id { get; } = id;

    /// <summary>The element's data, 1..16 bytes in the one-byte form, 0..255 in the two-byte form.</summary>
    public ReadOnlySpan<byte> Data { get; } = data;
}

/// <summary>
/// Walks header extension elements without allocation. An element that overruns the block ends the walk: what stood
/// before it is still good.
/// </summary>
public readonly ref struct RtpExtensionEnumerable
{
    internal const ushort OneByteProfile = 0xBEDE;
    internal const ushort TwoByteProfile = 0x1000;

    private readonly ReadOnlySpan<byte> _block;
    private readonly ushort _profile;

    internal RtpExtensionEnumerable(ReadOnlySpan<byte> block, ushort profile)
    {
        _block = block;
        _profile = profile;
    }

    /// <summary>True where the block is in the two-byte form.</summary>
    public bool IsTwoByte => (_profile & 0xFFF0) == TwoByteProfile;

    /// <summary>Enables <c>foreach</c>.</summary>
    public Enumerator GetEnumerator() => new(_block, _profile);

    /// <summary>The walk.</summary>
    public ref struct Enumerator
    {
        private readonly int _headerSize;
        private ReadOnlySpan<byte> _rest;

        internal Enumerator(ReadOnlySpan<byte> block, ushort profile)
        {
            _rest = block;
            _headerSize = profile == OneByteProfile ? 1 : (profile & 0xFFF0) == TwoByteProfile ? 2 : 0;
            if (_headerSize == 0)
                _rest = default;
        }

        /// <summary>The element found last.</summary>
        public RtpHeaderExtension Current { readonly get; private set; }

        /// <summary>Finds the next element.</summary>
        public bool MoveNext()
        {
            while (_rest.Length > 0)
            {
                byte first = _rest[0];
                int id = _headerSize == 1 ? first >> 4 : first;
                if (id == 0)
                {
                    // Padding. RFC 8285 §4.2: an id of 0 with a length other than 0 ends the walk in the one-byte form.
                    if (first != 0)
                        break;
                    _rest = _rest[1..];
                    continue;
                }

                if (_headerSize == 1 && id == 15)
                    break;
                if (_rest.Length < _headerSize)
                    break;
                int length = _headerSize == 1 ? (first & 0x0F) + 1 : _rest[1];
                if (_rest.Length < _headerSize + length)
                    break;
                Current = new RtpHeaderExtension((byte)id, _rest.Slice(_headerSize, length));
                _rest = _rest[(_headerSize + length)..];
                return true;
            }

            _rest = default;
            return false;
        }
    }
}
