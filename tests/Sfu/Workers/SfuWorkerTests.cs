using CsCheck;
using Transcribe.Cluster.Sfu;
using Transcribe.Rtc;
using Transcribe.Rtc.Media;
using Transcribe.Sfu.Control;
using Transcribe.Sfu.Tests.Simulation;
using Transcribe.Sfu.Workers;

namespace Transcribe.Sfu.Tests.Workers;

/// <summary>Sessions of one worker: found, kept apart, ended.</summary>
public sealed class SfuWorkerTests
{
    private static readonly TransportAddress Stranger = TransportAddress.FromIPv4(0xC000_0201, 4444);

    private static void AssertEmpty(SfuWorld world)
    {
        WorkerCounters counters = world.Worker.Counters;
        Assert.Equal((0, 0, 0, 0), (counters.Sessions, counters.Rooms, counters.Publications, counters.Downtracks));
        Assert.Equal((0, 0, 0), (world.Worker.AddressCount, world.Worker.UfragCount, world.Worker.TimerCount));
    }

    [Fact]
    public void A_connection_is_told_once()
    {
        using var world = new SfuWorld();
        TestPeer alice = world.Connect("alice", p => p.Publish(MediaKind.Audio));
        world.Run(TimeSpan.FromSeconds(1));
        Assert.Single(world.SessionEvents<SessionConnected>(alice));
    }

    [Fact]
    public void Opening_a_session_twice_is_opening_it_once()
    {
        using var world = new SfuWorld();
        TestPeer alice = world.Join("alice");
        Assert.Same(alice.Session, world.Worker.OpenSession(new Transcribe.Sfu.Routing.SfuSessionSettings(alice.Session.Id, "demo", "alice", SfuWorld.Everything)));
        Assert.Equal(1, world.Worker.Counters.Sessions);
    }

    [Fact]
    public void Media_is_looked_after_between_commands_that_take_long()
    {
        using var world = new SfuWorld();
        int done = 0;
        for (int i = 0; i < 10; i++)
        {
            Assert.True(world.Worker.TryPost(
                (_, _) =>
                {
                    done++;
                    world.Clock.Advance(TimeSpan.FromMilliseconds(done <= 5 ? 3 : 0));
                },
                null));
        }

        for (int turn = 1; turn <= 5; turn++)
        {
            world.Worker.RunOnce(TimeSpan.Zero);
            Assert.Equal(turn, done);
        }

        world.Worker.RunOnce(TimeSpan.Zero);
        Assert.Equal(10, done);
    }

    [Fact]
    public void A_full_room_takes_no_more()
    {
        using var world = new SfuWorld(new SfuLimits { MaxSessionsPerRoom = 2 });
        world.Join("a");
        world.Join("b");
        Assert.Throws<RoomFullException>(() => world.Join("c"));
        world.Join("c", room: "other");
        Assert.Equal(3, world.Worker.Counters.Sessions);
    }

    [Fact]
    public void Leaving_frees_everything()
    {
        using var world = new SfuWorld();
        TestPeer[] peers =
        [
            .. Enumerable.Range(0, 4).Select(i => world.Connect($"p{i}", p =>
            {
                p.Publish(MediaKind.Audio);
                p.Publish(MediaKind.Video);
                for (int s = 0; s < 3; s++)
                {
                    p.AddSlot(MediaKind.Audio);
                    p.AddSlot(MediaKind.Video);
                }
            }))
        ];
        Assert.Equal(24, world.Worker.Counters.Downtracks);
        Assert.Equal(8, world.Worker.Counters.Publications);
        foreach (TestPeer peer in peers)
        {
            world.Worker.CloseSession(peer.Session, "left");
            world.Settle();
            Assert.Equal(RtcSessionState.Closed, peer.Rtc.State);
        }

        AssertEmpty(world);
        Assert.Equal(8, world.Events.OfType<TrackWithdrawn>().Count());
        Assert.Equal(["left", "left", "left", "left"], world.Events.OfType<SessionEnded>().Select(e => e.Reason));
        Assert.Equal(0, world.Worker.Counters.SessionFaults);
    }

    [Fact]
    public void A_client_that_says_goodbye_has_left()
    {
        using var world = new SfuWorld();
        TestPeer alice = world.Connect("alice", p => p.Publish(MediaKind.Audio));
        alice.Rtc.Close(world.Now);
        world.Run(TimeSpan.FromMilliseconds(50));
        Assert.Equal("left", world.Events.OfType<SessionEnded>().Single().Reason);
        AssertEmpty(world);
    }

    [Fact]
    public void A_dead_client_times_out_and_the_others_do_not()
    {
        using var world = new SfuWorld();
        TestPeer dead = world.Connect("dead", p => p.Publish(MediaKind.Audio));
        TestPeer alive = world.Connect("alive", p => p.AddSlot(MediaKind.Audio));
        dead.IsReachable = false;
        world.Run(TimeSpan.FromSeconds(25), TimeSpan.FromMilliseconds(50));
        Assert.Empty(world.Events.OfType<SessionEnded>());
        world.Run(TimeSpan.FromSeconds(15), TimeSpan.FromMilliseconds(50));
        SessionEnded ended = world.Events.OfType<SessionEnded>().Single();
        Assert.Equal((dead.Session.Id, "timeout"), (ended.SessionId, ended.Reason));
        Assert.Equal(RtcSessionState.Connected, alive.Session.State);
        Assert.Null(alive.TrackAt(alive.Rtc.Media[0].Mid));
    }

    [Fact]
    public void A_session_that_never_connects_is_given_up()
    {
        using var world = new SfuWorld(new SfuLimits { ConnectTimeout = TimeSpan.FromSeconds(20) });
        world.Join("nobody");
        world.Run(TimeSpan.FromSeconds(19), TimeSpan.FromMilliseconds(100));
        Assert.Equal(1, world.Worker.Counters.Sessions);
        world.Run(TimeSpan.FromSeconds(2), TimeSpan.FromMilliseconds(100));
        Assert.Equal("timeout", world.Events.OfType<SessionEnded>().Single().Reason);
        AssertEmpty(world);
    }

    [Fact]
    public void A_client_whose_address_translation_changes_is_found_again_by_its_next_check()
    {
        using var world = new SfuWorld();
        TestPeer alice = world.Connect("alice", p => p.Publish(MediaKind.Audio));
        TestPeer bob = world.Connect("bob", p => p.AddSlot(MediaKind.Audio));
        world.Rebind(alice, TransportAddress.FromIPv4(0x0A09_0909, 999));
        alice.SendAudio(alice.Rtc.Media[0], 5);
        world.Run(TimeSpan.FromMilliseconds(20));
        Assert.Empty(bob.Packets);
        Assert.True(world.Worker.Counters.DropsBecause(SfuDropReason.UnknownSource) > 0);

        world.Run(TimeSpan.FromSeconds(8), TimeSpan.FromMilliseconds(20));
        alice.SendAudio(alice.Rtc.Media[0], 965);
        world.Run(TimeSpan.FromMilliseconds(20));
        Assert.Single(bob.Packets);
        Assert.Contains(TransportAddress.FromIPv4(0x0A09_0909, 999), alice.Session.Addresses);
    }

    [Fact]
    public void After_an_ICE_restart_only_the_new_ufrag_leads_to_the_session()
    {
        using var world = new SfuWorld();
        TestPeer alice = world.Connect("alice", p => p.Publish(MediaKind.Audio));
        TestPeer bob = world.Connect("bob", p => p.AddSlot(MediaKind.Audio));
        alice.Rtc.RestartIce(world.Now);
        alice.Negotiate();
        world.Run(TimeSpan.FromSeconds(5));
        alice.SendAudio(alice.Rtc.Media[0], 5);
        world.Run(TimeSpan.FromMilliseconds(20));
        Assert.Single(bob.Packets);
        Assert.Equal(2, world.Worker.UfragCount);
        Assert.Single(world.SessionEvents<SessionConnected>(alice));
    }

    [Fact]
    public void An_address_belongs_to_the_newest_session_that_proved_it()
    {
        using var world = new SfuWorld();
        TestPeer first = world.Connect("first");
        TestPeer second = world.Connect("second");
        world.Worker.LearnAddress(second.Session, first.Address);
        Assert.Empty(first.Session.Addresses);
        world.Worker.CloseSession(first.Session, "left");
        world.Worker.CloseSession(second.Session, "left");
        AssertEmpty(world);
    }

    [Fact]
    public void Addresses_of_one_session_are_bounded()
    {
        using var world = new SfuWorld(new SfuLimits { MaxAddressesPerSession = 3 });
        TestPeer alice = world.Connect("alice");
        for (ushort port = 1; port < 50; port++)
            world.Worker.LearnAddress(alice.Session, TransportAddress.FromIPv4(0x0A01_0101, port));
        Assert.Equal(3, world.Worker.AddressCount);
    }

    [Theory]
    [InlineData(new byte[0], SfuDropReason.Empty)]
    [InlineData(new byte[] { 100, 1, 2 }, SfuDropReason.UnknownProtocol)]
    [InlineData(new byte[] { 0, 1, 0, 0 }, SfuDropReason.StunMalformed)]
    [InlineData(new byte[] { 0x16, 0xFE, 0xFD, 0, 0 }, SfuDropReason.UnknownSource)]
    [InlineData(new byte[] { 0x80, 0x60, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1 }, SfuDropReason.UnknownSource)]
    public void Datagrams_of_strangers_are_counted_by_reason_and_not_answered(byte[] datagram, SfuDropReason reason)
    {
        using var world = new SfuWorld();
        world.Socket.Deliver(Stranger, datagram);
        world.Worker.RunOnce(TimeSpan.Zero);
        Assert.Equal(1, world.Worker.Counters.DropsBecause(reason));
        Assert.Empty(world.Socket.Outbox);
    }

    [Fact]
    public void A_check_for_an_unknown_ufrag_is_counted_and_not_answered()
    {
        using var world = new SfuWorld();
        TestPeer alice = world.Connect("alice", p => p.Publish(MediaKind.Audio));
        world.Worker.CloseSession(alice.Session, "left");
        world.Worker.RunOnce(TimeSpan.Zero);
        world.Socket.Outbox.Clear();
        for (int i = 0; i < 100; i++)
        {
            world.Clock.Advance(TimeSpan.FromMilliseconds(100));
            alice.Rtc.HandleTimeout(world.Now);
            alice.Flush();
            world.Worker.RunOnce(TimeSpan.Zero);
        }

        Assert.True(world.Worker.Counters.DropsBecause(SfuDropReason.UnknownUfrag) > 0);
        Assert.Empty(world.Socket.Outbox);
    }

    [Fact]
    public void Storms_of_garbage_do_not_disturb_a_session()
    {
        using var world = new SfuWorld();
        TestPeer alice = world.Connect("alice", p => p.Publish(MediaKind.Audio));
        TestPeer bob = world.Connect("bob", p => p.AddSlot(MediaKind.Audio));
        var random = new Random(7);
        for (uint i = 0; i < 50; i++)
        {
            for (int g = 0; g < 100; g++)
            {
                byte[] garbage = new byte[random.Next(0, 300)];
                random.NextBytes(garbage);
                if (garbage.Length > 0 && g % 2 == 0)
                    garbage[0] = (byte)(new[] { 0, 1, 22, 20, 128, 144, 191 })[random.Next(7)];

                // From strangers, and forged to come from the session's own address.
                world.Socket.Deliver(g % 3 == 0 ? alice.Address : Stranger, garbage);
            }

            alice.SendAudio(alice.Rtc.Media[0], i * 960);
            world.Run(TimeSpan.FromMilliseconds(20));
        }

        Assert.Equal(50, bob.Packets.Count);
        Assert.Equal(0, world.Worker.Counters.SessionFaults);
        Assert.Equal(2, world.Worker.Counters.Sessions);
        Assert.Equal(RtcSessionState.Connected, alice.Rtc.State);
    }

    [Fact]
    public void No_datagram_breaks_the_worker()
    {
        using var world = new SfuWorld();
        world.Connect("alice");
        Gen.Byte.Array[0, 200].Sample(
            bytes =>
            {
                world.Socket.Deliver(Stranger, bytes);
                world.Worker.RunOnce(TimeSpan.Zero);
                world.Socket.Outbox.Clear();
                return world.Worker.Counters.SessionFaults == 0;
            },
            threads: 1);
    }

    [Fact]
    public void An_exception_in_a_session_closes_that_session_alone()
    {
        using var world = new SfuWorld();
        TestPeer alice = world.Connect("alice", p => p.Publish(MediaKind.Audio));
        TestPeer broken = world.Connect("broken", p => p.AddSlot(MediaKind.Audio));
        TestPeer bob = world.Connect("bob", p => p.AddSlot(MediaKind.Audio));

        // Disposed behind the worker's back: sending to it throws.
        broken.Session.Dispose();
        world.Worker.Fault(broken.Session, new InvalidOperationException("made up"));
        alice.SendAudio(alice.Rtc.Media[0], 1);
        world.Run(TimeSpan.FromMilliseconds(20));

        Assert.Single(bob.Packets);
        SessionEnded ended = world.Events.OfType<SessionEnded>().Single();
        Assert.Equal((broken.Session.Id, "failed"), (ended.SessionId, ended.Reason));
        Assert.Contains(world.Events.OfType<SessionFaulted>(), f => f.SessionId == broken.Session.Id);
    }

    [Fact]
    public void Forwarding_allocates_nothing_on_the_worker()
    {
        using var world = new SfuWorld();
        TestPeer alice = world.Connect("alice", p => p.Publish(MediaKind.Audio));
        for (int i = 0; i < 5; i++)
            world.Connect($"viewer{i}", p => p.AddSlot(MediaKind.Audio));
        RtcMedia microphone = alice.Rtc.Media[0];
        uint timestamp = 0;

        // The virtual socket allocates, the worker must not: measure without it.
        long Round()
        {
            alice.SendAudio(microphone, timestamp += 960);
            alice.Flush();
            world.Socket.Discard = true;
            long before = GC.GetAllocatedBytesForCurrentThread();
            world.Worker.RunOnce(TimeSpan.Zero);
            return GC.GetAllocatedBytesForCurrentThread() - before;
        }

        for (int i = 0; i < 200; i++)
            Round();
        long allocated = 0;
        for (int i = 0; i < 200; i++)
            allocated += Round();
        Assert.Equal(0, allocated);
        Assert.True(world.Worker.Counters.PacketsForwarded >= 2000);
    }

    [Fact]
    public async Task Commands_run_on_the_workers_turn_and_hand_results_and_exceptions_back()
    {
        using var world = new SfuWorld();
        Task<int> good = world.Worker.InvokeAsync(_ => 42);
        Task<int> bad = world.Worker.InvokeAsync<int>(_ => throw new FormatException("no"));
        Assert.False(good.IsCompleted);
        world.Worker.RunOnce(TimeSpan.Zero);
        Assert.Equal(42, await good);
        await Assert.ThrowsAsync<FormatException>(() => bad);
    }

    [Fact]
    public async Task A_full_command_queue_refuses_and_counts()
    {
        using var world = new SfuWorld(new SfuLimits { MaxCommands = 64 });
        for (int i = 0; i < 64; i++)
            Assert.True(world.Worker.TryPost((_, _) => { }, null));
        await Assert.ThrowsAsync<InvalidOperationException>(() => world.Worker.InvokeAsync(_ => 1));
        Assert.Equal(1, world.Worker.Counters.DropsBecause(SfuDropReason.CommandQueueFull));
        world.Worker.RunOnce(TimeSpan.Zero);
        Assert.True(world.Worker.TryPost((_, _) => { }, null));
    }
}
