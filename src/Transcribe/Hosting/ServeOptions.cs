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

    /// <summary>TRANSCRIBE_CONFIG and TRANSCRIBE_SECTION__KEY.</summary>
    public Settings Settings { get; init; } = Settings.None;

    /// <summary>What is logged; warnings and worse in the demo.</summary>
    public LogLevel LogLevel { get; init; } = LogLevel.Information;

    /// <summary>The address that Kestrel binds.</summary>
    public string EffectiveHttpAddress => HttpAddress ?? (Keys.IsDevelopment ? "localhost" : "*");

    /// <exception cref="ConfigurationException">A variable that cannot be used.</exception>
    public static ServeOptions FromEnvironment() =>
        FromEnvironment(Environment.GetEnvironmentVariable) with { Settings = Settings.FromEnvironment() };

    /// <param name="read">The value of a variable, or null.</param>
    /// <exception cref="ConfigurationException">A variable that cannot be used.</exception>
    public static ServeOptions FromEnvironment(Func<string, string?> read)
    {
        var variables = new EnvironmentReader(read);
        return new ServeOptions
        {
            HttpPort = variables.Port("TRANSCRIBE_HTTP_PORT", DefaultHttpPort),
            HttpAddress = variables.HttpAddress(),
            UdpPort = variables.Port("TRANSCRIBE_UDP_PORT", DefaultUdpPort),
            Keys = variables.Keys() ?? ApiKeyRing.CreateDevelopment(),
            PagePath = variables.Page(),
            AdvertisedAddresses = variables.AdvertisedAddresses(),
            IceServers = variables.IceServers(),
        };
    }
}
