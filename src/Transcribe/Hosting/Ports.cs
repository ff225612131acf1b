using System.Net;
using System.Net.Sockets;
using Transcribe.Sfu.Control;

namespace Transcribe.Hosting;

/// <summary>Looks whether the ports are free before anything starts, so that a taken one is a sentence and not a stack trace.</summary>
internal static class Ports
{
    /// <exception cref="ConfigurationException">A port is taken, or not ours to take.</exception>
    public static void Check(string httpAddress, int? httpPort, int? udpPort)
    {
        IPAddress address = httpAddress switch
        {
            "*" => IPAddress.IPv6Any,
            "localhost" => IPAddress.Loopback,
            var other => IPAddress.Parse(other),
        };
        Check("TRANSCRIBE_HTTP_PORT", "TCP", SocketType.Stream, address, httpPort ?? 0);

        // One port for each worker of the SFU, upwards from the first.
        int workers = new SfuOptions().EffectiveWorkers;
        for (int i = 0; i < workers && udpPort is > 0; i++)
            Check("TRANSCRIBE_UDP_PORT", "UDP", SocketType.Dgram, IPAddress.IPv6Any, udpPort.Value, i);
    }

    private static void Check(string name, string protocol, SocketType type, IPAddress address, int configured, int offset = 0)
    {
        if (configured == 0)
            return;

        int port = configured + offset;
        try
        {
            Bind(type, address, port);
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.AddressFamilyNotSupported && address.Equals(IPAddress.IPv6Any))
        {
            Check(name, protocol, type, IPAddress.Any, configured, offset);
        }
        catch (SocketException e)
        {
            string why = e.SocketErrorCode switch
            {
                SocketError.AddressAlreadyInUse => $"something else uses {protocol} port {port}. Stop it, or set another port.",
                SocketError.AccessDenied => $"this user may not take {protocol} port {port}. Set a port of 1024 or above.",
                _ => $"{protocol} port {port} cannot be bound on {address}: {e.Message}. Set another one.",
            };
            throw new ConfigurationException($"{name} is {configured}, and {why}");
        }
    }

    private static void Bind(SocketType type, IPAddress address, int port)
    {
        using var socket = new Socket(address.AddressFamily, type, type == SocketType.Stream ? ProtocolType.Tcp : ProtocolType.Udp);
        if (address.Equals(IPAddress.IPv6Any))
            socket.DualMode = true;

        // As Kestrel does: connections of a server that just stopped linger and do not matter.
        if (type == SocketType.Stream && !OperatingSystem.IsWindows())
            socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);

        socket.Bind(new IPEndPoint(address, port));
        if (type == SocketType.Stream)
            socket.Listen(1);
    }
}
