namespace Transcribe.Cluster.Nodes;

/// <summary>Subjects on which every node of the cluster is spoken to (<see cref="NodeAnnouncer"/> answers).</summary>
public static class NodeSubjects
{
    /// <summary><see cref="Nodes.Ping"/>, answered with <see cref="Pong"/> by every role as long as it lives.</summary>
    public static string Ping(NodeRole role, string id) => $"node.{role}.{id}.ping";

    /// <summary><see cref="SetNodeState"/>, answered with <see cref="Pong"/>.</summary>
    public static string State(NodeRole role, string id) => $"node.{role}.{id}.state";
}

public sealed record Ping;

/// <param name="State">As the node announces itself.</param>
/// <param name="Instance">Chosen at random at the start of the process: a node that comes back under its name with another one has forgotten everything.</param>
public sealed record Pong(string NodeId, NodeState State, string? Instance = null);

/// <summary>Asks a node to take nothing new any more and to give away what it has, or to take new sessions again.</summary>
/// <param name="Deadline">By when a draining node is to be empty.</param>
public sealed record SetNodeState(NodeState State, DateTimeOffset? Deadline = null);
