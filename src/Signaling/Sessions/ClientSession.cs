using System.Text.Json;
using Transcribe.Cluster;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Cluster.Tokens;
using Transcribe.Signaling.Rooms;

namespace Transcribe.Signaling.Sessions;

/// <summary>One client's session on one SFU node, as the signalling node that owns it keeps it.</summary>
internal sealed class ClientSession : IRoomListener, IDisposable
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, MediaAssignment> _assignments = new(StringComparer.Ordinal);
    private readonly Action<ClientSession, string> _end;
    private readonly Action<ClientSession, string> _lost;
    private volatile SessionRecord _record;
    private bool _connected;
    private SessionNeedsMedia? _needsMedia;
    private ITimer? _grace;
    private int _ended;
    private int _moving;

    /// <param name="end">Asked to end the session, with the reason.</param>
    /// <param name="lost">Told that the SFU node gives the session up; with the reason to move it.</param>
    public ClientSession(SessionRecord record, Action<ClientSession, string> end, Action<ClientSession, string> lost)
    {
        _record = record;
        Outbox = record.Http ? null : new SessionOutbox();
        _end = end;
        _lost = lost;
    }

    public SessionRecord Record => _record;

    public string Id => _record.Id;

    public string Room => _record.Room;

    public string Participant => _record.Participant;

    public Grants Grants => _record.Grants;

    public Presence Presence => _record.Presence;

    /// <summary>The SFU node that has its media now.</summary>
    public string Node => _record.Node;

    /// <summary>Null for a session over HTTP.</summary>
    public SessionOutbox? Outbox { get; }

    /// <summary>One negotiation or HTTP change at a time.</summary>
    public SemaphoreSlim Gate { get; } = new(1, 1);

    public List<IAsyncDisposable> Subscriptions { get; } = [];

    /// <summary>It hears its room and its SFU node.</summary>
    public bool IsAttached { get; set; }

    /// <summary>The room's sequence number when it was surely in its room; null before. If the room lacks it later, it is over.</summary>
    public long? ShownAt { get; set; }

    /// <summary>Events of the SFU node may have been lost: it is to be asked how the session is.</summary>
    public bool IsStale { get; set; }

    /// <summary>It is not over, but another signalling node's.</summary>
    public bool IsForgotten { get; set; }

    /// <summary>It is over, or another signalling node has it.</summary>
    public bool Ended => Volatile.Read(ref _ended) != 0;

    /// <summary>Whether its client is away, and waited for.</summary>
    public bool InGrace
    {
        get
        {
            lock (_lock)
                return _grace is not null;
        }
    }

    /// <summary>True for the first caller.</summary>
    public bool TryEnd() => Interlocked.Exchange(ref _ended, 1) == 0;

    public void End(string reason) => _end(this, reason);

    /// <summary>True for one mover at a time.</summary>
    public bool TryBeginMove() => Interlocked.Exchange(ref _moving, 1) == 0;

    public void EndMove() => Volatile.Write(ref _moving, 0);

    public void StartGrace(TimeProvider time, TimeSpan period)
    {
        lock (_lock)
        {
            _grace?.Dispose();
            _grace = Ended ? null : time.CreateTimer(_ => _end(this, "timeout"), null, period, Timeout.InfiniteTimeSpan);
        }
    }

    public void StopGrace()
    {
        lock (_lock)
        {
            _grace?.Dispose();
            _grace = null;
        }
    }

    public void OnRoomEvent(RoomEvent change, Outgoing message)
    {
        Outbox?.PostRoomEvent(change.Sequence, change is RoomClosed, message);

        // "empty" leaves only viewers and gateways behind, who wait for somebody to come.
        if (change is RoomClosed { Reason: not "empty" })
            _end(this, "roomClosed");

        // Another node took this one for dead, or an admin acted on the room.
        if (change is ParticipantLeft { Reason: "timeout" or "removed" } left && left.ParticipantId == Participant
            && Presence == Presence.Visible && change.Sequence > ShownAt)
        {
            _end(this, left.Reason);
        }
    }

    public void OnRoomReset(RoomSnapshot snapshot, Outgoing message)
    {
        Outbox?.PostReset(snapshot.Sequence, message);
        if (ShownAt is null || Presence != Presence.Visible)
            return;

        ShownAt = snapshot.Sequence;
        if (snapshot.Participants.All(participant => participant.Id != Participant))
            _end(this, snapshot.Participants.Count == 0 ? "roomClosed" : "removed");
    }

    public void OnSpeakers(Outgoing message) => Outbox?.Post(message, optional: true);

    public ValueTask OnSessionEventAsync(SfuSessionEvent change, CancellationToken cancellationToken)
    {
        // After a move the former node still has things to say, its goodbye for one.
        if (change.Node is not null && change.Node != Node)
            return ValueTask.CompletedTask;

        lock (_lock)
        {
            switch (change)
            {
                case SessionConnected:
                    _connected = true;
                    break;
                case SessionAssigned assigned:
                    Merge(assigned.Assignments);
                    break;
                case SessionNeedsMedia needs:
                    _needsMedia = needs;
                    break;
            }
        }

        if (change is SessionClosed { Reason: "nodeShutdown", Node: not null })
            _lost(this, "nodeLost");
        else if (change is SessionClosed closed)
            _end(this, closed.Reason);
        else
            Outbox?.Post(Message(change));

        return ValueTask.CompletedTask;
    }

    /// <summary>The SFU node answered an offer.</summary>
    /// <returns>Whether this was the first one after a move.</returns>
    public bool OnNegotiated(string node, IReadOnlyList<MediaAssignment> assignments)
    {
        lock (_lock)
        {
            if (node != _record.Node)
                return false;

            _needsMedia = null;
            Merge(assignments);
            bool moved = _record.Moved is not null;
            _record = _record with { Moved = null };
            return moved;
        }
    }

    /// <summary>The SFU node said how the session is.</summary>
    public void OnDescribed(string node, SessionDescription description)
    {
        lock (_lock)
        {
            if (node != _record.Node)
                return;

            _connected = description.Connected;
            _needsMedia = description.NeedsMedia;
            Merge(description.Assignments);
        }
    }

    /// <summary>Which SFU node it is opened on; before anybody knows of it.</summary>
    public void PlaceOn(string node) => _record = _record with { Node = node };

    /// <summary>Its media is on another SFU node from now on, and begins anew there.</summary>
    public void MoveTo(string node, string reason)
    {
        lock (_lock)
        {
            _record = _record with { Node = node, Moved = reason };
            _connected = false;
            _needsMedia = null;
            _assignments.Clear();
        }

        Outbox?.Post(Message(new SessionMoved(reason)));
    }

    /// <summary>What a client that was away must know of its media session.</summary>
    public IReadOnlyList<Outgoing> Recap()
    {
        lock (_lock)
        {
            var recap = new List<Outgoing>();
            if (_record.Moved is { } moved)
                recap.Add(Message(new SessionMoved(moved)));

            if (_connected)
                recap.Add(Message(new SessionConnected()));

            if (_assignments.Count > 0)
                recap.Add(Message(new SessionAssigned([.. _assignments.Values])));

            if (_needsMedia is not null)
                recap.Add(Message(_needsMedia));

            return recap;
        }
    }

    public void Dispose()
    {
        StopGrace();
        Gate.Dispose();
    }

    public static Outgoing Message(SfuSessionEvent change) =>
        new(HubMethods.SessionEvent, JsonSerializer.SerializeToElement(change with { Node = null }, ClusterJson.Options));

    private void Merge(IReadOnlyList<MediaAssignment> assignments)
    {
        foreach (MediaAssignment assignment in assignments)
        {
            if (!_assignments.TryGetValue(assignment.Mid, out MediaAssignment? known) || assignment.Revision >= known.Revision)
                _assignments[assignment.Mid] = assignment;
        }
    }
}
