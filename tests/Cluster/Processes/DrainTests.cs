using System.Diagnostics;
using Transcribe.Cluster.Processes.Tests.Support;

namespace Transcribe.Cluster.Processes.Tests;

/// <summary>Nodes are drained under a captioned call, as for a new version of the program: one of each role, one after the other.</summary>
public sealed class DrainTests
{
    private const string Room = "call";

    [Fact]
    public async Task A_call_goes_on_over_the_draining_of_every_node_it_uses()
    {
        await using TestCluster cluster = await TestCluster.StartAsync("drain", sfus: 2, gateways: 2);
        await using TestPeer speaker = await cluster.JoinAsync(Room, "speaker");
        await using TestPeer viewer = await cluster.JoinAsync(Room, "viewer");
        viewer.Hum();
        Meeting meeting = await Meeting.BeginAsync(cluster, Room, speaker, sentences: 6);
        await TestPeer.HearOneAnotherAsync(speaker, viewer);
        string sfu = speaker.Node(viewer);
        Assert.Equal(sfu, viewer.Node(speaker));

        // In the middle of the second sentence.
        await meeting.SpokenAsync(7);
        long began = Stopwatch.GetTimestamp();
        string gateway = (await cluster.GatewayAsync(Room))!.Owner;
        await cluster.DrainAsync(gateway, 10);
        cluster.Report("the gateway was empty after", Stopwatch.GetElapsedTime(began));

        await meeting.SpokenAsync(12);
        long left = Stopwatch.GetTimestamp();
        int port = speaker.Client.SignalingUrl!.Port;
        await cluster.DrainAsync(cluster.Nodes.Processes.First(p => p.Url?.Port == port).NodeId, 3);
        cluster.Report("the signalling node was empty after", Stopwatch.GetElapsedTime(left));
        Assert.NotEqual(port, speaker.Client.SignalingUrl!.Port);
        Assert.DoesNotContain(speaker.Notes.Concat(viewer.Notes), n => n.At > began && !n.What.StartsWith("muted", StringComparison.Ordinal));
        cluster.Report("longest silence of the speaker at the viewer until then", viewer.LongestGap(speaker, began, Stopwatch.GetTimestamp()).Length, 1, 3);

        // Between the fourth sentence and the fifth.
        await meeting.SpokenAsync(18.5);
        long moved = Stopwatch.GetTimestamp();
        await cluster.DrainAsync(sfu, 0);
        cluster.Report("the SFU node was empty after", Stopwatch.GetElapsedTime(moved));
        await TestCluster.Until(() => speaker.NotedAfter("moved:drain", moved) is not null && viewer.NotedAfter("moved:drain", moved) is not null, 20);
        long told = Math.Max(speaker.NotedAfter("moved:drain", moved)!.Value, viewer.NotedAfter("moved:drain", moved)!.Value);
        await TestPeer.HearOneAnotherAsync(told, speaker, viewer);
        long heard = viewer.FirstAfter(speaker, told);
        await meeting.CountAsync((moved, heard), null, viewer, speaker);
        cluster.Report("the speaker was heard from the other SFU node after", Stopwatch.GetElapsedTime(moved, heard));
        Assert.NotEqual(sfu, speaker.Node(viewer));
        Assert.DoesNotContain(speaker.Notes.Concat(viewer.Notes), n => n.What.StartsWith("closed", StringComparison.Ordinal) || n.What.StartsWith("left", StringComparison.Ordinal));
    }
}
