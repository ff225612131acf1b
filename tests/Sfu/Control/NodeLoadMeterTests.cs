using Transcribe.Cluster.Nodes;
using Transcribe.Rtc;
using Transcribe.Rtc.Media;
using Transcribe.Sfu.Control;
using Transcribe.Sfu.Tests.Simulation;
using Transcribe.Sfu.Workers;

namespace Transcribe.Sfu.Tests.Control;

public sealed class NodeLoadMeterTests
{
    private static readonly NodeInfo Node = new("n1", NodeRole.Sfu, "127.0.0.1:7882");

    [Fact]
    public void A_node_tells_what_it_forwards_and_what_it_may()
    {
        using var world = new SfuWorld();
        var meter = new NodeLoadMeter([world.Worker], new WorkerCpu([world.Worker], world.Clock), new SfuLimits { MaxTracks = 7, MaxCpu = 0.5 }, world.Clock);
        NodeInfo before = meter.Describe(Node);
        Assert.Equal((0, 0d), (before.Media!.Tracks, before.Media.PacketsPerSecond));
        Assert.Equal(new NodeLoad(7, 2_000_000, 0.5, 20e9), before.Limits);

        RtcMedia? microphone = null;
        TestPeer alice = world.Connect("alice", peer => microphone = peer.Publish(MediaKind.Audio));
        foreach (string viewer in (string[])["bob", "carol"])
            world.Connect(viewer, peer => peer.AddSlot(MediaKind.Audio));

        meter.Sample();
        for (uint i = 0; i < 50; i++)
        {
            alice.SendAudio(microphone!, i * 960, payload: new byte[80]);
            world.Run(TimeSpan.FromMilliseconds(20));
        }

        // One second: 50 packets to each of two; 80 bytes of payload each and what RTP, SRTP and the feedback add.
        NodeInfo after = meter.Describe(Node);
        Assert.Equal(3, after.Media!.Tracks);
        Assert.InRange(after.Media.PacketsPerSecond, 98, 102);
        Assert.InRange(after.Media.EgressBitsPerSecond, 100 * 100 * 8, 100 * 200 * 8);
        Assert.InRange(after.Media.Cpu, 0, 1);

        world.Run(TimeSpan.FromSeconds(1));
        NodeLoad idle = meter.Describe(Node).Media!;
        Assert.Equal(0, idle.PacketsPerSecond);

        // The thread that ran the worker used some CPU time; the worker itself read how much.
        Assert.True(idle.Cpu > 0);
    }

    [Fact]
    public void Asked_twice_at_the_same_instant_it_says_the_same()
    {
        using var world = new SfuWorld();
        var meter = new NodeLoadMeter([world.Worker], new WorkerCpu([world.Worker], world.Clock), new SfuLimits(), world.Clock);
        meter.Sample();
        world.Run(TimeSpan.FromMilliseconds(100));
        Assert.Equal(meter.Sample(), meter.Sample());
    }
}
