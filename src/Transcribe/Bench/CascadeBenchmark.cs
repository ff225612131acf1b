using System.Collections.Concurrent;
using System.Globalization;
using Microsoft.Extensions.DependencyInjection;
using Spectre.Console;
using Transcribe.Cluster;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Redis;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Cluster.State;
using Transcribe.Cluster.Tokens;
using Transcribe.Commands;
using Transcribe.LocalCluster;
using Transcribe.Rtc;
using Transcribe.Rtc.Media;
using Transcribe.Rtc.Srtp;
using Transcribe.Sfu.Relay;

namespace Transcribe.Bench;

/// <param name="Hops">Relays between the presenter's node and this one, of the track's tree.</param>
internal sealed record CascadeNodeFigures(string Node, int Hops, int Viewers, double P50Ms, double P99Ms);

/// <param name="Published">RTP packets of the presenter.</param>
/// <param name="Relayed">RTP packets that its node sent to other nodes meanwhile, retransmissions not counted.</param>
/// <param name="AddedP50Ms">Per hop, at the farthest node: over the same viewers watching a presenter of that node.</param>
/// <param name="Direct">The same viewers as the farthest node's, watching a presenter of that node.</param>
internal sealed record CascadeResult(
    string Name, int Viewers, long Published, long Relayed, long Retransmitted, double AddedP50Ms, double AddedP99Ms, long Expected, long Received,
    double DriverLoad, long DriverDropped, IReadOnlyList<CascadeNodeFigures> Nodes, CascadeNodeFigures Direct, IReadOnlyList<string> Problems)
{
    /// <summary>Of all packets that ought to have come to a viewer.</summary>
    public long Lost => Expected - Received;

    /// <summary>Copies of each packet that leave the presenter's node for other nodes.</summary>
    public double OriginCopies => (double)Relayed / Published;
}

/// <summary>
/// One presenter on the origin, viewers on other SFU nodes: real processes over a real Redis, spoken to over the bus as a
/// signalling node does it. Latency is compared with that of a second presenter on the farthest node: the same viewers, the
/// same copies, one or more relays less.
/// </summary>
internal sealed class CascadeBenchmark(Action<string> say)
{
    private const string Room = "cascade";
    private const int OriginViewers = 10;
    private const double VideoFrameRate = 15;
    private const int VideoPacketsPerFrame = 2;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(6);

    /// <param name="fanOut">Relays a node feeds at most per track: 1 makes a chain.</param>
    public async Task<CascadeResult> RunAsync(string name, int edges, int viewers, int fanOut, double seconds, CancellationToken cancellationToken)
    {
        var plan = new ClusterPlan { Environment = new Dictionary<string, string> { ["TRANSCRIBE_RELAY_FANOUT"] = fanOut.ToString(CultureInfo.InvariantCulture) } };
        await using LocalRedis redis = await LocalRedis.StartAsync();
        await using ServiceProvider services = new ServiceCollection().AddLogging()
            .AddRedisCluster(new RedisClusterOptions { Redis = redis.ConnectionString, ClusterKey = plan.ClusterKey }, plan.Keys)
            .BuildServiceProvider();
        ClusterProcess[] nodes =
        [
            .. Enumerable.Range(0, edges + 1).Select(i => new ClusterProcess(
                i == 0 ? "origin" : $"edge-{i}", NodeRole.Sfu, "local", plan, redis.ConnectionString, 0, (_, _) => { })),
        ];
        try
        {
            say($"{name}: starting {nodes.Length} SFU nodes");
            await Task.WhenAll(nodes.Select(node => node.StartAsync(cancellationToken)));
            return await MeasureAsync(name, nodes, services, viewers, fanOut, seconds, cancellationToken);
        }
        finally
        {
            await Task.WhenAll(nodes.Select(node => node.StopAsync(TimeSpan.FromSeconds(10))));
            foreach (ClusterProcess node in nodes)
                node.Dispose();
        }
    }

    public static void Print(CascadeResult result)
    {
        var table = new Table().Border(TableBorder.Rounded).Title($"{result.Name}: {result.Viewers} viewers").AddColumns("node", "hops", "viewers", "p50, ms", "p99, ms");
        foreach (CascadeNodeFigures node in result.Nodes)
            table.AddRow(node.Node, $"{node.Hops}", $"{node.Viewers}", $"{node.P50Ms:0.000}", $"{node.P99Ms:0.000}");
        table.AddRow($"{result.Direct.Node} (its own presenter)", "0", $"{result.Direct.Viewers}", $"{result.Direct.P50Ms:0.000}", $"{result.Direct.P99Ms:0.000}");
        AnsiConsole.Write(table);
        Console.WriteLine($"Copies that the origin sends to other nodes: {result.OriginCopies:0.000} ({result.Relayed} packets for {result.Published}, and {result.Retransmitted} again)");
        Console.WriteLine($"Added latency per hop: p50 {result.AddedP50Ms:0.000} ms, p99 {result.AddedP99Ms:0.000} ms");
        Console.WriteLine($"Lost: {result.Lost} of {result.Expected} packets; driver at {result.DriverLoad:P0} of its core, {result.DriverDropped} datagrams not read in time");
        foreach (string problem in result.Problems)
            Console.WriteLine(problem);
    }

    private async Task<CascadeResult> MeasureAsync(
        string name, ClusterProcess[] nodes, ServiceProvider services, int viewers, int fanOut, double seconds, CancellationToken cancellationToken)
    {
        IMessageBus bus = services.GetRequiredService<IMessageBus>();
        IRoomDirectory rooms = services.GetRequiredService<IRoomDirectory>();
        using var driver = new BenchDriver([], SrtpProfile.AeadAes128Gcm, merge: false) { Groups = nodes.Length };
        int last = nodes.Length - 1;
        var origin = new CascadeNode(bus, nodes[0].NodeId);
        BenchPeer presenter = await PresentAsync(driver, rooms, origin, 1, cancellationToken);
        BenchPeer farPresenter = await PresentAsync(driver, rooms, new CascadeNode(bus, nodes[last].NodeId), 2, cancellationToken);
        int[] counts = [OriginViewers, .. Enumerable.Range(0, last).Select(i => (viewers - OriginViewers + i) / last)];
        int joined = 0;
        for (int i = 0; i < nodes.Length; i++)
        {
            int group = i;
            var plans = Enumerable.Range(0, counts[i]).Select(_ => new BenchPeerPlan(Room, AudioSlots: 2, VideoSlots: 2) { Group = group }).ToArray();
            counts[i] = (await driver.JoinAsync(new CascadeNode(bus, nodes[i].NodeId), plans, 8).WaitAsync(Patience * 4, cancellationToken)).Count;
            joined += counts[i];
            say($"{name}: {counts[i]} viewers on {nodes[i].Name}");
            await Task.Delay(1000, cancellationToken);
        }

        // Relays come up, code is compiled.
        BenchStream[] streams = Streams(presenter, joined), farStreams = Streams(farPresenter, joined);
        await driver.PublishAsync(streams, WarmUp, toFloor: false);
        await driver.PublishAsync(farStreams, WarmUp, toFloor: false);
        IReadOnlyDictionary<string, int> hops = await HopsAsync(services.GetRequiredService<IStateStore>(), origin.Tracks, fanOut);

        RelayStatistics before = await origin.SentAsync();
        DriverPhase phase = await driver.PublishAsync(streams, TimeSpan.FromSeconds(seconds), toFloor: false);
        RelayStatistics after = await origin.SentAsync();
        CascadeNodeFigures[] figures = [.. nodes.Select((node, i) => Figures(i, hops.GetValueOrDefault(node.NodeId)))];
        DriverPhase direct = await driver.PublishAsync(farStreams, TimeSpan.FromSeconds(seconds), toFloor: false);
        CascadeNodeFigures far = figures[last], near = Figures(last, 0);
        if (direct.Received != direct.Published)
            driver.Problem($"{direct.Published - direct.Received} packets of the second presenter were lost");
        if (far.Hops == 0)
            throw new CommandException($"Node {far.Node} got the presenter's tracks over no relay: {string.Join("; ", driver.Problems)}", ExitStatus.Failed);

        long again = after.RetransmittedPacketsSent - before.RetransmittedPacketsSent;
        return new CascadeResult(
            name, joined, phase.Published / joined, after.PacketsSent - before.PacketsSent - again, again,
            (far.P50Ms - near.P50Ms) / far.Hops, (far.P99Ms - near.P99Ms) / far.Hops, phase.Published, phase.Received,
            phase.DriverLoad, phase.Dropped, figures, near, [.. driver.Problems]);

        CascadeNodeFigures Figures(int i, int depth) =>
            new(nodes[i].Name, depth, counts[i], driver.GroupLatency(i).QuantileMs(0.5), driver.GroupLatency(i).QuantileMs(0.99));
    }

    /// <param name="index">Which client of the driver it is going to be.</param>
    private static async Task<BenchPeer> PresentAsync(
        BenchDriver driver, IRoomDirectory rooms, CascadeNode node, int index, CancellationToken cancellationToken)
    {
        // A track is announced of participants that are in the room only.
        await rooms.JoinAsync(Room, $"b{index}", $"b{index}", null, canPublish: true, cancellationToken);
        List<BenchPeer> joined = await driver.JoinAsync(node, [new BenchPeerPlan(Room, PublishAudio: true, PublishVideo: true)], 1)
            .WaitAsync(Patience, cancellationToken);
        return joined.Count == 1
            ? joined[0]
            : throw new CommandException($"The presenter could not join: {string.Join("; ", driver.Problems)}", ExitStatus.Failed);
    }

    private static BenchStream[] Streams(BenchPeer presenter, int receivers) =>
    [
        new BenchStream(presenter, MediaKind.Audio, SfuScenario.AudioFrameRate, 1, SfuScenario.AudioPayload, receivers),
        new BenchStream(presenter, MediaKind.Video, VideoFrameRate, VideoPacketsPerFrame, SfuScenario.VideoPayload, receivers),
    ];

    /// <summary>How deep the nodes hang in the trees of these tracks.</summary>
    private static async Task<IReadOnlyDictionary<string, int>> HopsAsync(IStateStore state, IEnumerable<string> tracks, int fanOut)
    {
        var tree = new RelayTree(state, TimeProvider.System, fanOut, 3);
        var hops = new Dictionary<string, int>(StringComparer.Ordinal);
        foreach (string track in tracks)
        {
            foreach ((string node, int depth) in (await tree.ReadAsync(RelayTree.TrackKey(track))).Depths())
                hops[node] = Math.Max(depth, hops.GetValueOrDefault(node));
        }

        return hops;
    }

    /// <summary>An SFU node over the bus.</summary>
    private sealed class CascadeNode(IMessageBus bus, string node) : IBenchServer
    {
        private static readonly Grants Everything = new() { Publish = true, Subscribe = true, PublishData = true };

        /// <summary>Tracks published here by those that joined.</summary>
        public ConcurrentBag<string> Tracks { get; } = [];

        /// <summary>All that was sent to other nodes.</summary>
        public async Task<RelayStatistics> SentAsync()
        {
            SfuStatistics all = await bus.RequestAsync<ReadStatistics, SfuStatistics>(SfuSubjects.Statistics(node), new ReadStatistics(), Patience);
            RelayStatistics[] sending = [.. all.Relays.Where(relay => relay.Direction == RelayDirection.Sending)];
            return new RelayStatistics(
                "", RelayDirection.Sending, sending.Sum(relay => relay.Tracks), 0, sending.Sum(relay => relay.PacketsSent), 0,
                sending.Sum(relay => relay.RetransmittedPacketsSent), null);
        }

        public void Ask(BenchRequest request, Action<BenchReply> answered) => _ = Task.Run(async () =>
        {
            try
            {
                string session = request.Session!;
                await bus.RequestAsync<OpenSession, Ack>(SfuSubjects.Open(node), new OpenSession(session, request.Room!, session, Everything), Patience);
                SessionNegotiated negotiated = await bus.RequestAsync<NegotiateSession, SessionNegotiated>(
                    SfuSubjects.Negotiate(node), new NegotiateSession(session, request.Sdp!, request.Tracks ?? []), Patience);
                foreach (NegotiatedMedia published in negotiated.Published)
                    Tracks.Add(published.TrackId);
                answered(new BenchReply(request.Id, Sdp: negotiated.Sdp));
            }
            catch (Exception e)
            {
                answered(new BenchReply(request.Id, e.Message));
            }
        });
    }
}
