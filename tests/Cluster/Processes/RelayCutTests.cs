using System.Diagnostics;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Processes.Tests.Support;

namespace Transcribe.Cluster.Processes.Tests;

/// <summary>
/// The path between two SFU nodes is cut while both live, and reach everybody else: each is a process on a host of its own
/// (a network namespace).
/// </summary>
public sealed class RelayCutTests
{
    private const string Room = "call";

    [Fact]
    public async Task A_cut_relay_link_is_repaired_or_routed_around_and_no_caption_is_lost_or_doubled()
    {
        (TestNetwork? created, string reason) = await TestNetwork.TryCreateAsync(hosts: 3);
        Assert.SkipWhen(created is null, reason);
        await using TestNetwork network = created!;
        await using TestCluster cluster = await TestCluster.StartAsync("relay", sfus: 1, gateways: 1);
        await RemoteSfu.OpenRedisAsync(cluster, network);
        await using RemoteSfu first = await RemoteSfu.StartAsync(cluster, network, network.Hosts[0], "north");
        await using RemoteSfu second = await RemoteSfu.StartAsync(cluster, network, network.Hosts[1], "south");

        // The node outside is not to help.
        await cluster.DrainAsync(cluster.Nodes.Of(NodeRole.Sfu)[0].NodeId, 0);
        (TestNetwork.Host north, TestNetwork.Host south) = (network.Hosts[0], network.Hosts[1]);
        await using TestPeer speaker = await cluster.JoinAsync(Room, "speaker", "north");
        await using TestPeer viewer = await cluster.JoinAsync(Room, "viewer", "south");
        viewer.Hum();
        Meeting meeting = await Meeting.BeginAsync(cluster, Room, speaker, sentences: 6);
        await TestPeer.HearOneAnotherAsync(speaker, viewer);
        Assert.Equal(("north", "south"), (speaker.Node(viewer), viewer.Node(speaker)));
        Assert.Equal("north", (await cluster.GatewaySessionAsync(Room)).Sfu);

        // There are only these two nodes, and no way around. The second sentence's final falls into the cut.
        await meeting.SpokenAsync(7);
        long cut = Stopwatch.GetTimestamp();
        await network.CutAsync(north, south);
        await meeting.SpokenAsync(11.8);
        Assert.False(viewer.HearsSince(speaker, cut + Stopwatch.Frequency), "The path is not cut.");
        await network.HealAsync(north, south);
        long healed = Stopwatch.GetTimestamp();
        long back = await TestPeer.HearOneAnotherAsync(healed, speaker, viewer);
        cluster.Report("cut for 4.8 s without a way around: repaired after the healing", Stopwatch.GetElapsedTime(healed, back), 3, 12);
        cluster.Report("longest silence of the speaker at the viewer", viewer.LongestGap(speaker, cut, back).Length);
        await TestCluster.Until(() => viewer.Captions.Any(c => c.Caption.Final && meeting.IsOf(c.Caption, sentence: 1)), 20);
        cluster.Report("the caption that was held up came after the healing", Stopwatch.GetElapsedTime(healed, viewer.Captions.First(c => c.Caption.Final && meeting.IsOf(c.Caption, sentence: 1)).At));

        // A third node is a way around, though nobody of the room is on it. In the middle of the fifth sentence.
        await using RemoteSfu third = await RemoteSfu.StartAsync(cluster, network, network.Hosts[2], "east");
        await meeting.SpokenAsync(21);
        cut = Stopwatch.GetTimestamp();
        await network.CutAsync(north, south);
        long settled = cut + (3 * Stopwatch.Frequency);
        await TestCluster.Until(() => viewer.HearsSince(speaker, settled) && speaker.HearsSince(viewer, settled), 30);
        foreach ((TestPeer by, TestPeer of) in ((TestPeer, TestPeer)[])[(viewer, speaker), (speaker, viewer)])
        {
            (TimeSpan length, long end) = by.LongestGap(of, cut, Stopwatch.GetTimestamp());
            cluster.Report($"cut with a way around: {of.Name} heard by {by.Name} over the third node after", Stopwatch.GetElapsedTime(cut, end), 3, 12);
            cluster.Report($"cut with a way around: silence of {of.Name} at {by.Name}", length);
        }

        await meeting.CountAsync(viewer, speaker);
        Assert.DoesNotContain(
            speaker.Notes.Concat(viewer.Notes),
            n => n.What.StartsWith("moved", StringComparison.Ordinal) || n.What.StartsWith("left", StringComparison.Ordinal) || n.What.StartsWith("closed", StringComparison.Ordinal));
    }
}
