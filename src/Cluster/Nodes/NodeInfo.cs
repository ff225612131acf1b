using System.Text.Json.Serialization;

namespace Transcribe.Cluster.Nodes;

[JsonConverter(typeof(JsonStringEnumConverter<NodeRole>))]
public enum NodeRole
{
    [JsonStringEnumMemberName("sfu")] Sfu,
    [JsonStringEnumMemberName("signaling")] Signaling,
    [JsonStringEnumMemberName("director")] Director,
    [JsonStringEnumMemberName("gateway")] Gateway,
}

[JsonConverter(typeof(JsonStringEnumConverter<NodeState>))]
public enum NodeState
{
    [JsonStringEnumMemberName("active")] Active,

    /// <summary>Keeps what it has, takes nothing new.</summary>
    [JsonStringEnumMemberName("draining")] Draining,
}

/// <summary>A process of the cluster as it describes itself.</summary>
/// <param name="Id">Unique name; part of bus subjects ("sfu.{id}.open").</param>
/// <param name="Address">Where clients or other nodes reach it.</param>
/// <param name="Capacity">Sessions it takes at most (of a gateway: rooms).</param>
/// <param name="Load">Sessions it has (of a gateway: rooms). Relay links are none: what they cost shows in <paramref name="Media"/>.</param>
/// <param name="Media">What an SFU node carries now; null for other roles.</param>
/// <param name="Limits">What an SFU node may carry; null where only <paramref name="Capacity"/> counts. A limit of 0 is none.</param>
/// <param name="Rooms">Rooms that an SFU node has sessions of, or that a gateway captions.</param>
/// <param name="Links">Relay links of an SFU node, from and to other nodes.</param>
/// <param name="DrainDeadline">By when a draining node is to be empty, as it was told.</param>
public sealed record NodeInfo(
    string Id, NodeRole Role, string Address, string Region = "local", int Capacity = 1000, int Load = 0, string Version = "",
    NodeState State = NodeState.Active, NodeLoad? Media = null, NodeLoad? Limits = null, int Rooms = 0,
    int Links = 0, DateTimeOffset? DrainDeadline = null);

/// <summary>Media load of an SFU node, or the most it may have.</summary>
/// <param name="Tracks">Published tracks and downtracks.</param>
/// <param name="PacketsPerSecond">RTP packets forwarded.</param>
/// <param name="Cpu">Share of the processors its workers may use, 0 to 1.</param>
/// <param name="EgressBitsPerSecond">UDP payload sent.</param>
public sealed record NodeLoad(int Tracks, double PacketsPerSecond, double Cpu, double EgressBitsPerSecond);

/// <summary>The living nodes. A node announces itself again and again; one that stops is forgotten.</summary>
public interface INodeDirectory
{
    /// <summary>Writes the description of one of this process's nodes for the time to live of <see cref="NodeHeartbeat"/>; <see cref="NodeAnnouncer"/> does it again and again.</summary>
    ValueTask AnnounceAsync(NodeInfo node, CancellationToken cancellationToken = default);

    /// <summary>Removes what this directory announced, unless another process has announced itself under the name meanwhile.</summary>
    ValueTask RemoveAsync(NodeRole role, string id, CancellationToken cancellationToken = default);

    ValueTask<IReadOnlyList<NodeInfo>> ListAsync(NodeRole role, CancellationToken cancellationToken = default);
}
