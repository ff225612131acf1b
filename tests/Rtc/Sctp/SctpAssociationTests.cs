using Transcribe.Rtc.Sctp;
using Transcribe.Rtc.Tests.Simulation;

namespace Transcribe.Rtc.Tests.Sctp;

public sealed class SctpAssociationTests
{
    private static readonly TimeSpan Minute = TimeSpan.FromMinutes(1);

    [Fact]
    public void Connects_when_one_side_sends_init()
    {
        var pair = new SctpPair();
        pair.A.Association.Connect(pair.Now);
        pair.Run(TimeSpan.FromSeconds(1));
        Assert.Equal((SctpState.Established, SctpState.Established), (pair.A.Association.State, pair.B.Association.State));
        Assert.Equal((1, 1), (pair.A.Connected, pair.B.Connected));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(0.3)]
    public void Connects_when_both_sides_send_init(double loss)
    {
        for (int seed = 0; seed < 20; seed++)
        {
            var pair = SctpPair.Connected(LinkConditions.Perfect with { Loss = loss, Jitter = TimeSpan.FromMilliseconds(20) }, seed);
            pair.A.Association.Send(pair.Now, 1, 51, [1, 2, 3]);
            pair.B.Association.Send(pair.Now, 2, 53, [4, 5]);
            Assert.True(pair.RunUntil(() => pair.A.Messages.Count == 1 && pair.B.Messages.Count == 1, Minute));
            Assert.Equal(((ushort)1, 51u), (pair.B.Messages[0].Stream, pair.B.Messages[0].Ppid));
            Assert.Equal((1, 1), (pair.A.Connected, pair.B.Connected));
        }
    }

    [Fact]
    public void Messages_given_before_the_handshake_travel_with_the_cookie()
    {
        var pair = new SctpPair();
        pair.A.Association.Connect(pair.Now);
        Assert.Equal(SctpSendStatus.Queued, pair.A.Association.Send(pair.Now, 0, 51, [7]));
        Assert.True(pair.RunUntil(() => pair.B.Messages.Count == 1, Minute));
        Assert.Equal(2, pair.A.Association.Statistics.PacketsSent); // INIT, then COOKIE ECHO with DATA
    }

    [Theory]
    [InlineData(SctpChunkTypes.Init)]
    [InlineData(SctpChunkTypes.InitAck)]
    [InlineData(SctpChunkTypes.CookieEcho)]
    [InlineData(SctpChunkTypes.CookieAck)]
    public void A_lost_handshake_packet_is_repaired(byte lost)
    {
        var pair = new SctpPair();
        int dropped = 0;
        bool Keep(byte[] packet) => packet[12] != lost || dropped++ > 0;
        (pair.A.Filter, pair.B.Filter) = (Keep, Keep);
        pair.A.Association.Connect(pair.Now);
        pair.A.Association.Send(pair.Now, 0, 51, [1]);
        pair.A.Association.Send(pair.Now, 0, 51, [2]);
        Assert.True(pair.RunUntil(() => pair.B.Messages.Count == 2 && pair.A.Connected == 1, Minute));
        Assert.Equal([[1], [2]], pair.B.On(0));
        Assert.True(dropped > 0);
    }

    [Theory]
    [InlineData(0, 0, 0)]
    [InlineData(0.05, 0.02, 30)]
    [InlineData(0.3, 0.1, 60)]
    public void Large_messages_arrive_whole_over_a_bad_link(double loss, double duplication, int jitter)
    {
        for (int seed = 1; seed <= 3; seed++)
        {
            var pair = SctpPair.Connected(
                new() { Loss = loss, Duplication = duplication, Jitter = TimeSpan.FromMilliseconds(jitter) }, seed,
                new() { RtoMax = TimeSpan.FromSeconds(1) });
            pair.A.Association.RemoteMaxMessageSize = 0;
            int[] sizes = [256 * 1024, 1, 1152, 65536];
            for (int i = 0; i < sizes.Length; i++)
                Assert.Equal(SctpSendStatus.Queued, pair.A.Association.Send(pair.Now, 5, 53, SctpPair.Bytes(sizes[i], i)));
            Assert.True(pair.RunUntil(() => pair.B.Messages.Count == sizes.Length, Minute * 10));
            Assert.Equal(sizes.Select((s, i) => SctpPair.Bytes(s, i)), pair.B.On(5));
            Assert.True(pair.RunUntil(() => pair.A.Association.BufferedAmount == 0, Minute));
            Assert.Equal(0, pair.B.Association.ReceiveHeldBytes);
            Assert.True(pair.A.LargestPacket <= 1152);
        }
    }

    [Fact]
    public void A_slow_link_is_filled_without_collapse()
    {
        var pair = SctpPair.Connected(new() { BitsPerSecond = 1_000_000, Delay = TimeSpan.FromMilliseconds(30) });
        Instant start = pair.Now;
        for (int i = 0; i < 15; i++)
            Assert.Equal(SctpSendStatus.Queued, pair.A.Association.Send(pair.Now, 1, 53, SctpPair.Bytes(60_000, i)));
        Assert.True(pair.RunUntil(() => pair.B.Messages.Count == 15, Minute * 2));
        double goodput = 15 * 60_000 * 8 / (pair.Now - start).TotalSeconds;
        Assert.True(goodput > 700_000, $"{goodput} bit/s");
    }

    [Fact]
    public void Unordered_messages_overtake_a_lost_one_and_ordered_ones_wait()
    {
        var pair = SctpPair.Connected();
        bool first = true;
        pair.A.Filter = p => p[12] != 0 || !first || (first = false);
        pair.A.Association.Send(pair.Now, 1, 53, [0]);
        pair.Run(TimeSpan.FromMilliseconds(1));
        pair.A.Association.Send(pair.Now, 1, 53, [1]);
        pair.A.Association.Send(pair.Now, 1, 53, [2], new(Unordered: true));
        pair.A.Association.Send(pair.Now, 2, 53, [3]);
        pair.Run(TimeSpan.FromMilliseconds(12));
        Assert.Equal([[2], [3]], pair.B.Messages.Select(m => m.Data));
        pair.Run(TimeSpan.FromSeconds(2));
        Assert.Equal([[2], [3], [0], [1]], pair.B.Messages.Select(m => m.Data));
    }

    [Fact]
    public void A_message_without_retransmissions_is_given_up_and_the_next_ones_arrive()
    {
        var pair = SctpPair.Connected();
        int data = 0;
        pair.A.Filter = p => !HasData(p) || data++ != 1;
        for (byte i = 0; i < 5; i++)
        {
            pair.A.Association.Send(pair.Now, 1, 53, [i], new(MaxRetransmits: 0));
            pair.Run(TimeSpan.FromMilliseconds(1));
        }

        pair.Run(TimeSpan.FromSeconds(5));
        Assert.Equal([[0], [2], [3], [4]], pair.B.On(1));
        Assert.Equal(1, pair.A.Association.Statistics.MessagesAbandoned);
        Assert.Equal(0, pair.A.Association.BufferedAmount);
    }

    [Fact]
    public void A_fragmented_message_that_expires_half_sent_does_not_block_the_stream()
    {
        foreach (bool unordered in new[] { false, true })
        {
            var pair = SctpPair.Connected(new() { BitsPerSecond = 200_000, QueueLimit = TimeSpan.FromMilliseconds(100) });
            pair.A.Association.RemoteMaxMessageSize = 0;
            pair.A.Association.Send(pair.Now, 1, 53, SctpPair.Bytes(200_000, 1), new(unordered, Lifetime: TimeSpan.FromMilliseconds(500)));
            pair.A.Association.Send(pair.Now, 1, 53, [9], new(unordered));
            pair.A.Association.Send(pair.Now, 2, 53, [8], new(unordered));
            Assert.True(pair.RunUntil(() => pair.B.Messages.Count == 2, Minute));
            Assert.Equal([[9]], pair.B.On(1));
            pair.Run(Minute);
            Assert.Equal((0, 0), (pair.A.Association.BufferedAmount, pair.B.Association.ReceiveHeldBytes));
            Assert.Equal(1, pair.A.Association.Statistics.MessagesAbandoned);
        }
    }

    [Fact]
    public void A_message_that_expires_in_the_queue_is_never_sent()
    {
        var pair = new SctpPair();
        pair.A.Association.Connect(pair.Now);
        pair.B.Filter = _ => false;
        pair.A.Association.Send(pair.Now, 1, 53, [1], new(Lifetime: TimeSpan.FromMilliseconds(100)));
        pair.A.Association.Send(pair.Now, 1, 53, [2]);
        pair.Run(TimeSpan.FromSeconds(3));
        pair.B.Filter = null;
        Assert.True(pair.RunUntil(() => pair.B.Messages.Count > 0, Minute));
        Assert.Equal([[2]], pair.B.On(1));
    }

    [Fact]
    public void Without_forward_tsn_at_the_peer_everything_is_delivered()
    {
        var pair = new SctpPair(LinkConditions.Perfect with { Loss = 0.3 }, 3);
        pair.B.Rewrite = HideExtensions;
        pair.A.Association.Connect(pair.Now);
        pair.RunUntil(() => pair.A.Connected == 1, Minute);
        for (byte i = 0; i < 20; i++)
            pair.A.Association.Send(pair.Now, 1, 53, [i], new(MaxRetransmits: 0));
        Assert.True(pair.RunUntil(() => pair.B.Messages.Count == 20, Minute));

        pair.A.Association.ResetStreams(pair.Now, [1]);
        pair.Run(TimeSpan.FromSeconds(1));
        Assert.False(Assert.Single(pair.A.OutgoingResets).Performed);
    }

    /// <summary>Makes the parameters of an INIT ACK unknown ones that are skipped in silence.</summary>
    private static void HideExtensions(byte[] packet)
    {
        if (packet[12] != SctpChunkTypes.InitAck)
            return;
        for (int at = 32; at + 4 <= packet.Length; at += Tlv.Pad((packet[at + 2] << 8) | packet[at + 3]))
        {
            if (packet[at] is 0x80 or 0xC0)
                (packet[at], packet[at + 1]) = (0xBF, 0xFF);
        }

        Crc32c.Seal(packet);
    }

    private static bool HasData(byte[] packet)
    {
        Assert.True(SctpPacket.TryRead(packet, out SctpPacket parsed));
        ReadOnlySpan<byte> rest = parsed.Chunks;
        while (SctpChunk.TryRead(ref rest, out SctpChunk chunk))
        {
            if (chunk.Type == SctpChunkType.Data)
                return true;
        }

        return false;
    }
}

/// <summary>Chunk types as constants for test data.</summary>
internal static class SctpChunkTypes
{
    public const byte Init = 1;
    public const byte InitAck = 2;
    public const byte CookieEcho = 10;
    public const byte CookieAck = 11;
}
