using Transcribe.Cluster.Nodes;
using Transcribe.Sfu.Workers;

namespace Transcribe.Sfu.Control;

// The store is back after it was away: what it missed, or lost, it is told again.
public sealed partial class SfuNode
{
    /// <summary>A track is taken only into a room that has its participant, and signalling may tell of that later.</summary>
    private static readonly TimeSpan[] AnnounceAgainAfter =
        [TimeSpan.FromMilliseconds(200), TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(3), TimeSpan.FromSeconds(6)];

    private readonly IClusterConnection _connection;

    private void OnReconnected(ClusterReconnected reconnected)
    {
        _relay?.OnReconnected();
        _ = AnnounceTracksAsync();
    }

    private async Task AnnounceTracksAsync()
    {
        try
        {
            foreach (TimeSpan after in AnnounceAgainAfter)
            {
                await Task.Delay(after, _clock, _stopping.Token).ConfigureAwait(false);
                foreach (SfuWorker worker in _workers)
                    worker.TryPost((_, _) => worker.AnnounceTracks(), null);
            }
        }
        catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
        {
            // The node stops.
        }
    }
}
