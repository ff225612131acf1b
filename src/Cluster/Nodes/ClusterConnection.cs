namespace Transcribe.Cluster.Nodes;

/// <param name="StateWasLost">The store came back empty (or is another one): write again what this process knows.</param>
public sealed record ClusterReconnected(bool StateWasLost);

/// <summary>Whether this process reaches what the cluster has in common (Redis).</summary>
public interface IClusterConnection
{
    /// <summary>Bus and state answer now. In process: always.</summary>
    bool IsConnected { get; }

    /// <summary>
    /// Bus and state are back, subscriptions included; or the state was lost without the connection having been. Handlers run one after the
    /// other on one thread and must not block it; one that throws is logged.
    /// </summary>
    event Action<ClusterReconnected>? Reconnected;
}

/// <summary>The connection of the all-in-one process to itself.</summary>
public sealed class InProcessClusterConnection : IClusterConnection
{
    public bool IsConnected => true;

    // It is never lost.
    public event Action<ClusterReconnected>? Reconnected
    {
        add { }
        remove { }
    }
}
