using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Transcribe.Rtc;
using static Transcribe.Sfu.Net.LinuxNative;

namespace Transcribe.Sfu.Net;

// sendmmsg with UDP_SEGMENT.
internal sealed unsafe partial class LinuxDatagramSocket
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Send(SendBatch batch)
    {
        ObjectDisposedException.ThrowIf(_disposed != 0, this);
        int messages = 0;
        int vectors = 0;
        for (int group = 0; group < batch.GroupCount; group++)
        {
            int entry = batch.First(group, out TransportPath path);
            if (entry >= 0 && !_v6 && !path.Remote.IsIPv4)
            {
                for (; entry >= 0; entry = batch.Next(entry))
                    Counters.SendErrors++;
                continue;
            }

            while (entry >= 0)
            {
                if (messages == MaxMessages || vectors > MaxVectors - MaxSegmentsPerMessage)
                {
                    SendMessages(messages);
                    messages = vectors = 0;
                }

                vectors += AddRun(batch, ref entry, messages, vectors, path);
                messages++;
            }
        }

        if (messages > 0)
            SendMessages(messages);
        batch.Clear();
    }

    /// <summary>
    /// Makes one message of the longest run from <paramref name="entry"/> that may leave as one, and moves on behind it.
    /// Datagrams that lie one behind the other in the batch share a vector, which the kernel copies faster.
    /// </summary>
    /// <returns>Vectors used.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private int AddRun(SendBatch batch, ref int entry, int index, int vector, in TransportPath path)
    {
        var vectors = (IoVec*)_out->Vectors + vector;
        int size = batch.Length(entry);
        int count = 0;
        int total = 0;
        int used = 0;
        byte* end = null;
        do
        {
            int length = batch.Length(entry);
            byte* start = batch.Pointer(entry);
            if (start == end)
                vectors[used - 1].Length += (nuint)length;
            else
                vectors[used++] = new IoVec { Base = start, Length = (nuint)length };
            end = start + length;
            count++;
            total += length;
            entry = batch.Next(entry);
            if (length < size || size == 0)
                break;
        }
        while (_segmentation && entry >= 0 && count < MaxSegmentsPerMessage
            && batch.Length(entry) <= size && batch.Length(entry) > 0 && total + batch.Length(entry) <= MaxMessageBytes);

        byte* name = _out->Names + (index * LinuxSockAddr.Stride);
        byte* control = _out->Controls + (index * SendControl);
        nuint controlLength = 0;
        if (!path.Local.IsNone)
            controlLength = WriteSource(control, path.Local);
        if (count > 1)
            controlLength += WriteSegment(control + controlLength, (ushort)size);
        ((MMsgHdr*)_out->Messages)[index].Header = new MsgHdr
        {
            Name = name,
            NameLength = LinuxSockAddr.Write(name, _v6, path.Remote),
            Vectors = vectors,
            VectorCount = (nuint)used,
            Control = controlLength == 0 ? null : control,
            ControlLength = controlLength,
        };
        _out->Segments[index] = (ushort)count;
        _out->Sizes[index] = (ushort)size;
        _out->Totals[index] = total;
        return used;
    }

    private nuint WriteSource(byte* at, in TransportAddress local)
    {
        if (_v6)
        {
            *(CMsgHdr*)at = new CMsgHdr { Length = 36, Level = IpProtoIpv6, Type = Ipv6PktInfo };
            Unsafe.WriteUnaligned(at + 16, LinuxSockAddr.Big(local.High));
            Unsafe.WriteUnaligned(at + 24, LinuxSockAddr.Big(local.Low));
            Unsafe.WriteUnaligned(at + 32, 0ul);
            return 40;
        }

        *(CMsgHdr*)at = new CMsgHdr { Length = 28, Level = IpProtoIp, Type = IpPktInfo };
        Unsafe.WriteUnaligned(at + 16, 0u);
        Unsafe.WriteUnaligned(at + 20, LinuxSockAddr.Big(local.IPv4));
        Unsafe.WriteUnaligned(at + 24, 0ul);
        return 32;
    }

    private static nuint WriteSegment(byte* at, ushort size)
    {
        // Two bytes of data exactly: the kernel answers a longer value with EINVAL.
        *(CMsgHdr*)at = new CMsgHdr { Length = 18, Level = SolUdp, Type = UdpSegment };
        Unsafe.WriteUnaligned(at + 16, (ulong)size);
        return 24;
    }

    private void SendMessages(int count)
    {
        var messages = (MMsgHdr*)_out->Messages;
        bool waitedForSpace = false;
        for (int at = 0; at < count;)
        {
            Counters.SendCalls++;
            int sent = SendMMsg(_fd, messages + at, (uint)(count - at), MsgDontWait | MsgNoSignal);
            if (sent > 0)
            {
                for (int i = at; i < at + sent; i++)
                    CountSent(_out->Segments[i], _out->Totals[i]);
                at += sent;
                continue;
            }

            int errno = sent == 0 ? EAgain : Marshal.GetLastPInvokeError();
            if (errno == EIntr)
                continue;
            MMsgHdr* refused = messages + at;
            if (errno is EAgain or ENoBufs)
            {
                // A full send buffer drains in well under a millisecond, or the link is saturated and packets must go.
                if (!waitedForSpace && WaitForSpace())
                {
                    waitedForSpace = true;
                    continue;
                }

                for (; at < count; at++)
                    Counters.SendBufferFull += _out->Segments[at];
                return;
            }

            if (_out->Segments[at] > 1)
                SendOneByOne(refused, _out->Sizes[at], errno);
            else
                Counters.SendErrors++;
            at++;
        }
    }

    private void CountSent(int segments, int bytes)
    {
        Counters.DatagramsSent += segments;
        Counters.BytesSent += bytes;
        if (segments > 1)
        {
            Counters.SegmentedSends++;
            _segmentRefusals = 0;
        }
    }

    /// <summary>The kernel refused a segmented message: send its datagrams singly, and stop segmenting if it is not about this path.</summary>
    private void SendOneByOne(MMsgHdr* refused, int size, int errno)
    {
        // EIO: the device cannot checksum segments.
        if (errno == EIo)
            _segmentation = false;
        MMsgHdr single = *refused;
        IoVec vector;
        single.Header.Vectors = &vector;
        single.Header.VectorCount = 1;
        single.Header.ControlLength -= 24;
        if (single.Header.ControlLength == 0)
            single.Header.Control = null;
        bool first = true;
        for (nuint v = 0; v < refused->Header.VectorCount; v++)
        {
            // A vector holds whole datagrams: of the run's size, but perhaps the very last.
            IoVec whole = refused->Header.Vectors[v];
            for (nuint at = 0; at < whole.Length; at += (nuint)size)
            {
                vector = new IoVec { Base = (byte*)whole.Base + at, Length = Math.Min((nuint)size, whole.Length - at) };
                Counters.SendCalls++;
                if (SendMMsg(_fd, &single, 1, MsgDontWait | MsgNoSignal) == 1)
                {
                    CountSent(1, (int)vector.Length);

                    // EINVAL: an old kernel, or just this path's MTU is smaller than the datagrams. Once in a row is the path's, often the kernel's.
                    if (first && errno == EInval && ++_segmentRefusals >= SegmentRefusalsBeforeOff)
                        _segmentation = false;
                }
                else if (Marshal.GetLastPInvokeError() is EAgain or ENoBufs)
                    Counters.SendBufferFull++;
                else
                    Counters.SendErrors++;
                first = false;
            }
        }
    }

    private bool WaitForSpace()
    {
        var fd = new PollFd { Fd = _fd, Events = PollOut };
        var spec = new TimeSpec { Nanoseconds = 1_000_000 };
        return PPoll(&fd, 1, &spec, null) > 0 && (fd.Returned & PollOut) != 0;
    }

    private struct SendBlock
    {
        public fixed ulong Messages[MaxMessages * 8];
        public fixed ulong Vectors[MaxVectors * 2];
        public fixed byte Names[MaxMessages * LinuxSockAddr.Stride];
        public fixed byte Controls[MaxMessages * SendControl];
        public fixed ushort Segments[MaxMessages];
        public fixed ushort Sizes[MaxMessages];
        public fixed int Totals[MaxMessages];
    }
}
