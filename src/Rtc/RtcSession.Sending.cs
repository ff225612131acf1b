using Transcribe.Rtc.Media;

namespace Transcribe.Rtc;

/// <summary>RTP on its way out: the m-sections write it into <see cref="SendBuffer"/>, the session encrypts and sends.</summary>
public sealed partial class RtcSession
{
    private readonly Dictionary<uint, RtcMedia> _sending = [];
    private ushort _transportSequence;

    // One pair for all sessions of a thread: nothing is left in them between calls.
    [ThreadStatic]
    private static byte[]? _threadSendBuffer;

    [ThreadStatic]
    private static byte[]? _threadRtcpBuffer;

    /// <summary>Where m-sections write the packet that is sent next.</summary>
    internal Span<byte> SendBuffer => Scratch(ref _threadSendBuffer);

    private Span<byte> RtcpBuffer => Scratch(ref _threadRtcpBuffer);

    private Span<byte> Scratch(ref byte[]? buffer)
    {
        if (buffer is null || buffer.Length < _options.MaxDatagram)
            buffer = new byte[_options.MaxDatagram];
        return buffer.AsSpan(0, _options.MaxDatagram);
    }

    internal ushort NextTransportSequence() => _transportSequence++;

    /// <summary>Encrypts and sends the RTP packet in <see cref="SendBuffer"/>.</summary>
    /// <returns>False where there is no path or no room for the authentication tag.</returns>
    internal bool SendRtp(Instant now, int length)
    {
        if (!_canSendMedia || !_srtpOut!.ProtectRtp(SendBuffer, length, out int protectedLength))
            return false;
        _now = now;
        Statistics.PacketsSent++;
        SendDatagram(_mediaPath, SendBuffer[..protectedLength]);
        return true;
    }

    /// <summary>Encrypts a payload behind the header in memory of the host, who sends the datagram.</summary>
    internal bool ProtectRtp(Span<byte> destination, int headerLength, ReadOnlySpan<byte> payload, out int length)
    {
        if (!_srtpOut!.ProtectRtp(destination, headerLength, payload, out length))
            return false;
        RtcSessionStatistics statistics = Statistics;
        statistics.PacketsSent++;
        statistics.DatagramsSent++;
        statistics.BytesSent += length;
        return true;
    }

    /// <summary>Hands a datagram in <see cref="SendBuffer"/> to the host, after <see cref="ProtectRtp"/>.</summary>
    internal void SendProtected(Instant now, int length)
    {
        _now = now;
        _observer.OnSend(_mediaPath, SendBuffer[..length]);
    }

    internal int MaxDatagram => _options.MaxDatagram;

    internal void OnFirstPacketSent(Instant now)
    {
        // An early first report: receivers need it to line up streams and to know the time of what they hear.
        _nextReport = Instant.Min(_nextReport, now + FirstReportDelay);
        ScheduleMedia(_nextReport);
    }

    internal void OnMediaStopped(RtcMedia media)
    {
        media.SendEnabled = false;
        media.ReceiveEnabled = false;
        RefreshReceiving();
    }
}
