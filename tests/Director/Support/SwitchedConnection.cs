using Transcribe.Cluster.Nodes;

namespace Transcribe.Director.Tests.Support;

/// <summary>A connection to the cluster that is cut by hand.</summary>
internal sealed class SwitchedConnection : IClusterConnection
{
    public bool IsConnected { get; set; } = true;

    public event Action<ClusterReconnected>? Reconnected;

    public void Reconnect(bool stateWasLost)
    {
        IsConnected = true;
        Reconnected?.Invoke(new ClusterReconnected(stateWasLost));
    }
}
