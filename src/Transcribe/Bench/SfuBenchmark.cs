using System.Diagnostics;
using Transcribe.Commands;
using Transcribe.Rtc;
using Transcribe.Rtc.Media;
using Transcribe.Rtc.Srtp;

namespace Transcribe.Bench;

internal sealed record SfuBenchmarkOptions
{
    public SrtpProfile Profile { get; init; } = SrtpProfile.AeadAes128Gcm;

    /// <summary>Length of one measurement.</summary>
    public double Seconds { get; init; } = 5;

    public int Repeat { get; init; } = 3;

    /// <summary>Receivers' sockets take merged datagrams.</summary>
    public bool Merge { get; init; }

    public int Workers { get; init; } = 1;

    public IReadOnlyCollection<int> ServerProcessors { get; init; } = [0];
}

/// <summary>Runs one scenario: an SFU in a process of its own, all clients in this one, the floor in a third.</summary>
internal sealed class SfuBenchmark(SfuBenchmarkOptions options, Action<string> tell)
{
    private const int JoinsAtOnce = 16;
    private const int StormSubscribers = 50;

    public async Task<ScenarioResult> RunAsync(SfuScenario scenario, CancellationToken cancellationToken)
    {
        if (!OperatingSystem.IsLinux())
            throw new CommandException("This measures by /proc and recvmmsg: it runs on Linux only.");
        int[] rest = [.. Enumerable.Range(0, BenchNative.Processors).Except(options.ServerProcessors)];
        if (rest.Length > 0)
            BenchNative.PinProcess(rest);
        using var server = new BenchServerProcess(options.ServerProcessors, options.Workers);
        using var driver = new BenchDriver(rest.Length > 0 ? rest : options.ServerProcessors, options.Profile, options.Merge);
        await server.ReadyAsync();
        ScenarioResult result = scenario.Kind switch
        {
            ScenarioKind.Forward => await ForwardAsync(scenario, server, driver, cancellationToken),
            ScenarioKind.Idle => await IdleAsync(scenario, server, driver, cancellationToken),
            ScenarioKind.Storm => await StormAsync(scenario, server, driver, cancellationToken),
            ScenarioKind.Memory => await MemoryAsync(scenario, server, driver, cancellationToken),
            _ => await JoinsAsync(scenario, server, driver, cancellationToken),
        };
        BenchServerStats stats = await server.StatsAsync();
        if (stats.Faults > 0)
            driver.Problem($"the server closed {stats.Faults} sessions because of internal errors");
        return result with { RealTimeDriver = driver.RealTime, Problems = [.. result.Problems, .. driver.Problems] };
    }

    private async Task<ScenarioResult> ForwardAsync(SfuScenario scenario, BenchServerProcess server, BenchDriver driver, CancellationToken cancellationToken)
    {
        bool meeting = scenario.Publishers > 1;
        int others = scenario.Publishers - 1;
        List<BenchPeer> publishers = await JoinAsync(server, driver, Enumerable.Repeat(
            new BenchPeerPlan("bench", scenario.Audio, scenario.Video, meeting ? others : 0, meeting ? others : 0), scenario.Publishers));
        List<BenchPeer> receivers = meeting ? publishers : await JoinAsync(server, driver, Enumerable.Repeat(
            new BenchPeerPlan("bench", AudioSlots: scenario.Audio ? 1 : 0, VideoSlots: scenario.Video ? 1 : 0), scenario.Subscribers));
        List<BenchStream> streams = Streams(scenario, publishers, meeting ? others : receivers.Count);
        using var floor = new BenchFloorProcess(options.ServerProcessors);
        floor.Plan(new FloorPlan(driver.Port, [.. publishers.Select(p => new FloorRoute(
            p.Address.IPv4, [.. receivers.Where(r => r != p).Select(r => r.Address.IPv4)]))]));
        driver.FloorPort = floor.Port;

        DriverPhase warm = await WarmUpAsync(scenario, server, driver, streams, cancellationToken);
        int audio = (int)Math.Round(warm.AudioBytes);
        int video = (int)Math.Round(warm.VideoBytes);
        if (warm.Received == 0)
            throw new CommandException($"{scenario.Name}: nothing arrived. {string.Join("; ", driver.Problems)}", ExitStatus.Failed);
        if (scenario.HalfCore)
            streams = await ScaleAsync(streams, server, driver);
        await driver.PublishAsync(streams, TimeSpan.FromSeconds(1), toFloor: true, audio, video);

        var runs = new List<ForwardRun>();
        for (int i = 0; i < options.Repeat; i++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            tell($"{scenario.Name}: measurement {i + 1} of {options.Repeat}");
            SideFigures sfu = await MeasureAsync(server, () => driver.PublishAsync(streams, TimeSpan.FromSeconds(options.Seconds), toFloor: false), server);
            SideFigures bare = await MeasureAsync(floor, () => driver.PublishAsync(streams, TimeSpan.FromSeconds(options.Seconds), toFloor: true, audio, video), null);
            runs.Add(new ForwardRun(sfu, bare));
        }

        return new ScenarioResult(scenario.Name) { Forward = runs, AudioDatagram = audio, VideoDatagram = video };
    }

    /// <summary>The same streams at the rate that takes half a core; found step by step, as a busy server needs less per packet.</summary>
    private async Task<List<BenchStream>> ScaleAsync(List<BenchStream> streams, BenchServerProcess server, BenchDriver driver)
    {
        double rate = 1;
        for (int i = 0; i < 6; i++)
        {
            List<BenchStream> scaled = [.. streams.Select(s => s with { FramesPerSecond = s.FramesPerSecond * rate })];
            SideFigures figures = await MeasureAsync(server, () => driver.PublishAsync(scaled, TimeSpan.FromSeconds(2), toFloor: false), server);
            if (figures.Lost > figures.Packets / 1000)
            {
                // Too much for one of the two, whatever its load says: others use this machine, too.
                rate *= 0.5;
                break;
            }

            rate *= Math.Min(2, Math.Min(0.5 / figures.ServerLoad, 0.75 / figures.DriverLoad));
        }

        tell($"media at {rate:0.0} times the usual rate");
        return [.. streams.Select(s => s with { FramesPerSecond = s.FramesPerSecond * rate })];
    }

    /// <summary>Publishes until the server's run-time has stopped recompiling what is hot.</summary>
    private async Task<DriverPhase> WarmUpAsync(
        SfuScenario scenario, BenchServerProcess server, BenchDriver driver, List<BenchStream> streams, CancellationToken cancellationToken)
    {
        tell($"{scenario.Name}: warming up");
        DriverPhase? phase = null;
        await SettleAsync(server, async () => phase = await driver.PublishAsync(streams, TimeSpan.FromSeconds(2), toFloor: false), cancellationToken);
        return phase!;
    }

    /// <summary>Repeats something until the server compiles hardly anything any more, for half a minute at most.</summary>
    private static async Task SettleAsync(BenchServerProcess server, Func<Task> step, CancellationToken cancellationToken)
    {
        var clock = Stopwatch.StartNew();
        long compiled = (await server.StatsAsync()).CompiledMethods;
        for (int quiet = 0; quiet < 2 && clock.Elapsed < TimeSpan.FromSeconds(30);)
        {
            cancellationToken.ThrowIfCancellationRequested();
            await step();
            long now = (await server.StatsAsync()).CompiledMethods;
            quiet = now - compiled <= 2 ? quiet + 1 : 0;
            compiled = now;
        }
    }

    private async Task<ScenarioResult> IdleAsync(SfuScenario scenario, BenchServerProcess server, BenchDriver driver, CancellationToken cancellationToken)
    {
        var clock = Stopwatch.StartNew();
        List<BenchPeer> peers = await JoinAsync(
            server, driver, Enumerable.Repeat(new BenchPeerPlan("idle", AudioSlots: 1, VideoSlots: 1, Data: true), scenario.Subscribers));
        tell($"{scenario.Name}: {peers.Count} joined in {clock.Elapsed.TotalSeconds:0.0} s; settling");
        await Task.Delay(TimeSpan.FromSeconds(6), cancellationToken);
        await SettleAsync(server, () => Task.Delay(2000, cancellationToken), cancellationToken);
        var loads = new List<double>();
        for (int i = 0; i < options.Repeat; i++)
        {
            long cpu = server.Cpu;
            long at = Stopwatch.GetTimestamp();
            await Task.Delay(TimeSpan.FromSeconds(options.Seconds), cancellationToken);
            loads.Add((server.Cpu - cpu) / (Stopwatch.GetElapsedTime(at).TotalSeconds * 1e9));
        }

        long connected = (await server.StatsAsync()).Sessions;
        return new ScenarioResult(scenario.Name) { Idle = new IdleFigures(peers.Count, connected, loads) };
    }

    private async Task<ScenarioResult> StormAsync(SfuScenario scenario, BenchServerProcess server, BenchDriver driver, CancellationToken cancellationToken)
    {
        List<BenchPeer> publishers = await JoinAsync(server, driver, [new BenchPeerPlan("bench", PublishVideo: true)]);
        List<BenchPeer> receivers = await JoinAsync(server, driver, Enumerable.Repeat(new BenchPeerPlan("bench", VideoSlots: 1), StormSubscribers));
        List<BenchStream> streams = Streams(scenario, publishers, receivers.Count);
        await SettleAsync(server, async () => await driver.CloseAsync(await JoinAsync(server, driver, Enumerable.Repeat(JoinPlan, 60))), cancellationToken);
        await WarmUpAsync(scenario, server, driver, streams, cancellationToken);
        var runs = new List<StormRun>();
        for (int i = 0; i < options.Repeat; i++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            tell($"{scenario.Name}: measurement {i + 1} of {options.Repeat}");
            SideFigures quiet = await MeasureAsync(server, () => driver.PublishAsync(streams, TimeSpan.FromSeconds(options.Seconds), toFloor: false), server);
            double joinSeconds = 0;
            List<BenchPeer> joined = [];
            SideFigures storm = await MeasureAsync(server, async () =>
            {
                // Long enough for 500 joins on one core of each side.
                Task<DriverPhase> publishing = driver.PublishAsync(streams, TimeSpan.FromSeconds(Math.Max(options.Seconds, 2 + (scenario.Subscribers * 0.01))), toFloor: false);
                await Task.Delay(500, cancellationToken);
                var clock = Stopwatch.StartNew();
                joined = await JoinAsync(server, driver, Enumerable.Repeat(JoinPlan, scenario.Subscribers), scenario.Subscribers);
                joinSeconds = clock.Elapsed.TotalSeconds;
                return await publishing;
            }, server);
            runs.Add(new StormRun(quiet, storm, joined.Count, joinSeconds));
            await driver.CloseAsync(joined);
            await Task.Delay(500, cancellationToken);
        }

        return new ScenarioResult(scenario.Name) { Storm = runs };
    }

    private static async Task<ScenarioResult> MemoryAsync(SfuScenario scenario, BenchServerProcess server, BenchDriver driver, CancellationToken cancellationToken)
    {
        // What the process has once and for all, code compiled on the first joins above all, is not the subscribers'.
        await driver.CloseAsync(await JoinAsync(server, driver, Enumerable.Repeat(JoinPlan, 30)));
        List<BenchPeer> publishers = await JoinAsync(server, driver, [new BenchPeerPlan("bench", PublishAudio: true, PublishVideo: true)]);
        List<BenchPeer> few = await JoinAsync(server, driver, Enumerable.Repeat(new BenchPeerPlan("bench", AudioSlots: 1, VideoSlots: 1, Data: true), 10));
        await driver.PublishAsync(Streams(scenario, publishers, few.Count), TimeSpan.FromSeconds(3), toFloor: false);
        await driver.CloseAsync(few);
        await Task.Delay(1000, cancellationToken);
        BenchServerStats before = await server.StatsAsync(collect: true);
        await Task.Delay(500, cancellationToken);
        long idle = server.Memory.Resident;
        List<BenchPeer> peers = await JoinAsync(
            server, driver, Enumerable.Repeat(new BenchPeerPlan("bench", AudioSlots: 1, VideoSlots: 1, Data: true), scenario.Subscribers));
        List<BenchStream> streams =
        [
            new(publishers[0], MediaKind.Audio, 25, 1, SfuScenario.AudioPayload, peers.Count),
            new(publishers[0], MediaKind.Video, 5, 2, SfuScenario.VideoPayload, peers.Count),
        ];
        DriverPhase phase = await driver.PublishAsync(streams, TimeSpan.FromSeconds(4), toFloor: false);
        long resident = server.Memory.Resident;
        BenchServerStats after = await server.StatsAsync(collect: true);
        await Task.Delay(500, cancellationToken);
        (long collected, int threads) = server.Memory;
        return new ScenarioResult(scenario.Name)
        {
            Memory = new MemoryFigures(
                peers.Count, idle, resident, collected, (after.HeapBytes - before.HeapBytes) / Math.Max(1, peers.Count), threads, Lost(phase)),
        };
    }

    private async Task<ScenarioResult> JoinsAsync(SfuScenario scenario, BenchServerProcess server, BenchDriver driver, CancellationToken cancellationToken)
    {
        tell($"{scenario.Name}: warming up");
        await SettleAsync(server, async () => await driver.CloseAsync(await JoinAsync(server, driver, Enumerable.Repeat(JoinPlan, 60))), cancellationToken);
        var runs = new List<JoinRun>();
        for (int i = 0; i < options.Repeat; i++)
        {
            await Task.Delay(500, cancellationToken);
            tell($"{scenario.Name}: measurement {i + 1} of {options.Repeat}");
            BenchServerStats before = await server.StatsAsync();
            long cpu = server.Cpu;
            (long user, long system) = server.Ticks;
            long at = Stopwatch.GetTimestamp();
            List<BenchPeer> joined = await JoinAsync(server, driver, Enumerable.Repeat(JoinPlan, scenario.Subscribers));
            double seconds = Stopwatch.GetElapsedTime(at).TotalSeconds;

            // The last acknowledgements are part of it.
            await Task.Delay(200, cancellationToken);
            double used = (server.Cpu - cpu) / 1e6;
            (long user2, long system2) = server.Ticks;
            BenchServerStats after = await server.StatsAsync();
            runs.Add(new JoinRun(
                joined.Count, seconds, used / joined.Count, (user2 - user + system2 - system) * 10.0 / joined.Count,
                (after.AllocatedBytes - before.AllocatedBytes) / joined.Count, (after.DatagramsReceived - before.DatagramsReceived) / (double)joined.Count));
            await driver.CloseAsync(joined);
        }

        return new ScenarioResult(scenario.Name) { Joins = runs };
    }

    /// <summary>What a join brings up: an audio and a video slot and a data channel.</summary>
    private static BenchPeerPlan JoinPlan { get; } = new("joins", AudioSlots: 1, VideoSlots: 1, Data: true);

    private static async Task<List<BenchPeer>> JoinAsync(
        BenchServerProcess server, BenchDriver driver, IEnumerable<BenchPeerPlan> plans, int atOnce = JoinsAtOnce)
    {
        BenchPeerPlan[] all = [.. plans];
        try
        {
            List<BenchPeer> connected = await driver.JoinAsync(server, all, atOnce).WaitAsync(TimeSpan.FromSeconds(30 + (all.Length * 0.05)));
            return connected.Count == all.Length
                ? connected
                : throw new CommandException($"{all.Length - connected.Count} of {all.Length} clients did not connect: {string.Join("; ", driver.Problems)}", ExitStatus.Failed);
        }
        catch (TimeoutException)
        {
            throw new CommandException($"{all.Length} clients were not connected in time. {string.Join("; ", driver.Problems)}", ExitStatus.Failed);
        }
    }

    private static List<BenchStream> Streams(SfuScenario scenario, List<BenchPeer> publishers, int receivers)
    {
        var streams = new List<BenchStream>();
        foreach (BenchPeer publisher in publishers)
        {
            if (scenario.Audio)
                streams.Add(new(publisher, MediaKind.Audio, SfuScenario.AudioFrameRate, 1, SfuScenario.AudioPayload, receivers));
            if (scenario.Video)
                streams.Add(new(publisher, MediaKind.Video, SfuScenario.VideoFrameRate, SfuScenario.VideoPacketsPerFrame, SfuScenario.VideoPayload, receivers));
        }

        return streams;
    }

    /// <param name="server">Where to ask for counters; null for the floor.</param>
    private static async Task<SideFigures> MeasureAsync(BenchProcess process, Func<Task<DriverPhase>> run, BenchServerProcess? server)
    {
        BenchServerStats? before = server is null ? null : await server.StatsAsync();
        long cpu = process.Cpu;
        (long user, long system) = process.Ticks;
        long at = Stopwatch.GetTimestamp();
        DriverPhase phase = await run();
        double wall = Stopwatch.GetElapsedTime(at).TotalSeconds;
        double used = (process.Cpu - cpu) / 1e3;
        (long user2, long system2) = process.Ticks;
        BenchServerStats? after = server is null ? null : await server.StatsAsync();
        long packets = after is null ? phase.Received : after.PacketsForwarded - before!.PacketsForwarded;
        return new SideFigures
        {
            CpuMicrosPerPacket = used / Math.Max(1, packets),
            StatMicrosPerPacket = (user2 - user + system2 - system) * 10_000.0 / Math.Max(1, packets),
            ServerLoad = used / (wall * 1e6),
            PacketsPerSecond = phase.Received / phase.Seconds,
            Packets = packets,
            Lost = Lost(phase),
            P50Ms = phase.Latency.QuantileMs(0.5),
            P99Ms = phase.Latency.QuantileMs(0.99),
            P999Ms = phase.Latency.QuantileMs(0.999),
            MaxMs = phase.Latency.MaxMs,
            LaterThan20Ms = phase.Latency.CountAbove(20),
            DriverLoad = phase.DriverLoad,
            DriverLatestMs = phase.LatestMs,
            DriverDropped = phase.Dropped,
            CompilingMs = after is null ? 0 : after.CompilingMs - before!.CompilingMs,
            Collections = after is null ? 0 : after.Collections - before!.Collections,
            PausedMs = after is null ? 0 : after.PausedMs - before!.PausedMs,
            LongestPauseMs = after?.LongestPauseMs ?? 0,
            AllocatedPerPacket = after is null ? 0 : (after.AllocatedBytes - before!.AllocatedBytes) / (double)Math.Max(1, packets),
            Retransmitted = after is null ? 0 : after.PacketsRetransmitted - before!.PacketsRetransmitted,
            DatagramsIn = after is null ? 0 : after.DatagramsReceived - before!.DatagramsReceived,
            DatagramsPerSend = after is null ? 0 : (after.DatagramsSent - before!.DatagramsSent) / (double)Math.Max(1, after.SendCalls - before.SendCalls),
            SegmentedSends = after is null ? 0 : after.SegmentedSends - before!.SegmentedSends,
            ServerDropped = after is null ? 0 : after.KernelDrops + after.SendFailures - before!.KernelDrops - before.SendFailures,
        };
    }

    private static long Lost(DriverPhase phase) => phase.Published - phase.Received;
}
