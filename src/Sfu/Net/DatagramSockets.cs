using System.Net;
using System.Runtime.InteropServices;

namespace Transcribe.Sfu.Net;

/// <summary>How to open a worker's socket.</summary>
internal sealed record DatagramSocketOptions
{
    /// <summary>"::" takes IPv4 as well, and becomes 0.0.0.0 where the host has no IPv6.</summary>
    public IPAddress BindAddress { get; init; } = IPAddress.IPv6Any;

    /// <summary>0 for any free one.</summary>
    public int Port { get; init; }

    /// <summary>Asked of the kernel for each direction, in bytes; it may grant less (net.core.rmem_max).</summary>
    public int BufferSize { get; init; } = 8 << 20;

    /// <summary>Send equal-size runs as one message (UDP_SEGMENT), while the kernel accepts it.</summary>
    public bool SegmentationOffload { get; init; } = true;

    /// <summary>Let the kernel merge received runs (UDP_GRO).</summary>
    public bool ReceiveOffload { get; init; } = true;

    /// <summary>Use <see cref="PortableDatagramSocket"/> on Linux, too.</summary>
    public bool ForcePortable { get; init; }
}

internal static class DatagramSockets
{
    /// <summary>Whether this host has the native implementation: 64-bit Linux.</summary>
    public static bool HasNative => OperatingSystem.IsLinux() && RuntimeInformation.ProcessArchitecture is Architecture.X64 or Architecture.Arm64;

    /// <exception cref="IOException">The address cannot be bound.</exception>
    public static IDatagramSocket Bind(DatagramSocketOptions options) =>
        HasNative && !options.ForcePortable ? LinuxDatagramSocket.Bind(options) : PortableDatagramSocket.Bind(options);

    /// <summary>A ring that suits the socket.</summary>
    public static ReceiveRing CreateRing(IDatagramSocket socket) =>
        socket is LinuxDatagramSocket { Merges: true } ? new ReceiveRing(32, 1 << 16) : new ReceiveRing(64, 2048);
}
