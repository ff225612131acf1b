using System.Buffers.Binary;
using CsCheck;
using Transcribe.Rtc.Rtp;

namespace Transcribe.Rtc.Tests.Rtp;

/// <summary>Packets made by hand, independently of the writer under test.</summary>
internal static class RtpSamples
{
    /// <summary>Random bytes, biased towards short ones.</summary>
    public static Gen<byte[]> AnyBytes { get; } = Gen.Byte.Array[0, 200];

    public static byte[] Packet(
        ushort sequenceNumber,
        uint timestamp = 1000,
        uint ssrc = 0x11223344,
        byte payloadType = 96,
        bool marker = false,
        ReadOnlySpan<byte> payload = default,
        ReadOnlySpan<byte> extensionBlock = default,
        ushort profile = 0xBEDE)
    {
        int extension = extensionBlock.IsEmpty ? 0 : 4 + extensionBlock.Length;
        byte[] bytes = new byte[12 + extension + payload.Length];
        bytes[0] = (byte)(extension > 0 ? 0x90 : 0x80);
        bytes[1] = (byte)((marker ? 0x80 : 0) | payloadType);
        BinaryPrimitives.WriteUInt16BigEndian(bytes.AsSpan(2), sequenceNumber);
        BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(4), timestamp);
        BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(8), ssrc);
        if (extension > 0)
        {
            BinaryPrimitives.WriteUInt16BigEndian(bytes.AsSpan(12), profile);
            BinaryPrimitives.WriteUInt16BigEndian(bytes.AsSpan(14), (ushort)(extensionBlock.Length / 4));
            extensionBlock.CopyTo(bytes.AsSpan(16));
        }

        payload.CopyTo(bytes.AsSpan(12 + extension));
        return bytes;
    }

    public static RtpPacket Parse(ReadOnlySpan<byte> bytes)
    {
        Assert.True(RtpPacket.TryParse(bytes, out RtpPacket packet));
        return packet;
    }

    public static string Hex(ReadOnlySpan<byte> bytes) => Convert.ToHexString(bytes);

    public static Dictionary<byte, string> ExtensionsOf(in RtpPacket packet)
    {
        Dictionary<byte, string> found = [];
        foreach (RtpHeaderExtension extension in packet.Extensions)
            found.TryAdd(extension.Id, Hex(extension.Data));
        return found;
    }

    /// <summary>A valid packet with some bytes changed, cut or added.</summary>
    public static Gen<byte[]> Mutated(byte[] valid) =>
        Gen.Select(
            Gen.Select(Gen.Int[0, valid.Length - 1], Gen.Byte).Array[0, 6],
            Gen.Int[0, valid.Length],
            Gen.Byte.Array[0, 12],
            Gen.Bool).Select((changes, cut, tail, doCut) =>
            {
                byte[] bytes = (byte[])valid.Clone();
                foreach ((int at, byte value) in changes)
                    bytes[at] = value;
                return doCut ? bytes[..cut] : [.. bytes, .. tail];
            });
}
