using Transcribe.Cluster.Rooms;
using Transcribe.Rtc;
using Transcribe.Rtc.Media;

namespace Transcribe.Peer;

/// <summary>A track of somebody else that is being received.</summary>
public sealed class RemoteTrack
{
    internal RemoteTrack(TrackInfo info, RtcMedia media) => (Info, Media) = (info, media);

    /// <summary>The track as its publisher announced it.</summary>
    public TrackInfo Info { get; }

    /// <summary>The receive-only transceiver it arrives on.</summary>
    internal RtcMedia Media { get; }

    /// <summary>Of the packet received last; null before the first.</summary>
    internal uint? LastTimestamp { get; set; }

    /// <summary>Anything its user wants to find again with it.</summary>
    public object? Tag { get; set; }
}

/// <summary>The publisher's clock: an RTP timestamp and the NTP time it stands for (RFC 3550 §6.4.1).</summary>
/// <param name="RtpTimestamp">32-bit timestamp of the publisher's track.</param>
/// <param name="WallClock">The same instant on the publisher's wall clock.</param>
public readonly record struct SenderClock(uint RtpTimestamp, DateTimeOffset WallClock);
