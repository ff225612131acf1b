using System.Buffers.Binary;
using System.Text;

namespace Transcribe.Rtc.Rtp;

/// <summary>URIs of the header extensions this library reads or writes, as they stand in <c>a=extmap</c>.</summary>
public static class RtpExtensionUris
{
    /// <summary>Media identification (RFC 8843 §15, RFC 7941).</summary>
    public const string Mid = "urn:ietf:params:rtp-hdrext:sdes:mid";

    /// <summary>RTP stream id (RFC 8852).</summary>
    public const string RtpStreamId = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";

    /// <summary>RTP stream id of the stream a retransmission repairs (RFC 8852).</summary>
    public const string RepairedRtpStreamId = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";

    /// <summary>Client-to-mixer audio level (RFC 6464).</summary>
    public const string AudioLevel = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";

    /// <summary>Time of sending, 6.18 fixed-point seconds.</summary>
    public const string AbsoluteSendTime = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time";

    /// <summary>Transport-wide sequence number (draft-holmer-rmcat-transport-wide-cc-extensions-01).</summary>
    public const string TransportSequenceNumber = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

    /// <summary>Coordination of video orientation (3GPP TS 26.114).</summary>
    public const string VideoOrientation = "urn:3gpp:video-orientation";

    /// <summary>Timestamp offset (RFC 5450).</summary>
    public const string TransmissionOffset = "urn:ietf:params:rtp-hdrext:toffset";

    /// <summary>Limits on the playout delay.</summary>
    public const string PlayoutDelay = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";

    /// <summary>Camera or screen.</summary>
    public const string VideoContentType = "http://www.webrtc.org/experiments/rtp-hdrext/video-content-type";

    /// <summary>Sender-side timing of a video frame.</summary>
    public const string VideoTiming = "http://www.webrtc.org/experiments/rtp-hdrext/video-timing";

    /// <summary>AV1 dependency descriptor.</summary>
    public const string DependencyDescriptor = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";
}

/// <summary>RFC 6464: how loud the packet's audio is.</summary>
/// <param name="Level">Level below full scale: 0 is the loudest, 127 is silence (-127 dBov).</param>
/// <param name="Voice">The sender's voice activity flag.</param>
public readonly record struct AudioLevel(byte Level, bool Voice)
{
    /// <summary>Reads the extension's data.</summary>
    public static bool TryRead(ReadOnlySpan<byte> data, out AudioLevel level)
    {
        level = data.IsEmpty ? default : new AudioLevel((byte)(data[0] & 0x7F), (data[0] & 0x80) != 0);
        return !data.IsEmpty;
    }

    /// <summary>The extension's one byte.</summary>
    public byte ToByte() => (byte)((Voice ? 0x80 : 0) | (Level & 0x7F));
}

/// <summary>3GPP TS 26.114 §7.4.5: how the receiver has to turn the picture.</summary>
/// <param name="Rotation">Clockwise turn needed: 0, 90, 180 or 270 degrees.</param>
/// <param name="Flipped">Horizontal flip.</param>
/// <param name="BackCamera">True for a back-facing camera.</param>
public readonly record struct VideoOrientation(int Rotation, bool Flipped, bool BackCamera)
{
    /// <summary>Reads the extension's data.</summary>
    public static bool TryRead(ReadOnlySpan<byte> data, out VideoOrientation orientation)
    {
        orientation = data.IsEmpty
            ? default
            : new VideoOrientation((data[0] & 3) * 90, (data[0] & 4) != 0, (data[0] & 8) != 0);
        return !data.IsEmpty;
    }

    /// <summary>The extension's one byte.</summary>
    public byte ToByte() => (byte)((Rotation / 90 & 3) | (Flipped ? 4 : 0) | (BackCamera ? 8 : 0));
}

/// <summary>The abs-send-time extension: seconds modulo 64 in 6.18 fixed point (about 3.8 µs a unit).</summary>
public readonly record struct AbsoluteSendTime(uint Value)
{
    /// <summary>Size of the extension's data.</summary>
    public const int Size = 3;

    /// <summary>The value to send at an instant.</summary>
    public static AbsoluteSendTime Of(Instant instant)
    {
        // Whole seconds first: the product of all ticks with 2^18 would overflow after a few weeks.
        long seconds = Math.DivRem(instant.Ticks, TimeSpan.TicksPerSecond, out long rest);
        return new((uint)(((seconds & 63) << 18) + ((rest << 18) / TimeSpan.TicksPerSecond)) & 0xFF_FFFF);
    }

    /// <summary>Reads the extension's data.</summary>
    public static bool TryRead(ReadOnlySpan<byte> data, out AbsoluteSendTime time)
    {
        time = data.Length == Size ? new((uint)((data[0] << 16) | (data[1] << 8) | data[2])) : default;
        return data.Length == Size;
    }

    /// <summary>Writes the extension's three bytes.</summary>
    public void Write(Span<byte> destination)
    {
        destination[0] = (byte)(Value >> 16);
        destination[1] = (byte)(Value >> 8);
        destination[2] = (byte)Value;
    }

    /// <summary>Time from an earlier value to this one, across the wrap; between -32 s and 32 s.</summary>
    public TimeSpan Since(AbsoluteSendTime earlier)
    {
        int difference = (int)((Value - earlier.Value) << 8) >> 8;
        return new TimeSpan(difference * TimeSpan.TicksPerSecond >> 18);
    }
}

/// <summary>The transport-wide sequence number extension (two bytes; version 2 adds a feedback request, which is ignored).</summary>
public static class TransportSequenceNumber
{
    /// <summary>Size of the extension's data.</summary>
    public const int Size = 2;

    /// <summary>Reads the extension's data.</summary>
    public static bool TryRead(ReadOnlySpan<byte> data, out ushort sequenceNumber)
    {
        bool ok = data.Length is Size or 4;
        sequenceNumber = ok ? BinaryPrimitives.ReadUInt16BigEndian(data) : (ushort)0;
        return ok;
    }

    /// <summary>Writes the extension's two bytes.</summary>
    public static void Write(Span<byte> destination, ushort sequenceNumber) =>
        BinaryPrimitives.WriteUInt16BigEndian(destination, sequenceNumber);
}

/// <summary>The SDES items carried as header extensions (RFC 7941): mid, rid and repaired rid are ASCII tokens.</summary>
public static class SdesExtension
{
    /// <summary>Longest token that is accepted, which is what the one-byte form carries.</summary>
    public const int MaxLength = 16;

    /// <summary>Reads a token.</summary>
    /// <returns>False for an empty or oversize one, or a byte that is no SDP token character.</returns>
    public static bool TryRead(ReadOnlySpan<byte> data, out string token)
    {
        if (!IsToken(data))
        {
            token = "";
            return false;
        }

        token = Encoding.ASCII.GetString(data);
        return true;
    }

    /// <summary>Compares the extension's data with a token, without allocation.</summary>
    public static bool Equals(ReadOnlySpan<byte> data, ReadOnlySpan<char> token) => Ascii.Equals(data, token);

    /// <summary>True for one to sixteen SDP token characters (RFC 8866 §9).</summary>
    public static bool IsToken(ReadOnlySpan<byte> data)
    {
        if (data.Length is 0 or > MaxLength)
            return false;
        foreach (byte b in data)
        {
            if (b is <= 0x20 or >= 0x7F or (byte)'"' or (byte)'(' or (byte)')' or (byte)',' or (byte)'/' or (byte)':' or (byte)';'
                or (byte)'<' or (byte)'=' or (byte)'>' or (byte)'?' or (byte)'@' or (byte)'[' or (byte)'\\' or (byte)']')
            {
                return false;
            }
        }

        return true;
    }
}
