using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using Transcribe.Rtc.Codecs;

namespace Transcribe.AiGateway.Audio;

/// <summary>A packet of an Ogg/Opus file.</summary>
/// <param name="Data">Opus, ready to be sent as an RTP payload.</param>
/// <param name="Ticks">Its duration at 48 kHz.</param>
/// <param name="Granule">Samples at 48 kHz from the stream's start to this packet's end, where the page says so (its last packet); else -1.</param>
public readonly record struct OggOpusPacket(ReadOnlyMemory<byte> Data, int Ticks, long Granule);

/// <summary>Reads the packets of an Ogg/Opus file (RFC 3533, RFC 7845): the first Opus stream in it.</summary>
public sealed class OggOpusReader
{
    private const int PageHeader = 27;
    private const byte Continued = 1;

    // Longer is no audio packet, and nobody sends it in one datagram.
    private const int MaxPacket = 64 * 1024;

    private readonly ReadOnlyMemory<byte> _file;
    private readonly Queue<(ReadOnlyMemory<byte> Data, long Granule)> _packets = new();
    private readonly List<byte> _partial = [];
    private int _offset;
    private uint? _serial;
    private bool _skipPartial;

    private OggOpusReader(ReadOnlyMemory<byte> file) => _file = file;

    /// <summary>1 or 2.</summary>
    public int Channels { get; private set; }

    /// <summary>Samples at 48 kHz to discard at the start.</summary>
    public int PreSkip { get; private set; }

    /// <summary>Bytes passed over because they were no good page.</summary>
    public long SkippedBytes { get; private set; }

    /// <summary>Packets left out because they break the format.</summary>
    public long Malformed { get; private set; }

    /// <param name="error">A sentence for the user.</param>
    public static bool TryOpen(ReadOnlyMemory<byte> file, [NotNullWhen(true)] out OggOpusReader? reader, [NotNullWhen(false)] out string? error)
    {
        reader = null;
        if (!file.Span.StartsWith("OggS"u8))
        {
            error = "This is no Ogg file: it does not begin with OggS.";
            return false;
        }

        var candidate = new OggOpusReader(file);
        // Packet 1 is OpusHead (it chose the stream), packet 2 OpusTags.
        if (!candidate.TryNext(out ReadOnlyMemory<byte> head, out _) || !candidate.TryReadHead(head.Span)
            || !candidate.TryNext(out ReadOnlyMemory<byte> tags, out _) || !tags.Span.StartsWith("OpusTags"u8))
        {
            error = "This Ogg file holds no Opus stream with one or two channels.";
            return false;
        }

        reader = candidate;
        error = null;
        return true;
    }

    /// <summary>The next packet; false at the end.</summary>
    public bool TryRead(out OggOpusPacket packet)
    {
        while (TryNext(out ReadOnlyMemory<byte> data, out long granule))
        {
            if (OpusPacket.TryGetDuration(data.Span, out int ticks))
            {
                packet = new(data, ticks, granule);
                return true;
            }

            Malformed++;
        }

        packet = default;
        return false;
    }

    private bool TryReadHead(ReadOnlySpan<byte> head)
    {
        // Version's high nibble is the incompatible one; channel mapping 0 is plain mono or stereo.
        if (head.Length < 19 || !head.StartsWith("OpusHead"u8) || (head[8] & 0xF0) != 0 || head[9] is 0 or > 2 || head[18] != 0)
            return false;
        Channels = head[9];
        PreSkip = BinaryPrimitives.ReadUInt16LittleEndian(head[10..]);
        return true;
    }

    private bool TryNext(out ReadOnlyMemory<byte> packet, out long granule)
    {
        while (_packets.Count == 0)
        {
            if (!TryReadPage())
            {
                packet = default;
                granule = -1;
                return false;
            }
        }

        (packet, granule) = _packets.Dequeue();
        return true;
    }

    /// <summary>Takes the next good page apart; false where there is none.</summary>
    private bool TryReadPage()
    {
        ReadOnlySpan<byte> file = _file.Span;
        while (_offset < file.Length)
        {
            ReadOnlySpan<byte> rest = file[_offset..];
            if (!TryMeasurePage(rest, out int header, out int length) || !HasGoodChecksum(rest[..length]))
            {
                int next = rest[1..].IndexOf("OggS"u8);
                int skip = next < 0 ? rest.Length : next + 1;
                SkippedBytes += skip;
                _offset += skip;
                _partial.Clear();
                continue;
            }

            int at = _offset;
            _offset += length;
            uint serial = BinaryPrimitives.ReadUInt32LittleEndian(rest[14..]);
            if (_serial is null && rest[header..length].StartsWith("OpusHead"u8))
                _serial = serial;
            if (serial != _serial)
                continue; // another stream of the file
            TakePackets(at, header, rest[5], BinaryPrimitives.ReadInt64LittleEndian(rest[6..]));
            return true;
        }

        return false;
    }

    private void TakePackets(int page, int header, byte flags, long granule)
    {
        ReadOnlySpan<byte> lacing = _file.Span.Slice(page + PageHeader, header - PageHeader);
        if ((flags & Continued) == 0)
        {
            _partial.Clear();
            _skipPartial = false;
        }
        else if (_partial.Count == 0)
        {
            _skipPartial = true; // its beginning was lost
        }

        int last = -1;
        for (int i = 0; i < lacing.Length; i++)
        {
            if (lacing[i] < 255)
                last = i;
        }

        int start = page + header, length = 0;
        for (int i = 0; i < lacing.Length; i++)
        {
            length += lacing[i];
            if (lacing[i] == 255)
                continue;
            AddPacket(_file.Slice(start, length), i == last ? granule : -1);
            start += length;
            length = 0;
        }

        if (length > 0 && _partial.Count + length <= MaxPacket)
            _partial.AddRange(_file.Span.Slice(start, length));
    }

    private void AddPacket(ReadOnlyMemory<byte> data, long granule)
    {
        if (_skipPartial)
        {
            _skipPartial = false;
            Malformed++;
            return;
        }

        if (_partial.Count > 0)
        {
            _partial.AddRange(data.Span);
            data = _partial.ToArray();
            _partial.Clear();
        }

        _packets.Enqueue((data, granule));
    }

    private static bool TryMeasurePage(ReadOnlySpan<byte> rest, out int header, out int length)
    {
        header = length = 0;
        if (rest.Length < PageHeader || !rest.StartsWith("OggS"u8) || rest[4] != 0)
            return false;
        header = PageHeader + rest[26];
        if (rest.Length < header)
            return false;
        length = header;
        foreach (byte segment in rest[PageHeader..header])
            length += segment;
        return rest.Length >= length;
    }

    private static bool HasGoodChecksum(ReadOnlySpan<byte> page)
    {
        uint crc = OggCrc.Append(0, page[..22]);
        crc = OggCrc.Append(crc, [0, 0, 0, 0]);
        crc = OggCrc.Append(crc, page[26..]);
        return crc == BinaryPrimitives.ReadUInt32LittleEndian(page[22..]);
    }
}

/// <summary>Ogg's CRC-32: polynomial 0x04C11DB7, not reflected, starting at 0.</summary>
internal static class OggCrc
{
    private static readonly uint[] Table = MakeTable();

    public static uint Append(uint crc, ReadOnlySpan<byte> bytes)
    {
        foreach (byte b in bytes)
            crc = (crc << 8) ^ Table[(crc >> 24) ^ b];
        return crc;
    }

    private static uint[] MakeTable()
    {
        var table = new uint[256];
        for (uint i = 0; i < 256; i++)
        {
            uint value = i << 24;
            for (int bit = 0; bit < 8; bit++)
                value = (value & 0x8000_0000) != 0 ? (value << 1) ^ 0x04C1_1DB7 : value << 1;
            table[i] = value;
        }

        return table;
    }
}
