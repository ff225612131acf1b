using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Transcribe.Rtc.Rtp;

namespace Transcribe.Rtc;

/// <content>Forwarding: one packet of a publisher to this subscriber, written where it is sent from.</content>
public sealed partial class RtcMedia
{
    /// <summary>Room that the rewritten header may take beyond the source's.</summary>
    public const int ForwardingHeadroom = 96;

    // Fixed header, extension block header, a MID of 16 bytes, send time, transport sequence number.
    private const int MaxPrefix = 12 + 4 + 17 + 4 + 3;
    private const int NoPrefix = -1;

    // The header as far as it is the same for every packet; the length is 0 until it is made.
    private Prefix _prefix;
    private int _prefixLength;
    private byte _sendTimeAt;
    private byte _transportSequenceAt;

    /// <summary>
    /// Forwards a packet of another session as <see cref="Send(Instant, in RtpPacket, RtpExtensionMap, byte, ushort, uint)"/>
    /// does, but writes the protected packet into memory of the caller, who sends it on <see cref="RtcSession.MediaPath"/>:
    /// the payload is read once and written once. Allocates nothing.
    /// </summary>
    /// <param name="outline">Of <paramref name="source"/>.</param>
    /// <param name="source">The whole packet, left as it is.</param>
    /// <param name="extensions">From the source's <see cref="HeaderExtensions"/> to this one's; make it once per route.</param>
    /// <param name="payloadType">As <see cref="TryGetPayloadType"/> told.</param>
    /// <param name="sequenceNumber">Of this m-section; each is sent once (SRTP must not use a packet index twice).</param>
    /// <param name="timestamp">For audio the source's own.</param>
    /// <param name="destination">Not within the source; the source's length and <see cref="ForwardingHeadroom"/> suffice.</param>
    /// <param name="length">Bytes to send.</param>
    /// <returns>False where there is nothing to send: see <see cref="CanSend"/>, the packet is too large, or its number used or too old.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public bool TryWrite(
        Instant now, in RtpOutline outline, ReadOnlySpan<byte> source, RtpExtensionMap extensions, byte payloadType,
        ushort sequenceNumber, uint timestamp, Span<byte> destination, out int length)
    {
        length = 0;
        if (!CanSend)
            return false;
        if (destination.Length > _session.MaxDatagram)
            destination = destination[.._session.MaxDatagram];
        int header = WriteHeader(outline, source, extensions, payloadType, sequenceNumber, timestamp, destination);
        if (header == 0)
        {
            if (!RtpPacket.TryParse(source, out RtpPacket packet) || destination.Length < RtpPacket.FixedHeaderSize + 60)
                return false;
            header = BeginForward(now, packet, payloadType, sequenceNumber, timestamp, destination, extensions).FinishHeader();
        }

        ReadOnlySpan<byte> payload = source.Slice(outline.HeaderLength, outline.PayloadLength);
        if (!_session.ProtectRtp(destination, header, payload, out length))
            return false;
        NoteSent(now, outline.PayloadLength, timestamp);
        return true;
    }

    private RtpHeaderWriter BeginForward(
        Instant now, in RtpPacket source, byte payloadType, ushort sequenceNumber, uint timestamp, Span<byte> destination,
        RtpExtensionMap extensions)
    {
        RtpHeaderWriter writer = new(
            destination, payloadType, source.Marker, sequenceNumber, timestamp, LocalSsrc, source.ContributingSources,
            Negotiated.AllowMixedExtensions);
        WriteHopExtensions(now, ref writer);
        writer.CopyExtensions(source, extensions);
        return writer;
    }

    /// <summary>The header from the prepared prefix; 0 where it cannot be made that way.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private int WriteHeader(
        in RtpOutline outline, ReadOnlySpan<byte> source, RtpExtensionMap extensions, byte payloadType, ushort sequenceNumber,
        uint timestamp, Span<byte> destination)
    {
        if (_prefixLength <= 0 && !MakePrefix())
            return 0;
        if (outline.ElementCount < 0 || destination.Length < outline.HeaderLength + ForwardingHeadroom)
            return 0;

        ReadOnlySpan<byte> prefix = _prefix;
        prefix.CopyTo(destination);
        destination[1] = (byte)(payloadType | (outline.Marker ? 0x80 : 0));
        BinaryPrimitives.WriteUInt16BigEndian(destination[2..], sequenceNumber);
        BinaryPrimitives.WriteUInt32BigEndian(destination[4..], timestamp);
        if (_sendTimeAt != 0)
            new AbsoluteSendTime(outline.SendTime).Write(destination[_sendTimeAt..]);

        int position = _prefixLength;
        for (int i = 0; i < outline.ElementCount; i++)
        {
            ref readonly RtpOutline.Element element = ref outline.ElementAt(i);
            byte id = extensions[element.Id];
            if (id == 0)
                continue;
            if (id > 14)
                return 0;
            destination[position++] = (byte)((id << 4) | (element.Length - 1));
            if (element.Length == 1)
                destination[position] = source[element.Offset];
            else
                source.Slice(element.Offset, element.Length).CopyTo(destination[position..]);
            position += element.Length;
        }

        if (position == RtpPacket.FixedHeaderSize + 4)
        {
            destination[0] = 0x80;
            return RtpPacket.FixedHeaderSize;
        }

        // Last, when nothing sends the packet the slow way any more: the number counts.
        if (_transportSequenceAt != 0)
            TransportSequenceNumber.Write(destination[_transportSequenceAt..], _session.NextTransportSequence());
        int end = (position + 3) & ~3;
        destination[position..end].Clear();
        destination[15] = (byte)((end - (RtpPacket.FixedHeaderSize + 4)) / 4);
        return end;
    }

    /// <summary>False where the hop's own extensions need the two-byte form.</summary>
    private bool MakePrefix()
    {
        if (_prefixLength == NoPrefix)
            return false;
        RtpExtensionIds ids = Negotiated.Extensions;
        if (ids.Mid > 14 || ids.AbsoluteSendTime > 14 || ids.TransportSequenceNumber > 14 || (ids.Mid != 0 && _mid.Length > 16))
        {
            _prefixLength = NoPrefix;
            return false;
        }

        Span<byte> prefix = _prefix;
        prefix.Clear();
        prefix[0] = 0x90;
        BinaryPrimitives.WriteUInt32BigEndian(prefix[8..], LocalSsrc);
        BinaryPrimitives.WriteUInt16BigEndian(prefix[12..], RtpExtensionEnumerable.OneByteProfile);
        int at = RtpPacket.FixedHeaderSize + 4;
        if (ids.Mid != 0 && _mid.Length > 0)
        {
            prefix[at++] = (byte)((ids.Mid << 4) | (_mid.Length - 1));
            _mid.CopyTo(prefix[at..]);
            at += _mid.Length;
        }

        _sendTimeAt = Reserve(ids.AbsoluteSendTime, AbsoluteSendTime.Size, prefix, ref at);
        _transportSequenceAt = Reserve(ids.TransportSequenceNumber, TransportSequenceNumber.Size, prefix, ref at);
        _prefixLength = at;
        return true;

        static byte Reserve(byte id, int size, Span<byte> prefix, ref int at)
        {
            if (id == 0)
                return 0;
            prefix[at] = (byte)((id << 4) | (size - 1));
            at += 1 + size;
            return (byte)(at - size);
        }
    }

    [InlineArray(MaxPrefix)]
    private struct Prefix
    {
        private byte _first;
    }
}
