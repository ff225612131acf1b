using System.Text.Json;
using Transcribe.Cluster;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Cluster.Tokens;
using Transcribe.Signaling.Rooms;

namespace Transcribe.Signaling.Sessions;

/// <summary>How a session shows in its room.</summary>
internal enum Presence
{
    /// <summary>A participant of the roster.</summary>
    Visible,

    /// <summary>Counted as a viewer, in no roster (WHEP).</summary>
    Viewer,

    /// <summary>No trace at all (gateways).</summary>
    Hidden,
}

/// <summary>One client's session on one SFU node, as the signalling node keeps it.</summary>
internal sealed class ClientSession : IRoomListener, IDisposable
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, MediaAssignment> _assignments = new(StringComparer.Ordinal);
    private readonly Action<ClientSession, string> _end;
    private bool _connected;
    private SessionNeedsMedia? _needsMedia;
    private ITimer? _grace;

    /// <param name="end">Asked to end the session, with the reason.</param>
    public ClientSession(string id, string resumeKey, AccessToken token, string? name, Presence presence, string node, bool hasHub, Action<ClientSession, string> end)
    {
        Id = id;
        ResumeKey = resumeKey;
        Token = token;
        Name = name;
        Presence = presence;
        Node = node;
        Outbox = hasHub ? new SessionOutbox() : null;
        _end = end;
    }

    public string Id { get; }

    public string ResumeKey { get; }

    public AccessToken Token { get; }

    public string Room => Token.Room;

    public string Participant => Token.Participant;

    public string? Name { get; }

    public Presence Presence { get; }

    public string Node { get; }

    /// <summary>Null for a session over HTTP.</summary>
    public SessionOutbox? Outbox { get; }

    /// <summary>One negotiation or HTTP change at a time.</summary>
    public SemaphoreSlim Gate { get; } = new(1, 1);

    public List<IAsyncDisposable> Subscriptions { get; } = [];

    public bool Ended => Volatile.Read(ref _ended) != 0;

    private int _ended;

    /// <summary>True for the first caller.</summary>
    public bool TryEnd() => Interlocked.Exchange(ref _ended, 1) == 0;

    public void StartGrace(TimeProvider time, TimeSpan period)
    {
        lock (_lock)
        {
            _grace?.Dispose();
            _grace = Ended ? null : time.CreateTimer(_ => _end(this, "timeout"), null, period, Timeout.InfiniteTimeSpan);
        }
    }

    /// <summary>Whether its client is away, and waited for.</summary>
    public bool InGrace
    {
        get
        {
            lock (_lock)
                return _grace is not null;
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
    }

    public void OnSpeakers(Outgoing message) => Outbox?.Post(message, optional: true);

    public ValueTask OnSessionEventAsync(SfuSessionEvent change, CancellationToken cancellationToken)
    {
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

        if (change is SessionClosed closed)
            _end(this, closed.Reason);
        else
            Outbox?.Post(Message(change));

        return ValueTask.CompletedTask;
    }

    public void OnNegotiated(IReadOnlyList<MediaAssignment> assignments)
    {
        lock (_lock)
        {
            _needsMedia = null;
            Merge(assignments);
        }
    }

    /// <summary>What a client that was away must know of its media session.</summary>
    public IReadOnlyList<Outgoing> Recap()
    {
        lock (_lock)
        {
            var recap = new List<Outgoing>();
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
        new(HubMethods.SessionEvent, JsonSerializer.SerializeToElement(change, ClusterJson.Options));

    private void Merge(IReadOnlyList<MediaAssignment> assignments)
    {
        foreach (MediaAssignment assignment in assignments)
        {
            if (!_assignments.TryGetValue(assignment.Mid, out MediaAssignment? known) || assignment.Revision >= known.Revision)
                _assignments[assignment.Mid] = assignment;
        }
    }
}
