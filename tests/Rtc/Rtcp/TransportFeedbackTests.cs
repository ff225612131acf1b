using CsCheck;
using Transcribe.Rtc.Rtcp;

namespace Transcribe.Rtc.Tests.Rtcp;

public sealed class TransportFeedbackTests
{
    private static readonly Instant Start = Instant.Zero + TimeSpan.FromSeconds(100);

    [Fact]
    public void Reads_a_run_and_both_kinds_of_vector()
    {
        // base 65534, 26 packets, reference 2 (128 ms), feedback 7
        // run: 3 small; one-bit vector: first and last; two-bit vector: 2,1,0,0,1,0,0; then a run of 2 lost
        byte[] bytes = Convert.FromHexString(
            "8FCD0009" + "00000001" + "00000002" + "FFFE001A" + "00000207"
            + "2003" + "A001" + "E410" + "0002"
            + "040506" + "0708" + "FFF6" + "090A"
            + "00" + "0000");
        TransportFeedback feedback = Read(bytes);

        Assert.Equal((1u, 2u, (ushort)65534, 26, 2, (byte)7),
            (feedback.SenderSsrc, feedback.MediaSsrc, feedback.BaseSequenceNumber, feedback.PacketStatusCount, feedback.ReferenceTime, feedback.FeedbackPacketCount));
        List<TransportPacketStatus> got = Statuses(feedback);
        Assert.Equal(26, got.Count);
        Assert.Equal(
            [
                (65534, 516), (65535, 521), (0, 527), // 512 + 4, 5, 6
                (1, 534), (14, 542), // 7, 8 at both ends of the vector
                (15, 532), (16, 541), (19, 551), // -10 (large), 9, 10
            ],
            got.Where(s => s.Received).Select(s => ((int)s.SequenceNumber, (int)s.Arrival)));
        Assert.Equal([.. Enumerable.Range(0, 26).Select(i => (ushort)(65534 + i))], got.Select(s => s.SequenceNumber));
    }

    [Fact]
    public void Reads_a_negative_reference_time()
    {
        TransportFeedback feedback = Read(Convert.FromHexString("8FCD0005" + "00000001" + "00000002" + "00010001" + "FFFFFF00" + "20010300"));
        Assert.Equal(-1, feedback.ReferenceTime);
        Assert.Equal(-253, Statuses(feedback)[0].Arrival);
    }

    [Theory]
    [InlineData("8FCD0004" + "00000001" + "00000002" + "00010000" + "00000000", "no packets")]
    [InlineData("8FCD0004" + "00000001" + "00000002" + "00010001" + "00000000", "no chunk")]
    [InlineData("8FCD0005" + "00000001" + "00000002" + "00010003" + "00000000" + "20030101", "a delta missing")]
    [InlineData("8FCD0005" + "00000001" + "00000002" + "00010003" + "00000000" + "20000000", "an empty run")]
    [InlineData("8FCD0005" + "00000001" + "00000002" + "00010001" + "00000000" + "60010000", "a reserved symbol")]
    public void Rejects(string hex, string why)
    {
        Assert.True(RtcpCompound.TryParse(Convert.FromHexString(hex), out RtcpCompound compound));
        RtcpCompound.Enumerator packets = compound.GetEnumerator();
        Assert.True(packets.MoveNext());
        Assert.False(packets.Current.TryReadTransportFeedback(out _), why);
    }

    [Fact]
    public void Has_nothing_to_say_before_a_packet_arrives()
    {
        TransportFeedbackRecorder recorder = new();
        RtcpWriter writer = new(new byte[100]);
        Assert.False(recorder.HasPending);
        Assert.False(recorder.TryWrite(ref writer, 1, 2));
    }

    [Fact]
    public void Tells_a_steady_stream_in_one_chunk()
    {
        TransportFeedbackRecorder recorder = new();
        for (int i = 0; i < 100; i++)
            recorder.OnPacket(Start + TimeSpan.FromMilliseconds(i * 5), (ushort)i);
        RtcpWriter writer = new(new byte[1200]);
        Assert.True(recorder.TryWrite(ref writer, 1, 2));
        Assert.Equal(20 + 2 + 100 + 2, writer.Length);
        Assert.False(recorder.HasPending);
    }

    [Fact]
    public void Counts_feedback_packets()
    {
        TransportFeedbackRecorder recorder = new();
        for (int i = 0; i < 3; i++)
        {
            recorder.OnPacket(Start, (ushort)i);
            Assert.Equal(i, Read(Write(recorder)).FeedbackPacketCount);
        }
    }

    [Fact]
    public void Starts_another_packet_where_a_delta_is_too_large()
    {
        TransportFeedbackRecorder recorder = new();
        recorder.OnPacket(Start, 1);
        recorder.OnPacket(Start + TimeSpan.FromSeconds(20), 2);
        Assert.Equal([1], Statuses(Read(Write(recorder))).Select(s => (int)s.SequenceNumber));
        Assert.True(recorder.HasPending);
        Assert.Equal([2], Statuses(Read(Write(recorder))).Select(s => (int)s.SequenceNumber));
    }

    [Fact]
    public void Reports_a_late_packet_again_without_its_neighbours()
    {
        TransportFeedbackRecorder recorder = new();
        foreach (ushort sequence in (ushort[])[10, 11, 13, 14])
            recorder.OnPacket(Start, sequence);
        Assert.Equal(5, Statuses(Read(Write(recorder))).Count);
        recorder.OnPacket(Start + TimeSpan.FromMilliseconds(3), 12);
        recorder.OnPacket(Start + TimeSpan.FromMilliseconds(4), 15);

        Assert.Equal([(12, true)], Statuses(Read(Write(recorder))).Select(s => ((int)s.SequenceNumber, s.Received)));
        Assert.Equal([(15, true)], Statuses(Read(Write(recorder))).Select(s => ((int)s.SequenceNumber, s.Received)));
        Assert.False(recorder.HasPending);
    }

    [Fact]
    public void Begins_again_after_a_jump()
    {
        TransportFeedbackRecorder recorder = new();
        recorder.OnPacket(Start, 1);
        recorder.OnPacket(Start, 20_000);
        Assert.Equal([20_000], Statuses(Read(Write(recorder))).Select(s => (int)s.SequenceNumber));
    }

    [Fact]
    public void Round_trips_random_arrivals()
    {
        Gen.Select(
            Gen.UShort,
            Gen.Select(
                Gen.Frequency((6, Gen.Const(1)), (2, Gen.Int[1, 40]), (1, Gen.Int[-6, -1])),
                Gen.Frequency((6, Gen.Int[0, 250]), (2, Gen.Int[0, 30_000]), (1, Gen.Int[0, 60_000]))).Array[1, 200],
            Gen.Int[60, 1200]).Sample((first, steps, room) =>
        {
            TransportFeedbackRecorder recorder = new();
            Dictionary<ushort, long> expected = [];
            long sequence = first;
            long units = Start.Ticks / 2500;
            recorder.OnPacket(Start, first);
            expected[first] = units;
            foreach ((int step, int delay) in steps)
            {
                sequence += step;
                units += delay;
                if (sequence < first)
                    continue; // before the first: known to be late, tested above
                recorder.OnPacket(new Instant(units * 2500), (ushort)sequence);
                expected.TryAdd((ushort)sequence, units);
            }

            Dictionary<ushort, long> told = [];
            HashSet<ushort> lost = [];
            byte[] buffer = new byte[room];
            while (recorder.HasPending)
            {
                RtcpWriter writer = new(buffer);
                if (!recorder.TryWrite(ref writer, 1, 2))
                    break;
                foreach (TransportPacketStatus status in Read(writer.Written))
                {
                    if (status.Received)
                        Assert.True(told.TryAdd(status.SequenceNumber, status.Arrival));
                    else
                        lost.Add(status.SequenceNumber);
                }
            }

            Assert.Equal(expected.OrderBy(e => e.Key), told.OrderBy(e => e.Key));
            Assert.Empty(lost.Intersect(told.Keys));
            Assert.False(recorder.HasPending);
        }, iter: 1000);
    }

    [Fact]
    public void Round_trips_whatever_order_and_time_packets_come_in()
    {
        Gen.Select(Gen.UShort, Gen.Int[-100_000, 100_000], Gen.Bool).Array[0, 120].Sample(events =>
        {
            TransportFeedbackRecorder recorder = new();
            byte[] buffer = new byte[300];
            foreach ((ushort sequence, int offset, bool write) in events)
            {
                recorder.OnPacket(Start + TimeSpan.FromMilliseconds(offset), sequence);
                RtcpWriter writer = new(buffer);
                if (write && recorder.TryWrite(ref writer, 1, 2))
                    Assert.True(Statuses(Read(writer.Written)).Exists(s => s.Received));
            }
        }, iter: 1000);
    }

    private static byte[] Write(TransportFeedbackRecorder recorder)
    {
        RtcpWriter writer = new(new byte[1200]);
        Assert.True(recorder.TryWrite(ref writer, 1, 2));
        return writer.Written.ToArray();
    }

    private static TransportFeedback Read(ReadOnlySpan<byte> bytes)
    {
        Assert.True(RtcpCompound.TryParse(bytes, out RtcpCompound compound));
        RtcpCompound.Enumerator packets = compound.GetEnumerator();
        Assert.True(packets.MoveNext());
        Assert.True(packets.Current.TryReadTransportFeedback(out TransportFeedback feedback));
        return feedback;
    }

    private static List<TransportPacketStatus> Statuses(TransportFeedback feedback)
    {
        List<TransportPacketStatus> list = [];
        foreach (TransportPacketStatus status in feedback)
            list.Add(status);
        return list;
    }
}
