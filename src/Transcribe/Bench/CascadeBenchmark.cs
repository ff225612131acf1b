using System.Globalization;
using Microsoft.Extensions.DependencyInjection;
using Spectre.Console;
using Transcribe.Cluster;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Redis;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Cluster.Tokens;
using Transcribe.Commands;
using Transcribe.LocalCluster;
using Transcribe.Rtc;
using Transcribe.Rtc.Media;
using Transcribe.Rtc.Srtp;

namespace Transcribe.Bench;

/// <param name="Hops">Relays between the presenter's node and this one; by the order in which the nodes were filled.</param>
internal sealed record CascadeNodeFigures(string Node, int Hops, int Viewers, double P50Ms, double P99Ms);

/// <param name="OriginCopies">Packets that the presenter's node sends to other nodes per packet published: what it says it forwards, less the local viewers' copies.</param>
/// <param name="AddedP50Ms">Over the presenter's node, per hop, at the farthest node.</param>
internal sealed record CascadeResult(
    string Name, int Viewers, double OriginCopies, double AddedP50Ms, double AddedP99Ms, long Expected, long Received,
    double DriverLoad, long DriverDropped, IReadOnlyList<CascadeNodeFigures> Nodes, IReadOnlyList<string> Problems)
{
    /// <summary>Of all packets that ought to have come to a viewer.</summary>
    public long Lost => Expected - Received;
}

/// <summary>
/// One presenter on the origin, viewers on other SFU nodes: real processes over a real Redis, spoken to over the bus as a
/// signalling node does it. A few viewers stay on the origin, to compare latencies with.
/// </summary>
internal sealed class CascadeBenchmark(Action<string> say)
{
    private const string Room = "cascade";
    private const int OriginViewers = 10;
    private const double VideoFrameRate = 15;
    private const int VideoPacketsPerFrame = 2;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

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
        AnsiConsole.Write(table);
        Console.WriteLine($"Copies that the origin sends to other nodes: {result.OriginCopies:0.00}");
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

        // The first client's session is "b1"; a track is announced of participants that are in the room only.
        await rooms.JoinAsync(Room, "b1", "b1", null, canPublish: true, cancellationToken);
        List<BenchPeer> presenter = await driver.JoinAsync(
            new CascadeNode(bus, nodes[0].NodeId), [new BenchPeerPlan(Room, PublishAudio: true, PublishVideo: true)], 1).WaitAsync(Patience, cancellationToken);
        if (presenter.Count != 1)
            throw new CommandException($"The presenter could not join: {string.Join("; ", driver.Problems)}", ExitStatus.Failed);
        int[] counts = [OriginViewers, .. Enumerable.Range(0, nodes.Length - 1).Select(i => (viewers - OriginViewers + i) / (nodes.Length - 1))];
        int joined = 0;
        for (int i = 0; i < nodes.Length; i++)
        {
            int group = i;
            var plans = Enumerable.Range(0, counts[i]).Select(_ => new BenchPeerPlan(Room, AudioSlots: 1, VideoSlots: 1) { Group = group }).ToArray();
            counts[i] = (await driver.JoinAsync(new CascadeNode(bus, nodes[i].NodeId), plans, 8).WaitAsync(Patience * 4, cancellationToken)).Count;
            joined += counts[i];
            say($"{name}: {counts[i]} viewers on {nodes[i].Name}");
            await Task.Delay(1000, cancellationToken);
        }

        BenchStream[] streams =
        [
            new BenchStream(presenter[0], MediaKind.Audio, SfuScenario.AudioFrameRate, 1, SfuScenario.AudioPayload, joined),
            new BenchStream(presenter[0], MediaKind.Video, VideoFrameRate, VideoPacketsPerFrame, SfuScenario.VideoPayload, joined),
        ];

        // Relays come up, code is compiled.
        await driver.PublishAsync(streams, TimeSpan.FromSeconds(8), toFloor: false);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Task<NodeLoad[]> loads = SampleAsync(services.GetRequiredService<INodeDirectory>(), nodes[0].NodeId, stop.Token);
        DriverPhase phase = await driver.PublishAsync(streams, TimeSpan.FromSeconds(seconds), toFloor: false);
        await stop.CancelAsync();

        // The first samples are of the time before.
        NodeLoad[] steady = [.. (await loads).Skip(4)];
        double published = SfuScenario.AudioFrameRate + (VideoFrameRate * VideoPacketsPerFrame);
        CascadeNodeFigures[] figures =
        [
            .. nodes.Select((node, i) => new CascadeNodeFigures(
                node.Name, HopsOf(i), counts[i], driver.GroupLatency(i).QuantileMs(0.5), driver.GroupLatency(i).QuantileMs(0.99))),
        ];
        CascadeNodeFigures far = figures.MaxBy(f => f.Hops)!;
        return new CascadeResult(
            name, joined,
            steady.Length == 0 ? double.NaN : (steady.Average(l => l.PacketsPerSecond) / published) - counts[0],
            (far.P50Ms - figures[0].P50Ms) / far.Hops, (far.P99Ms - figures[0].P99Ms) / far.Hops, phase.Published, phase.Received,
            phase.DriverLoad, phase.Dropped, figures, [.. driver.Problems]);

        // The nodes of a chain were filled one after the other.
        int HopsOf(int index) => fanOut == 1 ? index : Math.Min(index, 1);
    }

    private static async Task<NodeLoad[]> SampleAsync(INodeDirectory directory, string node, CancellationToken cancellationToken)
    {
        var samples = new List<NodeLoad>();
        while (!cancellationToken.IsCancellationRequested)
        {
            if ((await directory.ListAsync(NodeRole.Sfu, CancellationToken.None)).FirstOrDefault(n => n.Id == node)?.Media is { } load)
                samples.Add(load);
            await Task.Delay(500, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        return [.. samples];
    }

    /// <summary>An SFU node over the bus.</summary>
    private sealed class CascadeNode(IMessageBus bus, string node) : IBenchServer
    {
        private static readonly Grants Everything = new() { Publish = true, Subscribe = true, PublishData = true };

        public void Ask(BenchRequest request, Action<BenchReply> answered) => _ = Task.Run(async () =>
        {
            try
            {
                string session = request.Session!;
                await bus.RequestAsync<OpenSession, Ack>(SfuSubjects.Open(node), new OpenSession(session, request.Room!, session, Everything), Patience);
                SessionNegotiated negotiated = await bus.RequestAsync<NegotiateSession, SessionNegotiated>(
                    SfuSubjects.Negotiate(node), new NegotiateSession(session, request.Sdp!, request.Tracks ?? []), Patience);
                answered(new BenchReply(request.Id, Sdp: negotiated.Sdp));
            }
            catch (Exception e)
            {
                answered(new BenchReply(request.Id, e.Message));
            }
        });
    }
}
