using Transcribe.Cluster.Nodes;

namespace Transcribe.Cluster.Tests.Support;

/// <summary>A connection the test cuts and restores.</summary>
internal sealed class FakeConnection : IClusterConnection
{
    public event Action<ClusterReconnected>? Reconnected;

    public bool IsConnected { get; private set; } = true;

    public void Cut() => IsConnected = false;

    public void Restore(bool stateWasLost = false)
    {
        IsConnected = true;
        Reconnected?.Invoke(new ClusterReconnected(stateWasLost));
    }
}
