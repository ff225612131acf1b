using Transcribe.Cluster.Rooms;
using Transcribe.Rtc;
using Transcribe.Rtc.Rtp;

namespace Transcribe.Peer;

/// <summary>Receives RTP of a remote track. Called under the client's lock on its receiving thread: copy and return.</summary>
public delegate void RtpReceived(RemoteTrack track, in RtpPacket packet, Instant arrival);

/// <summary>Receives a data channel message; the bytes are valid during the call only.</summary>
public delegate void DataReceived(string label, ReadOnlySpan<byte> utf8);

/// <summary>What a <see cref="RoomClient"/> tells its user. All optional; all must return quickly.</summary>
public sealed class RoomHandlers
{
    public RtpReceived? Rtp { get; init; }

    public Action<RemoteTrack, SenderClock>? SenderClock { get; init; }

    public DataReceived? Data { get; init; }

    public Action<RoomEvent>? RoomEvent { get; init; }

    /// <summary>Before the first packet of the track is delivered; under the client's lock.</summary>
    public Action<RemoteTrack>? TrackStarted { get; init; }

    /// <summary>After its last packet; under the client's lock.</summary>
    public Action<RemoteTrack>? TrackEnded { get; init; }

    /// <summary>
    /// The media session is set up anew, for this reason ("nodeLost", "drain", "moved", or "rejoined" for a new session in
    /// the same room). <see cref="TrackEnded"/> for every track received follows, then, once media flows again,
    /// <see cref="TrackStarted"/>, with the same track ids where the publishers were not moved themselves. What was sent
    /// on a data channel a moment ago may be lost.
    /// </summary>
    public Action<string>? Moved { get; init; }

    /// <summary>Signalling or media is down; the client repairs it by itself.</summary>
    public Action? Reconnecting { get; init; }

    /// <summary>Signalling and media are there again, data channels too.</summary>
    public Action? Reconnected { get; init; }

    /// <summary>The room is left, for this reason; nothing follows.</summary>
    public Action<string>? Closed { get; init; }
}
