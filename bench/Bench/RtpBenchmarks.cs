using BenchmarkDotNet.Attributes;
using Transcribe.Rtc.Rtp;

namespace Transcribe.Bench;

/// <summary>What is done to a header on its way through: once per packet received, once per packet sent.</summary>
[MemoryDiagnoser]
public class RtpBenchmarks
{
    private readonly byte[] _destination = new byte[1500];
    private readonly RtpExtensionMap _map = RtpExtensionMap.Between(SamplePackets.Ids, SamplePackets.Ids);
    private byte[] _packet = [];
    private int _length;
    private ushort _sequence;

    [Params(100, 1150)]
    public int Payload { get; set; }

    [GlobalSetup]
    public void Prepare() => _packet = SamplePackets.Make(1, 1, Payload, out _length);

    /// <summary>Validate the packet and find its MID.</summary>
    [Benchmark]
    public int Parse()
    {
        if (!RtpPacket.TryParse(_packet.AsSpan(0, _length), out RtpPacket packet))
            throw new InvalidOperationException("The packet is not RTP.");
        return packet.TryGetExtension(SamplePackets.MidId, out ReadOnlySpan<byte> mid) ? mid.Length : -1;
    }

    /// <summary>A packet of another session with new header, new hop extensions, the copied others, and its payload.</summary>
    [Benchmark]
    public int Rewrite()
    {
        if (!RtpPacket.TryParse(_packet.AsSpan(0, _length), out RtpPacket packet))
            throw new InvalidOperationException("The packet is not RTP.");
        var writer = new RtpHeaderWriter(_destination, 111, packet.Marker, _sequence++, packet.Timestamp, 77, packet.ContributingSources);
        writer.SetExtension(SamplePackets.MidId, "7"u8);
        if (writer.TryReserve(SamplePackets.SendTimeId, AbsoluteSendTime.Size, out Span<byte> room))
            room.Clear();
        if (writer.TryReserve(SamplePackets.SequenceId, TransportSequenceNumber.Size, out room))
            TransportSequenceNumber.Write(room, _sequence);
        writer.CopyExtensions(packet, _map);
        return writer.Finish(packet.Payload);
    }
}
