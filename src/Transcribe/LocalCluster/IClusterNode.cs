using Transcribe.Cluster.Nodes;

namespace Transcribe.LocalCluster;

/// <summary>A node of a local cluster, which is a process of its own.</summary>
internal interface IClusterNode
{
    /// <summary>For people: the same after a restart.</summary>
    string Name { get; }

    NodeRole Role { get; }

    string Region { get; }

    /// <summary>The node's id in the cluster.</summary>
    string NodeId { get; }

    /// <summary>Of the process.</summary>
    int Id { get; }

    /// <summary>Its HTTP; null where it has none.</summary>
    Uri? Url { get; }

    /// <summary>Of an SFU node.</summary>
    IReadOnlyList<int> UdpPorts { get; }

    bool IsRunning { get; }

    /// <summary>SIGKILL.</summary>
    void Kill();
}
