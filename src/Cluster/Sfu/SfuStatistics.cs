using System.Text.Json.Serialization;

namespace Transcribe.Cluster.Sfu;

/// <summary>Asks an SFU node for what it has counted since it started.</summary>
public sealed record ReadStatistics;

/// <summary>Totals of an SFU node; names follow webrtc-stats.</summary>
/// <param name="PacketsReceived">RTP packets taken from publishers and from other nodes.</param>
/// <param name="PacketsForwarded">RTP packets sent to subscribers and to other nodes, retransmissions not counted.</param>
/// <param name="PacketsRetransmitted">RTP packets sent again.</param>
/// <param name="BytesReceived">UDP payload received.</param>
/// <param name="BytesSent">UDP payload sent.</param>
/// <param name="Relays">The node's links as they are now.</param>
public sealed record SfuStatistics(
    long PacketsReceived, long PacketsForwarded, long PacketsRetransmitted, long BytesReceived, long BytesSent, IReadOnlyList<RelayStatistics> Relays);

[JsonConverter(typeof(JsonStringEnumConverter<RelayDirection>))]
public enum RelayDirection
{
    /// <summary>The node takes tracks from the other one.</summary>
    [JsonStringEnumMemberName("receiving")] Receiving,

    /// <summary>The node gives tracks to the other one.</summary>
    [JsonStringEnumMemberName("sending")] Sending,
}

/// <summary>One link to another SFU node, since it came up.</summary>
/// <param name="Node">The other node.</param>
/// <param name="Tracks">Tracks on it now.</param>
/// <param name="PacketsReceived">RTP packets, retransmissions included.</param>
/// <param name="PacketsSent">RTP packets, retransmissions included.</param>
/// <param name="RetransmittedPacketsReceived">Of those, the ones that filled a gap.</param>
/// <param name="RetransmittedPacketsSent">Of those, the ones that were asked for by NACK.</param>
/// <param name="RoundTripTime">Latest, in milliseconds, from RTCP; null before the first.</param>
public sealed record RelayStatistics(
    string Node, RelayDirection Direction, int Tracks, long PacketsReceived, long PacketsSent,
    long RetransmittedPacketsReceived, long RetransmittedPacketsSent, double? RoundTripTime);
