using System.Security.Cryptography;
using Transcribe.Cluster.Tokens;

namespace Transcribe.LocalCluster;

/// <summary>What <see cref="ClusterSupervisor"/> starts.</summary>
internal sealed record ClusterPlan
{
    /// <summary>Of the director; 0 for any free one.</summary>
    public int HttpPort { get; init; } = 8080;

    public int Signaling { get; init; } = 2;

    public int Sfus { get; init; } = 3;

    public int Gateways { get; init; } = 2;

    /// <summary>The nodes of each role are dealt out to them in turn.</summary>
    public IReadOnlyList<string> Regions { get; init; } = ["local"];

    /// <summary>Start a process that died again.</summary>
    public bool Restart { get; init; }

    public ApiKeyRing Keys { get; init; } = ApiKeyRing.CreateDevelopment();

    public string ClusterKey { get; init; } = RandomNumberGenerator.GetHexString(64, lowercase: true);

    /// <summary>Further variables of every process.</summary>
    public IReadOnlyDictionary<string, string> Environment { get; init; } = new Dictionary<string, string>();

    /// <summary>The program; the same as this one by default.</summary>
    public string Executable { get; init; } = Path.Combine(AppContext.BaseDirectory, "transcribe");
}
