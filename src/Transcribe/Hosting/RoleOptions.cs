using System.Security.Cryptography;
using Transcribe.Cluster;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Placement;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Redis;
using Transcribe.Cluster.Tokens;
using Transcribe.Director.Provisioning;

namespace Transcribe.Hosting;

/// <summary>What a process of a cluster is told: by the environment, and by options that win over it.</summary>
public sealed record RoleOptions
{
    public required NodeRole Role { get; init; }

    /// <summary>TRANSCRIBE_NODE_ID: unique in the cluster; made of role, host name and random characters where missing.</summary>
    public required string NodeId { get; init; }

    /// <summary>TRANSCRIBE_REGION: where the node is, for placement.</summary>
    public string Region { get; init; } = "local";

    /// <summary>TRANSCRIBE_REDIS and TRANSCRIBE_CLUSTER_KEY.</summary>
    public required RedisClusterOptions Redis { get; init; }

    /// <summary>TRANSCRIBE_PLACEMENT.</summary>
    public PlacementOptions Placement { get; init; } = new();

    /// <summary>TRANSCRIBE_PROVISIONER and its like, of a director.</summary>
    public ProvisioningOptions Provisioning { get; init; } = new();

    /// <summary>TRANSCRIBE_API_KEY and TRANSCRIBE_API_SECRET; an SFU node needs none.</summary>
    public ApiKeyRing? Keys { get; init; }

    /// <summary>TRANSCRIBE_HTTP_PORT; 0 for any free one. Null: no HTTP at all (SFU nodes and gateways, which only tell their health).</summary>
    public int? HttpPort { get; init; }

    /// <summary>TRANSCRIBE_HTTP_ADDRESS; see <see cref="EffectiveHttpAddress"/>.</summary>
    public string? HttpAddress { get; init; }

    /// <summary>TRANSCRIBE_UDP_PORT of an SFU node; 0 for any free one.</summary>
    public int UdpPort { get; init; } = ServeOptions.DefaultUdpPort;

    /// <summary>TRANSCRIBE_PUBLIC_URL: how clients reach this node; null for the address that it listens on.</summary>
    public Uri? PublicUrl { get; init; }

    /// <summary>TRANSCRIBE_MAX_SESSIONS: sessions an SFU node takes, or rooms a gateway captions; null for the role's default.</summary>
    public int? MaxSessions { get; init; }

    /// <summary>TRANSCRIBE_RELAY_FANOUT: relays that an SFU node feeds at most per track; null for the default, 8.</summary>
    public int? RelayFanOut { get; init; }

    /// <summary>TRANSCRIBE_PAGE: folder of the built meeting page; null to look for it.</summary>
    public string? PagePath { get; init; }

    /// <summary>TRANSCRIBE_ICE_SERVERS.</summary>
    public IReadOnlyList<IceServer> IceServers { get; init; } = [];

    /// <summary>TRANSCRIBE_ADVERTISED_ADDRESSES: IP addresses of an SFU node as told to clients and other nodes.</summary>
    public IReadOnlyList<string> AdvertisedAddresses { get; init; } = [];

    /// <summary>TRANSCRIBE_CONFIG and TRANSCRIBE_SECTION__KEY.</summary>
    public Settings Settings { get; init; } = Settings.None;

    public LogLevel LogLevel { get; init; } = LogLevel.Information;

    /// <summary>TRANSCRIBE_LOG_NODE: every line that this process prints begins with "[NodeId] ", since others print to the same stream.</summary>
    public bool LogsNode { get; init; }

    /// <summary>TRANSCRIBE_STOP_AT_EOF: the process stops when its standard input ends, that is, when the program that holds it is gone.</summary>
    public bool StopsAtEndOfInput { get; init; }

    /// <summary>
    /// The address that Kestrel binds: all interfaces for what clients speak to, this machine only for a health listener and
    /// for a cluster that hands tokens to whoever asks.
    /// </summary>
    public string EffectiveHttpAddress => HttpAddress ?? (ServesClients && Keys?.IsDevelopment != true ? "*" : "localhost");

    /// <summary>Whether clients speak HTTP to this role.</summary>
    public bool ServesClients => Role is NodeRole.Director or NodeRole.Signaling;

    /// <param name="read">The value of a variable, or null.</param>
    /// <exception cref="ConfigurationException">A variable that is missing or cannot be used.</exception>
    public static RoleOptions FromEnvironment(NodeRole role, Func<string, string?> read)
    {
        var variables = new EnvironmentReader(read);
        bool clients = role is NodeRole.Director or NodeRole.Signaling;
        return new RoleOptions
        {
            Role = role,
            NodeId = ReadName(variables, "TRANSCRIBE_NODE_ID") ?? MakeNodeId(role),
            Region = ReadName(variables, "TRANSCRIBE_REGION") ?? "local",
            Redis = Checked(() =>
            {
                var redis = new RedisClusterOptions { Redis = variables.Text(RedisClusterOptions.RedisVariable) ?? "", ClusterKey = variables.Text(ClusterKey.EnvironmentVariable) ?? "" };
                redis.Validate();
                return redis;
            }),
            Placement = Checked(() => PlacementOptions.FromEnvironment(read)),
            Provisioning = role == NodeRole.Director ? Checked(() => ProvisioningOptions.FromEnvironment(read)) : new ProvisioningOptions(),
            Keys = ReadKeys(variables, role),
            HttpPort = clients
                ? variables.Port("TRANSCRIBE_HTTP_PORT", ServeOptions.DefaultHttpPort)
                : variables.Port("TRANSCRIBE_HTTP_PORT", "unset it for no health listener"),
            HttpAddress = variables.HttpAddress(),
            UdpPort = variables.Port("TRANSCRIBE_UDP_PORT", ServeOptions.DefaultUdpPort),
            PublicUrl = variables.HttpUrl("TRANSCRIBE_PUBLIC_URL"),
            MaxSessions = variables.Number("TRANSCRIBE_MAX_SESSIONS", 1, 1_000_000),
            RelayFanOut = variables.Number("TRANSCRIBE_RELAY_FANOUT", 1, 64),
            PagePath = variables.Page(),
            IceServers = variables.IceServers(),
            AdvertisedAddresses = variables.AdvertisedAddresses(),
            LogsNode = variables.Flag("TRANSCRIBE_LOG_NODE"),
            StopsAtEndOfInput = variables.Flag("TRANSCRIBE_STOP_AT_EOF"),
        };
    }

    // The compiler's own would print the secrets.
    public override string ToString() => $"RoleOptions {{ Role = {Role}, NodeId = {NodeId} }}";

    private static string MakeNodeId(NodeRole role)
    {
        // A node that starts again is another node: what the old one had is gone.
        string host = string.Concat(Environment.MachineName.Where(char.IsAsciiLetterOrDigit).Take(24));
        return $"{role.ToString().ToLowerInvariant()}-{host}-{RandomNumberGenerator.GetHexString(6, lowercase: true)}";
    }

    private static string? ReadName(EnvironmentReader variables, string name)
    {
        string? value = variables.Text(name);
        return value is null || (value.Length <= 64 && value.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_'))
            ? value
            : throw new ConfigurationException($"{name} is \"{value}\". Use 1 to 64 letters, digits, '-' or '_', or unset it.");
    }

    private static T Checked<T>(Func<T> read)
    {
        try
        {
            return read();
        }
        catch (InvalidOperationException e)
        {
            throw new ConfigurationException(e.Message);
        }
    }

    private static ApiKeyRing? ReadKeys(EnvironmentReader variables, NodeRole role)
    {
        bool development = variables.Flag("TRANSCRIBE_DEV_TOKENS");
        ApiKeyRing? keys = variables.Keys(development);
        return keys is not null || role == NodeRole.Sfu
            ? keys
            : throw new ConfigurationException("TRANSCRIBE_API_KEY is not set. Set it and TRANSCRIBE_API_SECRET to the same values on every director, signalling node and gateway.");
    }
}
