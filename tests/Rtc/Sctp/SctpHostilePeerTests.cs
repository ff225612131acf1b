using CsCheck;
using Transcribe.Rtc.Sctp;
using Transcribe.Rtc.Tests.Simulation;

namespace Transcribe.Rtc.Tests.Sctp;

public sealed class SctpHostilePeerTests
{
    private sealed class Known
    {
        public required SctpPair Pair { get; init; }

        public required uint TagOfB { get; init; }

        public required uint TagOfA { get; init; }

        /// <summary>The TSN that A would send next.</summary>
        public required uint NextTsn { get; init; }

        public required List<byte[]> Packets { get; init; }
    }

    private static Known Connect(SctpOptions? b = null)
    {
        var pair = new SctpPair(b: b);
        var packets = new List<byte[]>();
        byte[]? init = null;
        byte[]? initAck = null;
        pair.A.Rewrite = p =>
        {
            packets.Add(p);
            init ??= p;
        };
        pair.B.Rewrite = p =>
        {
            packets.Add(p);
            initAck ??= p;
        };
        pair.A.Association.Connect(pair.Now);
        Assert.True(pair.RunUntil(() => pair.A.Connected + pair.B.Connected == 2, TimeSpan.FromSeconds(5)));
        (uint tagOfA, uint tsn) = Craft.ReadInit(init!);
        return new() { Pair = pair, TagOfA = tagOfA, TagOfB = Craft.ReadInit(initAck!).Tag, NextTsn = tsn, Packets = packets };
    }

    [Fact]
    public void Random_chunks_with_the_right_tag_never_throw_and_memory_stays_bounded()
    {
        var options = new SctpOptions { MaxMessageSize = 2048, ReceiveBuffer = 8192 };
        Gen<(byte, byte, byte[])> chunk = Gen.Select(
            Gen.OneOf(new byte[] { 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 130, 192, 64, 128, 255 }.Select(t => Gen.Const(t)).ToArray()), Gen.Byte, Gen.Byte.Array[0, 60]);
        Gen.Select(chunk.Array[1, 6], Gen.Bool).Array[1, 30].Sample(packets =>
        {
            Known known = Connect(options);
            Instant now = known.Pair.Now;
            foreach ((var chunks, bool zeroTag) in packets)
            {
                byte[] packet = Craft.Packet(
                    zeroTag && chunks[0].Item1 == 1 ? 0 : known.TagOfB,
                    [.. chunks.Select(c => ((SctpChunkType)c.Item1, c.Item2, c.Item3))]);
                known.Pair.B.Association.Receive(now, packet);
                now += TimeSpan.FromMilliseconds(20);
                known.Pair.B.Association.HandleTimeout(now);
                Assert.True(known.Pair.B.Association.ReceiveHeldBytes <= options.ReceiveBuffer + (3 * options.MaxMessageSize));
            }
        }, iter: 1500);
    }

    [Fact]
    public void Plausible_data_in_any_order_never_throws_and_memory_stays_bounded()
    {
        var options = new SctpOptions { MaxMessageSize = 2048, ReceiveBuffer = 8192 };
        var data = Gen.Select(Gen.UInt[0, 40], Gen.UShort[0, 3], Gen.UShort[0, 4], Gen.Byte[0, 7], Gen.Int[1, 1000]);
        var forward = Gen.Select(Gen.UInt[0, 40], Gen.UShort[0, 3], Gen.UShort[0, 6]);
        Gen.Select(data, forward, Gen.Int[0, 9]).Array[1, 60].Sample(steps =>
        {
            Known known = Connect(options);
            Instant now = known.Pair.Now;
            foreach (var ((offset, stream, ssn, flags, length), (forwardTo, forwardStream, forwardSsn), kind) in steps)
            {
                byte[] value = [0, 0, 0, 0, (byte)(forwardStream >> 8), (byte)forwardStream, 0, (byte)forwardSsn];
                System.Buffers.Binary.BinaryPrimitives.WriteUInt32BigEndian(value, known.NextTsn + forwardTo);
                byte[] packet = kind == 0
                    ? Craft.Packet(known.TagOfB, (SctpChunkType.ForwardTsn, 0, value))
                    : Craft.Packet(known.TagOfB, Craft.Data(known.NextTsn + offset, stream, ssn, flags, new byte[length]));
                known.Pair.B.Association.Receive(now, packet);
                known.Pair.B.Association.HandleTimeout(now += TimeSpan.FromMilliseconds(20));
                Assert.InRange(known.Pair.B.Association.ReceiveHeldBytes, 0, options.ReceiveBuffer + (3 * options.MaxMessageSize));
            }

            known.Pair.B.Association.Abort(now);
            Assert.Equal(0, known.Pair.B.Association.ReceiveHeldBytes);
        }, iter: 1500);
    }

    [Fact]
    public void Mutated_valid_packets_never_throw()
    {
        Known source = Connect();
        for (int i = 0; i < 6; i++)
            source.Pair.A.Association.Send(source.Pair.Now, (ushort)i, 53, SctpPair.Bytes(i * 500 + 1, i), new(i % 2 == 0, 0));
        source.Pair.A.Association.ResetStreams(source.Pair.Now, [1, 2]);
        source.Pair.AtoB.Conditions = LinkConditions.Perfect with { Loss = 0.4 };
        source.Pair.Run(TimeSpan.FromSeconds(3));
        byte[][] packets = [.. source.Packets];
        Gen.Select(Gen.Int[0, packets.Length - 1], Gen.Int[12, 1500], Gen.Byte, Gen.Int[0, 1200]).Array[1, 20].Sample(mutations =>
        {
            Known known = Connect();
            foreach ((int index, int at, byte by, int cut) in mutations)
            {
                byte[] packet = [.. packets[index]];
                packet[12 + ((at - 12) % (packet.Length - 12))] ^= by;
                packet = packet[..Math.Max(16, packet.Length - (cut % 8 == 0 ? cut : 0))];
                Crc32c.Seal(packet);
                known.Pair.A.Association.Receive(known.Pair.Now, packet);
                known.Pair.B.Association.Receive(known.Pair.Now, packet);
            }
        }, iter: 400);
    }

    [Fact]
    public void Packets_with_a_wrong_checksum_tag_or_port_are_dropped_and_counted()
    {
        Known known = Connect();
        SctpAssociation b = known.Pair.B.Association;
        byte[] good = Craft.Packet(known.TagOfB, Craft.Data(known.NextTsn, 1, 0, 3, 9));
        byte[] bad = [.. good];
        bad[^1] ^= 1;
        b.Receive(known.Pair.Now, bad);
        Assert.Equal(1, b.Statistics.DroppedBadChecksum);
        b.Receive(known.Pair.Now, Craft.Packet(known.TagOfB + 1, Craft.Data(known.NextTsn, 1, 0, 3, 9)));
        bad = [.. good];
        bad[1] ^= 1;
        Crc32c.Seal(bad);
        b.Receive(known.Pair.Now, bad);
        Assert.Equal(2, b.Statistics.DroppedNotOurs);
        b.Receive(known.Pair.Now, []);
        Assert.Equal(1, b.Statistics.DroppedMalformed);
        Assert.Empty(known.Pair.B.Messages);
        b.Receive(known.Pair.Now, good);
        Assert.Single(known.Pair.B.Messages);
    }

    [Fact]
    public void A_forged_abort_is_ignored()
    {
        Known known = Connect();
        known.Pair.B.Association.Receive(known.Pair.Now, Craft.Packet(known.TagOfB ^ 5, (SctpChunkType.Abort, 0, [])));
        known.Pair.B.Association.Receive(known.Pair.Now, Craft.Packet(known.TagOfB, (SctpChunkType.Abort, 1, [])));
        Assert.Null(known.Pair.B.ClosedBy);
        known.Pair.B.Association.Receive(known.Pair.Now, Craft.Packet(known.TagOfB, (SctpChunkType.Abort, 0, [])));
        Assert.NotNull(known.Pair.B.ClosedBy);
    }

    [Fact]
    public void A_message_beyond_the_limit_aborts_the_association()
    {
        foreach (byte unordered in new byte[] { 0, DataChunk.Unordered })
        {
            Known known = Connect(new() { MaxMessageSize = 4096, ReceiveBuffer = 65536 });
            for (uint i = 0; i < 10 && known.Pair.B.ClosedBy is null; i++)
            {
                byte flags = (byte)(unordered | (i == 0 ? DataChunk.Begin : 0));
                known.Pair.B.Association.Receive(known.Pair.Now, Craft.Packet(known.TagOfB, Craft.Data(known.NextTsn + i, 1, 0, flags, new byte[1000])));
            }

            Assert.Contains("max-message-size", known.Pair.B.ClosedBy, StringComparison.Ordinal);
            known.Pair.Run(TimeSpan.FromSeconds(1));
            Assert.NotNull(known.Pair.A.ClosedBy);
        }
    }

    [Fact]
    public void Messages_that_are_never_completed_end_in_an_abort_not_in_endless_memory()
    {
        Known known = Connect(new() { MaxMessageSize = 4096, ReceiveBuffer = 16384 });
        for (uint i = 0; i < 100 && known.Pair.B.ClosedBy is null; i++)
            known.Pair.B.Association.Receive(known.Pair.Now, Craft.Packet(known.TagOfB, Craft.Data(known.NextTsn + i, (ushort)i, 0, DataChunk.Begin, new byte[1000])));
        Assert.Contains("receive buffer", known.Pair.B.ClosedBy, StringComparison.Ordinal);
    }

    [Fact]
    public void Unknown_chunks_are_skipped_reported_or_stop_the_packet_by_their_high_bits()
    {
        Known known = Connect();
        uint tsn = known.NextTsn;
        int errors = 0;
        known.Pair.B.Rewrite = p => errors += p[12] == (byte)SctpChunkType.Error ? 1 : 0;
        void Give(byte type) => known.Pair.B.Association.Receive(
            known.Pair.Now, Craft.Packet(known.TagOfB, ((SctpChunkType)type, 0, [1, 2, 3]), Craft.Data(tsn, 1, (ushort)(tsn - known.NextTsn), 3, 1)));
        Give(0x3F);
        Assert.Equal((0, 0), (known.Pair.B.Messages.Count, errors));
        Give(0x7F);
        Assert.Equal((0, 1), (known.Pair.B.Messages.Count, errors));
        Give(0xBF);
        Assert.Equal((1, 1), (known.Pair.B.Messages.Count, errors));
        tsn++;
        Give(0xFF);
        Assert.Equal((2, 2), (known.Pair.B.Messages.Count, errors));
    }

    [Fact]
    public void A_sack_for_what_was_never_sent_changes_nothing()
    {
        Known known = Connect();
        known.Pair.A.Filter = _ => false;
        known.Pair.A.Association.Send(known.Pair.Now, 1, 53, [1]);
        known.Pair.A.Association.Receive(known.Pair.Now, Craft.Packet(known.TagOfA, Craft.Sack(known.NextTsn + 1000, 100000)));
        Assert.Equal(1, known.Pair.A.Association.BufferedAmount);
        known.Pair.A.Filter = null;
        known.Pair.Run(TimeSpan.FromSeconds(2));
        Assert.Single(known.Pair.B.Messages);
    }

    [Fact]
    public void A_peer_without_window_that_answers_is_waited_for()
    {
        var options = new SctpOptions { MaxRetransmissions = 3 };
        var pair = new SctpPair(a: options);
        byte[]? init = null;
        pair.A.Rewrite = p => init ??= p;
        pair.A.Association.Connect(pair.Now);
        pair.RunUntil(() => pair.A.Connected == 1, TimeSpan.FromSeconds(5));
        (uint tag, uint tsn) = Craft.ReadInit(init!);
        int sent = 0;
        pair.A.Filter = _ => ++sent < 0;
        pair.A.Association.Send(pair.Now, 1, 53, new byte[20_000]);
        for (int second = 0; second < 60; second++)
        {
            pair.Run(TimeSpan.FromMilliseconds(500));
            pair.A.Association.Receive(pair.Now, Craft.Packet(tag, Craft.Sack(tsn - 1, 0)));
            if (second == 30)
                sent = 0;
        }

        Assert.Null(pair.A.ClosedBy);
        Assert.InRange(sent, 3, 40); // probes only
        pair.A.Filter = null;
        Assert.True(pair.RunUntil(() => pair.B.Messages.Count == 1, TimeSpan.FromSeconds(60)));
    }

    [Fact]
    public void An_old_cookie_is_refused_and_the_handshake_begins_again()
    {
        var pair = new SctpPair();
        byte[]? echo = null;
        pair.A.Filter = p =>
        {
            if (p[12] != SctpChunkTypes.CookieEcho)
                return true;
            echo ??= p;
            return pair.Now.Seconds > 65;
        };
        pair.A.Association.Connect(pair.Now);
        Assert.True(pair.RunUntil(() => pair.A.Connected == 1, TimeSpan.FromMinutes(3)));
        Assert.True(pair.B.Association.Statistics.DroppedBadCookies > 0);
        pair.A.Association.Send(pair.Now, 0, 51, [1]);
        Assert.True(pair.RunUntil(() => pair.B.Messages.Count == 1, TimeSpan.FromMinutes(1)));
    }
}
