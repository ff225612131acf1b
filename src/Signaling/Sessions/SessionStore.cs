using Transcribe.Cluster;
using Transcribe.Cluster.State;

namespace Transcribe.Signaling.Sessions;

/// <summary>What became of a change that only a session's owner may make.</summary>
internal enum StoreOutcome
{
    Done,

    /// <summary>There is no such session (any more).</summary>
    Gone,

    /// <summary>Another signalling node has it.</summary>
    NotOurs,
}

/// <summary>
/// The sessions of all signalling nodes in the cluster's state: <c>sessions/{id}</c> is the session,
/// <c>signaling/sessions/{owner}/{id}</c> finds those of one node, <c>signaling/nodes/{id}</c> says which nodes may have some.
/// </summary>
/// <remarks>An index entry is there before its session is, and goes after it; one without a session of that owner means nothing.</remarks>
internal sealed class SessionStore(IStateStore state, SignalingOptions options)
{
    private const string NodePrefix = "signaling/nodes/";
    private const int Attempts = 16;

    /// <summary>The name under which this node owns sessions.</summary>
    public string Self => options.NodeId;

    public async Task AddAsync(SessionRecord record, CancellationToken cancellationToken = default)
    {
        await state.SetAsync(IndexKey(record.Owner, record.Id), "{}", null, cancellationToken).ConfigureAwait(false);
        await state.SetAsync(Key(record.Id), ClusterJson.Serialize(record), null, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Writes a session again that the store lost; false where it has it.</summary>
    public async Task<bool> RestoreAsync(SessionRecord record, CancellationToken cancellationToken = default)
    {
        if (await state.GetAsync(Key(record.Id), cancellationToken).ConfigureAwait(false) is not null)
            return false;

        await state.SetAsync(IndexKey(record.Owner, record.Id), "{}", null, cancellationToken).ConfigureAwait(false);
        return await state.TryAddAsync(Key(record.Id), ClusterJson.Serialize(record), null, cancellationToken).ConfigureAwait(false) is not null;
    }

    public async Task<SessionRecord?> FindAsync(string id, CancellationToken cancellationToken = default) =>
        await state.GetAsync(Key(id), cancellationToken).ConfigureAwait(false) is { } entry ? Read(entry) : null;

    /// <summary>Makes this node the owner of a session that another has, or had.</summary>
    /// <param name="allow">Whether the session as it is now may be taken.</param>
    /// <returns>The session as it is now, and who had it before; null where there is none, it may not be taken, or it is ending.</returns>
    /// <exception cref="SessionException">"unavailable": another node was quicker.</exception>
    public async Task<(SessionRecord Record, string Before)?> TakeAsync(
        string id, Func<SessionRecord, bool> allow, CancellationToken cancellationToken = default)
    {
        string? before = null;
        for (int attempt = 0; attempt < Attempts; attempt++)
        {
            if (await state.GetAsync(Key(id), cancellationToken).ConfigureAwait(false) is not { } entry)
                return null;

            SessionRecord record = Read(entry);
            if (record.Ending is not null || !allow(record))
                return null;

            before ??= record.Owner;
            if (record.Owner != before)
                break;

            SessionRecord taken = record with { Owner = Self };
            await state.SetAsync(IndexKey(Self, id), "{}", null, cancellationToken).ConfigureAwait(false);
            if (await state.TryReplaceAsync(entry.Key, entry.Version, ClusterJson.Serialize(taken), null, cancellationToken).ConfigureAwait(false) is not null)
            {
                if (before != Self)
                    await state.DeleteAsync(IndexKey(before, id), cancellationToken).ConfigureAwait(false);

                return (taken, before);
            }
        }

        throw new SessionException(SessionException.Unavailable, "The session is being resumed over another connection; try again in a moment.");
    }

    /// <summary>Changes a session of this node.</summary>
    public Task<StoreOutcome> UpdateAsync(
        string id, Func<SessionRecord, SessionRecord> change, CancellationToken cancellationToken = default) =>
        UpdateAsync(id, Self, change, cancellationToken);

    /// <summary>Marks a session as ending, which nobody can take or change any more.</summary>
    /// <param name="owner">Whose it must be.</param>
    public Task<StoreOutcome> MarkEndingAsync(string id, string owner, string reason, CancellationToken cancellationToken = default) =>
        UpdateAsync(id, owner, record => record with { Ending = record.Ending ?? reason }, cancellationToken);

    /// <summary>Forgets a session that has ended everywhere.</summary>
    public async Task RemoveAsync(string id, string owner, CancellationToken cancellationToken = default)
    {
        await state.DeleteAsync(Key(id), cancellationToken).ConfigureAwait(false);
        await RemoveFromIndexAsync(id, owner, cancellationToken).ConfigureAwait(false);
    }

    public async Task RemoveFromIndexAsync(string id, string owner, CancellationToken cancellationToken = default) =>
        await state.DeleteAsync(IndexKey(owner, id), cancellationToken).ConfigureAwait(false);

    /// <summary>Ids in a node's index; some may not be its sessions any more.</summary>
    public async Task<IReadOnlyList<string>> ListOfAsync(string owner, CancellationToken cancellationToken = default)
    {
        string prefix = IndexKey(owner, "");
        IReadOnlyList<StateEntry> entries = await state.ListAsync(prefix, cancellationToken).ConfigureAwait(false);
        return [.. entries.Select(entry => entry.Key[prefix.Length..])];
    }

    /// <summary>Says that this node may have sessions: others look after them when it dies.</summary>
    public async Task AddSelfAsync(CancellationToken cancellationToken = default) =>
        await state.SetAsync(NodePrefix + Self, "{}", null, cancellationToken).ConfigureAwait(false);

    /// <summary>A node has no sessions any more, and is not there to get some.</summary>
    public async Task RemoveNodeAsync(string node, CancellationToken cancellationToken = default) =>
        await state.DeleteAsync(NodePrefix + node, cancellationToken).ConfigureAwait(false);

    /// <summary>Every node that may have sessions.</summary>
    public async Task<IReadOnlyList<string>> ListNodesAsync(CancellationToken cancellationToken = default)
    {
        IReadOnlyList<StateEntry> entries = await state.ListAsync(NodePrefix, cancellationToken).ConfigureAwait(false);
        return [.. entries.Select(entry => entry.Key[NodePrefix.Length..])];
    }

    private async Task<StoreOutcome> UpdateAsync(
        string id, string owner, Func<SessionRecord, SessionRecord> change, CancellationToken cancellationToken)
    {
        for (int attempt = 0; attempt < Attempts; attempt++)
        {
            if (await state.GetAsync(Key(id), cancellationToken).ConfigureAwait(false) is not { } entry)
                return StoreOutcome.Gone;

            SessionRecord record = Read(entry);
            if (record.Owner != owner)
                return StoreOutcome.NotOurs;

            string value = ClusterJson.Serialize(change(record));
            if (await state.TryReplaceAsync(entry.Key, entry.Version, value, null, cancellationToken).ConfigureAwait(false) is not null)
                return StoreOutcome.Done;
        }

        throw new SessionException(SessionException.Unavailable, "The session is changed too often at once; try again in a moment.");
    }

    private static SessionRecord Read(StateEntry entry) => ClusterJson.Deserialize<SessionRecord>(entry.Value);

    private static string Key(string id) => $"sessions/{id}";

    private static string IndexKey(string owner, string id) => $"signaling/sessions/{owner}/{id}";
}
