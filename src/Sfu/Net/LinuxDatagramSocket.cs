using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Transcribe.Rtc;
using static Transcribe.Sfu.Net.LinuxNative;

namespace Transcribe.Sfu.Net;

/// <summary>
/// recvmmsg with UDP_GRO, sendmmsg with UDP_SEGMENT, ppoll with an eventfd for wake-ups. Packet information tells
/// which local address a datagram came to, and answers leave from that one: a multi-homed host needs no socket per address.
/// </summary>
internal sealed unsafe partial class LinuxDatagramSocket : IDatagramSocket
{
    private const int MaxReceive = 64;
    private const int MaxMessages = 256;
    private const int MaxVectors = 1024;

    /// <summary>UDP_MAX_SEGMENTS was 64 before Linux 6.7.</summary>
    private const int MaxSegmentsPerMessage = 64;
    private const int MaxMessageBytes = 65_000;
    private const int ReceiveControl = 128;
    private const int SendControl = 64;
    private const int SegmentRefusalsBeforeOff = 8;

    private readonly bool _v6;
    private readonly int _fd;
    private readonly int _event;
    private readonly ReceiveBlock* _in;
    private readonly SendBlock* _out;
    private readonly Lock _closing = new();
    private bool _maySkipFirstRead;
    private bool _segmentation;
    private int _segmentRefusals;
    private uint _lastOverflow;
    private int _signaled;
    private int _disposed;

    private LinuxDatagramSocket(int fd, int eventFd, bool v6, bool merges, bool segmentation)
    {
        (_fd, _event, _v6, Merges, _segmentation) = (fd, eventFd, v6, merges, segmentation);
        _in = (ReceiveBlock*)NativeMemory.AllocZeroed((nuint)sizeof(ReceiveBlock));
        _out = (SendBlock*)NativeMemory.AllocZeroed((nuint)sizeof(SendBlock));
        byte* name = stackalloc byte[LinuxSockAddr.Stride];
        uint length = LinuxSockAddr.Stride;
        if (GetSockName(fd, name, &length) != 0)
            throw new IOException($"getsockname failed: errno {Marshal.GetLastPInvokeError()}");
        LocalAddress = LinuxSockAddr.Read(name);
    }

    ~LinuxDatagramSocket() => Close();

    public TransportAddress LocalAddress { get; }

    public DatagramSocketCounters Counters { get; } = new();

    /// <summary>Whether the kernel merges received runs: the ring then needs 64 KiB slots.</summary>
    public bool Merges { get; }

    /// <summary>False once the kernel refused segmentation, for good.</summary>
    public bool Segments => _segmentation;

    public static LinuxDatagramSocket Bind(DatagramSocketOptions options)
    {
        IPAddress address = options.BindAddress;
        bool v6 = address.AddressFamily == AddressFamily.InterNetworkV6;
        int fd = Socket(v6 ? AfInet6 : AfInet, SockDgram | SockNonBlock | SockCloExec, 0);
        if (fd < 0 && address.Equals(IPAddress.IPv6Any))
        {
            // IPv6 is switched off on this host.
            (v6, address) = (false, IPAddress.Any);
            fd = Socket(AfInet, SockDgram | SockNonBlock | SockCloExec, 0);
        }

        if (fd < 0)
            throw new IOException($"No UDP socket for {address}: errno {Marshal.GetLastPInvokeError()}");

        int eventFd = -1;
        try
        {
            if (v6)
            {
                TrySetOption(fd, IpProtoIpv6, Ipv6V6Only, 0);
                TrySetOption(fd, IpProtoIpv6, Ipv6RecvPktInfo, 1);
                TrySetOption(fd, IpProtoIpv6, Ipv6MtuDiscover, PmtuDiscProbe);
            }
            else
            {
                TrySetOption(fd, IpProtoIp, IpPktInfo, 1);
            }

            TrySetOption(fd, IpProtoIp, IpMtuDiscover, PmtuDiscProbe);
            SetBuffer(fd, SoRcvBufForce, SoRcvBuf, options.BufferSize);
            SetBuffer(fd, SoSndBufForce, SoSndBuf, options.BufferSize);
            TrySetOption(fd, SolSocket, SoRxqOvfl, 1);
            bool merges = options.ReceiveOffload && TrySetOption(fd, SolUdp, UdpGro, 1);

            byte* name = stackalloc byte[LinuxSockAddr.Stride];
            uint length = LinuxSockAddr.Write(name, v6, TransportAddress.From(address, options.Port));
            if (LinuxNative.Bind(fd, name, length) != 0)
            {
                int errno = Marshal.GetLastPInvokeError();
                string reason = errno == 98 ? "the port is in use" : errno == 99 ? "this host has no such address" : $"errno {errno}";
                throw new IOException($"UDP {new IPEndPoint(address, options.Port)} cannot be bound: {reason}");
            }

            eventFd = EventFd(0, EfdNonBlock | EfdCloExec);
            if (eventFd < 0)
                throw new IOException($"eventfd failed: errno {Marshal.GetLastPInvokeError()}");
            return new LinuxDatagramSocket(fd, eventFd, v6, merges, options.SegmentationOffload);
        }
        catch
        {
            if (eventFd >= 0)
                LinuxNative.Close(eventFd);
            LinuxNative.Close(fd);
            throw;
        }
    }

    public int Receive(ReceiveRing ring, TimeSpan timeout)
    {
        ObjectDisposedException.ThrowIf(_disposed != 0, this);
        ring.Clear();

        // After a batch that came back short the socket is most likely empty: ask ppoll first.
        bool waited = _maySkipFirstRead && Wait(timeout);
        if (_maySkipFirstRead && !waited)
            return 0;
        int received = ReadBatch(ring);
        if (received == 0 && !waited && timeout > TimeSpan.Zero && Wait(timeout))
            received = ReadBatch(ring);
        _maySkipFirstRead = received < Math.Min(ring.Slots, MaxReceive);
        return ring.Count;
    }

    public void Wake()
    {
        if (Interlocked.Exchange(ref _signaled, 1) != 0)
            return;

        // Not against the owner, who is never here: against closing, after which the descriptor may be another file's.
        lock (_closing)
        {
            if (_disposed != 0)
                return;
            ulong one = 1;
            // It fails only where the counter is about to overflow, and then it is readable anyway.
            _ = Write(_event, &one, sizeof(ulong));
        }
    }

    public void Dispose()
    {
        Close();
        GC.SuppressFinalize(this);
    }

    private static void SetBuffer(int fd, int forced, int plain, int bytes)
    {
        if (!TrySetOption(fd, SolSocket, forced, bytes))
            TrySetOption(fd, SolSocket, plain, bytes);
    }

    private void Close()
    {
        lock (_closing)
        {
            if (_disposed != 0)
                return;
            _disposed = 1;
            LinuxNative.Close(_fd);
            LinuxNative.Close(_event);
        }

        NativeMemory.Free(_in);
        NativeMemory.Free(_out);
    }

    /// <summary>True when the socket is readable, false after a time-out or a wake-up without data.</summary>
    private bool Wait(TimeSpan timeout)
    {
        if (timeout < TimeSpan.Zero)
            timeout = TimeSpan.Zero;
        else if (timeout > TimeSpan.FromHours(1))
            timeout = TimeSpan.FromHours(1);
        PollFd* fds = stackalloc PollFd[2];
        fds[0] = new PollFd { Fd = _fd, Events = PollIn };
        fds[1] = new PollFd { Fd = _event, Events = PollIn };
        var spec = new TimeSpec
        {
            Seconds = timeout.Ticks / TimeSpan.TicksPerSecond,
            Nanoseconds = timeout.Ticks % TimeSpan.TicksPerSecond * TimeSpan.NanosecondsPerTick,
        };
        if (PPoll(fds, 2, &spec, null) <= 0)
            return false;
        if ((fds[1].Returned & PollIn) != 0)
        {
            ulong counter;
            _ = Read(_event, &counter, sizeof(ulong));
            Interlocked.Exchange(ref _signaled, 0);
        }

        // An error state counts as readable: reading fetches and clears it.
        return fds[0].Returned != 0;
    }

    private int ReadBatch(ReceiveRing ring)
    {
        int slots = Math.Min(ring.Slots, MaxReceive);
        var messages = (MMsgHdr*)_in->Messages;
        var vectors = (IoVec*)_in->Vectors;
        for (int i = 0; i < slots; i++)
        {
            vectors[i] = new IoVec { Base = ring.Slot(i), Length = (nuint)ring.SlotSize };
            messages[i].Header = new MsgHdr
            {
                Name = _in->Names + (i * LinuxSockAddr.Stride),
                NameLength = LinuxSockAddr.Stride,
                Vectors = vectors + i,
                VectorCount = 1,
                Control = _in->Controls + (i * ReceiveControl),
                ControlLength = ReceiveControl,
            };
        }

        Counters.ReceiveCalls++;
        int received = RecvMMsg(_fd, messages, (uint)slots, MsgDontWait, null);
        if (received <= 0)
        {
            if (received < 0 && Marshal.GetLastPInvokeError() is not (EAgain or EIntr))
                Counters.ReceiveErrors++;
            return 0;
        }

        for (int i = 0; i < received; i++)
            TakeMessage(ring, i, messages + i);
        return received;
    }

    private void TakeMessage(ReceiveRing ring, int slot, MMsgHdr* message)
    {
        if ((message->Header.Flags & MsgTrunc) != 0)
        {
            Counters.Truncated++;
            return;
        }

        TransportAddress remote = LinuxSockAddr.Read((byte*)message->Header.Name);
        TransportAddress local = default;
        int segment = 0;
        byte* at = (byte*)message->Header.Control;
        byte* end = at + message->Header.ControlLength;
        while (end - at >= sizeof(CMsgHdr))
        {
            var header = (CMsgHdr*)at;
            if (header->Length < (nuint)sizeof(CMsgHdr) || header->Length > (nuint)(end - at))
                break;
            byte* data = at + sizeof(CMsgHdr);
            switch (header->Level, header->Type)
            {
                case (IpProtoIpv6, Ipv6PktInfo):
                    local = new TransportAddress(
                        LinuxSockAddr.Big(Unsafe.ReadUnaligned<ulong>(data)),
                        LinuxSockAddr.Big(Unsafe.ReadUnaligned<ulong>(data + 8)),
                        LocalAddress.Port);
                    break;
                case (IpProtoIp, IpPktInfo):
                    local = TransportAddress.FromIPv4(LinuxSockAddr.Big(Unsafe.ReadUnaligned<uint>(data + 8)), LocalAddress.Port);
                    break;
                case (SolUdp, UdpGro):
                    segment = Unsafe.ReadUnaligned<int>(data);
                    break;
                case (SolSocket, SoRxqOvfl):
                    uint overflow = Unsafe.ReadUnaligned<uint>(data);
                    Counters.KernelDrops += unchecked(overflow - _lastOverflow);
                    _lastOverflow = overflow;
                    break;
                default:
                    break;
            }

            at += ((nint)header->Length + 7) & ~7;
        }

        int before = ring.Count;
        ring.Add(slot, (int)message->Length, segment, new TransportPath(local, remote));
        Counters.DatagramsReceived += ring.Count - before;
        Counters.BytesReceived += message->Length;
    }

    private struct ReceiveBlock
    {
        public fixed ulong Messages[MaxReceive * 8];
        public fixed ulong Vectors[MaxReceive * 2];
        public fixed byte Names[MaxReceive * LinuxSockAddr.Stride];
        public fixed byte Controls[MaxReceive * ReceiveControl];
    }
}
