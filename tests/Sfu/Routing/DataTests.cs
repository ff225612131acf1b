using System.Text;
using Transcribe.Cluster.Tokens;
using Transcribe.Rtc.Sctp;
using Transcribe.Sfu.Control;
using Transcribe.Sfu.Tests.Simulation;
using Transcribe.Sfu.Workers;

namespace Transcribe.Sfu.Tests.Routing;

/// <summary>Data channel messages from one session to the others of its room.</summary>
public sealed class DataTests
{
    private static readonly Grants Gateway = new() { Subscribe = true, Hidden = true, PublishDataLabels = ["captions"] };
    private static readonly TimeSpan Moment = TimeSpan.FromMilliseconds(100);

    private static RtcDataChannel Open(SfuWorld world, TestPeer peer, string label, DataChannelOptions? options = null)
    {
        RtcDataChannel channel = peer.Rtc.CreateDataChannel(world.Now, label, options);
        world.Run(Moment);
        Assert.Equal(DataChannelState.Open, channel.State);
        return channel;
    }

    private static void Send(SfuWorld world, RtcDataChannel channel, string text)
    {
        Assert.True(channel.TrySend(world.Now, Encoding.UTF8.GetBytes(text), isText: true));
        world.Run(Moment);
    }

    [Fact]
    public void A_message_reaches_everybody_else_on_the_same_label()
    {
        using var world = new SfuWorld();
        TestPeer alice = world.Connect("alice");
        TestPeer bob = world.Connect("bob");
        TestPeer carol = world.Connect("carol", room: "other");
        RtcDataChannel chat = Open(world, alice, "chat");
        Open(world, bob, "chat");
        Send(world, chat, "hello");
        Assert.Equal([("chat", "hello")], bob.Messages);
        Assert.Empty(alice.Messages);
        Assert.Empty(carol.Messages);
        Assert.Single(bob.Channels);
    }

    [Fact]
    public void A_channel_is_opened_to_who_has_none_of_that_label()
    {
        using var world = new SfuWorld();
        TestPeer gateway = world.Connect("gateway", grants: Gateway);
        TestPeer bob = world.Connect("bob");
        RtcDataChannel captions = Open(world, gateway, "captions");
        for (int i = 0; i < 5; i++)
            Send(world, captions, $"caption {i}");
        Assert.Equal(Enumerable.Range(0, 5).Select(i => ("captions", $"caption {i}")), bob.Messages);
        RtcDataChannel opened = Assert.Single(bob.Channels);
        Assert.True(opened.Ordered);
        Assert.False(opened.IsLocal);
    }

    [Fact]
    public void The_kind_of_the_channel_travels_along()
    {
        using var world = new SfuWorld();
        TestPeer alice = world.Connect("alice");
        TestPeer bob = world.Connect("bob");
        RtcDataChannel pointer = Open(world, alice, "pointer", new DataChannelOptions { Ordered = false, MaxRetransmits = 0, Protocol = "xy" });
        Send(world, pointer, "1,2");
        RtcDataChannel opened = Assert.Single(bob.Channels);
        Assert.Equal((false, 0, "xy"), (opened.Ordered, opened.MaxRetransmits, opened.Protocol));
    }

    [Fact]
    public void Captions_without_the_explicit_grant_are_dropped_and_counted()
    {
        using var world = new SfuWorld();
        TestPeer forger = world.Connect("forger");
        TestPeer bob = world.Connect("bob");
        RtcDataChannel captions = Open(world, forger, "captions");
        Open(world, bob, "captions");
        Send(world, captions, "I said nothing");
        Assert.Empty(bob.Messages);
        Assert.Equal(1, world.Worker.Counters.DropsBecause(SfuDropReason.DataNotGranted));
    }

    [Fact]
    public void Without_the_grant_to_subscribe_nothing_is_heard()
    {
        using var world = new SfuWorld();
        TestPeer alice = world.Connect("alice");
        TestPeer deaf = world.Connect("deaf", grants: new Grants { Publish = true, PublishData = true });
        Send(world, Open(world, alice, "chat"), "hello");
        Assert.Empty(deaf.Messages);
    }

    [Fact]
    public void A_receiver_that_takes_nothing_costs_only_its_own_messages()
    {
        using var world = new SfuWorld(new SfuLimits { MaxDataBuffered = 20_000 });
        TestPeer alice = world.Connect("alice");
        TestPeer stuck = world.Connect("stuck");
        TestPeer bob = world.Connect("bob");
        RtcDataChannel chat = Open(world, alice, "chat");
        Open(world, stuck, "chat");
        stuck.IsReachable = false;
        string text = new('x', 4000);
        for (int i = 0; i < 20; i++)
            Send(world, chat, text);
        Assert.Equal(20, bob.Messages.Count);
        Assert.True(world.Worker.Counters.DropsBecause(SfuDropReason.DataBackpressure) > 0);
    }
}
