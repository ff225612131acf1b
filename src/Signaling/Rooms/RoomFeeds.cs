using System.Collections.Immutable;
using System.Text.Json;
using Transcribe.Cluster;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Signaling.Sessions;

namespace Transcribe.Signaling.Rooms;

internal interface IRoomListener
{
    void OnRoomEvent(RoomEvent change, Outgoing message);

    void OnSpeakers(Outgoing message);
}

/// <summary>
/// One subscription a room and node, however many sessions listen. Events come to listeners in sequence: what the bus lost is
/// read from the room's log.
/// </summary>
internal sealed class RoomFeeds(IMessageBus bus, IRoomDirectory rooms)
{
    private readonly IMessageBus _bus = bus;
    private readonly IRoomDirectory _rooms = rooms;
    private readonly Lock _lock = new();
    private readonly Dictionary<string, Feed> _feeds = new(StringComparer.Ordinal);

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
        Feed? feed;
        lock (_lock)
        {
            if (!_feeds.TryGetValue(room, out feed))
                _feeds[room] = feed = new Feed(this, room);

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

    private sealed class Attachment(RoomFeeds feeds, Feed feed, IRoomListener listener) : IAsyncDisposable
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

                if (feeds._feeds.TryGetValue(feed.Room, out Feed? present) && present == feed)
                    feeds._feeds.Remove(feed.Room);
            }

            await feed.StopAsync().ConfigureAwait(false);
        }
    }

    private sealed class Feed
    {
        private readonly RoomFeeds _feeds;
        private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly List<IAsyncDisposable> _subscriptions = [];
        private readonly Lazy<Task> _start;
        private long _last;

        public Feed(RoomFeeds feeds, string room)
        {
            _feeds = feeds;
            Room = room;
            _start = new Lazy<Task>(StartAsync);
        }

        public string Room { get; }

        public Task Started => _start.Value;

        public ImmutableArray<IRoomListener> Listeners { get; set; } = [];

        public async Task StopAsync()
        {
            _ready.TrySetCanceled();
            try
            {
                await _start.Value.ConfigureAwait(false);
            }
            catch (Exception)
            {
                // The listener that started it was told; what was subscribed is undone here.
            }

            foreach (IAsyncDisposable subscription in _subscriptions)
                await subscription.DisposeAsync().ConfigureAwait(false);
        }

        private async Task StartAsync()
        {
            _subscriptions.Add(await _feeds._bus.SubscribeAsync<RoomEvent>(RoomSubjects.Events(Room), OnEventAsync).ConfigureAwait(false));
            _subscriptions.Add(await _feeds._bus.SubscribeAsync<ActiveSpeakers>(SfuSubjects.Speakers(Room), OnSpeakersAsync).ConfigureAwait(false));
            _last = (await _feeds._rooms.GetSnapshotAsync(Room).ConfigureAwait(false)).Sequence;
            _ready.TrySetResult();
        }

        private async ValueTask OnEventAsync(RoomEvent change, CancellationToken cancellationToken)
        {
            await _ready.Task.ConfigureAwait(false);
            if (change.Sequence > _last + 1)
            {
                IReadOnlyList<RoomEvent>? missed = await _feeds._rooms.GetEventsAsync(Room, _last, cancellationToken).ConfigureAwait(false);
                foreach (RoomEvent lost in missed ?? [])
                    Deliver(lost);
            }
            else if (change.Sequence <= _last
                && (await _feeds._rooms.GetSnapshotAsync(Room, cancellationToken).ConfigureAwait(false)).Sequence < _last)
            {
                // The room ended and began again, and the event that said so was lost.
                _last = change.Sequence - 1;
            }

            Deliver(change);
        }

        private void Deliver(RoomEvent change)
        {
            if (change.Sequence <= _last)
                return;

            _last = change is RoomClosed ? 0 : change.Sequence;
            var message = new Outgoing(HubMethods.RoomEvent, JsonSerializer.SerializeToElement(change, ClusterJson.Options));
            foreach (IRoomListener listener in Listeners)
                listener.OnRoomEvent(change, message);
        }

        private ValueTask OnSpeakersAsync(ActiveSpeakers speakers, CancellationToken cancellationToken)
        {
            var message = new Outgoing(HubMethods.Speakers, JsonSerializer.SerializeToElement(speakers, ClusterJson.Options));
            foreach (IRoomListener listener in Listeners)
                listener.OnSpeakers(message);

            return ValueTask.CompletedTask;
        }
    }
}
