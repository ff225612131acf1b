namespace Transcribe.Rtc;

/// <summary>Bounds on what a peer can make a session hold.</summary>
public sealed record RtcSessionLimits
{
    /// <summary>Longest session description, in characters. Default 262144.</summary>
    public int MaxSdpLength { get; init; } = 256 * 1024;

    /// <summary>Most m-sections in a description. Default 512.</summary>
    public int MaxMediaSections { get; init; } = 512;

    /// <summary>Most RTP streams (SSRCs) received at a time. Default 1024.</summary>
    public int MaxStreams { get; init; } = 1024;

    /// <summary>Largest data-channel message accepted, in bytes; told to the peer as <c>a=max-message-size</c>. Default 262144.</summary>
    public int MaxMessageSize { get; init; } = 256 * 1024;

    /// <summary>Most remote candidates kept for one ICE generation. Default 64.</summary>
    public int MaxRemoteCandidates { get; init; } = 64;

    internal void Validate()
    {
        Require(MaxSdpLength >= 1024, nameof(MaxSdpLength), MaxSdpLength, "use at least 1024");
        Require(MaxMediaSections >= 1, nameof(MaxMediaSections), MaxMediaSections, "use at least 1");
        Require(MaxStreams >= 2, nameof(MaxStreams), MaxStreams, "use at least 2");
        Require(MaxMessageSize >= 1200, nameof(MaxMessageSize), MaxMessageSize, "use at least 1200");
        Require(MaxRemoteCandidates >= 1, nameof(MaxRemoteCandidates), MaxRemoteCandidates, "use at least 1");
    }

    private static void Require(bool condition, string key, int value, string fix)
    {
        if (!condition)
            throw new ArgumentException($"RtcSessionLimits.{key} is {value}, which is too small: {fix}.");
    }
}
