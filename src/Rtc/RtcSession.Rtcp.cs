using Transcribe.Rtc.Media;
using Transcribe.Rtc.Rtcp;
using Transcribe.Rtc.Rtp;
using Transcribe.Rtc.Srtp;

namespace Transcribe.Rtc;

/// <summary>RTCP: reports, NACK, keyframe requests, bandwidth feedback.</summary>
public sealed partial class RtcSession
{
    // Below what any path carries, SRTCP's trailer included.
    private const int MaxRtcpLength = 1150;

    private static readonly TimeSpan FirstReportDelay = TimeSpan.FromMilliseconds(50);

    private readonly byte[] _cname;
    private readonly uint _rtcpSsrc;
    private Instant _nextMediaTimeout = Instant.Never;
    private Instant _nextReport = Instant.Never;
    private Instant _nextTransportFeedback = Instant.Never;
    private TimeSpan? _roundTrip;
    private byte _firSequence;

    /// <summary>Something has to be done at this time.</summary>
    internal void ScheduleMedia(Instant at) => _nextMediaTimeout = Instant.Min(_nextMediaTimeout, at);

    internal bool RequestKeyframe(Instant now, RtcMedia media)
    {
        _now = now;
        if (_closed || !media.ReceiveEnabled || !(media.Negotiated.UsesPictureLoss || media.Negotiated.UsesFullIntraRequest))
            return false;
        media.KeyframePending = true;
        if (_srtpOut is null || media.RemoteSsrc is null || now < media.NextKeyframeRequest)
        {
            ScheduleMedia(Instant.Max(now, media.NextKeyframeRequest));
            return false;
        }

        return SendKeyframeRequest(now, media);
    }

    private void StartMedia(Instant now)
    {
        _nextReport = now + _options.ReportInterval;
        ScheduleMedia(now);
    }

    /// <summary>There is something to report, in a while.</summary>
    internal void ScheduleReport(Instant now)
    {
        if (_nextReport == Instant.Never)
            _nextReport = now + _options.ReportInterval;
        ScheduleMedia(_nextReport);
    }

    private void HandleMediaTimeout(Instant now)
    {
        _nextMediaTimeout = Instant.Never;
        if (_transportFeedback is { HasPending: true } feedback)
        {
            if (_nextTransportFeedback <= now)
            {
                SendTransportFeedback(now, feedback);
                _nextTransportFeedback = now + _options.TransportFeedbackInterval;
            }

            if (feedback.HasPending)
                ScheduleMedia(_nextTransportFeedback);
        }

        foreach (ReceiveStream stream in _streamList)
        {
            if (stream.Nack is NackGenerator nack)
            {
                SendNacks(now, stream, nack);
                ScheduleMedia(nack.NextTimeout);
            }
        }

        foreach (RtcMedia media in _media)
        {
            if (!media.KeyframePending || media.RemoteSsrc is null || !media.ReceiveEnabled)
                continue;
            if (media.NextKeyframeRequest <= now)
                SendKeyframeRequest(now, media);
            else
                ScheduleMedia(media.NextKeyframeRequest);
        }

        if (_nextReport <= now)
        {
            bool any = SendReports(now);

            // RFC 3550 §6.2: half to one and a half times the mean, so that sessions do not fall into step.
            Span<byte> random = stackalloc byte[2];
            _options.Random.GetBytes(random);
            double factor = 0.75 + (0.5 * BitConverter.ToUInt16(random) / ushort.MaxValue);

            // An idle session costs nothing: the next packet either way brings reports back.
            _nextReport = any ? now + (_options.ReportInterval * factor) : Instant.Never;
        }

        ScheduleMedia(_nextReport);
    }

    private void ReceiveRtcp(Instant now, Span<byte> datagram)
    {
        if (!_srtpIn!.TryUnprotectRtcp(datagram, out int length, out SrtpReject reject))
        {
            Statistics.Drop(ReasonOf(reject, RtcDropReason.RtcpMalformed));
            return;
        }

        if (!RtcpCompound.TryParse(datagram[..length], out RtcpCompound compound))
        {
            Statistics.Drop(RtcDropReason.RtcpMalformed);
            return;
        }

        foreach (RtcpPacket packet in compound)
        {
            if (_closed)
                return;
            Handle(now, packet);
        }
    }

    private void Handle(Instant now, in RtcpPacket packet)
    {
        if (packet.TryReadSenderReport(out SenderReport report, out ReportBlocks blocks))
        {
            HandleSenderReport(now, report);
            HandleBlocks(now, blocks);
        }
        else if (packet.TryReadReceiverReport(out _, out blocks))
        {
            HandleBlocks(now, blocks);
        }
        else if (packet.TryReadNack(out uint ssrc, out NackedSequenceNumbers lost))
        {
            HandleNack(now, ssrc, lost);
        }
        else if (packet.TryReadPictureLoss(out ssrc))
        {
            Statistics.PliCountReceived++;
            if (_sending.TryGetValue(ssrc, out RtcMedia? media))
                _observer.OnKeyframeRequest(media);
        }
        else if (packet.TryReadFullIntraRequest(out FullIntraRequests requests))
        {
            Statistics.FirCountReceived++;
            for (int i = 0; i < requests.Count; i++)
            {
                if (_sending.TryGetValue(requests[i].Ssrc, out RtcMedia? media))
                    _observer.OnKeyframeRequest(media);
            }
        }
        else if (packet.TryReadGoodbye(out SsrcList sources))
        {
            for (int i = 0; i < sources.Count; i++)
                HandleGoodbye(sources[i]);
        }
    }

    private void HandleSenderReport(Instant now, in SenderReport report)
    {
        if (!_streams.TryGetValue(report.Ssrc, out ReceiveStream? stream))
            return;
        stream.Reports?.OnSenderReport(now, report);
        if (stream.Media.PrimaryStream == stream && stream.Media.ReceiveEnabled)
            _observer.OnSenderReport(stream.Media, report, now);
    }

    private void HandleBlocks(Instant now, in ReportBlocks blocks)
    {
        foreach (ReportBlock block in blocks)
        {
            if (!_sending.TryGetValue(block.Ssrc, out RtcMedia? media))
                continue;
            if (media.TryMeasureRoundTrip(now, block, out TimeSpan roundTrip))
            {
                _roundTrip = _roundTrip is TimeSpan old ? ((old * 3) + roundTrip) / 4 : roundTrip;
                Statistics.RoundTripTime = roundTrip;
            }

            _observer.OnReceiverReport(media, block);
        }
    }

    private void HandleNack(Instant now, uint ssrc, in NackedSequenceNumbers lost)
    {
        Statistics.NackCountReceived++;
        if (!_sending.TryGetValue(ssrc, out RtcMedia? media) || !media.SendEnabled)
            return;
        Span<ushort> numbers = stackalloc ushort[128];
        int count = 0;
        foreach (ushort number in lost)
        {
            numbers[count++] = number;
            if (count == numbers.Length)
            {
                Deliver(now, media, numbers);
                count = 0;
            }
        }

        if (count > 0)
            Deliver(now, media, numbers[..count]);
    }

    private void Deliver(Instant now, RtcMedia media, ReadOnlySpan<ushort> numbers)
    {
        if (!media.Retransmit(now, numbers))
            _observer.OnNack(media, numbers);
    }

    private void HandleGoodbye(uint ssrc)
    {
        if (!_streams.TryGetValue(ssrc, out ReceiveStream? stream))
            return;
        RtcMedia media = stream.Media;
        bool primary = media.PrimaryStream == stream;
        RemoveStream(stream);
        if (primary)
            _observer.OnBye(media);
    }

    /// <summary>False where there was nothing to report.</summary>
    private bool SendReports(Instant now)
    {
        bool any = false;
        RtcpWriter writer = new(RtcpBuffer[..MaxRtcpLength]);
        int perSource = 28 + 12 + ((_cname.Length + 3) & ~3);
        foreach (RtcMedia media in _sending.Values)
        {
            if (!media.SentSinceReport)
                continue;
            media.SentSinceReport = false;
            any = true;
            if (writer.Length + perSource > MaxRtcpLength)
                Flush(now, ref writer);
            writer.WriteSenderReport(media.MakeSenderReport(now), default);
            writer.WriteCname(media.LocalSsrc, _cname);
        }

        Span<ReportBlock> blocks = stackalloc ReportBlock[24];
        int count = 0;
        foreach (ReceiveStream stream in _streamList)
        {
            if (stream.IsRtx || !stream.TryReport(now, out blocks[count]))
                continue;
            any = true;
            if (++count == blocks.Length)
            {
                WriteBlocks(now, ref writer, blocks);
                count = 0;
            }
        }

        if (count > 0)
            WriteBlocks(now, ref writer, blocks[..count]);
        if (any)
            WriteRemb(now, ref writer);
        Flush(now, ref writer);
        return any;
    }

    private void WriteBlocks(Instant now, ref RtcpWriter writer, scoped ReadOnlySpan<ReportBlock> blocks)
    {
        if (writer.Length + 8 + (blocks.Length * 24) + 12 + _cname.Length + 4 > MaxRtcpLength)
            Flush(now, ref writer);
        writer.WriteReceiverReport(_rtcpSsrc, blocks);
        writer.WriteCname(_rtcpSsrc, _cname);
    }

    private void WriteRemb(Instant now, ref RtcpWriter writer)
    {
        if (_options.ReceiverEstimatedMaximumBitrate is not long bitrate)
            return;
        Span<uint> ssrcs = stackalloc uint[32];
        int count = 0;
        foreach (RtcMedia media in _media)
        {
            if (count < ssrcs.Length && media.ReceiveEnabled && media.Negotiated.UsesRemb && media.PrimaryStream is { HasReceived: true } stream)
                ssrcs[count++] = stream.Ssrc;
        }

        if (count == 0)
            return;
        if (writer.Length + 20 + (count * 4) > MaxRtcpLength)
            Flush(now, ref writer);
        Begin(ref writer, reducedSize: false);
        writer.WriteRemb(_rtcpSsrc, bitrate, ssrcs[..count]);
    }

    private void SendNacks(Instant now, ReceiveStream stream, NackGenerator nack)
    {
        Span<ushort> numbers = stackalloc ushort[128];
        TimeSpan roundTrip = RoundTripTime ?? TimeSpan.Zero;
        int count = nack.Collect(now, roundTrip, numbers);
        if (nack.TakeKeyframeNeeded())
            stream.Media.KeyframePending = stream.Media.Negotiated.UsesPictureLoss || stream.Media.Negotiated.UsesFullIntraRequest;
        if (count == 0 || !stream.Media.ReceiveEnabled)
            return;
        RtcpWriter writer = new(RtcpBuffer[..MaxRtcpLength]);
        Begin(ref writer, stream.Media.Negotiated.ReducedSizeRtcp);
        writer.WriteNack(_rtcpSsrc, stream.Ssrc, numbers[..count]);
        Statistics.NackCountSent++;
        Flush(now, ref writer);
    }

    private bool SendKeyframeRequest(Instant now, RtcMedia media)
    {
        RtcpWriter writer = new(RtcpBuffer[..MaxRtcpLength]);
        Begin(ref writer, media.Negotiated.ReducedSizeRtcp);
        uint ssrc = media.RemoteSsrc!.Value;
        if (media.Negotiated.UsesPictureLoss)
        {
            writer.WritePictureLoss(_rtcpSsrc, ssrc);
            Statistics.PliCountSent++;
        }
        else
        {
            writer.WriteFullIntraRequest(_rtcpSsrc, ssrc, _firSequence++);
        }

        media.KeyframePending = false;
        media.NextKeyframeRequest = now + _options.KeyframeRequestInterval;
        return Flush(now, ref writer);
    }

    private void SendTransportFeedback(Instant now, TransportFeedbackRecorder feedback)
    {
        // Bounded: one call never sends more than the recorder remembers.
        for (int i = 0; i < 16 && feedback.HasPending; i++)
        {
            RtcpWriter writer = new(RtcpBuffer[..MaxRtcpLength]);
            Begin(ref writer, reducedSize: true);
            if (!feedback.TryWrite(ref writer, _rtcpSsrc, _transportFeedbackSsrc))
                return;
            Flush(now, ref writer);
        }
    }

    /// <summary>A compound packet starts with a report, unless reduced size was negotiated (RFC 5506).</summary>
    private void Begin(ref RtcpWriter writer, bool reducedSize)
    {
        if (writer.Length == 0 && !reducedSize)
            writer.WriteReceiverReport(_rtcpSsrc, default);
    }

    private bool Flush(Instant now, ref RtcpWriter writer)
    {
        int length = writer.Length;
        writer = new RtcpWriter(RtcpBuffer[..MaxRtcpLength]);
        return SendRtcp(now, length);
    }

    /// <summary>Encrypts and sends the compound packet in the RTCP buffer.</summary>
    private bool SendRtcp(Instant now, int length)
    {
        if (length == 0 || _srtpOut is null || _ice.SelectedPath is not TransportPath path)
            return false;
        _now = now;
        if (!_srtpOut.ProtectRtcp(RtcpBuffer, length, out int protectedLength))
            return false;
        SendDatagram(path, RtcpBuffer[..protectedLength]);
        return true;
    }

    /// <summary>Sends bytes as RTCP, whatever they are: for tests of what a hostile peer with valid keys can do.</summary>
    internal bool SendRawRtcp(Instant now, ReadOnlySpan<byte> compound)
    {
        compound.CopyTo(RtcpBuffer);
        return SendRtcp(now, compound.Length);
    }

    private void SendGoodbye(Instant now)
    {
        if (_srtpOut is null)
            return;
        Span<uint> sources = stackalloc uint[31];
        int count = 0;
        foreach (RtcMedia media in _sending.Values)
        {
            if (count < sources.Length && media.FirstSentAt != Instant.Never)
                sources[count++] = media.LocalSsrc;
        }

        if (count == 0)
            sources[count++] = _rtcpSsrc;
        RtcpWriter writer = new(RtcpBuffer[..MaxRtcpLength]);
        writer.WriteReceiverReport(_rtcpSsrc, default);
        writer.WriteCname(_rtcpSsrc, _cname);
        writer.WriteGoodbye(sources[..count]);
        Flush(now, ref writer);
    }
}
