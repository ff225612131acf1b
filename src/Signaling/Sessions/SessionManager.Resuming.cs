using System.Text.Json;
using Transcribe.Cluster;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Cluster.State;

namespace Transcribe.Signaling.Sessions;

// A client that comes back, here or from another signalling node.
internal sealed partial class SessionManager
{
    /// <summary>More events than this are told as a snapshot.</summary>
    private const int MaxMissedEvents = SessionOutbox.Capacity / 2;

    private static readonly TimeSpan DescribeTimeout = TimeSpan.FromSeconds(3);

    private readonly SemaphoreSlim[] _taking = [.. Enumerable.Range(0, 64).Select(_ => new SemaphoreSlim(1, 1))];

    /// <summary>Goes on with a session over a new connection, wherever it was before; null where there is none to go on with.</summary>
    /// <exception cref="SessionException">"unavailable": another node resumes it at this moment.</exception>
    public async Task<(ClientSession Session, JoinReply Reply)?> TryResumeAsync(
        ResumeSession resume, IClientConnection connection, CancellationToken cancellationToken)
    {
        if (RefusesResumes)
            throw Draining();

        ClientSession? session = await FindOrTakeAsync(
            resume.SessionId, record => !record.Http && record.Knows(resume.ResumeKey), cancellationToken).ConfigureAwait(false);
        if (session?.Outbox is null)
            return null;

        session.StopGrace();
        session.Outbox.Hold();
        RoomSnapshot room;
        try
        {
            await AttachAsync(session, cancellationToken).ConfigureAwait(false);
            (room, IReadOnlyList<RoomEvent>? missed) = await ReadRoomAsync(session, resume.Sequence, cancellationToken).ConfigureAwait(false);
            Outgoing[] first =
            [
                .. (missed ?? []).Select(change => new Outgoing(HubMethods.RoomEvent, JsonSerializer.SerializeToElement(change, ClusterJson.Options))),
                .. session.Recap(),
            ];
            long last = missed is { Count: > 0 } ? missed[^1].Sequence : missed is null ? room.Sequence : resume.Sequence;
            session.Outbox.Attach(connection, last, first);
        }
        catch
        {
            if (!session.Outbox.Release())
                session.StartGrace(_time, _options.GracePeriod);

            throw;
        }

        // To join anew would end what goes on elsewhere.
        if (session.IsForgotten)
            throw new SessionException(SessionException.Unavailable, "The session is being resumed over another connection; try again in a moment.");

        if (session.Ended)
            return null;

        LogResumed(session.Id, session.Room);
        return (session, Reply(session, resume.ResumeKey, room, resumed: true));
    }

    /// <summary>A WHIP or WHEP session, taken over from another node where need be; null where there is none.</summary>
    public async Task<ClientSession?> FindHttpAsync(string sessionId, CancellationToken cancellationToken)
    {
        ClientSession? session = await FindOrTakeAsync(sessionId, record => record.Http, cancellationToken).ConfigureAwait(false);
        if (session is not null)
            await AttachAsync(session, cancellationToken).ConfigureAwait(false);

        return session;
    }

    /// <summary>Another node has the session now: nothing is ended, and no word is said.</summary>
    public async Task OnTakenAsync(SessionTaken taken)
    {
        // It may have come back here meanwhile.
        if (_sessions.TryGetValue(taken.SessionId, out ClientSession? session)
            && (await _store.FindAsync(taken.SessionId).ConfigureAwait(false))?.Owner != _store.Self)
        {
            await ForgetAsync(session).ConfigureAwait(false);
        }
    }

    /// <summary>Asks the SFU node about sessions of which events may have been lost, and tells their clients how they are.</summary>
    public async Task RefreshAsync(CancellationToken cancellationToken)
    {
        foreach (ClientSession session in _sessions.Values.Where(session => session.IsStale && !session.Ended))
        {
            if (!await DescribeAsync(session, cancellationToken).ConfigureAwait(false))
                continue;

            foreach (Outgoing message in session.Recap())
                session.Outbox?.Post(message);
        }
    }

    /// <summary>Forgets what other nodes took over while this one could not hear of it.</summary>
    public async Task CheckOwnersAsync(CancellationToken cancellationToken)
    {
        foreach (ClientSession session in _sessions.Values)
        {
            if (await _store.FindAsync(session.Id, cancellationToken).ConfigureAwait(false) is { } record && record.Owner != _store.Self)
                await ForgetAsync(session).ConfigureAwait(false);
        }
    }

    /// <summary>Events of SFU nodes may have been lost: every session is asked about.</summary>
    public void MarkStale()
    {
        foreach (ClientSession session in _sessions.Values)
            session.IsStale = true;
    }

    private async Task<ClientSession?> FindOrTakeAsync(string id, Func<SessionRecord, bool> allow, CancellationToken cancellationToken)
    {
        if (Local() is { } here)
            return allow(here.Record) ? here : null;

        SemaphoreSlim gate = _taking[(uint)string.GetHashCode(id, StringComparison.Ordinal) % (uint)_taking.Length];
        await gate.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (Local() is { } meanwhile)
                return allow(meanwhile.Record) ? meanwhile : null;

            if (_stopping || await _store.TakeAsync(id, allow, cancellationToken).ConfigureAwait(false) is not { } taken)
                return null;

            ClientSession session = Create(taken.Record);
            _sessions[id] = session;
            _watch.Use(session.Node);
            if (!session.Record.Http)
                session.StartGrace(_time, _options.GracePeriod);

            LogTaken(id, session.Room, taken.Before);
            if (taken.Before != _store.Self)
                await _bus.PublishAsync(SignalingSubjects.Taken(taken.Before), new SessionTaken(id, _store.Self), CancellationToken.None).ConfigureAwait(false);

            return session;
        }
        finally
        {
            gate.Release();
        }

        ClientSession? Local() => _sessions.TryGetValue(id, out ClientSession? session) && !session.Ended ? session : null;
    }

    /// <summary>Lets a session that came from another node hear its room and its SFU node, and asks that node how it is.</summary>
    private async Task AttachAsync(ClientSession session, CancellationToken cancellationToken)
    {
        if (session.IsAttached)
            return;

        await session.Gate.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (session.IsAttached)
                return;

            // What an attempt that failed left behind.
            foreach (IAsyncDisposable subscription in session.Subscriptions)
                await subscription.DisposeAsync().ConfigureAwait(false);

            session.Subscriptions.Clear();
            await ListenAsync(session, cancellationToken).ConfigureAwait(false);
            session.ShownAt = (await _feeds.GetKnownAsync(session.Room).ConfigureAwait(false))?.Sequence;
            session.IsStale = true;
            await DescribeAsync(session, cancellationToken).ConfigureAwait(false);
            session.IsAttached = true;
        }
        finally
        {
            session.Gate.Release();
        }
    }

    /// <summary>False where the node did not say: it is asked again later, or is found dead.</summary>
    private async Task<bool> DescribeAsync(ClientSession session, CancellationToken cancellationToken)
    {
        string node = session.Node;
        try
        {
            SessionDescription description = await _bus.RequestAsync<DescribeSession, SessionDescription>(
                SfuSubjects.Describe(node), new DescribeSession(session.Id), DescribeTimeout, cancellationToken).ConfigureAwait(false);
            session.IsStale = false;
            session.OnDescribed(node, description);
            return true;
        }
        catch (BusException e)
        {
            LogRefused(session.Id, SfuSubjects.Describe(node), e.Code);
            if (e.Code == SessionException.NotFound && node == session.Node)
            {
                session.IsStale = false;
                _mover.MoveLater(session, "nodeLost", exclude: null);
            }

            return false;
        }
    }

    /// <summary>The room, and the events after a number; null for those where the room itself says it better.</summary>
    private async Task<(RoomSnapshot Room, IReadOnlyList<RoomEvent>? Missed)> ReadRoomAsync(
        ClientSession session, long sequence, CancellationToken cancellationToken)
    {
        try
        {
            RoomSnapshot room = await _rooms.GetSnapshotAsync(session.Room, cancellationToken).ConfigureAwait(false);
            IReadOnlyList<RoomEvent>? missed = await _rooms.GetEventsAsync(session.Room, sequence, cancellationToken).ConfigureAwait(false);
            return (room, missed?.Count > MaxMissedEvents ? null : missed);
        }
        catch (ClusterUnavailableException)
        {
            // While the store is away the room goes on as it was heard of last.
            if (await _feeds.GetKnownAsync(session.Room).ConfigureAwait(false) is not { } known)
                throw;

            return (known, null);
        }
    }
}
