using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Transcribe.Rtc;

namespace Transcribe.Sfu.Net;

/// <summary>
/// The socket for hosts without recvmmsg and sendmmsg: one call per datagram, with reused <see cref="SocketAddress"/>
/// objects. It cannot tell the local address a datagram came to, so paths carry none.
/// </summary>
internal sealed class PortableDatagramSocket : IDatagramSocket
{
    private const int SioUdpConnReset = unchecked((int)0x9800000C);

    private readonly Socket _socket;
    private readonly Socket _waker;
    private readonly IPEndPoint _wakeTarget;
    private readonly TransportAddress _wakerAddress;
    private readonly SocketAddress _received;
    private readonly SocketAddress _destination;
    private readonly bool _v6;
    private int _wakePending;

    private PortableDatagramSocket(Socket socket, bool v6)
    {
        _socket = socket;
        _v6 = v6;
        var bound = (IPEndPoint)socket.LocalEndPoint!;
        LocalAddress = TransportAddress.From(bound);
        _received = new SocketAddress(socket.AddressFamily);
        _destination = new IPEndPoint(v6 ? IPAddress.IPv6Loopback : IPAddress.Loopback, 1).Serialize();

        // There is no portable way to wait for a socket and an event at once: a wake-up is a datagram to ourselves.
        IPAddress target = bound.Address.Equals(IPAddress.IPv6Any) || bound.Address.Equals(IPAddress.Any)
            ? IPAddress.Loopback
            : bound.Address;
        _waker = new Socket(target.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        _waker.Bind(new IPEndPoint(target, 0));
        _wakerAddress = TransportAddress.From((IPEndPoint)_waker.LocalEndPoint!);
        _wakeTarget = new IPEndPoint(target, bound.Port);
    }

    public TransportAddress LocalAddress { get; }

    public DatagramSocketCounters Counters { get; } = new();

    public static PortableDatagramSocket Bind(DatagramSocketOptions options)
    {
        IPAddress address = options.BindAddress;
        bool v6 = address.AddressFamily == AddressFamily.InterNetworkV6;
        if (v6 && !Socket.OSSupportsIPv6 && address.Equals(IPAddress.IPv6Any))
            (v6, address) = (false, IPAddress.Any);

        Socket? socket = null;
        try
        {
            socket = new Socket(v6 ? AddressFamily.InterNetworkV6 : AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
            if (v6)
                socket.DualMode = true;
            socket.ReceiveBufferSize = options.BufferSize;
            socket.SendBufferSize = options.BufferSize;
            if (OperatingSystem.IsWindows())
                socket.IOControl(SioUdpConnReset, [0], null);
            socket.Bind(new IPEndPoint(address, options.Port));
            return new PortableDatagramSocket(socket, v6);
        }
        catch (SocketException e)
        {
            socket?.Dispose();
            throw new IOException($"UDP {new IPEndPoint(address, options.Port)} cannot be bound: {e.Message}", e);
        }
    }

    public int Receive(ReceiveRing ring, TimeSpan timeout)
    {
        ring.Clear();
        TimeSpan wait = timeout <= TimeSpan.Zero ? TimeSpan.Zero : timeout < TimeSpan.FromHours(1) ? timeout : TimeSpan.FromHours(1);
        if (Volatile.Read(ref _wakePending) != 0)
            wait = TimeSpan.Zero;
        if (!_socket.Poll(wait, SelectMode.SelectRead))
            return 0;

        Counters.ReceiveCalls++;
        for (int slot = 0; slot < ring.Slots;)
        {
            int length;
            try
            {
                length = _socket.ReceiveFrom(ring.SlotSpan(slot), SocketFlags.None, _received);
            }
            catch (SocketException e)
            {
                if (e.SocketErrorCode == SocketError.MessageSize)
                    Counters.Truncated++;
                else
                    Counters.ReceiveErrors++;
                length = -1;
            }

            if (length >= 0 && TryReadAddress(out TransportAddress remote))
            {
                if (remote == _wakerAddress)
                {
                    Interlocked.Exchange(ref _wakePending, 0);
                }
                else if (length == ring.SlotSize)
                {
                    // Only Windows reports truncation: a datagram that fills the slot counts as cut off.
                    Counters.Truncated++;
                }
                else
                {
                    Counters.DatagramsReceived++;
                    Counters.BytesReceived += length;
                    ring.Add(slot++, length, 0, new TransportPath(default, remote));
                }
            }

            if (!_socket.Poll(0, SelectMode.SelectRead))
                break;
        }

        return ring.Count;
    }

    public void Send(SendBatch batch)
    {
        for (int group = 0; group < batch.GroupCount; group++)
        {
            int entry = batch.First(group, out TransportPath path);
            if (!_v6 && !path.Remote.IsIPv4)
            {
                for (; entry >= 0; entry = batch.Next(entry))
                    Counters.SendErrors++;
                continue;
            }

            WriteAddress(path.Remote);
            for (; entry >= 0; entry = batch.Next(entry))
            {
                try
                {
                    _socket.SendTo(batch.Datagram(entry), SocketFlags.None, _destination);
                    Counters.DatagramsSent++;
                    Counters.BytesSent += batch.Length(entry);
                }
                catch (SocketException e)
                {
                    if (e.SocketErrorCode is SocketError.WouldBlock or SocketError.NoBufferSpaceAvailable)
                        Counters.SendBufferFull++;
                    else
                        Counters.SendErrors++;
                }

                Counters.SendCalls++;
            }
        }

        batch.Clear();
    }

    public void Wake()
    {
        if (Interlocked.Exchange(ref _wakePending, 1) != 0)
            return;
        try
        {
            _waker.SendTo([0], _wakeTarget);
        }
        catch (SocketException)
        {
            // The flag alone makes the next wait a short one; only a wait already begun runs to its end.
            Counters.ReceiveErrors++;
        }
        catch (ObjectDisposedException)
        {
            // Woken while it is being closed: nobody waits any more.
            Volatile.Write(ref _wakePending, 0);
        }
    }

    public void Dispose()
    {
        _socket.Dispose();
        _waker.Dispose();
    }

    private bool TryReadAddress(out TransportAddress address)
    {
        ReadOnlySpan<byte> bytes = _received.Buffer.Span;
        ushort port = BinaryPrimitives.ReadUInt16BigEndian(bytes[2..]);
        switch (_received.Family)
        {
            case AddressFamily.InterNetwork:
                address = TransportAddress.FromIPv4(BinaryPrimitives.ReadUInt32BigEndian(bytes[4..]), port);
                return true;
            case AddressFamily.InterNetworkV6:
                address = new TransportAddress(
                    BinaryPrimitives.ReadUInt64BigEndian(bytes[8..]), BinaryPrimitives.ReadUInt64BigEndian(bytes[16..]), port);
                return true;
            default:
                address = default;
                return false;
        }
    }

    private void WriteAddress(in TransportAddress address)
    {
        Span<byte> bytes = _destination.Buffer.Span;
        BinaryPrimitives.WriteUInt16BigEndian(bytes[2..], address.Port);
        if (_v6)
        {
            BinaryPrimitives.WriteUInt64BigEndian(bytes[8..], address.High);
            BinaryPrimitives.WriteUInt64BigEndian(bytes[16..], address.Low);
        }
        else
        {
            BinaryPrimitives.WriteUInt32BigEndian(bytes[4..], address.IPv4);
        }
    }
}
