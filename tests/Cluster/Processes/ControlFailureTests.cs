using System.Diagnostics;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Processes.Tests.Support;
using Transcribe.LocalCluster;

namespace Transcribe.Cluster.Processes.Tests;

/// <summary>The nodes that no media flows through die, by SIGKILL, one after the other, in one captioned call.</summary>
public sealed class ControlFailureTests
{
    private const string Room = "call";

    [Fact]
    public async Task Killed_directors_and_signalling_nodes_leave_media_and_captions_untouched()
    {
        await using TestCluster cluster = await TestCluster.StartAsync("control", sfus: 1, gateways: 1);
        await using TestPeer speaker = await cluster.JoinAsync(Room, "speaker");
        await using TestPeer viewer = await cluster.JoinAsync(Room, "viewer");
        viewer.Hum();
        Meeting meeting = await Meeting.BeginAsync(cluster, Room, speaker, sentences: 6);
        await TestPeer.HearOneAnotherAsync(speaker, viewer);

        // In the middle of the second sentence, the director; it is back in the third.
        await meeting.SpokenAsync(7);
        long killed = await KillAsync(cluster.Nodes.Director);
        await Task.Delay(TimeSpan.FromSeconds(3));
        await SetMutedAsync(killed);
        Untouched("director killed", killed);
        Assert.DoesNotContain(speaker.Notes.Concat(viewer.Notes), n => n.At > killed && !n.What.StartsWith("muted", StringComparison.Ordinal));
        Task again = StartAgainAsync(cluster.Nodes.Director);

        // In the fourth, the speaker's signalling node.
        await meeting.SpokenAsync(16);
        await again;
        await KillSignalingAsync("the speaker's", cluster.Nodes.Processes.First(p => p.Url?.Port == speaker.Client.SignalingUrl!.Port));

        // In the sixth, the one that the gateway is connected to.
        await meeting.SpokenAsync(25.5);
        await KillSignalingAsync("the gateway's", cluster.Node((await cluster.GatewaySessionAsync(Room)).Signaling));

        await meeting.CountAsync(viewer, speaker);
        await using TestPeer carol = await cluster.JoinAsync(Room, "carol");
        carol.Hum();
        await TestPeer.HearOneAnotherAsync(carol, viewer);

        async Task KillSignalingAsync(string whose, IClusterNode which)
        {
            var node = (ClusterProcess)which;
            cluster.Say($"{node.NodeId} is killed; the gateway is at {await cluster.GatewaySessionAsync(Room)}");
            TestPeer[] hit = [.. new[] { speaker, viewer }.Where(p => p.Client.SignalingUrl is not { } url || url.Port == node.Url?.Port)];
            long at = await KillAsync(node);
            await TestCluster.Until(() => hit.All(p => p.NotedAfter("reconnected", at) is not null), 30);
            if (hit.Length > 0)
                cluster.Report($"{whose} signalling node killed: clients resumed after", Stopwatch.GetElapsedTime(at, hit.Max(p => p.NotedAfter("reconnected", at)!.Value)), 5, 20);
            Task again = StartAgainAsync(node);
            await Task.Delay(TimeSpan.FromSeconds(3));
            await SetMutedAsync(at);
            Untouched($"{whose} signalling node killed", at);
            Assert.Null(viewer.NotedAfter("left:", at));
            await again;
        }

        // What is told still arrives; it is the viewer who mutes, since a muted voice is not captioned.
        async Task SetMutedAsync(long since)
        {
            await viewer.Client.SetMutedAsync(viewer.Track, true);
            await TestCluster.Until(() => speaker.NotedAfter("muted:viewer", since) is not null, 20);
            await viewer.Client.SetMutedAsync(viewer.Track, false);
        }

        void Untouched(string what, long since)
        {
            long end = Stopwatch.GetTimestamp();
            cluster.Report($"{what}: longest silence of the speaker at the viewer", viewer.LongestGap(speaker, since, Math.Min(end, meeting.EndsAt)).Length, 1, 3);
            cluster.Report($"{what}: longest silence of the viewer at the speaker", speaker.LongestGap(viewer, since, end).Length, 1, 3);
            Assert.Null(speaker.NotedAfter("moved:", since));
            Assert.Null(viewer.NotedAfter("moved:", since));
        }

        async Task StartAgainAsync(ClusterProcess process)
        {
            await process.StartAsync(TestContext.Current.CancellationToken);
            if (process.Role == NodeRole.Director)
                await cluster.Nodes.ReadyAsync(TestContext.Current.CancellationToken);
        }
    }

    private static async Task<long> KillAsync(ClusterProcess process)
    {
        long killed = Stopwatch.GetTimestamp();
        process.Kill();
        await process.Ended;
        return killed;
    }
}
