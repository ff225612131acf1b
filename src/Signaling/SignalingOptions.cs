using System.Security.Cryptography;

namespace Transcribe.Signaling;

/// <summary>Limits and times of a signalling node.</summary>
public sealed class SignalingOptions
{
    /// <summary>
    /// Name of this node in the cluster: under it, it announces itself and owns sessions. Default: "signaling-" and random characters.
    /// </summary>
    public string NodeId { get; set; } = "signaling-" + RandomNumberGenerator.GetHexString(8, lowercase: true);

    /// <summary>Region of this node; sessions go to SFU nodes in it by preference. Null (default): no preference.</summary>
    public string? Region { get; set; }

    /// <summary>
    /// How long a session whose SFU node is lost waits for another one to have room, before it is ended as "nodeLost". Default 30 s.
    /// </summary>
    public TimeSpan MoveTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>Sessions that are moved to other SFU nodes at the same time. Default 32.</summary>
    public int MaxConcurrentMoves { get; set; } = 32;

    /// <summary>Clients that a draining node sends to other nodes in a second at most, until its deadline. Default 50.</summary>
    public int MaxGoAwaysPerSecond { get; set; } = 50;

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
        if (NodeId.Length is 0 or > 64 || !NodeId.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_'))
            return $"Signaling:NodeId is \"{NodeId}\"; use 1 to 64 of the characters A-Z a-z 0-9 - _.";

        if (MoveTimeout < TimeSpan.FromSeconds(1) || MaxConcurrentMoves < 1)
            return $"Signaling:MoveTimeout is {MoveTimeout} and Signaling:MaxConcurrentMoves is {MaxConcurrentMoves}; set at least 1 s and 1.";

        if (MaxGoAwaysPerSecond < 1)
            return $"Signaling:MaxGoAwaysPerSecond is {MaxGoAwaysPerSecond}; set at least 1.";

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
