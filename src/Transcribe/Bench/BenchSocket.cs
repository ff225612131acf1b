using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Transcribe.Rtc;
using Transcribe.Sfu.Net;
using static Transcribe.Sfu.Net.LinuxNative;

namespace Transcribe.Bench;

/// <summary>
/// One IPv4 UDP socket for thousands of clients: each has an address of its own in 127.0.0.0/8, which packet
/// information tells on receiving and sets on sending. The kernel stamps what arrives, so that a late reader does not
/// look like a late sender.
/// </summary>
internal sealed unsafe class BenchSocket : IDisposable
{
    private const int Batch = 64;
    private const int Control = 160;
    private readonly int _fd;
    private readonly int _event;
    private readonly int _slotSize;
    private readonly byte* _memory;
    private readonly byte* _out;
    private readonly MMsgHdr* _in;
    private readonly MMsgHdr* _send;
    private readonly TransportPath[] _outPaths = new TransportPath[Batch];
    private readonly int[] _outLengths = new int[Batch];
    private int _outCount;
    private uint _lastOverflow;
    private bool _disposed;

    /// <param name="merge">Receive merged runs (UDP_GRO): cheaper for this process and for the sender, which then pays no segmentation.</param>
    public BenchSocket(bool merge)
    {
        _slotSize = merge ? 1 << 16 : 2048;
        _fd = Socket(AfInet, SockDgram | SockNonBlock | SockCloExec, 0);
        if (_fd < 0)
            throw new IOException($"No UDP socket: errno {Marshal.GetLastPInvokeError()}");
        TrySetOption(_fd, IpProtoIp, IpPktInfo, 1);
        TrySetOption(_fd, SolSocket, SoRxqOvfl, 1);
        TrySetOption(_fd, SolSocket, BenchNative.SoTimestampNs, 1);
        if (!TrySetOption(_fd, SolSocket, SoRcvBufForce, 64 << 20))
            TrySetOption(_fd, SolSocket, SoRcvBuf, 64 << 20);
        if (!TrySetOption(_fd, SolSocket, SoSndBufForce, 8 << 20))
            TrySetOption(_fd, SolSocket, SoSndBuf, 8 << 20);
        if (merge)
            TrySetOption(_fd, SolUdp, UdpGro, 1);
        byte* name = stackalloc byte[BenchNative.SockAddrStride];
        WriteName(name, default);
        uint length = BenchNative.SockAddrStride;
        if (LinuxNative.Bind(_fd, name, length) != 0 || GetSockName(_fd, name, &length) != 0)
            throw new IOException($"No UDP port: errno {Marshal.GetLastPInvokeError()}");
        Port = BinaryPrimitives.ReadUInt16BigEndian(new ReadOnlySpan<byte>(name + 2, 2));
        _event = EventFd(0, EfdNonBlock | EfdCloExec);
        _memory = (byte*)NativeMemory.Alloc((nuint)(Batch * _slotSize));
        _out = (byte*)NativeMemory.Alloc(Batch * 2048);
        _in = Headers();
        _send = Headers();
    }

    public ushort Port { get; }

    /// <summary>Datagrams lost here because this process did not read in time.</summary>
    public long Dropped { get; private set; }

    public delegate void Handler(in TransportPath path, Span<byte> datagram, long arrival);

    /// <summary>Hands over what has arrived.</summary>
    /// <param name="wallOffset">See <see cref="BenchNative.WallOffset"/>: arrivals are told in CLOCK_MONOTONIC nanoseconds.</param>
    /// <returns>Whether there may be more.</returns>
    public bool Receive(long wallOffset, Handler handler)
    {
        for (int i = 0; i < Batch; i++)
        {
            MsgHdr* header = &_in[i].Header;
            header->NameLength = BenchNative.SockAddrStride;
            header->ControlLength = Control;
            header->Vectors->Base = _memory + (i * _slotSize);
            header->Vectors->Length = (nuint)_slotSize;
        }

        int count = RecvMMsg(_fd, _in, Batch, MsgDontWait, null);
        for (int i = 0; i < count; i++)
            Take(_in + i, wallOffset, handler);
        return count == Batch;
    }

    /// <summary>Sleeps; a datagram ends it only where asked for, a <see cref="Wake"/> always.</summary>
    public void Wait(TimeSpan atMost, bool forDatagrams)
    {
        if (atMost <= TimeSpan.Zero)
            return;
        PollFd* fds = stackalloc PollFd[2];
        fds[0] = new PollFd { Fd = _event, Events = PollIn };
        fds[1] = new PollFd { Fd = _fd, Events = PollIn };
        var time = new TimeSpec { Seconds = (long)atMost.TotalSeconds, Nanoseconds = atMost.Ticks % TimeSpan.TicksPerSecond * 100 };
        if (PPoll(fds, forDatagrams ? 2u : 1u, &time, null) > 0 && (fds[0].Returned & PollIn) != 0)
        {
            ulong counter;
            _ = Read(_event, &counter, sizeof(ulong));
        }
    }

    /// <summary>From any thread.</summary>
    public void Wake()
    {
        ulong one = 1;
        _ = Write(_event, &one, sizeof(ulong));
    }

    /// <summary>Queues a datagram; it leaves with <see cref="Flush"/> at the latest.</summary>
    public void Send(in TransportPath path, ReadOnlySpan<byte> datagram)
    {
        if (_outCount == Batch)
            Flush();
        datagram.CopyTo(new Span<byte>(_out + (_outCount * 2048), 2048));
        _outLengths[_outCount] = datagram.Length;
        _outPaths[_outCount++] = path;
    }

    public void Flush()
    {
        for (int i = 0; i < _outCount; i++)
        {
            MsgHdr* header = &_send[i].Header;
            header->Vectors->Base = _out + (i * 2048);
            header->Vectors->Length = (nuint)_outLengths[i];
            WriteName((byte*)header->Name, _outPaths[i].Remote);
            byte* control = (byte*)header->Control;
            *(CMsgHdr*)control = new CMsgHdr { Length = 28, Level = IpProtoIp, Type = IpPktInfo };
            Unsafe.WriteUnaligned(control + 16, 0u);
            Unsafe.WriteUnaligned(control + 20, BinaryPrimitives.ReverseEndianness(_outPaths[i].Local.IPv4));
            Unsafe.WriteUnaligned(control + 24, 0ul);
            header->ControlLength = 32;
        }

        for (int at = 0; at < _outCount;)
        {
            int sent = SendMMsg(_fd, _send + at, (uint)(_outCount - at), MsgDontWait | MsgNoSignal);
            at += Math.Max(1, sent);
        }

        _outCount = 0;
    }

    public void Dispose()
    {
        if (_disposed)
            return;
        _disposed = true;
        LinuxNative.Close(_fd);
        LinuxNative.Close(_event);
        NativeMemory.Free(_memory);
        NativeMemory.Free(_out);
        NativeMemory.Free(_in);
        NativeMemory.Free(_send);
    }

    internal static void WriteName(byte* at, in TransportAddress address)
    {
        *(ushort*)at = AfInet;
        *(ushort*)(at + 2) = BinaryPrimitives.ReverseEndianness(address.Port);
        *(uint*)(at + 4) = BinaryPrimitives.ReverseEndianness(address.IPv4);
        *(ulong*)(at + 8) = 0;
    }

    internal static TransportAddress ReadName(byte* at) => TransportAddress.FromIPv4(
        BinaryPrimitives.ReverseEndianness(*(uint*)(at + 4)), BinaryPrimitives.ReverseEndianness(*(ushort*)(at + 2)));

    /// <summary>Headers, vectors, names and control blocks in one piece of memory.</summary>
    private static MMsgHdr* Headers()
    {
        int each = sizeof(MMsgHdr) + sizeof(IoVec) + BenchNative.SockAddrStride + Control;
        byte* memory = (byte*)NativeMemory.AllocZeroed((nuint)(Batch * each));
        var headers = (MMsgHdr*)memory;
        var vectors = (IoVec*)(headers + Batch);
        byte* names = (byte*)(vectors + Batch);
        byte* controls = names + (Batch * BenchNative.SockAddrStride);
        for (int i = 0; i < Batch; i++)
        {
            headers[i].Header = new MsgHdr
            {
                Name = names + (i * BenchNative.SockAddrStride),
                NameLength = BenchNative.SockAddrStride,
                Vectors = vectors + i,
                VectorCount = 1,
                Control = controls + (i * Control),
                ControlLength = Control,
            };
        }

        return headers;
    }

    private void Take(MMsgHdr* message, long wallOffset, Handler handler)
    {
        uint local = 0;
        int segment = 0;
        long arrival = 0;
        byte* at = (byte*)message->Header.Control;
        byte* end = at + message->Header.ControlLength;
        while (end - at >= sizeof(CMsgHdr))
        {
            var header = (CMsgHdr*)at;
            if (header->Length < (nuint)sizeof(CMsgHdr))
                break;
            byte* data = at + sizeof(CMsgHdr);
            if (header->Level == IpProtoIp && header->Type == IpPktInfo)
            {
                local = BinaryPrimitives.ReverseEndianness(Unsafe.ReadUnaligned<uint>(data + 8));
            }
            else if (header->Level == SolUdp && header->Type == UdpGro)
            {
                segment = Unsafe.ReadUnaligned<int>(data);
            }
            else if (header->Level == SolSocket && header->Type == BenchNative.SoTimestampNs)
            {
                arrival = (Unsafe.ReadUnaligned<long>(data) * 1_000_000_000) + Unsafe.ReadUnaligned<long>(data + 8) - wallOffset;
            }
            else if (header->Level == SolSocket && header->Type == SoRxqOvfl)
            {
                uint overflow = Unsafe.ReadUnaligned<uint>(data);
                Dropped += unchecked(overflow - _lastOverflow);
                _lastOverflow = overflow;
            }

            at += ((nint)header->Length + 7) & ~7;
        }

        var path = new TransportPath(TransportAddress.FromIPv4(local, Port), ReadName((byte*)message->Header.Name));
        int length = (int)message->Length;
        byte* bytes = (byte*)message->Header.Vectors->Base;
        if (segment <= 0)
            segment = Math.Max(1, length);
        for (int offset = 0; offset < length; offset += segment)
            handler(path, new Span<byte>(bytes + offset, Math.Min(segment, length - offset)), arrival);
    }
}
