using System.Globalization;
using System.Net;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Tokens;

namespace Transcribe.Hosting;

/// <summary>The TRANSCRIBE_* variables, checked one by one.</summary>
/// <param name="read">The value of a variable, or null.</param>
internal sealed class EnvironmentReader(Func<string, string?> read)
{
    /// <summary>A value without the blanks around it; null where there is none.</summary>
    public string? Text(string name) => read(name) is { } value && !string.IsNullOrWhiteSpace(value) ? value.Trim() : null;

    public int Port(string name, int fallback) => Port(name, $"unset it for {fallback}") ?? fallback;

    /// <param name="unset">What leaving it out does, for the sentence.</param>
    public int? Port(string name, string unset)
    {
        if (Text(name) is not { } value)
            return null;

        return int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out int port) && port <= ushort.MaxValue
            ? port
            : throw new ConfigurationException($"{name} is \"{value}\". Set a port number, 1 to 65535 (0 for any free one), or {unset}.");
    }

    public int? Number(string name, int min, int max)
    {
        if (Text(name) is not { } value)
            return null;

        return int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number >= min && number <= max
            ? number
            : throw new ConfigurationException($"{name} is \"{value}\". Set a number, {min} to {max}, or unset it.");
    }

    public bool Flag(string name) => Text(name) switch
    {
        null or "0" or "false" => false,
        "1" or "true" => true,
        var other => throw new ConfigurationException($"{name} is \"{other}\". Set 1 for yes, or unset it."),
    };

    public Uri? HttpUrl(string name)
    {
        if (Text(name) is not { } value)
            return null;

        return Uri.TryCreate(value, UriKind.Absolute, out Uri? url) && url.Scheme is "http" or "https" && url is { Query: "", Fragment: "" }
            ? url
            : throw new ConfigurationException($"{name} is \"{value}\". Set an http or https URL that clients can reach, like https://rtc1.example.org.");
    }

    /// <summary>TRANSCRIBE_HTTP_ADDRESS.</summary>
    public string? HttpAddress()
    {
        string? address = Text("TRANSCRIBE_HTTP_ADDRESS");
        return address is null or "*" or "localhost" || IPAddress.TryParse(address, out _)
            ? address
            : throw new ConfigurationException($"TRANSCRIBE_HTTP_ADDRESS is \"{address}\". Set an IP address, \"localhost\", or \"*\" for all interfaces.");
    }

    /// <summary>TRANSCRIBE_PAGE.</summary>
    public string? Page()
    {
        string? page = Text("TRANSCRIBE_PAGE");
        return page is null || File.Exists(Path.Combine(page, "index.html"))
            ? page
            : throw new ConfigurationException($"TRANSCRIBE_PAGE is \"{page}\", which has no index.html. Set the folder of the built page (src/Client/dist), or unset it.");
    }

    /// <summary>TRANSCRIBE_ADVERTISED_ADDRESSES.</summary>
    public IReadOnlyList<string> AdvertisedAddresses()
    {
        string[] addresses = (Text("TRANSCRIBE_ADVERTISED_ADDRESSES") ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        return Array.Find(addresses, address => !IPAddress.TryParse(address, out _)) is { } bad
            ? throw new ConfigurationException($"TRANSCRIBE_ADVERTISED_ADDRESSES has \"{bad}\", which is no IP address. Set addresses that clients can reach, separated by commas, or unset it.")
            : addresses;
    }

    /// <summary>TRANSCRIBE_ICE_SERVERS.</summary>
    public IReadOnlyList<IceServer> IceServers()
    {
        string[] urls = Text("TRANSCRIBE_ICE_SERVERS")?.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries) ?? [];
        foreach (string url in urls)
        {
            if (url.Split(':', 2) is not [("stun" or "stuns" or "turn" or "turns"), { Length: > 0 }])
                throw new ConfigurationException($"TRANSCRIBE_ICE_SERVERS has \"{url}\". Set URLs like stun:stun.example.org:3478, separated by commas.");
        }

        return urls.Length == 0 ? [] : [new IceServer(urls)];
    }

    /// <summary>TRANSCRIBE_API_KEY and TRANSCRIBE_API_SECRET; null where neither is set.</summary>
    public ApiKeyRing? Keys(bool isDevelopment = false)
    {
        string? key = Text("TRANSCRIBE_API_KEY");
        string? secret = Text("TRANSCRIBE_API_SECRET");
        if (key is null && secret is null)
            return null;

        if (key is null || secret is null)
        {
            (string there, string missing) = key is null ? ("TRANSCRIBE_API_SECRET", "TRANSCRIBE_API_KEY") : ("TRANSCRIBE_API_KEY", "TRANSCRIBE_API_SECRET");
            throw new ConfigurationException($"{there} is set and {missing} is not. Set both, or neither for a random development key.");
        }

        try
        {
            return new ApiKeyRing([new ApiKey(key, secret)], isDevelopment);
        }
        catch (ArgumentException e)
        {
            throw new ConfigurationException(e.ParamName is null ? e.Message : e.Message.Replace($" (Parameter '{e.ParamName}')", "", StringComparison.Ordinal));
        }
    }
}
