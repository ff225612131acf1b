namespace Transcribe.Rtc;

/// <summary>What an RTP m-section carries (the SDP media type, RFC 8866 §5.14).</summary>
public enum MediaKind
{
    Audio,
    Video,
}
