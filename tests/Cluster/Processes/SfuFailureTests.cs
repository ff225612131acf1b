using System.Diagnostics;
using Transcribe.Cluster.Processes.Tests.Support;

namespace Transcribe.Cluster.Processes.Tests;

/// <summary>An SFU node dies, by SIGKILL, alone or together with a gateway. Times are printed; what fails is what does not work.</summary>
public sealed class SfuFailureTests
{
    private const string Room = "call";

    [Fact]
    public async Task A_killed_sfu_node_costs_its_participants_seconds_and_no_caption_of_what_was_heard()
    {
        await using TestCluster cluster = await TestCluster.StartAsync("sfu", sfus: 3, gateways: 1, "north", "south", "east");
        await using TestPeer speaker = await cluster.JoinAsync(Room, "speaker", "north");
        await using TestPeer mate = await cluster.JoinAsync(Room, "mate", "north");
        await using TestPeer viewer = await cluster.JoinAsync(Room, "viewer", "south");
        mate.Hum();
        viewer.Hum();
        Meeting meeting = await Meeting.BeginAsync(cluster, Room, speaker, sentences: 4);
        await TestPeer.HearOneAnotherAsync(speaker, mate, viewer);
        string node = speaker.Node(viewer);
        Assert.Equal(node, mate.Node(viewer));
        Assert.NotEqual(node, viewer.Node(speaker));
        cluster.Say($"The gateway is at {await cluster.GatewaySessionAsync(Room)}, the speaker on {node}.");

        // In the middle of the second sentence.
        await meeting.SpokenAsync(7);
        long killed = Stopwatch.GetTimestamp();
        cluster.Node(node).Kill();
        await TestCluster.Until(() => speaker.NotedAfter("moved:nodeLost", killed) is not null && mate.NotedAfter("moved:nodeLost", killed) is not null, 30);
        long told = Math.Max(speaker.NotedAfter("moved:", killed)!.Value, mate.NotedAfter("moved:", killed)!.Value);
        long back = await TestPeer.HearOneAnotherAsync(told, speaker, mate, viewer);
        cluster.Report("told of the loss after", Stopwatch.GetElapsedTime(killed, told), 2, 8);
        cluster.Report("media of all back after", Stopwatch.GetElapsedTime(killed, back), 5, 20);
        Assert.NotEqual(node, speaker.Node(viewer));
        Assert.Null(viewer.NotedAfter("moved:", killed));
        Assert.DoesNotContain(viewer.Notes, n => n.What.StartsWith("left:", StringComparison.Ordinal));
        Assert.DoesNotContain(speaker.Notes.Concat(mate.Notes).Concat(viewer.Notes), n => n.What.StartsWith("closed", StringComparison.Ordinal));

        long heard = viewer.FirstAfter(speaker, told);
        cluster.Report("the speaker was heard by the viewer again after", Stopwatch.GetElapsedTime(killed, heard), 5, 20);
        await meeting.CountAsync((killed, heard), null, viewer, mate);
        if (meeting.FirstCaptionOf(viewer, meeting.At(heard), heard) is { } caption)
            cluster.Report("first caption of what was said then, after", Stopwatch.GetElapsedTime(killed, caption));
    }

    [Fact]
    public async Task A_reader_whose_sfu_node_is_killed_reads_what_was_captioned_meanwhile()
    {
        await using TestCluster cluster = await TestCluster.StartAsync("reader", sfus: 2, gateways: 1, "north", "south");
        await using TestPeer speaker = await cluster.JoinAsync(Room, "speaker", "north");
        await using TestPeer viewer = await cluster.JoinAsync(Room, "viewer", "south");
        viewer.Hum();
        Meeting meeting = await Meeting.BeginAsync(cluster, Room, speaker, sentences: 2);
        await TestPeer.HearOneAnotherAsync(speaker, viewer);
        string node = viewer.Node(speaker);
        Assert.NotEqual(node, speaker.Node(viewer));
        Assert.NotEqual(node, (await cluster.GatewaySessionAsync(Room)).Sfu);

        // The first sentence is over; its final comes when the viewer hears and reads nothing.
        await meeting.SpokenAsync(4.75);
        long killed = Stopwatch.GetTimestamp();
        cluster.Node(node).Kill();
        await TestCluster.Until(() => viewer.NotedAfter("moved:nodeLost", killed) is not null, 30);
        long back = await TestPeer.HearOneAnotherAsync(viewer.NotedAfter("moved:", killed)!.Value, speaker, viewer);
        cluster.Report("the viewer's media back after", Stopwatch.GetElapsedTime(killed, back), 5, 20);
        foreach ((TestPeer by, TestPeer of) in ((TestPeer, TestPeer)[])[(viewer, speaker), (speaker, viewer)])
            cluster.Report($"{of.Name} heard by {by.Name} after", Stopwatch.GetElapsedTime(killed, by.FirstAfter(of, viewer.NotedAfter("moved:", killed)!.Value)));
        await meeting.CountAsync(viewer, speaker);
        long final = viewer.Captions.First(c => c.Caption.Final && meeting.IsOf(c.Caption, sentence: 0)).At;
        cluster.Report("the caption of the meantime read after", Stopwatch.GetElapsedTime(killed, final));
        cluster.Report("the speaker had read it after", Stopwatch.GetElapsedTime(killed, speaker.Captions.First(c => c.Caption.Final && meeting.IsOf(c.Caption, sentence: 0)).At));
    }

    [Fact]
    public async Task A_machine_with_an_sfu_node_and_the_gateway_dies_and_both_are_replaced()
    {
        await using TestCluster cluster = await TestCluster.StartAsync("machine", sfus: 2, gateways: 2, "north", "south");
        await using TestPeer speaker = await cluster.JoinAsync(Room, "speaker", "north");
        await using TestPeer viewer = await cluster.JoinAsync(Room, "viewer", "south");
        viewer.Hum();
        Meeting meeting = await Meeting.BeginAsync(cluster, Room, speaker, sentences: 4);
        await TestPeer.HearOneAnotherAsync(speaker, viewer);
        string node = speaker.Node(viewer);
        string gateway = (await cluster.GatewayAsync(Room))!.Owner;

        // In the middle of the second sentence.
        await meeting.SpokenAsync(7);
        long killed = Stopwatch.GetTimestamp();
        cluster.Node(node).Kill();
        cluster.Node(gateway).Kill();
        await TestCluster.Until(() => speaker.NotedAfter("moved:nodeLost", killed) is not null, 30);
        long told = speaker.NotedAfter("moved:", killed)!.Value;
        await TestPeer.HearOneAnotherAsync(told, speaker, viewer);
        long heard = viewer.FirstAfter(speaker, told);
        cluster.Report("the speaker was heard again after", Stopwatch.GetElapsedTime(killed, heard));
        await meeting.CountAsync((killed, heard), null, viewer, speaker);
        cluster.Report("first caption of what was said then, after", Stopwatch.GetElapsedTime(killed, meeting.FirstCaptionOf(viewer, meeting.At(heard), heard)!.Value));
        Assert.NotEqual(gateway, (await cluster.GatewayAsync(Room))!.Owner);
    }
}
