namespace Transcribe.Rtc.Stun;

/// <summary>What protocol a datagram on a bundled transport belongs to.</summary>
public enum DatagramKind
{
    /// <summary>Empty, or a first byte that none of the protocols uses.</summary>
    Unknown,

    /// <summary>STUN; only the first byte was looked at, <see cref="StunMessage.TryParse"/> tells for certain.</summary>
    Stun,

    /// <summary>ZRTP, which is never negotiated here.</summary>
    Zrtp,

    /// <summary>DTLS record.</summary>
    Dtls,

    /// <summary>TURN channel data.</summary>
    TurnChannel,

    /// <summary>RTP or SRTP.</summary>
    Rtp,

    /// <summary>RTCP or SRTCP.</summary>
    Rtcp,
}

/// <summary>Tells the protocols on one transport apart (RFC 7983, with RTCP by RFC 5761 section 4).</summary>
public static class DatagramClassifier
{
    /// <summary>Classifies by the first byte, and for RTP/RTCP by the second. Never throws.</summary>
    public static DatagramKind Classify(ReadOnlySpan<byte> datagram)
    {
        if (datagram.IsEmpty)
        {
            return DatagramKind.Unknown;
        }

        return datagram[0] switch
        {
            >= 128 and <= 191 => datagram.Length > 1 && (datagram[1] & 0x7F) is >= 64 and <= 95
                ? DatagramKind.Rtcp
                : DatagramKind.Rtp,
            >= 20 and <= 63 => DatagramKind.Dtls,
            <= 3 => DatagramKind.Stun,
            >= 16 and <= 19 => DatagramKind.Zrtp,
            >= 64 and <= 79 => DatagramKind.TurnChannel,
            _ => DatagramKind.Unknown,
        };
    }
}
