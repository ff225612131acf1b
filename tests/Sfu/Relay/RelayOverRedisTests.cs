using Transcribe.Cluster.Tests.Support;
using static Transcribe.Sfu.Tests.Relay.RelayCluster;

namespace Transcribe.Sfu.Tests.Relay;

/// <summary>Nodes with services of their own over a real Redis that is killed.</summary>
public sealed class RelayOverRedisTests
{
    [Fact]
    public async Task Media_and_captions_between_nodes_go_on_while_redis_is_gone_and_after_it_came_back_without_its_data()
    {
        await using RedisServer redis = await RedisServer.StartAsync();
        await using var cluster = new RelayCluster(redis);
        await cluster.StartAsync("a");
        await cluster.StartAsync("b");
        Member alice = await cluster.JoinAsync("a", "alice", publishAudio: 1);
        Member bob = await cluster.JoinAsync("b", "bob", audioSlots: 1);
        await WaitAsync(() => alice.SpeakNow() && bob.Peer.PacketsReceived > 20, "audio");
        var captions = alice.Peer.Do((rtc, now) => rtc.CreateDataChannel(now, "captions"));
        await WaitAsync(
            () => alice.Peer.Do((_, now) => captions.TrySend(now, "-"u8, isText: true)) && bob.Peer.Do((_, _) => bob.Peer.Messages.Count > 0), "captions");

        int said = 0;
        await TalkAsync(TimeSpan.FromSeconds(1));
        await redis.KillAsync();
        await TalkAsync(TimeSpan.FromSeconds(3));
        await redis.StartAgainAsync(keepData: false);

        // As signalling does it.
        await WaitAsync(
            () =>
            {
                try
                {
                    cluster.Rooms.JoinAsync("demo", alice.Session, "alice", null, true).AsTask().Wait();
                    cluster.Rooms.JoinAsync("demo", bob.Session, "bob", null, true).AsTask().Wait();
                    return true;
                }
                catch (AggregateException)
                {
                    return false;
                }
            },
            "the store");
        await TalkAsync(TimeSpan.FromSeconds(12));
        Assert.Contains(
            (await cluster.Rooms.GetSnapshotAsync("demo")).Participants.SelectMany(p => p.Tracks), track => track.Id == alice.TrackId());

        // The talk was never interrupted for long, and every caption is there, once, in order.
        DateTime[] heard = bob.Peer.Do((_, _) => bob.Peer.Received.Select(r => r.At).ToArray());
        TimeSpan longest = heard.Zip(heard.Skip(1)).Max(pair => pair.Second - pair.First);
        Assert.True(longest < TimeSpan.FromSeconds(3), $"silence of {longest}");
        TestContext.Current.TestOutputHelper?.WriteLine($"longest silence {longest.TotalMilliseconds:F0} ms; lost links {cluster.Nodes["b"].Relay!.Counters.LinksLost}");
        await WaitAsync(() => bob.Peer.Do((_, _) => bob.Peer.Messages.Contains($"{said - 1}")), "the last caption");
        Assert.Equal(Enumerable.Range(0, said).Select(i => $"{i}"), bob.Peer.Do((_, _) => bob.Peer.Messages.Where(m => m != "-").ToArray()));

        // And new ones can join.
        Member carol = await cluster.JoinAsync("b", "carol", audioSlots: 1);
        await WaitAsync(() => alice.SpeakNow() && carol.Peer.PacketsReceived > 20, "a new viewer");

        async Task TalkAsync(TimeSpan time)
        {
            DateTime end = DateTime.UtcNow + time;
            for (int i = 0; DateTime.UtcNow < end; i++)
            {
                alice.SpeakNow();
                if (i % 5 == 0)
                {
                    string text = $"{said++}";
                    Assert.True(alice.Peer.Do((_, now) => captions.TrySend(now, System.Text.Encoding.UTF8.GetBytes(text), isText: true)));
                }

                await Task.Delay(20);
            }
        }
    }
}
