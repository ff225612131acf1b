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

    /// <summary>Null, or a sentence that names the setting, its value and the fix.</summary>
    public string? Validate()
    {
        if (HubUrl is not null && (!Uri.TryCreate(HubUrl, UriKind.Absolute, out Uri? url) || url.Scheme is not ("http" or "https")))
            return $"Director:HubUrl is \"{HubUrl}\"; set an absolute http or https URL, e.g. https://example.org/rtc, or leave it out.";

        if (MaxBodyBytes is < 1024 or > 16 * 1024 * 1024)
            return $"Director:MaxBodyBytes is {MaxBodyBytes}; set 1024 to 16777216.";

        return Engines.Count == 0 ? "Director:Engines is empty; list at least \"auto\"." : null;
    }
}
