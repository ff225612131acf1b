using System.Security.Cryptography;
using Transcribe.Cluster.Tokens;

namespace Transcribe.LocalCluster;

/// <summary>What <see cref="ClusterSupervisor"/> starts.</summary>
internal sealed record ClusterPlan
{
    /// <summary>Of the director; 0 for any free one.</summary>
    public int HttpPort { get; init; } = 8080;

    public int Signaling { get; init; } = 2;

    /// <summary>SFU nodes that the director starts at once, and replaces where one is lost.</summary>
    public int Sfus { get; init; } = 3;

    /// <summary>SFU nodes that the director starts at most, by load; null: two more than <see cref="Sfus"/>.</summary>
    public int? MaxSfus { get; init; }

    /// <summary>Sessions that an SFU node takes; null for its default. A few, to see the director start another one.</summary>
    public int? SessionsPerSfu { get; init; }

    public int Gateways { get; init; } = 2;

    /// <summary>The nodes of each role are dealt out to them in turn.</summary>
    public IReadOnlyList<string> Regions { get; init; } = ["local"];

    /// <summary>Start a process that died again, Redis with its data. Of SFU nodes the director always starts another.</summary>
    public bool Restart { get; init; }

    public ApiKeyRing Keys { get; init; } = ApiKeyRing.CreateDevelopment();

    public string ClusterKey { get; init; } = RandomNumberGenerator.GetHexString(64, lowercase: true);

    /// <summary>Further variables of every process.</summary>
    public IReadOnlyDictionary<string, string> Environment { get; init; } = new Dictionary<string, string>();

    /// <summary>The program; the same as this one by default.</summary>
    public string Executable { get; init; } = Path.Combine(AppContext.BaseDirectory, "transcribe");
}
