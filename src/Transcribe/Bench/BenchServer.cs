using System.Runtime;
using System.Text.Json;
using Microsoft.Extensions.Logging.Abstractions;
using Transcribe.Cluster;
using Transcribe.Cluster.InProcess;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Cluster.Tokens;
using Transcribe.Sfu.Control;

namespace Transcribe.Bench;

/// <summary>A request to the server under test, one JSON object a line on its standard input.</summary>
/// <param name="Op">"join", "close", "stats" or "collect".</param>
internal sealed record BenchRequest(
    int Id, string Op, string? Session = null, string? Room = null, string? Sdp = null, IReadOnlyList<PublishedMedia>? Tracks = null);

internal sealed record BenchReply(int Id, string? Error = null, string? Sdp = null, BenchServerStats? Stats = null);

/// <summary>Counters of the SFU's workers, summed, and of its process.</summary>
/// <param name="LongestPauseMs">Of the garbage collections since the last time these were asked for.</param>
internal sealed record BenchServerStats(
    long PacketsIn, long PacketsForwarded, long PacketsRetransmitted, long DatagramsReceived, long DatagramsSent, long SendCalls,
    long SegmentedSends, long SendFailures, long KernelDrops, long Sessions, long Faults, long AllocatedBytes, long HeapBytes, int Collections, long CompiledMethods,
    double CompilingMs, double PausedMs, double LongestPauseMs);

/// <summary>
/// The process under test: an <see cref="SfuNode"/> as `serve` runs it, spoken to through standard input and output
/// instead of SignalR, so that only the SFU is measured. Ends with its input.
/// </summary>
internal static class BenchServer
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private static readonly Grants Everything = new() { Publish = true, Subscribe = true, PublishData = true };

    public static async Task RunAsync(TextReader input, TextWriter output, int workers, CancellationToken cancellationToken)
    {
        var options = new SfuOptions
        {
            NodeId = "bench",
            UdpPort = 0,
            Workers = workers,
            AdvertisedAddresses = { "127.0.0.1" },
            Limits = new SfuLimits { MaxSessionsPerRoom = 20_000 },
        };
        await using var bus = new InProcessMessageBus(NullLogger<InProcessMessageBus>.Instance, TimeProvider.System);
        var state = new InProcessStateStore(TimeProvider.System);
        var rooms = new RoomDirectory(state, new InProcessEventLog(TimeProvider.System), bus, TimeProvider.System);
        using var node = new SfuNode(options, bus, rooms, new NodeDirectory(state), TimeProvider.System, NullLogger<SfuNode>.Instance);
        await node.StartAsync(cancellationToken);
        PauseWatch.Start();
        var writing = new SemaphoreSlim(1);
        await WriteAsync(new BenchReply(0));
        while (await input.ReadLineAsync(cancellationToken) is { } line)
        {
            BenchRequest request = ClusterJson.Deserialize<BenchRequest>(line);
            _ = Task.Run(() => AnswerAsync(request), cancellationToken);
        }

        await node.StopAsync(CancellationToken.None);

        async Task AnswerAsync(BenchRequest request)
        {
            BenchReply reply;
            try
            {
                reply = await HandleAsync(request);
            }
            catch (Exception e)
            {
                reply = new BenchReply(request.Id, e.Message);
            }

            await WriteAsync(reply);
        }

        async Task<BenchReply> HandleAsync(BenchRequest request)
        {
            switch (request.Op)
            {
                case "join":
                    string session = request.Session!;
                    await bus.RequestAsync<OpenSession, Ack>(
                        SfuSubjects.Open("bench"), new OpenSession(session, request.Room!, session, Everything), Patience, cancellationToken);
                    SessionNegotiated negotiated = await bus.RequestAsync<NegotiateSession, SessionNegotiated>(
                        SfuSubjects.Negotiate("bench"), new NegotiateSession(session, request.Sdp!, request.Tracks ?? []), Patience, cancellationToken);
                    return new BenchReply(request.Id, Sdp: negotiated.Sdp);
                case "close":
                    await bus.RequestAsync<CloseSession, Ack>(SfuSubjects.Close("bench"), new CloseSession(request.Session!, "left"), Patience, cancellationToken);
                    return new BenchReply(request.Id);
                case "collect":
                    GC.Collect(2, GCCollectionMode.Aggressive, blocking: true, compacting: true);
                    GC.WaitForPendingFinalizers();
                    GC.Collect(2, GCCollectionMode.Aggressive, blocking: true, compacting: true);
                    return new BenchReply(request.Id, Stats: Stats(node));
                case "stats":
                    return new BenchReply(request.Id, Stats: Stats(node));
                default:
                    return new BenchReply(request.Id, $"Unknown operation \"{request.Op}\".");
            }
        }

        async Task WriteAsync(BenchReply reply)
        {
            string line = JsonSerializer.Serialize(reply, ClusterJson.Options);
            await writing.WaitAsync(CancellationToken.None);
            try
            {
                await output.WriteLineAsync(line);
                await output.FlushAsync(CancellationToken.None);
            }
            finally
            {
                writing.Release();
            }
        }
    }

    private static BenchServerStats Stats(SfuNode node) => new(
        node.Workers.Sum(w => w.Counters.PacketsIn),
        node.Workers.Sum(w => w.Counters.PacketsForwarded),
        node.Workers.Sum(w => w.Counters.PacketsRetransmitted),
        node.Workers.Sum(w => w.SocketCounters.DatagramsReceived),
        node.Workers.Sum(w => w.SocketCounters.DatagramsSent),
        node.Workers.Sum(w => w.SocketCounters.SendCalls),
        node.Workers.Sum(w => w.SocketCounters.SegmentedSends),
        node.Workers.Sum(w => w.SocketCounters.SendErrors + w.SocketCounters.SendBufferFull),
        node.Workers.Sum(w => w.SocketCounters.KernelDrops),
        node.SessionCount,
        node.Workers.Sum(w => w.Counters.SessionFaults),
        GC.GetTotalAllocatedBytes(),
        GC.GetTotalMemory(forceFullCollection: false),
        GC.CollectionCount(0),
        JitInfo.GetCompiledMethodCount(),
        JitInfo.GetCompilationTime().TotalMilliseconds,
        GC.GetTotalPauseDuration().TotalMilliseconds,
        PauseWatch.TakeLongest().TotalMilliseconds);
}
