namespace Transcribe.Rtc.Srtp;

/// <summary>Why an SRTP or SRTCP packet was not accepted.</summary>
public enum SrtpReject
{
    None = 0,

    /// <summary>Too short, or its header lengths do not add up.</summary>
    Malformed,

    /// <summary>The index was seen before.</summary>
    Replayed,

    /// <summary>The index is older than the replay window.</summary>
    TooOld,

    /// <summary>The authentication tag is wrong: forged, damaged, or of another key.</summary>
    BadTag,

    /// <summary>An SRTCP packet without encryption (E bit clear): authentic, but WebRTC always encrypts.</summary>
    NotEncrypted,
}

/// <summary>Counts of what an <see cref="SrtpReceiver"/> accepted and rejected. Read on the owner's thread.</summary>
public sealed class SrtpCounters
{
    private readonly long[] _rejects = new long[Enum.GetValues<SrtpReject>().Length];

    /// <summary>RTP packets accepted.</summary>
    public long Rtp { get; internal set; }

    /// <summary>RTCP packets accepted.</summary>
    public long Rtcp { get; internal set; }

    /// <summary>Packets rejected for <paramref name="reason"/>.</summary>
    public long Rejected(SrtpReject reason) => _rejects[(int)reason];

    /// <summary>Packets rejected for any reason.</summary>
    public long RejectedTotal => _rejects.Sum();

    internal void Count(SrtpReject reason) => _rejects[(int)reason]++;
}
