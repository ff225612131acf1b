using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Transcribe.Cluster;
using Transcribe.Rtc;
using Transcribe.Sfu.Net;
using static Transcribe.Sfu.Net.LinuxNative;

namespace Transcribe.Bench;

/// <summary>Who gets what a sender sends: addresses as numbers, one port for all receivers.</summary>
internal sealed record FloorRoute(uint Source, IReadOnlyList<uint> Destinations);

internal sealed record FloorPlan(ushort Port, IReadOnlyList<FloorRoute> Routes);

/// <summary>
/// The least a forwarder must do: wait for datagrams, and hand each complete frame to the kernel once per receiver, as
/// one segmented message; sendmmsg with as many messages as it takes. No keys, no headers, no state.
/// </summary>
internal static unsafe class BenchFloor
{
    private const int MaxFrame = 32;
    private const int MaxMessages = 512;

    /// <summary>Tells its port on the output, takes its plan from the input, and runs until the input ends.</summary>
    public static void Run(TextReader input, TextWriter output)
    {
        int fd = Socket(AfInet, SockDgram | SockNonBlock | SockCloExec, 0);
        TrySetOption(fd, IpProtoIp, IpMtuDiscover, PmtuDiscProbe);
        TrySetOption(fd, SolSocket, SoRcvBufForce, 8 << 20);
        TrySetOption(fd, SolSocket, SoSndBufForce, 8 << 20);
        byte* name = stackalloc byte[BenchNative.SockAddrStride];
        BenchSocket.WriteName(name, TransportAddress.FromIPv4(0x7F00_0001, 0));
        uint length = BenchNative.SockAddrStride;
        if (fd < 0 || Bind(fd, name, length) != 0 || GetSockName(fd, name, &length) != 0)
            throw new IOException($"No UDP port: errno {Marshal.GetLastPInvokeError()}");
        output.WriteLine(BenchSocket.ReadName(name).Port);
        output.Flush();
        FloorPlan plan = ClusterJson.Deserialize<FloorPlan>(input.ReadLine() ?? "{}");
        bool stopping = false;
        var watch = new Thread(() =>
        {
            while (input.ReadLine() is not null)
            {
            }

            Volatile.Write(ref stopping, true);
        })
        { IsBackground = true };
        watch.Start();
        output.WriteLine("ready");
        output.Flush();
        Forward(fd, plan, ref stopping);
        LinuxNative.Close(fd);
    }

    private static void Forward(int fd, FloorPlan plan, ref bool stopping)
    {
        var routes = plan.Routes.ToDictionary(r => r.Source, r => new Route(r, plan.Port));
        byte* slots = (byte*)NativeMemory.Alloc(64 * 2048);
        var headers = (MMsgHdr*)NativeMemory.AllocZeroed((nuint)(64 * sizeof(MMsgHdr)));
        var vectors = (IoVec*)NativeMemory.AllocZeroed((nuint)(64 * sizeof(IoVec)));
        byte* names = (byte*)NativeMemory.AllocZeroed(64 * BenchNative.SockAddrStride);
        while (!Volatile.Read(ref stopping))
        {
            var fds = new PollFd { Fd = fd, Events = PollIn };
            var second = new TimeSpec { Nanoseconds = 200_000_000 };
            if (PPoll(&fds, 1, &second, null) <= 0)
                continue;
            for (int i = 0; i < 64; i++)
            {
                vectors[i] = new IoVec { Base = slots + (i * 2048), Length = 2048 };
                headers[i].Header = new MsgHdr
                {
                    Name = names + (i * BenchNative.SockAddrStride),
                    NameLength = BenchNative.SockAddrStride,
                    Vectors = vectors + i,
                    VectorCount = 1,
                };
            }

            int count = RecvMMsg(fd, headers, 64, MsgDontWait, null);
            for (int i = 0; i < count; i++)
            {
                uint source = BinaryPrimitives.ReverseEndianness(*(uint*)(names + (i * BenchNative.SockAddrStride) + 4));
                if (routes.TryGetValue(source, out Route? route))
                    route.Take(fd, new ReadOnlySpan<byte>(slots + (i * 2048), (int)headers[i].Length));
            }
        }
    }

    /// <summary>The messages of one sender, prepared once: only the frame's bytes and length change.</summary>
    private sealed class Route
    {
        private readonly int _count;
        private readonly MMsgHdr* _headers;
        private readonly IoVec* _vector;
        private readonly byte* _control;
        private readonly Dictionary<byte, Frame> _frames = [];

        public Route(FloorRoute route, ushort port)
        {
            _count = route.Destinations.Count;
            _headers = (MMsgHdr*)NativeMemory.AllocZeroed((nuint)(_count * sizeof(MMsgHdr)));
            _vector = (IoVec*)NativeMemory.AllocZeroed((nuint)sizeof(IoVec));
            _control = (byte*)NativeMemory.AllocZeroed(24);
            byte* names = (byte*)NativeMemory.AllocZeroed((nuint)(_count * BenchNative.SockAddrStride));
            for (int i = 0; i < _count; i++)
            {
                BenchSocket.WriteName(names + (i * BenchNative.SockAddrStride), TransportAddress.FromIPv4(route.Destinations[i], port));
                _headers[i].Header = new MsgHdr
                {
                    Name = names + (i * BenchNative.SockAddrStride),
                    NameLength = BenchNative.SockAddrStride,
                    Vectors = _vector,
                    VectorCount = 1,
                };
            }
        }

        /// <summary>A frame is complete with the marker bit; streams are told apart by payload type.</summary>
        public void Take(int fd, ReadOnlySpan<byte> datagram)
        {
            if (datagram.Length < 12)
                return;
            byte payloadType = (byte)(datagram[1] & 0x7F);
            if (!_frames.TryGetValue(payloadType, out Frame? frame))
                _frames.Add(payloadType, frame = new Frame());
            datagram.CopyTo(new Span<byte>(frame.Bytes + frame.Length, datagram.Length));
            frame.Length += datagram.Length;
            frame.Count++;
            if ((datagram[1] & 0x80) == 0 && frame.Count < MaxFrame)
                return;
            Send(fd, frame, datagram.Length);
            frame.Length = frame.Count = 0;
        }

        private void Send(int fd, Frame frame, int size)
        {
            *_vector = new IoVec { Base = frame.Bytes, Length = (nuint)frame.Length };
            *(CMsgHdr*)_control = new CMsgHdr { Length = 18, Level = SolUdp, Type = UdpSegment };
            Unsafe.WriteUnaligned(_control + 16, (ulong)size);
            for (int i = 0; i < _count; i++)
            {
                _headers[i].Header.Control = frame.Count > 1 ? _control : null;
                _headers[i].Header.ControlLength = frame.Count > 1 ? 24u : 0;
            }

            for (int at = 0; at < _count;)
            {
                int sent = SendMMsg(fd, _headers + at, (uint)Math.Min(MaxMessages, _count - at), MsgNoSignal);
                if (sent <= 0 && Marshal.GetLastPInvokeError() is EAgain or EIntr)
                    continue;
                at += Math.Max(1, sent);
            }
        }
    }

    private sealed class Frame
    {
        public byte* Bytes = (byte*)NativeMemory.Alloc(MaxFrame * 2048);
        public int Length;
        public int Count;
    }
}
