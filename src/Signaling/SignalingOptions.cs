namespace Transcribe.Signaling;

/// <summary>Limits and times of a signalling node.</summary>
public sealed class SignalingOptions
{
    /// <summary>How long a session waits for its client after the hub connection broke. 1 s to 5 min; default 15 s.</summary>
    public TimeSpan GracePeriod { get; set; } = TimeSpan.FromSeconds(15);

    /// <summary>How long a connection may stay without a successful join. Default 60 s.</summary>
    public TimeSpan JoinTimeout { get; set; } = TimeSpan.FromSeconds(60);

    /// <summary>How long an SFU node may take to answer. Default 10 s.</summary>
    public TimeSpan SfuTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>Longest SDP, in characters. Default 262,144: some 200 m-sections.</summary>
    public int MaxSdpLength { get; set; } = 256 * 1024;

    /// <summary>Longest hub message, in bytes; a longer one costs its sender the connection. Default 524,288.</summary>
    public int MaxMessageBytes { get; set; } = 512 * 1024;

    /// <summary>Hub calls a connection may make in a burst. Default 100.</summary>
    public int CallBurst { get; set; } = 100;

    /// <summary>Hub calls a second a connection may make in the long run. Default 25.</summary>
    public int CallsPerSecond { get; set; } = 25;

    /// <summary>Visible participants of one room. Default 1,000.</summary>
    public int MaxParticipantsPerRoom { get; set; } = 1000;

    /// <summary>Null, or a sentence that names the setting, its value and the fix.</summary>
    public string? Validate()
    {
        if (GracePeriod < TimeSpan.FromSeconds(1) || GracePeriod > TimeSpan.FromMinutes(5))
            return $"Signaling:GracePeriod is {GracePeriod}; set 1 s to 5 min.";

        if (JoinTimeout < TimeSpan.FromSeconds(1))
            return $"Signaling:JoinTimeout is {JoinTimeout}; set at least 1 s.";

        if (SfuTimeout < TimeSpan.FromMilliseconds(100) || SfuTimeout > TimeSpan.FromMinutes(1))
            return $"Signaling:SfuTimeout is {SfuTimeout}; set 0.1 s to 60 s.";

        if (MaxSdpLength is < 4096 or > 4 * 1024 * 1024)
            return $"Signaling:MaxSdpLength is {MaxSdpLength}; set 4096 to 4194304.";

        if (MaxMessageBytes < MaxSdpLength + 4096)
            return $"Signaling:MaxMessageBytes is {MaxMessageBytes}; set at least MaxSdpLength + 4096 = {MaxSdpLength + 4096}.";

        if (CallBurst < 10 || CallsPerSecond < 1)
            return $"Signaling:CallBurst is {CallBurst} and Signaling:CallsPerSecond is {CallsPerSecond}; set at least 10 and 1.";

        return MaxParticipantsPerRoom < 1 ? $"Signaling:MaxParticipantsPerRoom is {MaxParticipantsPerRoom}; set at least 1." : null;
    }
}
