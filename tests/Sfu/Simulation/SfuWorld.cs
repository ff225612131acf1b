using System.Threading.Channels;
using Microsoft.Extensions.Time.Testing;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Cluster.Tokens;
using Transcribe.Rtc;
using Transcribe.Rtc.Dtls;
using Transcribe.Rtc.Ice;
using Transcribe.Sfu.Control;
using Transcribe.Sfu.Routing;
using Transcribe.Sfu.Workers;

namespace Transcribe.Sfu.Tests.Simulation;

/// <summary>The workers of a node, usually one, and their clients on a virtual clock and a network without delay: everything happens on the test's thread.</summary>
internal sealed class SfuWorld : IDisposable
{
    private static readonly DtlsCertificate Certificate = DtlsCertificate.Generate(DateTimeOffset.UtcNow);

    private readonly Channel<SfuEvent> _events = Channel.CreateUnbounded<SfuEvent>();
    private readonly Dictionary<TransportAddress, TestPeer> _peers = [];
    private int _nextPeer = 1;

    private readonly List<SfuWorker> _workers = [];
    private readonly List<VirtualSocket> _sockets = [];
    private readonly IReadOnlyList<WorkerLink> _links;

    public SfuWorld(SfuLimits? limits = null, Func<RtcSessionOptions, RtcSessionOptions>? configure = null, int workers = 1)
    {
        var session = new RtcSessionOptions { Certificate = Certificate, DtlsExecutor = DtlsLockStepExecutor.Instance };
        for (int i = 0; i < workers; i++)
        {
            TransportAddress address = TransportAddress.FromIPv4(0x0A00_0001u + (uint)i, 7882);
            _sockets.Add(new VirtualSocket(address));
            _workers.Add(new SfuWorker(
                new SfuWorkerOptions
                {
                    Index = i,
                    NodeId = "n1",
                    Clock = Clock,
                    Session = configure?.Invoke(session) ?? session,
                    Candidates = [IceCandidate.CreateHost(address)],
                    Events = _events.Writer,
                    Limits = limits ?? new SfuLimits(),
                },
                _sockets[i]));
        }

        _links = SfuWorker.Connect(_workers, new RoomShards());
    }

    public static Grants Everything { get; } = new() { Publish = true, Subscribe = true, PublishData = true };

    public FakeTimeProvider Clock { get; } = new VirtualClock();

    public Instant Now => Instant.Of(Clock);

    /// <summary>Of the first worker.</summary>
    public VirtualSocket Socket => _sockets[0];

    /// <summary>The first worker.</summary>
    public SfuWorker Worker => _workers[0];

    public IReadOnlyList<SfuWorker> Workers => _workers;

    /// <summary>A worker that is false here does not run: it is busy with something else.</summary>
    public Func<SfuWorker, bool> Runs { get; set; } = _ => true;

    /// <summary>All events so far.</summary>
    public List<SfuEvent> Events { get; } = [];

    /// <summary>Datagrams to a peer for which this is true are lost.</summary>
    public Func<TestPeer, byte[], bool> LoseToPeer { get; set; } = (_, _) => false;

    /// <summary>Datagrams of a peer for which this is true are lost.</summary>
    public Func<TestPeer, byte[], bool> LoseFromPeer { get; set; } = (_, _) => false;

    /// <summary>How far the wall clock of whoever joins next is behind the SFU's.</summary>
    public TimeSpan ClockError { get; set; } = TestPeer.ClockError;

    /// <summary>Opens a session; the peer has yet to offer.</summary>
    public TestPeer Join(
        string participant, Grants? grants = null, string room = "demo", Func<SfuSessionSettings, SfuSessionSettings>? settings = null,
        int worker = 0)
    {
        int number = _nextPeer++;
        var wanted = new SfuSessionSettings($"S{number}", room, participant, grants ?? Everything);
        SfuSession session = _workers[worker].OpenSession(settings?.Invoke(wanted) ?? wanted);
        var peer = new TestPeer(this, session, TransportAddress.FromIPv4(0x0A00_0100u + (uint)number, 5000), Certificate, ClockError);
        _peers.Add(peer.Address, peer);
        return peer;
    }

    /// <summary>Joins, offers what <paramref name="prepare"/> adds, and waits for the connection.</summary>
    public TestPeer Connect(
        string participant, Action<TestPeer>? prepare = null, Grants? grants = null, string room = "demo",
        Func<SfuSessionSettings, SfuSessionSettings>? settings = null, int worker = 0)
    {
        TestPeer peer = Join(participant, grants, room, settings, worker);
        prepare?.Invoke(peer);
        peer.Negotiate();
        for (int i = 0; i < 300 && peer.Rtc.State != RtcSessionState.Connected; i++)
            Run(TimeSpan.FromMilliseconds(10));
        Assert.Equal(RtcSessionState.Connected, peer.Rtc.State);
        return peer;
    }

    /// <summary>Lets time pass in steps.</summary>
    public void Run(TimeSpan duration, TimeSpan? step = null)
    {
        TimeSpan by = step ?? TimeSpan.FromMilliseconds(5);
        for (TimeSpan passed = TimeSpan.Zero; passed < duration; passed += by)
        {
            Settle();
            Clock.Advance(by);
            Settle();
        }
    }

    /// <summary>Delivers everything that is under way, without letting time pass.</summary>
    public void Settle()
    {
        for (int round = 0; round < 1000; round++)
        {
            bool any = false;
            for (int i = 0; i < _workers.Count; i++)
            {
                if (!Runs(_workers[i]))
                    continue;
                long forwarded = _workers[i].Counters.PacketsForwarded;
                _workers[i].RunOnce(TimeSpan.Zero);
                any |= _sockets[i].Pending > 0 || _workers[i].Counters.PacketsForwarded != forwarded;
                any |= _links.Any(link => Runs(link.To) && (!link.Ring.IsEmpty || link.Waiting > 0)) || _workers.Any(w => Runs(w) && w.HasCommands);
                while (_sockets[i].Outbox.TryDequeue(out var sent))
                {
                    any = true;
                    if (_peers.TryGetValue(sent.To, out TestPeer? peer) && peer.IsReachable && !LoseToPeer(peer, sent.Bytes))
                        peer.Rtc.Receive(Now, new TransportPath(peer.Address, _sockets[i].LocalAddress), sent.Bytes);
                }
            }

            foreach (TestPeer peer in _peers.Values)
            {
                if (peer.Rtc.NextTimeout <= Now)
                    peer.Rtc.HandleTimeout(Now);
                any |= peer.Flush();
            }

            while (_events.Reader.TryRead(out SfuEvent? happened))
                Events.Add(happened);
            if (!any)
                return;
        }

        Assert.Fail("The network does not come to rest.");
    }

    public IEnumerable<T> SessionEvents<T>(TestPeer peer)
        where T : SfuSessionEvent =>
        Events.OfType<SessionEventRaised>().Where(e => e.SessionId == peer.Session.Id).Select(e => e.Event).OfType<T>();

    public IEnumerable<TrackInfo> Announced => Events.OfType<TrackAnnounced>().Select(e => e.Track);

    /// <summary>A NAT in front of the peer gives it another address.</summary>
    public void Rebind(TestPeer peer, TransportAddress address)
    {
        _peers.Remove(peer.PublicAddress);
        peer.PublicAddress = address;
        _peers.Add(address, peer);
    }

    public void Dispose()
    {
        foreach (TestPeer peer in _peers.Values)
            peer.Rtc.Dispose();
        foreach (SfuWorker worker in _workers)
            worker.Dispose();
        foreach (WorkerLink link in _links)
            link.Dispose();
    }

    public VirtualSocket SocketAt(int worker) => _sockets[worker];

    /// <summary>The socket of the peer's worker.</summary>
    public VirtualSocket SocketOf(TestPeer peer) => _sockets[peer.Session.Worker.Index];

    /// <summary>A monotonic clock that starts near zero, like that of a host.</summary>
    private sealed class VirtualClock() : FakeTimeProvider(Noon)
    {
        private static readonly DateTimeOffset Noon = new(2026, 11, 23, 12, 0, 0, TimeSpan.Zero);

        public override long GetTimestamp() => (GetUtcNow() - Noon).Ticks + TimeSpan.TicksPerHour;
    }
}
