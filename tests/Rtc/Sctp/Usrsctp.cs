using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Transcribe.Rtc.Tests.Sctp;

/// <summary>
/// usrsctp, the stack of Firefox (and of Chromium before dcSCTP): one socket without threads, as Debian's libusrsctp2 has it.
/// It reads the wall clock beside its timer ticks, so it cannot run on a virtual one.
/// </summary>
internal sealed unsafe partial class Usrsctp : IDisposable
{
    private const string Library = "libusrsctp.so.2";
    private const int AfConn = 123;
    private const int Stream = 1;
    private const int Sctp = 132;

    private static readonly Dictionary<nint, Usrsctp> Sockets = [];
    private static bool _initialized;
    private static nint _next = 0x1000;

    private readonly nint _handle;
    private readonly nint _socket;
    private readonly byte[] _buffer = new byte[512 * 1024];
    private readonly List<byte> _partial = [];

    public Usrsctp(ushort port, Action<byte[]> output)
    {
        if (!_initialized)
        {
            usrsctp_init_nothreads(0, &OnOutput, 0);
            _initialized = true;
        }

        Output = output;
        _handle = _next++;
        Sockets[_handle] = this;
        usrsctp_register_address(_handle);
        _socket = usrsctp_socket(AfConn, Stream, Sctp, 0, 0, 0, 0);
        Assert.NotEqual(0, _socket);
        Assert.Equal(0, usrsctp_set_non_blocking(_socket, 1));
        SetOption(1, 8, 1 << 20); // SO_RCVBUF
        SetOption(1, 7, 1 << 20); // SO_SNDBUF
        SetOption(Sctp, 4, 1); // SCTP_NODELAY
        SetPair(0x900, 0, 1); // SCTP_ENABLE_STREAM_RESET
        SetOption(Sctp, 0x1f, 1); // SCTP_RECVRCVINFO
        SetEvent(9); // SCTP_STREAM_RESET_EVENT
        SetEvent(1); // SCTP_ASSOC_CHANGE
        uint* rto = stackalloc uint[] { 0, 100, 500, 40 }; // SCTP_RTOINFO: association, initial, max, min
        Assert.Equal(0, usrsctp_setsockopt(_socket, Sctp, 1, rto, 16));
        uint init = 1024 | (1024u << 16);
        ulong options = init | (10ul << 32);
        Assert.Equal(0, usrsctp_setsockopt(_socket, Sctp, 3, &options, 8)); // SCTP_INITMSG
        ConnAddress address = new() { Family = AfConn, Port = Swap(port), Address = _handle };
        Assert.Equal(0, usrsctp_bind(_socket, &address, sizeof(ConnAddress)));
        Port = port;
    }

    public static bool IsInstalled => NativeLibrary.TryLoad(Library, out _);

    public ushort Port { get; }

    public Action<byte[]> Output { get; }

    public List<(ushort Stream, uint Ppid, byte[] Data)> Messages { get; } = [];

    public List<(ushort[] Streams, int Flags)> Resets { get; } = [];

    public bool IsUp { get; private set; }

    public bool IsDown { get; private set; }

    public static void HandleTimers(int milliseconds) => usrsctp_handle_timers((uint)milliseconds);

    public void Connect()
    {
        ConnAddress address = new() { Family = AfConn, Port = Swap(Port), Address = _handle };
        _ = usrsctp_connect(_socket, &address, sizeof(ConnAddress));
    }

    public void Input(byte[] packet)
    {
        fixed (byte* p = packet)
            usrsctp_conninput(_handle, p, (nuint)packet.Length, 0);
        Read();
    }

    public bool Send(ushort stream, uint ppid, byte[] data, bool unordered = false, int? maxRetransmits = null)
    {
        SendInfo info = new() { Flags = maxRetransmits is null ? 1u : 3, Stream = stream, SendFlags = (ushort)(0x2000 | (unordered ? 0x400 : 0)), Ppid = Swap(ppid) };
        (info.Policy, info.PolicyValue) = maxRetransmits is { } most ? ((ushort)3, (uint)most) : ((ushort)0, 0u);
        fixed (byte* p = data)
            return usrsctp_sendv(_socket, p, (nuint)data.Length, 0, 0, &info, (uint)sizeof(SendInfo), 4, 0) == data.Length;
    }

    public void ResetStreams(params ushort[] streams)
    {
        var bytes = new byte[8 + (streams.Length * 2)];
        fixed (byte* p = bytes)
        {
            ((ushort*)p)[2] = 2; // outgoing
            ((ushort*)p)[3] = (ushort)streams.Length;
            for (int i = 0; i < streams.Length; i++)
                ((ushort*)p)[4 + i] = streams[i];
            Assert.Equal(0, usrsctp_setsockopt(_socket, Sctp, 0x901, p, bytes.Length));
        }
    }

    public void Shutdown() => _ = usrsctp_shutdown(_socket, 2);

    public void Read()
    {
        byte* from = stackalloc byte[32];
        while (true)
        {
            RcvInfo info;
            uint infoLength = (uint)sizeof(RcvInfo);
            uint infoType = 0;
            int flags = 0;
            uint fromLength = 32;
            nint length;
            fixed (byte* p = _buffer)
                length = usrsctp_recvv(_socket, p, (nuint)_buffer.Length, from, &fromLength, &info, &infoLength, &infoType, &flags);
            if (length <= 0)
                return;
            _partial.AddRange(_buffer.AsSpan(0, (int)length));
            if ((flags & 0x80) == 0)
                continue;
            byte[] whole = [.. _partial];
            _partial.Clear();
            if ((flags & 0x2000) != 0)
                OnNotification(whole);
            else
                Messages.Add((info.Stream, Swap(info.Ppid), whole));
        }
    }

    public void Dispose()
    {
        usrsctp_close(_socket);
        usrsctp_deregister_address(_handle);
        Sockets.Remove(_handle);
    }

    private void OnNotification(byte[] bytes)
    {
        ushort type = BitConverter.ToUInt16(bytes);
        if (type == 1)
        {
            ushort state = BitConverter.ToUInt16(bytes, 8);
            IsUp |= state == 1;
            IsDown |= state is 2 or 4; // lost, shut down
        }
        else if (type == 9)
        {
            Resets.Add((MemoryMarshal.Cast<byte, ushort>(bytes.AsSpan(12)).ToArray(), BitConverter.ToUInt16(bytes, 2)));
        }
    }

    private void SetOption(int level, int name, int value) => Assert.Equal(0, usrsctp_setsockopt(_socket, level, name, &value, 4));

    private void SetPair(int name, uint first, uint second)
    {
        ulong value = first | ((ulong)second << 32);
        Assert.Equal(0, usrsctp_setsockopt(_socket, Sctp, name, &value, 8));
    }

    private void SetEvent(ushort type) => SetPair(0x1e, 0, type | (1u << 16));

    private static ushort Swap(ushort value) => System.Buffers.Binary.BinaryPrimitives.ReverseEndianness(value);

    private static uint Swap(uint value) => System.Buffers.Binary.BinaryPrimitives.ReverseEndianness(value);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int OnOutput(nint address, byte* buffer, nuint length, byte tos, byte setDf)
    {
        if (Sockets.TryGetValue(address, out Usrsctp? socket))
            socket.Output(new Span<byte>(buffer, (int)length).ToArray());
        return 0;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct ConnAddress
    {
        public ushort Family;
        public ushort Port;
        public nint Address;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct RcvInfo
    {
        public ushort Stream;
        public ushort Ssn;
        public ushort Flags;
        public uint Ppid;
        public uint Tsn;
        public uint CumulativeTsn;
        public uint Context;
        public uint Association;
    }

    /// <summary>struct sctp_sendv_spa.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct SendInfo
    {
        public uint Flags;
        public ushort Stream;
        public ushort SendFlags;
        public uint Ppid;
        public uint Context;
        public uint Association;
        public ushort Policy;
        public uint PolicyValue;
        public ushort KeyNumber;
    }

    [LibraryImport(Library)]
    private static partial void usrsctp_init_nothreads(ushort port, delegate* unmanaged[Cdecl]<nint, byte*, nuint, byte, byte, int> output, nint debug);

    [LibraryImport(Library)]
    private static partial void usrsctp_register_address(nint address);

    [LibraryImport(Library)]
    private static partial void usrsctp_deregister_address(nint address);

    [LibraryImport(Library)]
    private static partial nint usrsctp_socket(int domain, int type, int protocol, nint receive, nint send, uint threshold, nint info);

    [LibraryImport(Library)]
    private static partial int usrsctp_set_non_blocking(nint socket, int on);

    [LibraryImport(Library)]
    private static partial int usrsctp_setsockopt(nint socket, int level, int name, void* value, int length);

    [LibraryImport(Library)]
    private static partial int usrsctp_bind(nint socket, ConnAddress* address, int length);

    [LibraryImport(Library)]
    private static partial int usrsctp_connect(nint socket, ConnAddress* address, int length);

    [LibraryImport(Library)]
    private static partial void usrsctp_conninput(nint address, byte* packet, nuint length, byte ecn);

    [LibraryImport(Library)]
    private static partial nint usrsctp_sendv(nint socket, byte* data, nuint length, nint to, int count, SendInfo* info, uint infoLength, uint infoType, int flags);

    [LibraryImport(Library)]
    private static partial nint usrsctp_recvv(
        nint socket, byte* data, nuint length, byte* from, uint* fromLength, RcvInfo* info, uint* infoLength, uint* infoType, int* flags);

    [LibraryImport(Library)]
    private static partial int usrsctp_shutdown(nint socket, int how);

    [LibraryImport(Library)]
    private static partial void usrsctp_close(nint socket);

    [LibraryImport(Library)]
    private static partial void usrsctp_handle_timers(uint milliseconds);
}
