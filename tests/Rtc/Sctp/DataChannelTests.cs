using System.Text;
using Transcribe.Rtc.Sctp;
using Transcribe.Rtc.Tests.Simulation;

namespace Transcribe.Rtc.Tests.Sctp;

public sealed class DataChannelTests
{
    private static readonly TimeSpan Minute = TimeSpan.FromMinutes(1);

    private sealed class Peer(Func<Instant> now, VirtualLink link) : IDataChannelObserver
    {
        public DataChannelManager Manager { get; set; } = null!;

        public List<RtcDataChannel> Opened { get; } = [];

        public List<RtcDataChannel> Closed { get; } = [];

        public List<(RtcDataChannel Channel, byte[] Data, bool IsText)> Messages { get; } = [];

        public List<RtcDataChannel> Low { get; } = [];

        public string? SctpClosed { get; private set; }

        public Func<byte[], bool>? Filter { get; set; }

        public IEnumerable<string> Texts(RtcDataChannel channel) =>
            Messages.Where(m => m.Channel == channel).Select(m => Encoding.UTF8.GetString(m.Data));

        public void OnSctpPacket(ReadOnlySpan<byte> packet)
        {
            if (Filter is null || Filter(packet.ToArray()))
                link.Send(now(), default, packet);
        }

        public void OnDataChannelOpened(Instant now, RtcDataChannel channel)
        {
            Assert.Equal(DataChannelState.Open, channel.State);
            Opened.Add(channel);
        }

        public void OnDataChannelMessage(Instant now, RtcDataChannel channel, ReadOnlySpan<byte> data, bool isText) =>
            Messages.Add((channel, data.ToArray(), isText));

        public void OnDataChannelClosed(Instant now, RtcDataChannel channel)
        {
            Assert.DoesNotContain(channel, Closed);
            Closed.Add(channel);
        }

        public void OnBufferedAmountLow(Instant now, RtcDataChannel channel) => Low.Add(channel);

        public void OnSctpClosed(Instant now, string reason) => SctpClosed = reason;
    }

    private sealed class Net
    {
        private readonly VirtualLink _clientToServer;
        private readonly VirtualLink _serverToClient;

        public Net(LinkConditions? conditions = null, int seed = 1, SctpOptions? options = null, int maxChannels = 1024)
        {
            options ??= new();
            _clientToServer = new(conditions ?? LinkConditions.Perfect, seed);
            _serverToClient = new(conditions ?? LinkConditions.Perfect, seed + 1000);
            Client = new(() => Now, _clientToServer);
            Client.Manager = new(options with { Random = SctpPair.Seeded(seed) }, Client, maxChannels);
            Server = new(() => Now, _serverToClient);
            Server.Manager = new(options with { Random = SctpPair.Seeded(seed + 1) }, Server, maxChannels);
        }

        public Instant Now { get; private set; } = new(TimeSpan.TicksPerSecond);

        public Peer Client { get; }

        public Peer Server { get; }

        public void Start()
        {
            Client.Manager.Start(Now, isDtlsClient: true);
            Server.Manager.Start(Now, isDtlsClient: false);
        }

        public static Net Connected(LinkConditions? conditions = null, int seed = 1, SctpOptions? options = null, int maxChannels = 1024)
        {
            var net = new Net(conditions, seed, options, maxChannels);
            net.Start();
            Assert.True(net.RunUntil(() => net.Client.Manager.IsConnected && net.Server.Manager.IsConnected));
            return net;
        }

        public (RtcDataChannel Mine, RtcDataChannel Theirs) Open(Peer by, string label, DataChannelOptions? options = null)
        {
            Peer other = by == Client ? Server : Client;
            RtcDataChannel mine = by.Manager.Create(Now, label, options);
            Assert.True(RunUntil(() => mine.State == DataChannelState.Open && other.Manager.Find(label) is not null));
            return (mine, other.Manager.Find(label)!);
        }

        public void Run(TimeSpan time) => RunUntil(() => false, time);

        public bool RunUntil(Func<bool> done, TimeSpan? limit = null)
        {
            Instant end = Now + (limit ?? Minute);
            while (!done())
            {
                Instant next = Instant.Min(
                    Instant.Min(_clientToServer.NextDelivery, _serverToClient.NextDelivery),
                    Instant.Min(Client.Manager.NextTimeout, Server.Manager.NextTimeout));
                if (next > end)
                {
                    Now = end;
                    return done();
                }

                Now = Instant.Max(Now, next);
                while (_clientToServer.TryReceive(Now, out _, out byte[] bytes))
                    Server.Manager.Receive(Now, bytes);
                while (_serverToClient.TryReceive(Now, out _, out byte[] bytes))
                    Client.Manager.Receive(Now, bytes);
                Client.Manager.HandleTimeout(Now);
                Server.Manager.HandleTimeout(Now);
            }

            return true;
        }
    }

    [Fact]
    public void A_channel_opens_with_its_label_protocol_and_reliability_on_both_sides()
    {
        var net = Net.Connected();
        (RtcDataChannel mine, RtcDataChannel theirs) = net.Open(
            net.Client, "chat", new() { Protocol = "json", Ordered = false, MaxRetransmits = 3, Priority = 512 });
        Assert.Equal(("chat", "json", false, (int?)3, (ushort)512), (theirs.Label, theirs.Protocol, theirs.Ordered, theirs.MaxRetransmits, theirs.Priority));
        Assert.Equal((true, false), (mine.IsLocal, theirs.IsLocal));
        (_, theirs) = net.Open(net.Server, "timed", new() { MaxPacketLifetime = TimeSpan.FromMilliseconds(150) });
        Assert.Equal(TimeSpan.FromMilliseconds(150), theirs.MaxPacketLifetime);
        Assert.Equal(2, net.Client.Opened.Count);
        Assert.Equal(2, net.Server.Opened.Count);
    }

    [Fact]
    public void The_dtls_client_takes_even_ids_and_the_server_odd_ones()
    {
        var net = new Net();
        RtcDataChannel early = net.Client.Manager.Create(net.Now, "early");
        Assert.Null(early.Id);
        net.Start();
        Assert.Equal((ushort)0, early.Id);
        Assert.Equal((ushort)2, net.Client.Manager.Create(net.Now, "b").Id);
        Assert.Equal((ushort)1, net.Server.Manager.Create(net.Now, "c").Id);
        Assert.True(net.RunUntil(() => net.Client.Opened.Count == 3 && net.Server.Opened.Count == 3));
    }

    [Fact]
    public void Text_binary_and_empty_messages_keep_their_kind()
    {
        var net = Net.Connected();
        (RtcDataChannel mine, RtcDataChannel theirs) = net.Open(net.Client, "x");
        Assert.True(mine.TrySend(net.Now, "hé"u8, isText: true));
        Assert.True(mine.TrySend(net.Now, [1, 2], isText: false));
        Assert.True(mine.TrySend(net.Now, [], isText: true));
        Assert.True(mine.TrySend(net.Now, [], isText: false));
        Assert.True(net.RunUntil(() => net.Server.Messages.Count == 4));
        Assert.All(net.Server.Messages, m => Assert.Same(theirs, m.Channel));
        Assert.Equal([true, false, true, false], net.Server.Messages.Select(m => m.IsText));
        Assert.Equal([[.. "hé"u8], [1, 2], [], []], net.Server.Messages.Select(m => m.Data));
        Assert.True(theirs.TrySend(net.Now, "back"u8, isText: true));
        Assert.True(net.RunUntil(() => net.Client.Messages.Count == 1));
    }

    [Fact]
    public void Messages_sent_before_the_channel_is_open_arrive_after_it_opened_in_order()
    {
        for (int seed = 0; seed < 20; seed++)
        {
            var net = new Net(LinkConditions.Bad with { Loss = 0.3 }, seed);
            RtcDataChannel mine = net.Client.Manager.Create(net.Now, "x", new() { Ordered = false });
            for (int i = 0; i < 10; i++)
                Assert.True(mine.TrySend(net.Now, Encoding.UTF8.GetBytes($"{i}"), isText: true));
            net.Start();
            for (int i = 10; i < 20; i++)
                Assert.True(mine.TrySend(net.Now, Encoding.UTF8.GetBytes($"{i}"), isText: true));
            Assert.True(net.RunUntil(() => net.Server.Messages.Count == 20));
            Assert.Equal(Enumerable.Range(0, 20).Select(i => $"{i}"), net.Server.Texts(net.Server.Opened[0]));
        }
    }

    [Fact]
    public void What_is_queued_before_the_start_is_bounded()
    {
        var net = new Net(options: new() { SendBuffer = 10_000 });
        RtcDataChannel mine = net.Client.Manager.Create(net.Now, "x");
        int taken = 0;
        while (taken < 1000 && mine.TrySend(net.Now, new byte[1000], isText: false))
            taken++;
        Assert.InRange(taken, 8, 10);
        net.Start();
        Assert.True(net.RunUntil(() => net.Server.Messages.Count > 0));
        net.Run(TimeSpan.FromSeconds(5));
        Assert.InRange(net.Server.Messages.Count, taken - 1, taken);
        Assert.Equal(taken, net.Server.Messages.Count + (int)net.Client.Manager.DroppedMessages);
    }

    [Fact]
    public void A_full_buffer_refuses_and_the_threshold_event_tells_when_to_go_on()
    {
        var net = Net.Connected(new() { BitsPerSecond = 400_000 }, options: new() { SendBuffer = 50_000 });
        (RtcDataChannel mine, _) = net.Open(net.Client, "x");
        mine.BufferedAmountLowThreshold = 5000;
        while (mine.TrySend(net.Now, new byte[900], isText: false))
        {
        }

        Assert.InRange(mine.BufferedAmount, 20_000, 50_000);
        Assert.True(net.RunUntil(() => net.Client.Low.Count == 1));
        Assert.InRange(mine.BufferedAmount, 0, 5000);
        Assert.True(mine.TrySend(net.Now, new byte[900], isText: false));
    }

    [Fact]
    public void Close_delivers_what_was_queued_and_closes_both_sides()
    {
        for (int seed = 0; seed < 20; seed++)
        {
            var net = Net.Connected(LinkConditions.Bad with { Loss = 0.2 }, seed);
            (RtcDataChannel mine, RtcDataChannel theirs) = net.Open(net.Client, "x");
            for (int i = 0; i < 50; i++)
                Assert.True(mine.TrySend(net.Now, new byte[2000], isText: false));
            mine.Close(net.Now);
            Assert.Equal(DataChannelState.Closing, mine.State);
            Assert.False(mine.TrySend(net.Now, [1], isText: false));
            Assert.True(net.RunUntil(() => mine.State == DataChannelState.Closed && theirs.State == DataChannelState.Closed));
            Assert.Equal(50, net.Server.Messages.Count);
            Assert.Same(mine, Assert.Single(net.Client.Closed));
            Assert.Same(theirs, Assert.Single(net.Server.Closed));
            Assert.Empty(net.Client.Manager.Channels);
            Assert.Empty(net.Server.Manager.Channels);
        }
    }

    [Fact]
    public void Both_sides_may_close_at_once()
    {
        for (int seed = 0; seed < 20; seed++)
        {
            var net = Net.Connected(LinkConditions.Bad with { Loss = 0.2 }, seed);
            (RtcDataChannel mine, RtcDataChannel theirs) = net.Open(net.Client, "x");
            mine.Close(net.Now);
            theirs.Close(net.Now);
            Assert.True(net.RunUntil(() => mine.State == DataChannelState.Closed && theirs.State == DataChannelState.Closed));
        }
    }

    [Fact]
    public void A_closed_id_is_used_again_by_a_new_channel()
    {
        for (int seed = 0; seed < 30; seed++)
        {
            var net = Net.Connected(LinkConditions.Bad with { Loss = 0.25 }, seed, new() { MaxStreams = 2 });
            for (int round = 0; round < 6; round++)
            {
                Peer by = round % 3 == 2 ? net.Server : net.Client;
                Peer to = by == net.Client ? net.Server : net.Client;
                RtcDataChannel mine = by.Manager.Create(net.Now, $"round {round}");
                Assert.Equal((ushort)(by == net.Client ? 0 : 1), mine.Id);
                Assert.True(mine.TrySend(net.Now, Encoding.UTF8.GetBytes($"hello {round}"), isText: true));
                Assert.True(net.RunUntil(() => to.Texts(to.Opened.LastOrDefault()!).Any(t => t == $"hello {round}")));
                RtcDataChannel theirs = to.Opened[^1];
                Assert.Equal($"round {round}", theirs.Label);
                Assert.True(theirs.TrySend(net.Now, Encoding.UTF8.GetBytes($"answer {round}"), isText: true));
                Assert.True(net.RunUntil(() => by.Texts(mine).Any(t => t == $"answer {round}")));
                (seed % 2 == 0 ? mine : theirs).Close(net.Now);

                // The opener goes on as soon as it may, when the other side may still wait for a confirmation.
                Assert.True(net.RunUntil(() => mine.State == DataChannelState.Closed));
            }
        }
    }

    [Fact]
    public void No_more_channels_than_ids_or_the_limit()
    {
        var net = Net.Connected(options: new() { MaxStreams = 4 });
        net.Client.Manager.Create(net.Now, "a");
        net.Client.Manager.Create(net.Now, "b");
        Assert.Equal(DataChannelState.Closed, net.Client.Manager.Create(net.Now, "c").State);
        Assert.Single(net.Client.Closed);

        net = Net.Connected(maxChannels: 3);
        for (int i = 0; i < 3; i++)
            net.Open(net.Server, $"s{i}");
        Assert.Equal(DataChannelState.Closed, net.Client.Manager.Create(net.Now, "one too many").State);
    }

    [Fact]
    public void A_peer_that_opens_too_many_channels_sees_the_last_one_closed()
    {
        var net = new Net(maxChannels: 2);
        var generous = new DataChannelManager(new() { Random = SctpPair.Seeded(5) }, net.Client, 100);
        net.Client.Manager = generous;
        net.Start();
        RtcDataChannel[] all = [.. Enumerable.Range(0, 3).Select(i => generous.Create(net.Now, $"{i}"))];
        net.Run(TimeSpan.FromSeconds(10));
        Assert.Equal([DataChannelState.Open, DataChannelState.Open], all[..2].Select(c => c.State));
        Assert.Equal(2, net.Server.Manager.Channels.Count);
        Assert.NotEqual(DataChannelState.Open, all[2].State);
    }

    [Fact]
    public void Negotiated_channels_need_no_handshake()
    {
        var net = new Net();
        var options = new DataChannelOptions { NegotiatedId = 7 };
        RtcDataChannel a = net.Client.Manager.Create(net.Now, "n", options);
        RtcDataChannel b = net.Server.Manager.Create(net.Now, "n", options);
        Assert.True(a.TrySend(net.Now, "early"u8, isText: true));
        Assert.Throws<ArgumentException>(() => net.Client.Manager.Create(net.Now, "again", options));
        net.Start();
        Assert.True(net.RunUntil(() => net.Server.Messages.Count == 1 && a.State == DataChannelState.Open && b.State == DataChannelState.Open));
        Assert.Same(b, net.Server.Messages[0].Channel);
        b.Close(net.Now);
        Assert.True(net.RunUntil(() => a.State == DataChannelState.Closed && b.State == DataChannelState.Closed));
    }

    [Fact]
    public void Closing_the_transport_closes_every_channel_on_both_sides()
    {
        var net = Net.Connected();
        (RtcDataChannel mine, RtcDataChannel theirs) = net.Open(net.Client, "x");
        net.Server.Manager.Close(net.Now);
        net.Run(TimeSpan.FromSeconds(1));
        Assert.Equal(DataChannelState.Closed, mine.State);
        Assert.Equal(DataChannelState.Closed, theirs.State);
        Assert.NotNull(net.Client.SctpClosed);
        Assert.NotNull(net.Server.SctpClosed);
        Assert.False(mine.TrySend(net.Now, [1], isText: false));
        mine.Close(net.Now);
        Assert.Equal(DataChannelState.Closed, net.Client.Manager.Create(net.Now, "y").State);
    }

    [Fact]
    public void Options_that_contradict_each_other_are_refused()
    {
        var net = new Net();
        Assert.Throws<ArgumentException>(() => net.Client.Manager.Create(net.Now, "x", new() { MaxRetransmits = 1, MaxPacketLifetime = TimeSpan.Zero }));
        Assert.Throws<ArgumentException>(() => net.Client.Manager.Create(net.Now, "x", new() { MaxRetransmits = 70000 }));
        Assert.Throws<ArgumentException>(() => net.Client.Manager.Create(net.Now, "x", new() { NegotiatedId = 65535 }));
        Assert.Throws<ArgumentException>(() => net.Client.Manager.Create(net.Now, new string('x', 70000)));
    }

    [Fact]
    public void A_message_larger_than_the_peer_takes_is_refused()
    {
        var net = Net.Connected();
        (RtcDataChannel mine, _) = net.Open(net.Client, "x");
        net.Client.Manager.RemoteMaxMessageSize = 1000;
        Assert.False(mine.TrySend(net.Now, new byte[1001], isText: false));
        Assert.True(mine.TrySend(net.Now, new byte[1000], isText: false));
    }
}
