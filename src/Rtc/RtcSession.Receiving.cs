using Transcribe.Rtc.Media;
using Transcribe.Rtc.Rtcp;
using Transcribe.Rtc.Rtp;
using Transcribe.Rtc.Sdp;
using Transcribe.Rtc.Srtp;

namespace Transcribe.Rtc;

/// <summary>Received RTP: decrypt, find the stream (RFC 8843 §9.2), undo RTX, drop duplicates, note gaps.</summary>
public sealed partial class RtcSession
{
    private readonly Dictionary<uint, ReceiveStream> _streams = [];
    private readonly List<ReceiveStream> _streamList = [];

    // The m-section of each payload type that only one receiving m-section has; none for a session that only sends.
    private RtcMedia?[]? _mediaOfPayloadType;
    private byte _midExtension;
    private TransportFeedbackRecorder? _transportFeedback;
    private uint _transportFeedbackSsrc;

    private void ReceiveRtp(Instant now, Span<byte> datagram)
    {
        if (!_srtpIn!.TryUnprotectRtp(datagram, out int length, out SrtpReject reject))
        {
            Statistics.Drop(ReasonOf(reject, RtcDropReason.RtpMalformed));
            return;
        }

        Span<byte> bytes = datagram[..length];
        if (!RtpPacket.TryParse(bytes, out RtpPacket packet))
        {
            Statistics.Drop(RtcDropReason.RtpMalformed);
            return;
        }

        ReceiveStream? stream = FindStream(packet);
        if (stream is null || !stream.Media.ReceiveEnabled)
        {
            Statistics.Drop(RtcDropReason.UnknownStream);
            return;
        }

        RtcMedia media = stream.Media;
        RecordTransportSequence(now, media, packet);
        if (stream.IsRtx)
        {
            ReceiveRtx(now, stream, bytes, packet);
            return;
        }

        if (media.PrimaryStream != stream)
        {
            Statistics.Drop(RtcDropReason.UnknownStream);
            return;
        }

        RtpCodec? codec = media.FindCodec(packet.PayloadType);
        if (codec is null)
        {
            Statistics.Drop(RtcDropReason.UnknownPayloadType);
            return;
        }

        bool useNack = media.Negotiated.UsesNack && media.Negotiated.UsesRtx;
        if (!stream.TryReceive(now, packet, codec.ClockRate, useNack))
        {
            Statistics.Drop(RtcDropReason.Duplicate);
            return;
        }

        Statistics.PacketsReceived++;
        if (stream.Nack is NackGenerator nack)
        {
            if (nack.TakeKeyframeNeeded())
                RequestKeyframe(now, media);
            ScheduleMedia(nack.NextTimeout);
        }

        if (media.KeyframePending)
            ScheduleMedia(now);
        ScheduleReport(now);
        _observer.OnRtp(media, packet, now);
    }

    private void ReceiveRtx(Instant now, ReceiveStream stream, Span<byte> bytes, in RtpPacket packet)
    {
        RtcMedia media = stream.Media;
        if (!media.Negotiated.TryGetPrimaryOfRtx(packet.PayloadType, out byte payloadType))
        {
            Statistics.Drop(RtcDropReason.UnknownPayloadType);
            return;
        }

        // Without an original sequence number it is a bandwidth probe: nothing to deliver, and nothing wrong.
        if (!RtxCodec.TryReadOriginalSequenceNumber(packet, out ushort original))
            return;
        if (media.PrimaryStream is not ReceiveStream primary)
        {
            Statistics.Drop(RtcDropReason.UnknownStream);
            return;
        }

        if (!primary.TryRepair(now, original))
        {
            Statistics.Drop(RtcDropReason.Duplicate);
            return;
        }

        if (RtxCodec.TryUnwrapInPlace(bytes, payloadType, primary.Ssrc, out Span<byte> restored)
            && RtpPacket.TryParse(restored, out RtpPacket repaired))
        {
            Statistics.PacketsReceived++;
            Statistics.RetransmittedPacketsReceived++;
            _observer.OnRtp(media, repaired, now);
        }
    }

    private ReceiveStream? FindStream(in RtpPacket packet)
    {
        bool known = _streams.TryGetValue(packet.Ssrc, out ReceiveStream? stream);
        if (!packet.TryGetExtension(_midExtension, out ReadOnlySpan<byte> mid))
            return known ? stream : AddStream(packet, _mediaOfPayloadType?[packet.PayloadType]);

        // The latest MID counts: a sender may move an SSRC to another m-section (RFC 8843 §9.2).
        if (known && stream!.Media.MidBytes.SequenceEqual(mid))
            return stream;
        foreach (RtcMedia media in _media)
        {
            if (!media.MidBytes.SequenceEqual(mid) || media.IsStopped)
                continue;
            if (known)
                RemoveStream(stream!);
            return AddStream(packet, media);
        }

        return null;
    }

    private ReceiveStream? AddStream(in RtpPacket packet, RtcMedia? media)
    {
        if (media is null || !media.ReceiveEnabled)
            return null;
        bool isRtx = media.Negotiated.TryGetPrimaryOfRtx(packet.PayloadType, out _);
        if (!isRtx && media.FindCodec(packet.PayloadType) is null)
            return null;

        // Simulcast was declined: of several RTP stream ids, only the first is taken.
        byte ridExtension = isRtx ? media.HeaderExtensions.RepairedRtpStreamId : media.HeaderExtensions.RtpStreamId;
        if (packet.TryGetExtension(ridExtension, out ReadOnlySpan<byte> rid))
        {
            if (media.ActiveRid is null && !isRtx && SdesExtension.TryRead(rid, out string text))
                media.ActiveRid = text;
            if (media.ActiveRid is not null && !SdesExtension.Equals(rid, media.ActiveRid))
                return null;
        }

        return AddStream(packet.Ssrc, media, isRtx);
    }

    private ReceiveStream? AddStream(uint ssrc, RtcMedia media, bool isRtx)
    {
        if (_streams.Count >= _options.Limits.MaxStreams && !RemoveIdleStream())
        {
            Statistics.Drop(RtcDropReason.TooManyStreams);
            return null;
        }

        ReceiveStream stream = new(ssrc, media, isRtx);
        if (_streams.Remove(ssrc, out ReceiveStream? former))
            _streamList.Remove(former);
        _streams.Add(ssrc, stream);
        _streamList.Add(stream);
        if (isRtx)
        {
            media.RemoteRtxSsrc = ssrc;
        }
        else
        {
            media.RemoteSsrc = ssrc;
            media.PrimaryStream = stream;
        }

        return stream;
    }

    private void RemoveStream(ReceiveStream stream)
    {
        _streams.Remove(stream.Ssrc);
        _streamList.Remove(stream);
        if (stream.Media.PrimaryStream == stream)
            stream.Media.PrimaryStream = null;
    }

    /// <summary>Makes room for a new stream by forgetting one that has been replaced on its m-section.</summary>
    private bool RemoveIdleStream()
    {
        ReceiveStream? oldest = null;
        foreach (ReceiveStream stream in _streamList)
        {
            bool replaced = stream.IsRtx ? stream.Media.RemoteRtxSsrc != stream.Ssrc : stream.Media.PrimaryStream != stream;
            if (replaced && (oldest is null || stream.LastPacketAt < oldest.LastPacketAt))
                oldest = stream;
        }

        if (oldest is not null)
            RemoveStream(oldest);
        return oldest is not null;
    }

    private void RecordTransportSequence(Instant now, RtcMedia media, in RtpPacket packet)
    {
        if (!media.Negotiated.UsesTransportWide
            || !packet.TryGetExtension(media.HeaderExtensions.TransportSequenceNumber, out ReadOnlySpan<byte> data)
            || !TransportSequenceNumber.TryRead(data, out ushort number))
        {
            return;
        }

        _transportFeedback ??= new TransportFeedbackRecorder();
        if (!_transportFeedback.HasPending)
        {
            _nextTransportFeedback = now + _options.TransportFeedbackInterval;
            ScheduleMedia(_nextTransportFeedback);
        }

        _transportFeedbackSsrc = packet.Ssrc;
        _transportFeedback.OnPacket(now, number);
    }

    private static RtcDropReason ReasonOf(SrtpReject reject, RtcDropReason malformed) => reject switch
    {
        SrtpReject.Replayed or SrtpReject.TooOld => RtcDropReason.Replayed,
        SrtpReject.Malformed => malformed,
        _ => RtcDropReason.AuthenticationFailed,
    };

    /// <summary>Called when a description changed the m-sections: who receives which payload type, and from which SSRCs.</summary>
    private void RefreshReceiving()
    {
        if (_mediaOfPayloadType is not null)
            Array.Clear(_mediaOfPayloadType);
        Span<bool> ambiguous = stackalloc bool[128];
        _midExtension = 0;
        foreach (RtcMedia media in _media)
        {
            if (media.IsStopped)
                continue;
            if (media.HeaderExtensions.Mid != 0)
                _midExtension = media.HeaderExtensions.Mid;
            if (!media.ReceiveEnabled)
                continue;
            foreach (RtpCodec codec in media.Codecs)
            {
                Claim(codec.PayloadType, media, ambiguous);
                if (codec.RtxPayloadType is byte rtx)
                    Claim(rtx, media, ambiguous);
            }
        }

        for (int i = 0; i < 128; i++)
        {
            if (ambiguous[i])
                _mediaOfPayloadType![i] = null;
        }

        for (int i = _streamList.Count - 1; i >= 0; i--)
        {
            if (_streamList[i].Media.IsStopped)
                RemoveStream(_streamList[i]);
        }
    }

    private void Claim(byte payloadType, RtcMedia media, Span<bool> ambiguous)
    {
        ref RtcMedia? owner = ref (_mediaOfPayloadType ??= new RtcMedia?[128])[payloadType & 127];
        if (owner is not null && owner != media)
            ambiguous[payloadType & 127] = true;
        owner = media;
    }
}
