namespace Transcribe.Cluster.Nodes;

/// <summary>Subjects on which every node of the cluster is spoken to.</summary>
public static class NodeSubjects
{
    /// <summary><see cref="Nodes.Ping"/>, answered by every role as long as it lives.</summary>
    public static string Ping(NodeRole role, string id) => $"node.{role}.{id}.ping";

    /// <summary><see cref="SetNodeState"/>.</summary>
    public static string State(NodeRole role, string id) => $"node.{role}.{id}.state";
}

public sealed record Ping;

/// <param name="State">As the node announces itself.</param>
public sealed record Pong(string NodeId, NodeState State);

/// <summary>Asks a node to take nothing new any more, or to take new sessions again.</summary>
public sealed record SetNodeState(NodeState State);
