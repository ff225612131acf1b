using System.Security.Cryptography;

namespace Transcribe.Director;

/// <summary>Settings of the HTTP API.</summary>
public sealed class DirectorOptions
{
    /// <summary>URL of the hub as clients reach it; null to derive it from the request ("https://host/rtc").</summary>
    public string? HubUrl { get; set; }

    /// <summary>Longest request body in bytes. Default 65,536.</summary>
    public int MaxBodyBytes { get; set; } = 64 * 1024;

    /// <summary>Engines that may be asked for.</summary>
    public IReadOnlyList<string> Engines { get; set; } = ["auto", "whisper", "pocketsphinx"];

    /// <summary>Name of this Director among several. Default: made up.</summary>
    public string NodeId { get; set; } = $"director-{RandomNumberGenerator.GetHexString(8, lowercase: true)}";

    /// <summary>When sessions that are still on a draining SFU node are moved, unless the order says otherwise. Default 300 s.</summary>
    public TimeSpan DrainDeadline { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>Rooms moved away from a draining node a second. Default 20.</summary>
    public int DrainBatchRooms { get; set; } = 20;

    /// <summary>Null, or a sentence that names the setting, its value and the fix.</summary>
    public string? Validate()
    {
        if (HubUrl is not null && (!Uri.TryCreate(HubUrl, UriKind.Absolute, out Uri? url) || url.Scheme is not ("http" or "https")))
            return $"Director:HubUrl is \"{HubUrl}\"; set an absolute http or https URL, e.g. https://example.org/rtc, or leave it out.";

        if (MaxBodyBytes is < 1024 or > 16 * 1024 * 1024)
            return $"Director:MaxBodyBytes is {MaxBodyBytes}; set 1024 to 16777216.";

        if (NodeId.Length is 0 or > 64)
            return $"Director:NodeId is \"{NodeId}\"; use 1 to 64 characters.";

        if (DrainDeadline < TimeSpan.Zero || DrainDeadline > TimeSpan.FromDays(1))
            return $"Director:DrainDeadline is {DrainDeadline}; set 0 to a day.";

        if (DrainBatchRooms is < 1 or > 10_000)
            return $"Director:DrainBatchRooms is {DrainBatchRooms}; set 1 to 10000.";

        return Engines.Count == 0 ? "Director:Engines is empty; list at least \"auto\"." : null;
    }
}
