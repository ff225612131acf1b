using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Net.Sockets;

namespace Transcribe.Rtc;

/// <summary>
/// An IP address and port as a value: no allocation to compare or to hash, so it can key the table from source
/// address to session. IPv4 addresses are held in their IPv4-mapped form, and compare equal to it.
/// </summary>
public readonly struct TransportAddress : IEquatable<TransportAddress>
{
    private const ulong MappedPrefix = 0x0000_FFFF_0000_0000;

    private readonly ulong _high;
    private readonly ulong _low;

    /// <param name="high">First eight bytes of the IPv6 address, as a big-endian number.</param>
    /// <param name="low">Last eight bytes of the IPv6 address, as a big-endian number.</param>
    /// <param name="port">Port, host order.</param>
    public TransportAddress(ulong high, ulong low, ushort port)
    {
        _high = high;
        _low = low;
        Port = port;
    }

    /// <summary>Port in host byte order.</summary>
    public ushort Port { get; }

    /// <summary>First eight bytes of the (mapped) IPv6 address.</summary>
    public ulong High => _high;

    /// <summary>Last eight bytes of the (mapped) IPv6 address.</summary>
    public ulong Low => _low;

    /// <summary>True for an IPv4 address, also in its mapped form.</summary>
    public bool IsIPv4 => _high == 0 && (_low & 0xFFFF_FFFF_0000_0000) == MappedPrefix;

    /// <summary>True for the value that names no address.</summary>
    public bool IsNone => _high == 0 && _low == 0 && Port == 0;

    /// <summary>The IPv4 address as a big-endian number; meaningful where <see cref="IsIPv4"/>.</summary>
    public uint IPv4 => (uint)_low;

    public static TransportAddress FromIPv4(uint address, ushort port) => new(0, MappedPrefix | address, port);

    public static TransportAddress From(IPAddress address, int port)
    {
        Span<byte> bytes = stackalloc byte[16];
        if (address.AddressFamily == AddressFamily.InterNetwork)
        {
            address.TryWriteBytes(bytes, out _);
            return FromIPv4(System.Buffers.Binary.BinaryPrimitives.ReadUInt32BigEndian(bytes), (ushort)port);
        }

        address.TryWriteBytes(bytes, out _);
        return new(
            System.Buffers.Binary.BinaryPrimitives.ReadUInt64BigEndian(bytes),
            System.Buffers.Binary.BinaryPrimitives.ReadUInt64BigEndian(bytes[8..]),
            (ushort)port);
    }

    public static TransportAddress From(IPEndPoint endPoint) => From(endPoint.Address, endPoint.Port);

    /// <summary>Parses "192.0.2.1:5000" and "[2001:db8::1]:5000".</summary>
    public static bool TryParse([NotNullWhen(true)] string? text, out TransportAddress address)
    {
        if (IPEndPoint.TryParse(text ?? "", out IPEndPoint? endPoint))
        {
            address = From(endPoint);
            return true;
        }

        address = default;
        return false;
    }

    public IPAddress ToIPAddress()
    {
        Span<byte> bytes = stackalloc byte[16];
        System.Buffers.Binary.BinaryPrimitives.WriteUInt64BigEndian(bytes, _high);
        System.Buffers.Binary.BinaryPrimitives.WriteUInt64BigEndian(bytes[8..], _low);
        return IsIPv4 ? new IPAddress(bytes[12..]) : new IPAddress(bytes);
    }

    public IPEndPoint ToIPEndPoint() => new(ToIPAddress(), Port);

    public bool Equals(TransportAddress other) => _high == other._high && _low == other._low && Port == other.Port;

    public override bool Equals(object? obj) => obj is TransportAddress other && Equals(other);

    public override int GetHashCode() => HashCode.Combine(_high, _low, Port);

    public static bool operator ==(TransportAddress a, TransportAddress b) => a.Equals(b);

    public static bool operator !=(TransportAddress a, TransportAddress b) => !a.Equals(b);

    public override string ToString() => ToIPEndPoint().ToString();
}

/// <summary>The pair of addresses a datagram travels between, seen from this host.</summary>
/// <param name="Local">Address of the local socket; the default value where the host has one socket only.</param>
/// <param name="Remote">Address of the peer.</param>
public readonly record struct TransportPath(TransportAddress Local, TransportAddress Remote);
