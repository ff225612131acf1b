using System.Diagnostics;
using Transcribe.Cluster.Processes.Tests.Support;
using Transcribe.Cluster.State;

namespace Transcribe.Cluster.Processes.Tests;

/// <summary>The gateway of a room dies, by SIGKILL, in the middle of a sentence.</summary>
public sealed class GatewayFailureTests
{
    private const string Room = "call";

    [Fact]
    public async Task A_killed_gateway_is_followed_by_another_and_no_final_is_lost_or_doubled()
    {
        await using TestCluster cluster = await TestCluster.StartAsync("gateway", sfus: 1, gateways: 2);
        await using TestPeer speaker = await cluster.JoinAsync(Room, "speaker");
        await using TestPeer viewer = await cluster.JoinAsync(Room, "viewer");
        Meeting meeting = await Meeting.BeginAsync(cluster, Room, speaker, sentences: 4);

        // Early in the third sentence, which lasts for three seconds more: the next caption is one of it.
        await meeting.SpokenAsync(10.7);
        Lease lease = (await cluster.GatewayAsync(Room))!;
        long killed = Stopwatch.GetTimestamp();
        cluster.Node(lease.Owner).Kill();
        Lease? next = null;
        while (next is null && Stopwatch.GetElapsedTime(killed).TotalSeconds < 20)
        {
            next = await cluster.GatewayAsync(Room) is { } now && now.Owner != lease.Owner ? now : null;
            await Task.Delay(20, TestContext.Current.CancellationToken);
        }

        Assert.NotNull(next);
        long claimed = Stopwatch.GetTimestamp();
        cluster.Report("another gateway claimed the room after", Stopwatch.GetElapsedTime(killed, claimed), 3, 10);
        await meeting.CountAsync(viewer);

        // What the dead one said is sent again at the claim, and known already.
        long first = viewer.Captions.First(c => c.At > claimed).At;
        cluster.Report("its first caption came after", Stopwatch.GetElapsedTime(killed, first), 3, 12);
        cluster.Say($"At {meeting.At(first):0.00} s of the recording: {viewer.Captions.First(c => c.At > claimed).Caption.Text}");
    }
}
