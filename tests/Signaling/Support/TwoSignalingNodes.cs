namespace Transcribe.Signaling.Tests.Support;

/// <summary>Two signalling nodes, "a" and "b", over one bus and one store, and the SFU node of "a".</summary>
public abstract class TwoSignalingNodes : IAsyncLifetime
{
    /// <summary>How long a session waits for its client, where it is not the default.</summary>
    private protected virtual TimeSpan? GracePeriod => null;

    private protected TestCluster Cluster { get; } = new();

    private protected SignalingServer A { get; private set; } = null!;

    private protected SignalingServer B { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        A = await SignalingServer.StartAsync(options => Configure(options, "a"), cluster: Cluster);
        B = await SignalingServer.StartAsync(options => Configure(options, "b"), withSfu: false, cluster: Cluster);
    }

    public async ValueTask DisposeAsync()
    {
        await A.DisposeAsync();
        await B.DisposeAsync();
        await Cluster.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    private void Configure(SignalingOptions options, string node) =>
        (options.NodeId, options.GracePeriod) = (node, GracePeriod ?? options.GracePeriod);
}
