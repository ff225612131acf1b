using System.Diagnostics;
using Transcribe.Cluster.Processes.Tests.Support;
using Transcribe.Cluster.State;
using Transcribe.Peer;

namespace Transcribe.Cluster.Processes.Tests;

/// <summary>Redis dies, by SIGKILL, in the middle of speech, and comes back: with its data, then without.</summary>
public sealed class RedisFailureTests
{
    private const string Room = "call";

    [Fact]
    public async Task Redis_restarts_and_calls_and_captions_go_on()
    {
        await using TestCluster cluster = await TestCluster.StartAsync("redis", sfus: 2, gateways: 2, "north", "south");
        await using TestPeer speaker = await cluster.JoinAsync(Room, "speaker", "north");
        await using TestPeer viewer = await cluster.JoinAsync(Room, "viewer", "south");
        viewer.Hum();
        Meeting meeting = await Meeting.BeginAsync(cluster, Room, speaker, sentences: 5);
        await TestPeer.HearOneAnotherAsync(speaker, viewer);
        string gateway = (await cluster.GatewayAsync(Room))!.Owner;

        // In the middle of the second sentence; it is back in the middle of the third.
        await meeting.SpokenAsync(7);
        await using TestPeer carol = await RestartAsync("with its data", "carol", keepData: true);

        // In the middle of the fourth; it is back in the middle of the fifth.
        await meeting.SpokenAsync(16.8);
        long lost = Stopwatch.GetTimestamp();
        await using TestPeer dave = await RestartAsync("empty", "dave", keepData: false);

        await meeting.CountAsync(null, lost, viewer, speaker);
        Lease? lease = await cluster.GatewayAsync(Room);
        cluster.Count($"the room was {gateway}'s before, and is {lease?.Owner ?? "nobody"}'s now");
        Assert.NotNull(lease);
        await TestCluster.Until(() => dave.Client.Transcription is { Enabled: true, ActiveEngine: not null }, 20);

        async Task<TestPeer> RestartAsync(string how, string name, bool keepData)
        {
            long killed = Stopwatch.GetTimestamp();
            await cluster.Nodes.Redis.KillAsync();
            await Task.Delay(TimeSpan.FromSeconds(4));
            await cluster.Nodes.Redis.StartAgainAsync(keepData);
            long returned = Stopwatch.GetTimestamp();

            // A person would press the button again.
            TestPeer? comer = null;
            while (comer is null && Stopwatch.GetElapsedTime(returned).TotalSeconds < 40)
            {
                try
                {
                    comer = await cluster.JoinAsync(Room, name, "south");
                }
                catch (PeerException e)
                {
                    cluster.Say($"{name} is refused: {e.Code}");
                    await Task.Delay(200);
                }
            }

            Assert.NotNull(comer);
            cluster.Report($"{how}: a new join works after", Stopwatch.GetElapsedTime(returned), 5, 20);
            await TestCluster.Until(() => viewer.NotedAfter($"joined:{name}", returned) is not null, 20);
            await TestCluster.Until(() => comer.HearsSince(speaker, returned), 20);
            long end = Stopwatch.GetTimestamp();
            cluster.Report($"{how}: longest silence of the speaker at the viewer", viewer.LongestGap(speaker, killed, end).Length, 1, 3);
            cluster.Report($"{how}: longest silence of the viewer at the speaker", speaker.LongestGap(viewer, killed, end).Length, 1, 3);
            Assert.DoesNotContain(
                speaker.Notes.Concat(viewer.Notes),
                n => n.At > killed && (n.What.StartsWith("moved", StringComparison.Ordinal) || n.What.StartsWith("closed", StringComparison.Ordinal)));
            return comer;
        }
    }
}
