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

    /// <summary>The room anew, in place of events; its number may be smaller than the last event's.</summary>
    void OnRoomReset(RoomSnapshot snapshot, Outgoing message);

    void OnSpeakers(Outgoing message);
}

/// <summary>What one room's listeners on this node hear.</summary>
internal sealed class RoomFeed : IAsyncDisposable
{
    private readonly IMessageBus _bus;
    private readonly IRoomDirectory _rooms;
    private readonly Action _regressed;
    private readonly RoomMirror _mirror;
    private readonly SpeakerBoard _speakers;
    private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly List<IAsyncDisposable> _subscriptions = [];
    private readonly Lazy<Task> _start;

    /// <summary>Events, speakers, checks and resets, one at a time.</summary>
    private readonly SemaphoreSlim _gate = new(1, 1);
    private bool _suspended;

    /// <param name="regressed">See <see cref="RoomFeeds.Regressed"/>.</param>
    public RoomFeed(string room, IMessageBus bus, IRoomDirectory rooms, Action regressed)
    {
        (Room, _bus, _rooms, _regressed) = (room, bus, rooms, regressed);
        _mirror = new RoomMirror(room);
        _speakers = new SpeakerBoard(room);
        _start = new Lazy<Task>(StartAsync);
    }

    public string Room { get; }

    public Task Started => _start.Value;

    /// <summary>Changed under the lock of <see cref="RoomFeeds"/>.</summary>
    public ImmutableArray<IRoomListener> Listeners { get; set; } = [];

    public async ValueTask DisposeAsync()
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

    public Task<RoomSnapshot> GetKnownAsync() => AloneAsync(() => Task.FromResult(_mirror.Snapshot));

    public Task CheckAsync(CancellationToken cancellationToken) => AloneAsync(async () =>
    {
        if (!_ready.Task.IsCompletedSuccessfully || _suspended)
            return;

        long last = await _rooms.GetSequenceAsync(Room, cancellationToken).ConfigureAwait(false);
        if (last > _mirror.Sequence)
            await CatchUpAsync(cancellationToken).ConfigureAwait(false);
        else if (last < _mirror.Sequence)
            Regress();
    });

    public Task SuspendAsync() => AloneAsync(() => _suspended = true);

    public Task<RoomSnapshot> ResetAsync(CancellationToken cancellationToken) => AloneAsync(async () =>
    {
        RoomSnapshot snapshot = await _rooms.GetSnapshotAsync(Room, cancellationToken).ConfigureAwait(false);
        _suspended = false;
        _mirror.Reset(snapshot);
        Outgoing message = Message(HubMethods.RoomReset, snapshot);
        foreach (IRoomListener listener in Listeners)
            listener.OnRoomReset(snapshot, message);

        return snapshot;
    });

    public Task ForgetSpeakersAsync(string? node) => AloneAsync(() => Tell(node is null ? _speakers.Clear() : _speakers.Forget(node)));

    private static Outgoing Message<T>(string method, T value) => new(method, JsonSerializer.SerializeToElement(value, ClusterJson.Options));

    private async Task StartAsync()
    {
        _subscriptions.Add(await _bus.SubscribeAsync<RoomEvent>(RoomSubjects.Events(Room), OnEventAsync).ConfigureAwait(false));
        _subscriptions.Add(await _bus.SubscribeAsync<ActiveSpeakers>(SfuSubjects.Speakers(Room), OnSpeakersAsync).ConfigureAwait(false));
        _mirror.Reset(await _rooms.GetSnapshotAsync(Room).ConfigureAwait(false));
        _ready.TrySetResult();
    }

    private async ValueTask OnEventAsync(RoomEvent change, CancellationToken cancellationToken)
    {
        await _ready.Task.ConfigureAwait(false);
        await AloneAsync(async () =>
        {
            if (_suspended)
                return;

            if (change.Sequence == _mirror.Sequence + 1)
                Deliver(change);
            else if (change.Sequence > _mirror.Sequence)
                await CatchUpAsync(cancellationToken).ConfigureAwait(false);
            else if (await _rooms.GetSequenceAsync(Room, cancellationToken).ConfigureAwait(false) < _mirror.Sequence)
                Regress();
        }).ConfigureAwait(false);
    }

    private async ValueTask OnSpeakersAsync(ActiveSpeakers speakers, CancellationToken cancellationToken) =>
        await AloneAsync(() => Tell(_speakers.Update(speakers))).ConfigureAwait(false);

    private async Task CatchUpAsync(CancellationToken cancellationToken)
    {
        IReadOnlyList<RoomEvent>? missed = await _rooms.GetEventsAsync(Room, _mirror.Sequence, cancellationToken).ConfigureAwait(false);
        if (missed is null)
            Regress();

        foreach (RoomEvent lost in missed ?? [])
            Deliver(lost);
    }

    /// <summary>Single events cannot tell what happened: a reset has to.</summary>
    private void Regress()
    {
        _suspended = true;
        _regressed();
    }

    private void Deliver(RoomEvent change)
    {
        _mirror.Apply(change);
        Outgoing message = Message(HubMethods.RoomEvent, change);
        foreach (IRoomListener listener in Listeners)
            listener.OnRoomEvent(change, message);
    }

    private void Tell(ActiveSpeakers? speakers)
    {
        if (speakers is null)
            return;

        Outgoing message = Message(HubMethods.Speakers, speakers);
        foreach (IRoomListener listener in Listeners)
            listener.OnSpeakers(message);
    }

    private Task<bool> AloneAsync(Action act) => AloneAsync(() =>
    {
        act();
        return Task.CompletedTask;
    });

    private Task<bool> AloneAsync(Func<Task> act) => AloneAsync(async () =>
    {
        await act().ConfigureAwait(false);
        return true;
    });

    private async Task<T> AloneAsync<T>(Func<Task<T>> act)
    {
        await _gate.WaitAsync().ConfigureAwait(false);
        try
        {
            return await act().ConfigureAwait(false);
        }
        finally
        {
            _gate.Release();
        }
    }
}
