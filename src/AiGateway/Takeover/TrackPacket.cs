using Transcribe.Rtc;

namespace Transcribe.AiGateway.Takeover;

/// <summary>One packet on its way to a track's decoder.</summary>
/// <param name="Replayed">From the past: its age says nothing about how far the gateway is behind.</param>
internal readonly record struct TrackPacket(
    uint Ssrc, ushort Sequence, uint Timestamp, ReadOnlyMemory<byte> Payload, Instant Arrival, bool Replayed);
