using Transcribe.Rtc.Rtcp;
using Transcribe.Rtc.Rtp;
using Transcribe.Rtc.Sctp;

namespace Transcribe.Rtc;

/// <summary>
/// What an <see cref="RtcSession"/> tells its host; synchronous, inside a call to the session. An implementation may
/// call the session back (send, request a keyframe, open a channel), but must not feed it datagrams, run its timers or
/// dispose it. Spans and packets are valid during the call only.
/// </summary>
public interface IRtcSessionObserver
{
    /// <summary>A datagram to send from <c>path.Local</c> to <c>path.Remote</c>.</summary>
    void OnSend(in TransportPath path, ReadOnlySpan<byte> datagram);

    /// <summary>The session's state changed; <see cref="RtcSession.Failure"/> tells why it failed or closed.</summary>
    void OnStateChanged(RtcSessionState state);

    /// <summary>
    /// The path media takes changed: first validated, or the client nominated another one. The host may map
    /// <c>path.Remote</c> to this session.
    /// </summary>
    void OnPathChanged(in TransportPath path)
    {
    }

    /// <summary>
    /// An RTP packet of the peer's primary stream on <paramref name="media"/>: decrypted, duplicates dropped. A packet
    /// recovered by RTX looks as if it had come the first time (its payload type, SSRC and sequence number), late.
    /// </summary>
    /// <param name="arrival">When it arrived.</param>
    void OnRtp(RtcMedia media, in RtpPacket packet, Instant arrival);

    /// <summary>A sender report about the peer's primary stream on <paramref name="media"/>.</summary>
    void OnSenderReport(RtcMedia media, in SenderReport report, Instant arrival)
    {
    }

    /// <summary>The peer needs a keyframe of what we send on <paramref name="media"/> (PLI or FIR).</summary>
    void OnKeyframeRequest(RtcMedia media)
    {
    }

    /// <summary>The peer misses packets that we sent on <paramref name="media"/>: answer with <see cref="RtcMedia.SendRtx"/>.</summary>
    /// <param name="sequenceNumbers">As sent by us, in ascending order within each NACK.</param>
    void OnNack(RtcMedia media, ReadOnlySpan<ushort> sequenceNumbers)
    {
    }

    /// <summary>A reception report about what we send on <paramref name="media"/>.</summary>
    void OnReceiverReport(RtcMedia media, in ReportBlock block)
    {
    }

    /// <summary>The peer's stream on <paramref name="media"/> ended with an RTCP BYE.</summary>
    void OnBye(RtcMedia media)
    {
    }

    /// <summary>
    /// After an ICE restart took effect: checks for this former <see cref="RtcSession.LocalUfrag"/> need not reach the
    /// session any more.
    /// </summary>
    void OnLocalUfragRetired(string ufrag)
    {
    }

    /// <summary>A data channel of either side can be used; <see cref="RtcDataChannel.IsLocal"/> tells whose it is.</summary>
    void OnDataChannelOpened(RtcDataChannel channel)
    {
    }

    /// <summary>One whole message.</summary>
    void OnDataChannelMessage(RtcDataChannel channel, ReadOnlySpan<byte> data, bool isText)
    {
    }

    /// <summary>The channel's buffered amount fell to its threshold.</summary>
    void OnBufferedAmountLow(RtcDataChannel channel)
    {
    }

    /// <summary>The channel is closed; told once for every channel that was opened or created.</summary>
    void OnDataChannelClosed(RtcDataChannel channel)
    {
    }
}
