using Transcribe.Rtc.Sctp;
using Transcribe.Rtc.Tests.Simulation;

namespace Transcribe.Rtc.Tests.Sctp;

public sealed class SctpLifecycleTests
{
    private static readonly TimeSpan Minute = TimeSpan.FromMinutes(1);

    private static readonly LinkConditions Lossy = new()
    {
        Loss = 0.2,
        Duplication = 0.05,
        Delay = TimeSpan.FromMilliseconds(20),
        Jitter = TimeSpan.FromMilliseconds(40),
    };

    [Fact]
    public void Shutdown_delivers_everything_first_and_closes_both_sides()
    {
        for (int seed = 0; seed < 20; seed++)
        {
            SctpPair pair = SctpPair.Connected(Lossy, seed);
            for (int i = 0; i < 30; i++)
                pair.A.Association.Send(pair.Now, 1, 53, SctpPair.Bytes(3000, i));
            pair.A.Association.Shutdown(pair.Now);
            Assert.Equal(SctpSendStatus.Closed, pair.A.Association.Send(pair.Now, 1, 53, [1]));
            Assert.True(pair.RunUntil(() => pair.A.ClosedBy is not null && pair.B.ClosedBy is not null, Minute * 5));
            Assert.Equal(30, pair.B.Messages.Count);
            Assert.Equal(Instant.Never, pair.A.Association.NextTimeout);
        }
    }

    [Fact]
    public void Simultaneous_shutdown_ends_on_both_sides()
    {
        for (int seed = 0; seed < 20; seed++)
        {
            SctpPair pair = SctpPair.Connected(Lossy, seed);
            pair.A.Association.Send(pair.Now, 1, 53, [1]);
            pair.B.Association.Send(pair.Now, 1, 53, [1]);
            pair.A.Association.Shutdown(pair.Now);
            pair.B.Association.Shutdown(pair.Now);
            Assert.True(pair.RunUntil(() => pair.A.ClosedBy is not null && pair.B.ClosedBy is not null, Minute * 5));
            Assert.Equal((1, 1), (pair.A.Messages.Count, pair.B.Messages.Count));
        }
    }

    [Fact]
    public void Abort_tells_the_peer_why()
    {
        SctpPair pair = SctpPair.Connected();
        pair.A.Association.Abort(pair.Now, "enough");
        pair.Run(TimeSpan.FromSeconds(1));
        Assert.Equal("enough", pair.A.ClosedBy);
        Assert.Contains("enough", pair.B.ClosedBy, StringComparison.Ordinal);
    }

    [Fact]
    public void A_peer_that_missed_the_abort_is_told_when_it_speaks()
    {
        SctpPair pair = SctpPair.Connected();
        pair.A.Filter = _ => false;
        pair.A.Association.Abort(pair.Now);
        pair.A.Filter = null;
        pair.B.Association.Send(pair.Now, 1, 53, [1]);
        Assert.True(pair.RunUntil(() => pair.B.ClosedBy is not null, TimeSpan.FromSeconds(5)));
    }

    [Fact]
    public void A_dead_peer_ends_the_association_after_the_last_retransmission()
    {
        SctpPair pair = SctpPair.Connected(a: new() { MaxRetransmissions = 5 });
        pair.AtoB.Conditions = LinkConditions.Perfect with { Loss = 1 };
        pair.A.Association.Send(pair.Now, 1, 53, [1]);
        Assert.True(pair.RunUntil(() => pair.A.ClosedBy is not null, Minute));
        Assert.Equal(5, pair.A.Association.Statistics.Retransmissions);
        Assert.Equal(0, pair.A.Association.BufferedAmount);
    }

    [Fact]
    public void A_dead_peer_is_noticed_by_heartbeats_when_nothing_is_sent()
    {
        SctpPair pair = SctpPair.Connected(a: new() { MaxRetransmissions = 5 });
        pair.Run(Minute * 3);
        Assert.Null(pair.A.ClosedBy);
        pair.AtoB.Conditions = LinkConditions.Perfect with { Loss = 1 };
        Assert.True(pair.RunUntil(() => pair.A.ClosedBy is not null, Minute * 2));
    }

    [Fact]
    public void Connecting_is_given_up_when_nobody_answers()
    {
        var pair = new SctpPair(LinkConditions.Perfect with { Loss = 1 }, a: new() { MaxInitRetransmissions = 4 });
        pair.A.Association.Connect(pair.Now);
        Assert.True(pair.RunUntil(() => pair.A.ClosedBy is not null, Minute));
        Assert.Equal(5, pair.A.Association.Statistics.PacketsSent);
    }

    [Fact]
    public void A_restarted_peer_begins_anew_and_old_messages_are_gone()
    {
        for (int seed = 0; seed < 10; seed++)
        {
            SctpPair pair = SctpPair.Connected(seed % 2 == 0 ? LinkConditions.Perfect : Lossy, seed);
            for (int i = 0; i < 5; i++)
            {
                pair.A.Association.Send(pair.Now, 1, 53, [(byte)i]);
                pair.B.Association.Send(pair.Now, 1, 53, [(byte)i]);
            }

            pair.Run(TimeSpan.FromSeconds(20));
            Assert.Equal((5, 5), (pair.A.Messages.Count, pair.B.Messages.Count));
            pair.B.Association.Send(pair.Now, 1, 53, new byte[40_000]);
            pair.A.Association = new(new SctpOptions { Random = SctpPair.Seeded(seed + 999) }, pair.A);
            pair.A.Association.Connect(pair.Now);
            Assert.True(pair.RunUntil(() => pair.B.Restarted == 1 && pair.A.Connected == 2, Minute));
            Assert.Equal(0, pair.B.Association.BufferedAmount);
            pair.A.Messages.Clear();
            pair.B.Messages.Clear();
            pair.A.Association.Send(pair.Now, 1, 53, [42]);
            pair.B.Association.Send(pair.Now, 1, 53, [43]);
            Assert.True(pair.RunUntil(() => pair.A.Messages.Count == 1 && pair.B.Messages.Count == 1, Minute));
            Assert.Equal([[42], [43]], new[] { pair.B.Messages[0].Data, pair.A.Messages[0].Data });
        }
    }

    [Fact]
    public void A_full_send_buffer_refuses_and_tells_when_there_is_room()
    {
        SctpPair pair = SctpPair.Connected(new() { BitsPerSecond = 500_000 }, a: new() { SendBuffer = 100_000 });
        pair.A.Association.SetBufferedAmountLowThreshold(1, 10_000);
        int taken = 0;
        while (pair.A.Association.Send(pair.Now, 1, 53, SctpPair.Bytes(1000, taken)) == SctpSendStatus.Queued)
            taken++;
        Assert.InRange(taken, 80, 100);
        Assert.Equal(SctpSendStatus.BufferFull, pair.A.Association.Send(pair.Now, 2, 53, new byte[1000]));
        Assert.Empty(pair.A.Low);
        Assert.True(pair.RunUntil(() => pair.A.Low.Count > 0, Minute));
        Assert.InRange(pair.A.Association.GetBufferedAmount(1), 1, 10_000);
        Assert.True(pair.RunUntil(() => pair.B.Messages.Count == taken, Minute));
        Assert.Single(pair.A.Low);
        Assert.Equal(SctpSendStatus.Queued, pair.A.Association.Send(pair.Now, 2, 53, new byte[1000]));
    }

    [Fact]
    public void Sizes_and_streams_out_of_bounds_are_refused()
    {
        SctpPair pair = SctpPair.Connected(b: new() { MaxStreams = 4 });
        SctpAssociation a = pair.A.Association;
        a.RemoteMaxMessageSize = 100;
        Assert.Equal(SctpSendStatus.BadSize, a.Send(pair.Now, 0, 53, []));
        Assert.Equal(SctpSendStatus.BadSize, a.Send(pair.Now, 0, 53, new byte[101]));
        Assert.Equal(SctpSendStatus.BadStream, a.Send(pair.Now, 4, 53, [1]));
        Assert.Equal(SctpSendStatus.Queued, a.Send(pair.Now, 3, 53, [1]));
    }

    [Fact]
    public void Stream_reset_waits_for_data_in_flight_and_begins_with_ssn_zero()
    {
        for (int seed = 0; seed < 20; seed++)
        {
            SctpPair pair = SctpPair.Connected(Lossy, seed);
            SctpAssociation a = pair.A.Association;
            for (byte round = 0; round < 3; round++)
            {
                for (byte i = 0; i < 20; i++)
                    Assert.Equal(SctpSendStatus.Queued, a.Send(pair.Now, 1, 53, [round, i, .. new byte[500]]));
                a.Send(pair.Now, 2, 53, [round]);
                int before = pair.B.IncomingResets.Count;
                a.ResetStreams(pair.Now, [1]);
                Assert.Equal(SctpSendStatus.StreamResetting, a.Send(pair.Now, 1, 53, [1]));
                Assert.Equal(SctpSendStatus.Queued, a.Send(pair.Now, 2, 53, [round]));
                Assert.True(pair.RunUntil(() => pair.B.IncomingResets.Count > before, Minute));
                Assert.Equal((round + 1) * 20, pair.B.On(1).Count());
                Assert.True(pair.RunUntil(() => pair.A.OutgoingResets.Count > before, Minute));
                Assert.True(pair.A.OutgoingResets[^1].Performed);
            }

            Assert.True(pair.RunUntil(() => pair.B.On(2).Count() == 6, Minute));
            Assert.Equal(Enumerable.Range(0, 60).Select(n => (n / 20, n % 20)), pair.B.On(1).Select(m => ((int)m[0], (int)m[1])));
            Assert.All(pair.B.IncomingResets, ids => Assert.Equal([1], ids));
        }
    }

    [Fact]
    public void Limits_on_retransmissions_drop_only_limited_messages_and_keep_order()
    {
        for (int seed = 0; seed < 20; seed++)
        {
            SctpPair pair = SctpPair.Connected(Lossy, seed);
            for (byte i = 0; i < 100; i++)
            {
                pair.A.Association.Send(pair.Now, 1, 53, [i, .. new byte[(i % 5) * 700]], i % 2 == 0 ? default : new(MaxRetransmits: i % 3));
                pair.A.Association.Send(pair.Now, 2, 53, [i, .. new byte[(i % 5) * 700]], new(Unordered: true, MaxRetransmits: i % 2 == 0 ? null : 0));
                pair.Run(TimeSpan.FromMilliseconds(15));
            }

            Assert.True(pair.RunUntil(() => pair.A.Association.BufferedAmount == 0, Minute * 2));
            byte[] ordered = [.. pair.B.On(1).Select(m => m[0])];
            byte[] unordered = [.. pair.B.On(2).Select(m => m[0])];
            Assert.Equal(ordered.Order(), ordered);
            Assert.Equal(unordered.Distinct().Count(), unordered.Length);
            Assert.Equal(50, ordered.Count(i => i % 2 == 0));
            Assert.Equal(50, unordered.Count(i => i % 2 == 0));
            int missing = 200 - ordered.Length - unordered.Length;
            Assert.True(missing > 0);
            Assert.InRange(pair.A.Association.Statistics.MessagesAbandoned, missing, 100); // one given up may have arrived all the same
            Assert.Equal(0, pair.B.Association.ReceiveHeldBytes);
        }
    }

    [Fact]
    public void A_receive_buffer_smaller_than_the_flight_neither_overflows_nor_blocks()
    {
        var small = new SctpOptions { MaxMessageSize = 16 * 1024, ReceiveBuffer = 32 * 1024 };
        SctpPair pair = SctpPair.Connected(Lossy, 4, a: new() { InitialCongestionWindow = 200 }, b: small);
        int most = 0;
        for (int i = 0; i < 50; i++)
            Assert.Equal(SctpSendStatus.Queued, pair.A.Association.Send(pair.Now, (ushort)(i % 3), 53, SctpPair.Bytes(16_000, i)));
        Assert.True(pair.RunUntil(
            () =>
            {
                most = Math.Max(most, pair.B.Association.ReceiveHeldBytes);
                return pair.B.Messages.Count == 50;
            },
            Minute * 10));
        Assert.InRange(most, 1, small.ReceiveBuffer + small.MaxMessageSize);
        Assert.Null(pair.B.ClosedBy);
    }
}
