using Transcribe.Rtc;
using Transcribe.Rtc.Media;
using Transcribe.Rtc.Rtp;

namespace Transcribe.Peer;

/// <summary>An Opus track this participant publishes.</summary>
public sealed class LocalAudioTrack
{
    private readonly MediaTransport _transport;
    private readonly RtcMedia _media;
    private readonly byte _payloadType;

    internal LocalAudioTrack(MediaTransport transport, RtcMedia media, string trackId)
    {
        (_transport, _media, Id) = (transport, media, trackId);
        _payloadType = media.Codecs[0].PayloadType;
    }

    /// <summary>The server's id of the track.</summary>
    public string Id { get; }

    /// <summary>SSRC the packets carry.</summary>
    public uint Ssrc => _media.LocalSsrc;

    internal RtcMedia Media => _media;

    /// <summary>Sends one Opus packet; false while the connection is down: the packet is dropped.</summary>
    /// <param name="timestamp">48 kHz RTP timestamp of its first sample.</param>
    /// <param name="marker">First packet after a silence (RFC 3551 §4.1).</param>
    /// <param name="audioLevel">Level in -dBov, 0 (loudest) to 127 (RFC 6464).</param>
    public bool Send(ReadOnlySpan<byte> payload, uint timestamp, bool marker = false, byte? audioLevel = null) =>
        _transport.SendRtp(
            _media, payload, _payloadType, marker, timestamp, audioLevel is { } level ? new AudioLevel(level, Voice: level < 60) : null);
}
