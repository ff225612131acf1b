using System.Globalization;
using System.Net;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Tokens;

namespace Transcribe.Hosting;

/// <summary>What <c>transcribe serve</c> is told: by the environment, and by options that win over it.</summary>
public sealed record ServeOptions
{
    public const int DefaultHttpPort = 8080;
    public const int DefaultUdpPort = 7882;

    /// <summary>TRANSCRIBE_HTTP_PORT; 0 for any free one.</summary>
    public int HttpPort { get; init; } = DefaultHttpPort;

    /// <summary>
    /// TRANSCRIBE_HTTP_ADDRESS: an IP address, "localhost", or "*" for all interfaces. Null: "localhost" with a development key
    /// (which anybody who reaches the server may use), else "*".
    /// </summary>
    public string? HttpAddress { get; init; }

    /// <summary>TRANSCRIBE_UDP_PORT; 0 for any free one.</summary>
    public int UdpPort { get; init; } = DefaultUdpPort;

    /// <summary>TRANSCRIBE_API_KEY and TRANSCRIBE_API_SECRET; a random development key where both are missing.</summary>
    public required ApiKeyRing Keys { get; init; }

    /// <summary>TRANSCRIBE_PAGE: folder of the built meeting page; null to look for it.</summary>
    public string? PagePath { get; init; }

    /// <summary>TRANSCRIBE_ICE_SERVERS: STUN and TURN URLs, separated by commas.</summary>
    public IReadOnlyList<IceServer> IceServers { get; init; } = [];

    /// <summary>
    /// TRANSCRIBE_ADVERTISED_ADDRESSES: IP addresses told to clients for media, separated by commas, e.g. the public one of
    /// a host behind 1:1 NAT. Default: those of this host's interfaces.
    /// </summary>
    public IReadOnlyList<string> AdvertisedAddresses { get; init; } = [];

    /// <summary>What is logged; warnings and worse in the demo.</summary>
    public LogLevel LogLevel { get; init; } = LogLevel.Information;

    /// <summary>The address that Kestrel binds.</summary>
    public string EffectiveHttpAddress => HttpAddress ?? (Keys.IsDevelopment ? "localhost" : "*");

    /// <exception cref="ConfigurationException">A variable that cannot be used.</exception>
    public static ServeOptions FromEnvironment() => FromEnvironment(Environment.GetEnvironmentVariable);

    /// <param name="read">The value of a variable, or null.</param>
    /// <exception cref="ConfigurationException">A variable that cannot be used.</exception>
    public static ServeOptions FromEnvironment(Func<string, string?> read)
    {
        string? Text(string name) => read(name) is { } value && !string.IsNullOrWhiteSpace(value) ? value.Trim() : null;

        string? address = Text("TRANSCRIBE_HTTP_ADDRESS");
        if (address is not (null or "*" or "localhost") && !IPAddress.TryParse(address, out _))
            throw new ConfigurationException($"TRANSCRIBE_HTTP_ADDRESS is \"{address}\". Set an IP address, \"localhost\", or \"*\" for all interfaces.");

        string? page = Text("TRANSCRIBE_PAGE");
        if (page is not null && !File.Exists(Path.Combine(page, "index.html")))
            throw new ConfigurationException($"TRANSCRIBE_PAGE is \"{page}\", which has no index.html. Set the folder of the built page (src/Client/dist), or unset it.");

        return new ServeOptions
        {
            HttpPort = Port("TRANSCRIBE_HTTP_PORT", Text("TRANSCRIBE_HTTP_PORT"), DefaultHttpPort),
            HttpAddress = address,
            UdpPort = Port("TRANSCRIBE_UDP_PORT", Text("TRANSCRIBE_UDP_PORT"), DefaultUdpPort),
            Keys = ReadKeys(Text("TRANSCRIBE_API_KEY"), Text("TRANSCRIBE_API_SECRET")),
            PagePath = page,
            AdvertisedAddresses = ReadAddresses(Text("TRANSCRIBE_ADVERTISED_ADDRESSES")),
            IceServers = ReadIceServers(Text("TRANSCRIBE_ICE_SERVERS")),
        };
    }

    private static int Port(string name, string? value, int fallback)
    {
        if (value is null)
            return fallback;

        return int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out int port) && port <= ushort.MaxValue
            ? port
            : throw new ConfigurationException($"{name} is \"{value}\". Set a port number, 1 to 65535 (0 for any free one), or unset it for {fallback}.");
    }

    private static string[] ReadAddresses(string? value)
    {
        string[] addresses = (value ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        return Array.Find(addresses, address => !IPAddress.TryParse(address, out _)) is { } bad
            ? throw new ConfigurationException($"TRANSCRIBE_ADVERTISED_ADDRESSES has \"{bad}\", which is no IP address. Set addresses that clients can reach, separated by commas, or unset it.")
            : addresses;
    }

    private static ApiKeyRing ReadKeys(string? key, string? secret)
    {
        if (key is null && secret is null)
            return ApiKeyRing.CreateDevelopment();

        if (key is null || secret is null)
        {
            (string there, string missing) = key is null ? ("TRANSCRIBE_API_SECRET", "TRANSCRIBE_API_KEY") : ("TRANSCRIBE_API_KEY", "TRANSCRIBE_API_SECRET");
            throw new ConfigurationException($"{there} is set and {missing} is not. Set both, or neither for a random development key.");
        }

        try
        {
            return new ApiKeyRing([new ApiKey(key, secret)]);
        }
        catch (ArgumentException e)
        {
            throw new ConfigurationException(e.ParamName is null ? e.Message : e.Message.Replace($" (Parameter '{e.ParamName}')", "", StringComparison.Ordinal));
        }
    }

    private static IceServer[] ReadIceServers(string? value)
    {
        string[] urls = value?.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries) ?? [];
        foreach (string url in urls)
        {
            if (url.Split(':', 2) is not [("stun" or "stuns" or "turn" or "turns"), { Length: > 0 }])
                throw new ConfigurationException($"TRANSCRIBE_ICE_SERVERS has \"{url}\". Set URLs like stun:stun.example.org:3478, separated by commas.");
        }

        return urls.Length == 0 ? [] : [new IceServer(urls)];
    }
}
