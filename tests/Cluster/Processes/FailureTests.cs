using System.Diagnostics;
using System.Text.Json;
using Transcribe.AiGateway.Evaluation;
using Transcribe.Cluster.Processes.Tests.Support;
using Transcribe.Cluster.State;
using Transcribe.LocalCluster;
using Transcribe.Publishing;

namespace Transcribe.Cluster.Processes.Tests;

/// <summary>Every process of a cluster dies once, by SIGKILL. Times are printed; what fails is what does not work.</summary>
public sealed class FailureTests
{
    private const string Room = "call";

    [Fact]
    public async Task A_killed_sfu_node_costs_its_participants_seconds()
    {
        await using TestCluster cluster = await TestCluster.StartAsync("sfu");
        await using TestPeer alice = await cluster.JoinAsync(Room, "alice");
        await using TestPeer bob = await cluster.JoinAsync(Room, "bob");
        alice.Hum();
        bob.Hum();
        await TestPeer.HearEachOtherAsync(alice, bob);
        string node = alice.Node(bob);

        long killed = Stopwatch.GetTimestamp();
        cluster.Node(node).Kill();
        await TestCluster.Until(() => bob.NotedAfter("moved:nodeLost", killed) is not null && alice.NotedAfter("moved:nodeLost", killed) is not null, 30);
        long told = Math.Max(bob.NotedAfter("moved:", killed)!.Value, alice.NotedAfter("moved:", killed)!.Value);
        await TestCluster.Until(() => bob.HearsSince(alice, told) && alice.HearsSince(bob, told), 30);
        long back = Math.Max(bob.FirstAfter(alice, told), alice.FirstAfter(bob, told));
        cluster.Report("told of the loss after", Stopwatch.GetElapsedTime(killed, told), 2, 8);
        cluster.Report("media back after", Stopwatch.GetElapsedTime(killed, back), 5, 20);
        Assert.NotEqual(node, alice.Node(bob));
        Assert.DoesNotContain(bob.Notes, n => n.What is "left:alice");
        Assert.DoesNotContain(alice.Notes.Concat(bob.Notes), n => n.What.StartsWith("closed", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Participants_on_two_sfu_nodes_hear_each_other_and_one_goes_on_where_the_others_node_dies()
    {
        await using TestCluster cluster = await TestCluster.StartAsync("relay", sfus: 3, spread: true);
        var peers = new List<TestPeer>();
        try
        {
            for (int i = 0; i < 4; i++)
            {
                peers.Add(await cluster.JoinAsync(Room, $"p{i}"));
                peers[^1].Hum();
            }

            TestPeer alice = peers[0];
            await TestCluster.Until(() => peers.All(p => p == alice || p.Node(alice).Length > 0));
            TestPeer? other = peers.FirstOrDefault(p => p != alice && p.Node(alice) != alice.Node(p));
            Assert.NotNull(other);
            await TestPeer.HearEachOtherAsync(alice, other);

            long killed = Stopwatch.GetTimestamp();
            cluster.Node(other.Node(alice)).Kill();
            await TestCluster.Until(() => other.NotedAfter("moved:", killed) is not null, 30);
            long told = other.NotedAfter("moved:", killed)!.Value;
            await TestCluster.Until(() => alice.HearsSince(other, told) && other.HearsSince(alice, told), 30);
            cluster.Report("told of the loss after", Stopwatch.GetElapsedTime(killed, told), 2, 8);
            cluster.Report("media back after", Stopwatch.GetElapsedTime(killed, Math.Max(alice.FirstAfter(other, told), other.FirstAfter(alice, told))), 5, 20);
            Assert.Null(alice.NotedAfter("moved:", killed));
        }
        finally
        {
            foreach (TestPeer peer in peers)
                await peer.DisposeAsync();
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Redis_restarts_and_calls_go_on(bool keepData)
    {
        await using TestCluster cluster = await TestCluster.StartAsync(keepData ? "redis-data" : "redis-empty");
        await using TestPeer alice = await cluster.JoinAsync(Room, "alice");
        await using TestPeer bob = await cluster.JoinAsync(Room, "bob");
        alice.Hum();
        bob.Hum();
        await TestPeer.HearEachOtherAsync(alice, bob);

        long killed = Stopwatch.GetTimestamp();
        await cluster.Nodes.Redis.KillAsync();
        await Task.Delay(TimeSpan.FromSeconds(4));
        await cluster.Nodes.Redis.StartAgainAsync(keepData);
        long returned = Stopwatch.GetTimestamp();

        // A person would press the button again.
        TestPeer? carol = null;
        await TestCluster.Until(() => Stopwatch.GetElapsedTime(returned).TotalSeconds > 0.1);
        while (carol is null && Stopwatch.GetElapsedTime(returned).TotalSeconds < 40)
        {
            try
            {
                carol = await cluster.JoinAsync(Room, "carol");
            }
            catch (Transcribe.Peer.PeerException e)
            {
                cluster.Say($"carol is refused: {e.Code}");
                await Task.Delay(200);
            }
        }

        Assert.NotNull(carol);
        await using TestPeer third = carol;
        cluster.Report("a new join works after", Stopwatch.GetElapsedTime(returned), 5, 20);
        carol.Hum();
        await TestPeer.HearEachOtherAsync(alice, carol);
        await TestCluster.Until(() => bob.NotedAfter("joined:carol", returned) is not null, 20);
        long end = Stopwatch.GetTimestamp();
        cluster.Report("longest silence of alice at bob", bob.LongestGap(alice, killed, end), 1, 3);
        cluster.Report("longest silence of bob at alice", alice.LongestGap(bob, killed, end), 1, 3);
        Assert.DoesNotContain(alice.Notes.Concat(bob.Notes), n => n.At > killed && (n.What.StartsWith("moved", StringComparison.Ordinal) || n.What.StartsWith("closed", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task A_killed_signalling_node_leaves_media_untouched_and_its_clients_go_on_at_another()
    {
        await using TestCluster cluster = await TestCluster.StartAsync("signaling");
        await using TestPeer alice = await cluster.JoinAsync(Room, "alice");
        await using TestPeer bob = await cluster.JoinAsync(Room, "bob");
        alice.Hum();
        bob.Hum();
        await TestPeer.HearEachOtherAsync(alice, bob);
        IClusterNode node = cluster.Nodes.Processes.First(p => p.Url?.Port == alice.Client.SignalingUrl!.Port);

        long killed = Stopwatch.GetTimestamp();
        node.Kill();
        await TestCluster.Until(() => alice.NotedAfter("reconnected", killed) is not null, 30);
        cluster.Report("signalling resumed after", Stopwatch.GetElapsedTime(killed, alice.NotedAfter("reconnected", killed)!.Value), 5, 20);
        await Task.Delay(TimeSpan.FromSeconds(3));
        long end = Stopwatch.GetTimestamp();
        cluster.Report("longest silence of alice at bob", bob.LongestGap(alice, killed, end), 1, 3);
        cluster.Report("longest silence of bob at alice", alice.LongestGap(bob, killed, end), 1, 3);
        await alice.Client.SetMutedAsync(alice.Track, true);
        await TestCluster.Until(() => bob.NotedAfter("muted:alice", killed) is not null, 20);
        Assert.Null(alice.NotedAfter("moved:", killed));
        Assert.Null(bob.NotedAfter("left:alice", killed));
    }

    [Fact]
    public async Task A_killed_director_is_not_noticed_by_running_calls()
    {
        await using TestCluster cluster = await TestCluster.StartAsync("director");
        await using TestPeer alice = await cluster.JoinAsync(Room, "alice");
        await using TestPeer bob = await cluster.JoinAsync(Room, "bob");
        alice.Hum();
        bob.Hum();
        await TestPeer.HearEachOtherAsync(alice, bob);

        long killed = Stopwatch.GetTimestamp();
        cluster.Nodes.Director.Kill();
        await cluster.Nodes.Director.Ended;
        await Task.Delay(TimeSpan.FromSeconds(4));
        long end = Stopwatch.GetTimestamp();
        cluster.Report("longest silence of alice at bob", bob.LongestGap(alice, killed, end), 1, 3);
        await alice.Client.SetMutedAsync(alice.Track, true);
        await TestCluster.Until(() => bob.NotedAfter("muted:alice", killed) is not null, 20);
        await alice.Client.SetMutedAsync(alice.Track, false);
        Assert.DoesNotContain(alice.Notes.Concat(bob.Notes), n => n.At > killed && !n.What.StartsWith("muted", StringComparison.Ordinal));

        await cluster.Nodes.Director.StartAsync(TestContext.Current.CancellationToken);
        await cluster.Nodes.ReadyAsync(TestContext.Current.CancellationToken);
        await using TestPeer carol = await cluster.JoinAsync(Room, "carol");
        carol.Hum();
        await TestPeer.HearEachOtherAsync(alice, carol);
    }

    [Fact]
    public async Task A_killed_gateway_is_followed_by_another_and_no_final_is_lost_or_doubled()
    {
        await using TestCluster cluster = await TestCluster.StartAsync("gateway", sfus: 1, gateways: 2);
        await using TestPeer speaker = await cluster.JoinAsync(Room, "speaker");
        await using TestPeer viewer = await cluster.JoinAsync(Room, "viewer");
        await cluster.TranscribeAsync(Room);
        await TestCluster.Until(() => viewer.Client.Transcription.ActiveEngine is not null, 60);

        SpeechFixture all = SpeechFixture.Parse(await File.ReadAllTextAsync(Path.Combine(TestCluster.Root, "tests", "Fixtures", "meeting.json"), TestContext.Current.CancellationToken));
        SpeechFixture fixture = all with { Sentences = [.. all.Sentences.Take(6)] };
        OpusFrame[] frames = [.. OpusSource.Load(Path.Combine(TestCluster.Root, "tests", "Fixtures", "meeting.wav")).Where(f => f.Timestamp < 29.2 * 48000)];
        var publisher = new PacedPublisher(speaker.Track, frames);
        Task speaking = publisher.RunAsync(TestContext.Current.CancellationToken);

        // In the middle of the third sentence.
        await TestCluster.Until(() => publisher.Elapsed > 12, 30);
        Lease lease = (await cluster.Leases.ListAsync("gateway:", TestContext.Current.CancellationToken))[0];
        long killed = Stopwatch.GetTimestamp();
        cluster.Node(lease.Owner).Kill();
        Lease? next = null;
        while (next is null && Stopwatch.GetElapsedTime(killed).TotalSeconds < 20)
        {
            next = (await cluster.Leases.ListAsync("gateway:", TestContext.Current.CancellationToken)).FirstOrDefault(l => l.Owner != lease.Owner);
            await Task.Delay(20, TestContext.Current.CancellationToken);
        }

        Assert.NotNull(next);
        TimeSpan taken = Stopwatch.GetElapsedTime(killed);
        long taking = Stopwatch.GetTimestamp();
        await speaking;
        await TestCluster.Until(() => viewer.Score(fixture, publisher.RtpOrigin, publisher.StartedAt).Missing == 0, 15, "no final is missing");
        await Task.Delay(TimeSpan.FromSeconds(2), TestContext.Current.CancellationToken);
        long first = viewer.Captions.First(c => c.At > taking).At;
        cluster.Report("another gateway claimed the room after", taken, 3, 10);
        cluster.Report("its first caption came after", Stopwatch.GetElapsedTime(killed, first), 3, 12);

        CaptionScore seen = viewer.Score(fixture, publisher.RtpOrigin, publisher.StartedAt);
        cluster.Say($"MEASURED gateway: {seen.SegmentsFinal} finals for {fixture.Sentences.Count} sentences, {seen.Missing} missing, {seen.Duplicates} twice, word error rate {seen.Wer:P1}");
        Assert.Equal((0, 0), (seen.Missing, seen.Duplicates));
        using JsonDocument transcript = await cluster.TranscriptAsync(Room);
        Assert.Equal(seen.SegmentsFinal, transcript.RootElement.GetProperty("segments").GetArrayLength());
    }
}
