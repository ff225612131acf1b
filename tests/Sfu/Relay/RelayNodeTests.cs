using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Sfu;
using Transcribe.Rtc;
using Transcribe.Rtc.Rtcp;
using Transcribe.Sfu.Control;
using Transcribe.Sfu.Relay;
using static Transcribe.Sfu.Tests.Relay.RelayCluster;

namespace Transcribe.Sfu.Tests.Relay;

/// <summary>Whole nodes and their links: real threads, real UDP.</summary>
public sealed class RelayNodeTests : IAsyncLifetime
{
    private readonly RelayCluster _cluster = new();

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public ValueTask DisposeAsync() => _cluster.DisposeAsync();

    private static async Task HearAsync(Member speaker, string what, params Member[] listeners)
    {
        int[] before = [.. listeners.Select(l => l.Peer.PacketsReceived)];
        uint timestamp = 960;
        await WaitAsync(
            () =>
            {
                speaker.Speak(timestamp += 960);
                return listeners.Zip(before).All(pair => pair.First.Peer.PacketsReceived >= pair.Second + 20);
            },
            what);
    }

    [Fact]
    public async Task Audio_of_one_node_is_heard_on_another_with_the_publishers_timestamps()
    {
        await _cluster.StartAsync("a");
        await _cluster.StartAsync("b");
        Member alice = await _cluster.JoinAsync("a", "alice", publishAudio: 1);
        Member bob = await _cluster.JoinAsync("b", "bob", audioSlots: 1);
        await HearAsync(alice, "audio over the link", bob);
        Assert.True(bob.Receives(alice.TrackId()));
        Assert.Equal(0u, bob.Peer.LastTimestamp % 960);
    }
}
