using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using Transcribe.Rtc;

namespace Transcribe.Sfu.Net;

/// <summary>sockaddr_in and sockaddr_in6 to and from <see cref="TransportAddress"/>.</summary>
internal static unsafe class LinuxSockAddr
{
    internal const int SizeV4 = 16;
    internal const int SizeV6 = 28;

    /// <summary>Distance of addresses in an array.</summary>
    internal const int Stride = 32;

    internal static uint Write(byte* at, bool v6, in TransportAddress address)
    {
        if (v6)
        {
            Unsafe.WriteUnaligned(at, (ushort)LinuxNative.AfInet6);
            Unsafe.WriteUnaligned(at + 2, Big(address.Port));
            Unsafe.WriteUnaligned(at + 4, 0u);
            Unsafe.WriteUnaligned(at + 8, Big(address.High));
            Unsafe.WriteUnaligned(at + 16, Big(address.Low));
            Unsafe.WriteUnaligned(at + 24, 0u);
            return SizeV6;
        }

        Unsafe.WriteUnaligned(at, (ushort)LinuxNative.AfInet);
        Unsafe.WriteUnaligned(at + 2, Big(address.Port));
        Unsafe.WriteUnaligned(at + 4, Big(address.IPv4));
        Unsafe.WriteUnaligned(at + 8, 0ul);
        return SizeV4;
    }

    internal static TransportAddress Read(byte* at)
    {
        ushort port = Big(Unsafe.ReadUnaligned<ushort>(at + 2));
        return Unsafe.ReadUnaligned<ushort>(at) switch
        {
            LinuxNative.AfInet6 => new TransportAddress(
                Big(Unsafe.ReadUnaligned<ulong>(at + 8)), Big(Unsafe.ReadUnaligned<ulong>(at + 16)), port),
            LinuxNative.AfInet => TransportAddress.FromIPv4(Big(Unsafe.ReadUnaligned<uint>(at + 4)), port),
            _ => default,
        };
    }

    internal static ushort Big(ushort value) => BitConverter.IsLittleEndian ? BinaryPrimitives.ReverseEndianness(value) : value;

    internal static uint Big(uint value) => BitConverter.IsLittleEndian ? BinaryPrimitives.ReverseEndianness(value) : value;

    internal static ulong Big(ulong value) => BitConverter.IsLittleEndian ? BinaryPrimitives.ReverseEndianness(value) : value;
}
