using Transcribe.Rtc.Rtp;

namespace Transcribe.Bench;

/// <summary>RTP packets as browsers send them: level, send time, transport sequence number and MID in the header.</summary>
internal static class SamplePackets
{
    public const byte LevelId = 1;
    public const byte SendTimeId = 2;
    public const byte SequenceId = 3;
    public const byte MidId = 4;

    public static readonly RtpExtensionIds Ids = new(
    [
        (LevelId, RtpExtensionUris.AudioLevel), (SendTimeId, RtpExtensionUris.AbsoluteSendTime),
        (SequenceId, RtpExtensionUris.TransportSequenceNumber), (MidId, RtpExtensionUris.Mid),
    ]);

    /// <summary>A packet of its own; its array has room for a tag.</summary>
    public static byte[] Make(uint ssrc, ushort sequenceNumber, int payload, out int length)
    {
        byte[] buffer = new byte[payload + 64];
        length = Write(buffer, ssrc, sequenceNumber, new byte[payload]);
        return buffer;
    }

    public static int Write(Span<byte> buffer, uint ssrc, ushort sequenceNumber, ReadOnlySpan<byte> payload)
    {
        var writer = new RtpHeaderWriter(buffer, 111, false, sequenceNumber, sequenceNumber * 960u, ssrc);
        writer.SetExtension(MidId, "0"u8);
        writer.SetExtension(SendTimeId, [1, 2, 3]);
        writer.SetExtension(SequenceId, [1, 2]);
        writer.SetExtension(LevelId, [30]);
        return writer.Finish(payload);
    }
}
