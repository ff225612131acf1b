using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Rooms;

namespace Transcribe.Signaling.Rooms;

/// <summary>
/// One subscription a room and node, however many sessions listen. Events come to listeners in sequence: what the bus lost is
/// read from the room's log, at the latest when <see cref="CheckAsync"/> looks.
/// </summary>
internal sealed class RoomFeeds(IMessageBus bus, IRoomDirectory rooms)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, RoomFeed> _feeds = new(StringComparer.Ordinal);

    /// <summary>
    /// Asked where a room has fewer events than its listeners have heard: it ended, or the cluster's state was lost. The feed is silent until
    /// <see cref="ResetAsync"/>.
    /// </summary>
    public Action<string>? Regressed { get; set; }

    /// <summary>Rooms listened to now.</summary>
    public int Count
    {
        get
        {
            lock (_lock)
                return _feeds.Count;
        }
    }

    /// <summary>After this returns, every event after a snapshot that is taken later reaches the listener.</summary>
    public async Task<IAsyncDisposable> AttachAsync(string room, IRoomListener listener)
    {
        RoomFeed? feed;
        lock (_lock)
        {
            if (!_feeds.TryGetValue(room, out feed))
                _feeds[room] = feed = new RoomFeed(room, bus, rooms, () => Regressed?.Invoke(room));

            feed.Listeners = feed.Listeners.Add(listener);
        }

        var attachment = new Attachment(this, feed, listener);
        try
        {
            await feed.Started.ConfigureAwait(false);
            return attachment;
        }
        catch
        {
            await attachment.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>The room as its events have told it; null where nobody listens to it.</summary>
    public async Task<RoomSnapshot?> GetKnownAsync(string room) =>
        Find(room) is { } feed ? await feed.GetKnownAsync().ConfigureAwait(false) : null;

    /// <summary>Looks for events that the bus lost, in every room listened to.</summary>
    /// <exception cref="Exception">The store does not answer; look again later.</exception>
    public async Task CheckAsync(CancellationToken cancellationToken)
    {
        foreach (RoomFeed feed in All())
            await feed.CheckAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Nothing of these rooms is told until <see cref="ResetAsync"/>: what would be is going to be in its snapshot.</summary>
    public async Task SuspendAsync(string room)
    {
        if (Find(room) is { } feed)
            await feed.SuspendAsync().ConfigureAwait(false);
    }

    /// <summary>Takes a snapshot, and tells it to the room's listeners in place of events.</summary>
    public async Task<RoomSnapshot?> ResetAsync(string room, CancellationToken cancellationToken) =>
        Find(room) is { } feed ? await feed.ResetAsync(cancellationToken).ConfigureAwait(false) : null;

    /// <summary>An SFU node is gone, and its speakers with it. Null: no list that is known can be relied on.</summary>
    public async Task ForgetSpeakersAsync(string? node)
    {
        foreach (RoomFeed feed in All())
            await feed.ForgetSpeakersAsync(node).ConfigureAwait(false);
    }

    private RoomFeed? Find(string room)
    {
        lock (_lock)
            return _feeds.GetValueOrDefault(room);
    }

    private RoomFeed[] All()
    {
        lock (_lock)
            return [.. _feeds.Values];
    }

    private sealed class Attachment(RoomFeeds feeds, RoomFeed feed, IRoomListener listener) : IAsyncDisposable
    {
        private int _disposed;

        public async ValueTask DisposeAsync()
        {
            if (Interlocked.Exchange(ref _disposed, 1) != 0)
                return;

            lock (feeds._lock)
            {
                feed.Listeners = feed.Listeners.Remove(listener);
                if (!feed.Listeners.IsEmpty)
                    return;

                if (feeds._feeds.TryGetValue(feed.Room, out RoomFeed? present) && present == feed)
                    feeds._feeds.Remove(feed.Room);
            }

            await feed.DisposeAsync().ConfigureAwait(false);
        }
    }
}
