using Transcribe.Rtc;
using Transcribe.Rtc.Ice;
using Transcribe.Rtc.Stun;
using Transcribe.Sfu.Relay;
using Transcribe.Sfu.Routing;

namespace Transcribe.Sfu.Workers;

// Which session a datagram is for, and which sessions and rooms there are.
internal sealed partial class SfuWorker
{
    private readonly Dictionary<string, SfuSession> _sessions = new(StringComparer.Ordinal);
    private readonly Dictionary<string, SfuRoom> _rooms = new(StringComparer.Ordinal);
    private readonly Dictionary<string, SfuSession> _byUfrag = new(StringComparer.Ordinal);
    private readonly Dictionary<TransportAddress, SfuSession> _byAddress = [];
    private RoomShards _shards = new();
    private RtcSessionOptions? _relayClientOptions;
    private RtcSessionOptions? _relayServerOptions;
    private Dictionary<string, SfuSession>.AlternateLookup<ReadOnlySpan<char>>? _ufragLookup;

    internal IReadOnlyList<IceCandidate> Candidates => _options.Candidates;

    /// <summary>Sources that lead to a session.</summary>
    internal int AddressCount => _byAddress.Count;

    internal int UfragCount => _byUfrag.Count;

    internal int TimerCount => _wheel.Count;

    internal IReadOnlyCollection<SfuSession> Sessions => _sessions.Values;

    internal SfuSession? FindSession(string id) => _sessions.GetValueOrDefault(id);

    /// <summary>Makes the session, or returns the one that has this id.</summary>
    /// <exception cref="RoomFullException">The room has as many sessions as it may.</exception>
    internal SfuSession OpenSession(SfuSessionSettings settings)
    {
        if (_sessions.TryGetValue(settings.SessionId, out SfuSession? session))
            return session;
        if (FindRoom(settings.Room)?.Sessions.Count >= Limits.MaxSessionsPerRoom)
            throw new RoomFullException($"Room \"{settings.Room}\"", Limits.MaxSessionsPerRoom);

        SfuRoom room = HoldRoom(settings.Room);
        session = new SfuSession(this, room, settings, OptionsOf(settings));
        _sessions.Add(settings.SessionId, session);
        Counters.Sessions = _sessions.Count;
        room.Add(session);
        Touch(session);
        return session;
    }

    /// <summary>Closes a session now; nothing of it may be on the stack.</summary>
    internal void CloseSession(SfuSession session, string reason)
    {
        if (session.IsClosed)
            return;
        session.IsDoomed = true;
        try
        {
            session.Close(Now);
        }
        catch (Exception e)
        {
            Counters.SessionFaults++;
            Raise(new SessionFaulted(session.Id, e));
        }

        SfuRoom room = session.Room;
        room.Remove(session);
        ReleaseRoom(room);

        foreach (string ufrag in session.Ufrags)
            _byUfrag.Remove(ufrag);
        foreach (TransportAddress address in session.Addresses)
            _byAddress.Remove(address);
        _wheel.Cancel(session.Timer);
        _sessions.Remove(session.Id);
        Counters.Sessions = _sessions.Count;
        Raise(new SessionEnded(session.Id, room.Name, session.Participant, session.Hidden, reason));
    }

    private RtcSessionOptions OptionsOf(SfuSessionSettings settings) => settings.Relay is not { } relay
        ? _sessionOptions
        : relay.IsClient
            ? _relayClientOptions ??= RelayFormats.Options(_sessionOptions, client: true, relay.CutAfter)
            : _relayServerOptions ??= RelayFormats.Options(_sessionOptions, client: false, relay.CutAfter);

    /// <summary>Tells the cluster once more of every track published here.</summary>
    internal void AnnounceTracks()
    {
        foreach (SfuRoom room in _rooms.Values)
        {
            foreach (Publication publication in room.Publications)
                publication.Announce();
        }
    }

    internal SfuRoom? FindRoom(string name) => _rooms.GetValueOrDefault(name);

    /// <summary>This worker's part of a room; it stays until everybody who held it has released it.</summary>
    internal SfuRoom HoldRoom(string name)
    {
        if (!_rooms.TryGetValue(name, out SfuRoom? room))
        {
            room = new SfuRoom(this, name);
            _rooms.Add(name, room);
            Counters.Rooms = _rooms.Count;
            room.Open(_shards.Join(name, this));
        }

        room.Holders++;
        return room;
    }

    internal void ReleaseRoom(SfuRoom room)
    {
        if (--room.Holders > 0)
            return;
        _rooms.Remove(room.Name);
        Counters.Rooms = _rooms.Count;
        room.Close(_shards.Leave(room.Name, this));
    }

    /// <summary>The session's ICE restart is over: this former ufrag leads nowhere any more.</summary>
    internal void ForgetUfrag(SfuSession session, string ufrag)
    {
        if (session.Ufrags.Remove(ufrag))
            _byUfrag.Remove(ufrag);
    }

    /// <summary>The session answers to this ufrag from now on, and for a while still to its former ones.</summary>
    internal void RegisterUfrag(SfuSession session, string ufrag)
    {
        if (session.Ufrags.Contains(ufrag))
            return;
        _byUfrag[ufrag] = session;
        session.Ufrags.Add(ufrag);
        if (session.Ufrags.Count > 3)
        {
            _byUfrag.Remove(session.Ufrags[0]);
            session.Ufrags.RemoveAt(0);
        }
    }

    /// <summary>The session proved, by an authenticated check, that it receives at this address.</summary>
    internal void LearnAddress(SfuSession session, in TransportAddress address)
    {
        if (_byAddress.TryGetValue(address, out SfuSession? known))
        {
            if (ReferenceEquals(known, session))
                return;

            // The address changed hands, as after a reload of a page: the newest proof counts.
            known.Addresses.Remove(address);
        }

        _byAddress[address] = session;
        session.Addresses.Add(address);
        if (session.Addresses.Count > Limits.MaxAddressesPerSession)
        {
            _byAddress.Remove(session.Addresses[0]);
            session.Addresses.RemoveAt(0);
        }
    }

    private void Dispatch(Span<byte> datagram, in TransportPath path)
    {
        SfuSession? session;
        switch (DatagramClassifier.Classify(datagram))
        {
            case DatagramKind.Stun:
                if (!TryFindByUfrag(datagram, path, out session))
                    return;
                break;
            case DatagramKind.Dtls or DatagramKind.Rtp or DatagramKind.Rtcp:
                if (!_byAddress.TryGetValue(path.Remote, out session))
                {
                    Counters.Drop(SfuDropReason.UnknownSource);
                    return;
                }

                break;
            default:
                Counters.Drop(datagram.IsEmpty ? SfuDropReason.Empty : SfuDropReason.UnknownProtocol);
                return;
        }

        try
        {
            session.Receive(Now, path, datagram);
        }
        catch (Exception e)
        {
            Fault(session, e);
        }

        Touch(session);
        CloseDoomed();
    }

    private bool TryFindByUfrag(ReadOnlySpan<byte> datagram, in TransportPath path, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out SfuSession? session)
    {
        if (!StunMessage.TryReadUfrag(datagram, out ReadOnlySpan<byte> ufrag))
        {
            // Responses and indications carry no user name.
            if (_byAddress.TryGetValue(path.Remote, out session))
                return true;
            Counters.Drop(SfuDropReason.StunMalformed);
            return false;
        }

        _ufragLookup ??= _byUfrag.GetAlternateLookup<ReadOnlySpan<char>>();
        Span<char> text = stackalloc char[256];
        if (ufrag.Length <= text.Length)
        {
            for (int i = 0; i < ufrag.Length; i++)
                text[i] = (char)ufrag[i];
            if (_ufragLookup.Value.TryGetValue(text[..ufrag.Length], out session))
                return true;
        }

        session = null;
        Counters.Drop(SfuDropReason.UnknownUfrag);
        return false;
    }

    private void CloseDoomed()
    {
        // Closing one can doom others.
        for (int i = 0; i < _doomed.Count; i++)
            CloseSession(_doomed[i].Session, _doomed[i].Reason);
        _doomed.Clear();
    }

    private void CloseAll(string reason)
    {
        foreach (SfuSession session in _sessions.Values.ToArray())
            CloseSession(session, reason);
    }
}
