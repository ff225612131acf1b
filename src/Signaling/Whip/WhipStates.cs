using Transcribe.Cluster;
using Transcribe.Cluster.Sfu;
using Transcribe.Cluster.State;

namespace Transcribe.Signaling.Whip;

/// <summary>What is needed to go on with a WHIP or WHEP resource.</summary>
internal sealed record WhipState(string Offer, PublishedMedia[] Tracks, string ETag);

/// <summary>The resources of all signalling nodes in the cluster's state: a request may come to any node.</summary>
internal sealed class WhipStates(IStateStore state)
{
    public async Task WriteAsync(string sessionId, WhipState value, CancellationToken cancellationToken = default) =>
        await state.SetAsync(Key(sessionId), ClusterJson.Serialize(value), null, cancellationToken).ConfigureAwait(false);

    public async Task<WhipState?> FindAsync(string sessionId, CancellationToken cancellationToken = default) =>
        await state.GetAsync(Key(sessionId), cancellationToken).ConfigureAwait(false) is { } entry
            ? ClusterJson.Deserialize<WhipState>(entry.Value)
            : null;

    public async Task RemoveAsync(string sessionId, CancellationToken cancellationToken = default) =>
        await state.DeleteAsync(Key(sessionId), cancellationToken).ConfigureAwait(false);

    private static string Key(string sessionId) => $"whip/{sessionId}";
}
