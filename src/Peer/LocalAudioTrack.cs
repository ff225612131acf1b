using Transcribe.Cluster.Rooms;
using Transcribe.Rtc;
using Transcribe.Rtc.Media;
using Transcribe.Rtc.Rtp;

namespace Transcribe.Peer;

/// <summary>
/// An Opus track this participant publishes. It outlives the media session it is sent on: where that is replaced, the
/// track is published again by itself, under a new id.
/// </summary>
public sealed class LocalAudioTrack
{
    private volatile Sender? _sender;

    internal LocalAudioTrack(TrackSource source, string? name) => (Source, Name) = (source, name);

    /// <summary>The server's id of the track now; another one after the session moved.</summary>
    public string Id => _sender?.TrackId ?? LastId;

    public TrackSource Source { get; }

    public string? Name { get; }

    /// <summary>What the room was told last.</summary>
    public bool Muted { get; internal set; }

    /// <summary>SSRC the packets carry now; 0 while the track is not published.</summary>
    public uint Ssrc => _sender?.Media.LocalSsrc ?? 0;

    private string LastId { get; set; } = "";

    /// <summary>Sends one Opus packet; false while the connection is down: the packet is dropped.</summary>
    /// <param name="timestamp">48 kHz RTP timestamp of its first sample.</param>
    /// <param name="marker">First packet after a silence (RFC 3551 §4.1).</param>
    /// <param name="audioLevel">Level in -dBov, 0 (loudest) to 127 (RFC 6464).</param>
    public bool Send(ReadOnlySpan<byte> payload, uint timestamp, bool marker = false, byte? audioLevel = null) =>
        _sender is { } sender && sender.Transport.SendRtp(
            sender.Media, payload, sender.PayloadType, marker, timestamp, audioLevel is { } level ? new AudioLevel(level, Voice: level < 60) : null);

    /// <summary>From the answer that took the track on.</summary>
    internal void Bind(MediaTransport transport, RtcMedia media, string trackId)
    {
        if (_sender is { } sender && sender.Media == media && sender.TrackId == trackId)
            return;
        LastId = trackId;
        _sender = new Sender(transport, media, media.Codecs[0].PayloadType, trackId);
    }

    internal void Unbind() => _sender = null;

    private sealed record Sender(MediaTransport Transport, RtcMedia Media, byte PayloadType, string TrackId);
}
