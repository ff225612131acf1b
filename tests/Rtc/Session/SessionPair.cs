using System.Security.Cryptography;
using Transcribe.Rtc.Dtls;
using Transcribe.Rtc.Ice;
using Transcribe.Rtc.Rtcp;
using Transcribe.Rtc.Rtp;
using Transcribe.Rtc.Sctp;
using Transcribe.Rtc.Tests.Simulation;

namespace Transcribe.Rtc.Tests.Session;

/// <summary>Repeatable bytes; never outside tests.</summary>
internal sealed class SeededRandom(int seed) : RandomNumberGenerator
{
    private readonly Random _random = new(seed);

    public override void GetBytes(byte[] data) => _random.NextBytes(data);

    public override void GetBytes(Span<byte> data) => _random.NextBytes(data);
}

internal sealed record ReceivedRtp(
    RtcMedia Media, uint Ssrc, byte PayloadType, ushort SequenceNumber, uint Timestamp, bool Marker, byte[] Payload, string? Mid, byte? AudioLevel, Instant Arrival);

/// <summary>A session and everything it told.</summary>
internal sealed class TestPeer : IRtcSessionObserver
{
    private readonly VirtualNetwork _network;

    public TestPeer(VirtualNetwork network, string name, TransportAddress address, RtcSessionOptions options)
    {
        _network = network;
        Name = name;
        Address = address;
        Session = new RtcSession(options, this);
    }

    public string Name { get; }

    public TransportAddress Address { get; }

    public RtcSession Session { get; }

    public List<RtcSessionState> States { get; } = [];

    public List<ReceivedRtp> Rtp { get; } = [];

    public List<(RtcMedia Media, SenderReport Report, Instant At)> SenderReports { get; } = [];

    public List<RtcMedia> KeyframeRequests { get; } = [];

    public List<ushort> Nacks { get; } = [];

    public List<ReportBlock> ReportBlocks { get; } = [];

    public List<RtcMedia> Byes { get; } = [];

    public List<RtcDataChannel> Opened { get; } = [];

    public List<RtcDataChannel> Closed { get; } = [];

    public List<(RtcDataChannel Channel, byte[] Data, bool IsText)> Messages { get; } = [];

    public List<string> RetiredUfrags { get; } = [];

    /// <summary>Called for each packet, before it is recorded.</summary>
    public Action<RtcMedia, RtpPacket, Instant>? Forward { get; set; }

    /// <summary>Called for each NACK instead of nothing.</summary>
    public Action<RtcMedia, ushort[]>? AnswerNack { get; set; }

    /// <summary>Sees each datagram that leaves.</summary>
    public Action<byte[]>? Tap { get; set; }

    public bool Record { get; set; } = true;

    public void OnSend(in TransportPath path, ReadOnlySpan<byte> datagram)
    {
        if (Tap is not null)
            Tap(datagram.ToArray());
        _network.Send(this, path, datagram);
    }

    public void OnStateChanged(RtcSessionState state) => States.Add(state);

    public void OnRtp(RtcMedia media, in RtpPacket packet, Instant arrival)
    {
        Forward?.Invoke(media, packet, arrival);
        if (!Record)
            return;
        RtpExtensionIds ids = media.HeaderExtensions;
        string? mid = packet.TryGetExtension(ids.Mid, out ReadOnlySpan<byte> data) ? System.Text.Encoding.ASCII.GetString(data) : null;
        byte? level = packet.TryGetExtension(ids.AudioLevel, out data) ? data[0] : null;
        Rtp.Add(new ReceivedRtp(
            media, packet.Ssrc, packet.PayloadType, packet.SequenceNumber, packet.Timestamp, packet.Marker, packet.Payload.ToArray(), mid, level, arrival));
    }

    public void OnSenderReport(RtcMedia media, in SenderReport report, Instant arrival) => SenderReports.Add((media, report, arrival));

    public void OnKeyframeRequest(RtcMedia media) => KeyframeRequests.Add(media);

    public void OnNack(RtcMedia media, ReadOnlySpan<ushort> sequenceNumbers)
    {
        Nacks.AddRange(sequenceNumbers);
        AnswerNack?.Invoke(media, sequenceNumbers.ToArray());
    }

    public void OnReceiverReport(RtcMedia media, in ReportBlock block) => ReportBlocks.Add(block);

    public void OnBye(RtcMedia media) => Byes.Add(media);

    public void OnLocalUfragRetired(string ufrag) => RetiredUfrags.Add(ufrag);

    public void OnDataChannelOpened(RtcDataChannel channel) => Opened.Add(channel);

    public void OnDataChannelMessage(RtcDataChannel channel, ReadOnlySpan<byte> data, bool isText) =>
        Messages.Add((channel, data.ToArray(), isText));

    public void OnDataChannelClosed(RtcDataChannel channel) => Closed.Add(channel);
}

/// <summary>Peers by address, a link from each to each, and one virtual clock.</summary>
internal sealed class VirtualNetwork(LinkConditions conditions, int seed) : IDisposable
{
    private readonly Dictionary<TransportAddress, TestPeer> _peers = [];
    private readonly Dictionary<(TransportAddress From, TransportAddress To), VirtualLink> _links = [];
    private readonly PriorityQueue<Action, (Instant At, long Order)> _actions = new();
    private long _order;

    public Instant Now { get; private set; } = new(TimeSpan.FromHours(1).Ticks);

    /// <summary>Throws away what is sent, without allocating.</summary>
    public bool Discard { get; set; }

    public IEnumerable<VirtualLink> Links => _links.Values;

    public void Add(TestPeer peer) => _peers.Add(peer.Address, peer);

    public VirtualLink Link(TestPeer from, TestPeer to) => Link(from.Address, to.Address);

    public void Send(TestPeer from, in TransportPath path, ReadOnlySpan<byte> datagram)
    {
        if (Discard)
            return;
        Assert.Equal(from.Address, path.Local);
        Link(path.Local, path.Remote).Send(Now, path, datagram);
    }

    /// <summary>Puts a datagram on the wire as if it came from an address.</summary>
    public void Inject(TransportAddress from, TestPeer to, ReadOnlySpan<byte> datagram) =>
        to.Session.Receive(Now, new TransportPath(to.Address, from), datagram.ToArray());

    public void At(TimeSpan delay, Action action) => _actions.Enqueue(action, (Now + delay, _order++));

    public void Every(TimeSpan interval, int times, Action<int> action)
    {
        for (int i = 0; i < times; i++)
        {
            int turn = i;
            At(interval * i, () => action(turn));
        }
    }

    /// <summary>Runs the simulation for a time, or until a condition holds.</summary>
    public bool Run(TimeSpan duration, Func<bool>? until = null)
    {
        Instant end = Now + duration;
        int idle = 0;
        while (true)
        {
            if (until?.Invoke() == true)
                return true;
            Instant next = end;
            foreach (VirtualLink link in _links.Values)
                next = Instant.Min(next, link.NextDelivery);
            foreach (TestPeer peer in _peers.Values)
                next = Instant.Min(next, peer.Session.NextTimeout);
            if (_actions.TryPeek(out _, out (Instant At, long Order) action))
                next = Instant.Min(next, action.At);
            if (next > Now)
            {
                Now = next;
                idle = 0;
            }
            else if (++idle > 100_000)
            {
                throw new InvalidOperationException("A session asks for the same instant over and over.");
            }

            if (Now >= end)
                return until?.Invoke() ?? true;
            while (_actions.TryPeek(out Action? run, out action) && action.At <= Now)
            {
                _actions.Dequeue();
                run();
            }

            foreach (((TransportAddress _, TransportAddress to), VirtualLink link) in _links.ToArray())
            {
                while (link.TryReceive(Now, out TransportPath path, out byte[] datagram))
                {
                    if (_peers.TryGetValue(to, out TestPeer? peer))
                        peer.Session.Receive(Now, new TransportPath(path.Remote, path.Local), datagram);
                }
            }

            foreach (TestPeer peer in _peers.Values)
            {
                if (peer.Session.NextTimeout <= Now)
                    peer.Session.HandleTimeout(Now);
            }
        }
    }

    public void Dispose()
    {
        foreach (TestPeer peer in _peers.Values)
            peer.Session.Dispose();
    }

    private VirtualLink Link(TransportAddress from, TransportAddress to)
    {
        if (!_links.TryGetValue((from, to), out VirtualLink? link))
            _links.Add((from, to), link = new VirtualLink(conditions, HashCode(from, to)));
        return link;
    }

    // HashCode.Combine differs from run to run.
    private int HashCode(TransportAddress from, TransportAddress to) => unchecked((seed * 31) + (from.Port * 7) + to.Port);
}

/// <summary>A client and a server as the product has them: the client offers, the server is ICE-lite.</summary>
internal sealed class SessionPair : IDisposable
{
    public static readonly DtlsCertificate ClientCertificate = DtlsCertificate.Generate(DateTimeOffset.UtcNow);
    public static readonly DtlsCertificate ServerCertificate = DtlsCertificate.Generate(DateTimeOffset.UtcNow);

    public SessionPair(
        LinkConditions? conditions = null,
        int seed = 1,
        Func<RtcSessionOptions, RtcSessionOptions>? client = null,
        Func<RtcSessionOptions, RtcSessionOptions>? server = null)
    {
        Network = new VirtualNetwork(conditions ?? LinkConditions.Perfect, seed);
        Client = NewClient(4000, seed, client);
        Server = NewServer(7882, seed, server);
    }

    public VirtualNetwork Network { get; }

    public TestPeer Client { get; }

    public TestPeer Server { get; }

    public TestPeer NewClient(ushort port, int seed, Func<RtcSessionOptions, RtcSessionOptions>? change = null) =>
        NewPeer("client", port, Options(ClientCertificate, (seed * 1000) + port), change);

    public TestPeer NewServer(ushort port, int seed, Func<RtcSessionOptions, RtcSessionOptions>? change = null) =>
        NewPeer("server", port, Options(ServerCertificate, (seed * 1000) + port) with { IceLite = true }, change);

    public static RtcSessionOptions Options(DtlsCertificate certificate, int seed) => new()
    {
        Certificate = certificate,
        DtlsExecutor = DtlsLockStepExecutor.Instance,
        WallClockAtZero = new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero),
        Random = new SeededRandom(seed),
        Ice = new IceAgentOptions { Random = new SeededRandom(seed + 1) },
    };

    /// <summary>One round of offer and answer.</summary>
    public static void Negotiate(Instant now, TestPeer client, TestPeer server)
    {
        string offer = client.Session.CreateOffer(now);
        Assert.True(server.Session.TrySetRemoteOffer(now, offer, out string? error), error);
        string answer = server.Session.CreateAnswer(now);
        Assert.True(client.Session.TrySetRemoteAnswer(now, answer, out error), error);
    }

    public void Negotiate() => Negotiate(Network.Now, Client, Server);

    public void Connect(TimeSpan? within = null) => Connect(Client, Server, within);

    public void Connect(TestPeer client, TestPeer server, TimeSpan? within = null)
    {
        Negotiate(Network.Now, client, server);
        bool connected = Network.Run(
            within ?? TimeSpan.FromSeconds(20),
            () => client.Session.State == RtcSessionState.Connected && server.Session.State == RtcSessionState.Connected);
        Assert.True(connected, $"client {client.Session.State}, server {server.Session.State}");
    }

    public void Dispose() => Network.Dispose();

    private TestPeer NewPeer(string name, ushort port, RtcSessionOptions options, Func<RtcSessionOptions, RtcSessionOptions>? change)
    {
        Assert.True(TransportAddress.TryParse($"127.0.0.1:{port}", out TransportAddress address));
        TestPeer peer = new(Network, name, address, change?.Invoke(options) ?? options);
        peer.Session.AddLocalCandidate(IceCandidate.CreateHost(address));
        Network.Add(peer);
        return peer;
    }
}
