using System.Text.Json;
using CsCheck;
using Transcribe.AiGateway.Captions;
using Transcribe.AiGateway.Tests.Support;
using Transcribe.Cluster;
using Transcribe.Cluster.Captions;
using Transcribe.Rtc;

namespace Transcribe.AiGateway.Tests.Captions;

public sealed class CaptionTrackTests : IDisposable
{
    private const uint Ssrc = 7;

    private readonly CaptionList _sink = new();
    private readonly FakeRecognizer _recognizer = new();
    private readonly CaptionTrack _track;
    private double _now;
    private ushort _sequence = 65530;
    private uint _timestamp = uint.MaxValue - 48000;

    public CaptionTrackTests() =>
        _track = new CaptionTrack(new("demo", "alice", "TR_1", "en"), _recognizer, new FakeVad(), new FakeDecoder(), _sink, TimeProvider.System);

    public void Dispose() => _track.Dispose();

    [Fact]
    public void Stamps_words_with_the_publishers_rtp_clock_through_its_wrap()
    {
        uint origin = _timestamp;
        Send((0, 0.6), (3, 0.4), (4, 0.4), (0, 1));

        CaptionMessage final = Assert.Single(_sink.Finals);
        Assert.Equal("w3 w4", final.Text);
        Assert.Equal(final.Text.Length, final.Stable);
        Assert.Equal(Ssrc, final.Rtp.Ssrc);
        Assert.Equal([origin + 28800, origin + 48000], final.Words.Select(word => word.S));
        Assert.Equal([origin + 48000, origin + 67200], final.Words.Select(word => word.E));
        Assert.InRange(unchecked(final.Rtp.Start - origin), 25000u, 28800u);
        Assert.Equal(origin + 67200, final.Rtp.End);
        Assert.Null(final.Ntp);
    }

    [Fact]
    public void Tells_the_wall_clock_by_the_publishers_sender_reports()
    {
        uint origin = _timestamp;
        var clock = new DateTimeOffset(2026, 11, 22, 10, 0, 0, TimeSpan.Zero);
        _track.SetSenderReport(clock, unchecked(origin + 96000));
        Send((0, 0.6), (3, 0.4), (0, 1));

        CaptionNtp ntp = Assert.Single(_sink.Finals).Ntp!;
        Assert.Equal(clock.AddSeconds(-1), ntp.End, TimeSpan.FromMilliseconds(1));
        Assert.True(ntp.Start < ntp.End);
    }

    [Fact]
    public void Names_the_publishers_own_ssrc_where_it_is_known()
    {
        using var track = new CaptionTrack(
            new("demo", "alice", "TR_1", "en", PublisherSsrc: 99), _recognizer, new FakeVad(), new FakeDecoder(), _sink, TimeProvider.System);
        Send(track, (3, 0.5), (0, 1));

        Assert.All(_sink.Captions, caption => Assert.Equal(99u, caption.Rtp.Ssrc));
    }

    [Fact]
    public void Writes_the_message_of_the_design()
    {
        Send((3, 0.5), (0, 1));

        JsonElement message = JsonSerializer.SerializeToElement(_sink.Finals.Single(), ClusterJson.Options);
        Assert.Equal(
            ["v", "type", "room", "participant", "track", "segment", "rev", "final", "lang", "text", "stable", "rtp", "words", "engine"],
            message.EnumerateObject().Select(property => property.Name));
        Assert.Equal(26, message.GetProperty("segment").GetString()!.Length);
        Assert.Equal(["ssrc", "clock", "start", "end"], message.GetProperty("rtp").EnumerateObject().Select(property => property.Name));
        Assert.Equal(["w", "s", "e", "p"], message.GetProperty("words")[0].EnumerateObject().Select(property => property.Name));
    }

    [Fact]
    public void Shows_interims_while_the_words_are_spoken()
    {
        Send((3, 0.4), (4, 0.4), (5, 0.4), (0, 1));

        Assert.Contains(_sink.Captions, caption => !caption.Final && caption.Text == "w3");
        Assert.Contains(_sink.Captions, caption => !caption.Final && caption.Text.StartsWith("w3 w4", StringComparison.Ordinal) && caption.Stable >= 2);
        CaptionRules.Check(_sink.Captions);
    }

    [Fact]
    public void Drops_interims_under_load_and_keeps_the_final()
    {
        _track.Load = CaptionLoad.DropInterims;
        Send((3, 1), (0, 1));

        CaptionMessage only = Assert.Single(_sink.Captions);
        Assert.True(only.Final);
        Assert.Equal(1, only.Rev);
        Assert.Equal(0, _recognizer.Interims);
        Assert.True(_track.DroppedInterims > 0);
    }

    [Fact]
    public void Ends_an_utterance_when_the_packets_stop()
    {
        Send((3, 0.5));
        Assert.Empty(_sink.Finals);
        Assert.NotEqual(Instant.Never, _track.NextTimeout);
        _track.HandleTimeout(_track.NextTimeout);

        Assert.Equal("w3", Assert.Single(_sink.Finals).Text);
    }

    [Fact]
    public void Flushes_the_last_words_when_the_track_ends()
    {
        Send((3, 0.5), (4, 0.21));
        _track.Flush(At(_now));

        Assert.Equal("w3 w4", Assert.Single(_sink.Finals).Text);
        Assert.Equal(0, _recognizer.Open);
    }

    [Fact]
    public void Ends_the_utterance_of_one_source_before_another_begins()
    {
        Send((3, 0.5));
        _timestamp = 1000;
        foreach (int _ in Enumerable.Range(0, 25))
            Push(8, 4);
        _track.Flush(At(_now));

        Assert.Equal([("w3", Ssrc), ("w4", 8u)], _sink.Finals.Select(final => (final.Text, final.Rtp.Ssrc)));
    }

    [Fact]
    public void Bridges_a_pause_of_the_sender_with_silence_of_its_length()
    {
        uint origin = _timestamp;
        Send((3, 0.5));
        _now += 0.2;
        _timestamp += 9600;
        Send((4, 0.5));
        _now += 30;
        _timestamp += 30 * 48000;
        Send((5, 0.5), (0, 1));

        Assert.Equal(["w3 w4", "w5"], _sink.Finals.Select(final => final.Text));
        Assert.Equal(origin + (uint)(1.2 * 48000) + (30 * 48000), _sink.Finals.Last().Words[0].S);
    }

    [Fact]
    public void Makes_what_was_shown_final_when_the_engine_fails_and_goes_on()
    {
        Send((3, 0.5));
        string shown = _sink.Captions[^1].Text;
        _recognizer.Failure = new InvalidOperationException("out of memory");
        Send((4, 0.5), (0, 1));
        _recognizer.Failure = null;
        Send((5, 0.5), (0, 1));

        Assert.Single(_sink.Failures);
        Assert.Equal([shown, "w5"], _sink.Finals.Select(final => final.Text));
        Assert.Equal(0, _recognizer.Open);
        CaptionRules.Check(_sink.Captions);
    }

    [Fact]
    public void Gives_each_segment_exactly_one_final_whatever_the_network_does()
    {
        Gen.Int[1, 1_000_000].Sample(seed =>
        {
            var random = new Random(seed);
            var sink = new CaptionList();
            var recognizer = new FakeRecognizer();
            using var track = new CaptionTrack(new("demo", "alice", "TR_1", "en"), recognizer, new FakeVad(), new FakeDecoder(), sink, TimeProvider.System);
            var packets = new List<(double At, uint Ssrc, ushort Sequence, uint Timestamp, byte[] Payload)>();
            double at = 0;
            uint ssrc = 1, timestamp = (uint)random.NextInt64(1L << 32);
            ushort sequence = (ushort)random.Next(65536);
            for (int part = 0; part < 40; part++)
            {
                if (random.NextDouble() < 0.05)
                    ssrc++;
                if (random.NextDouble() < 0.05)
                    timestamp = (uint)random.NextInt64(1L << 32);
                if (random.NextDouble() < 0.2)
                {
                    int pause = random.Next(1, 200);
                    timestamp += (uint)pause * 960;
                    at += pause * 0.02;
                }

                int value = random.Next(2) == 0 ? 0 : random.Next(1, 9);
                for (int i = random.Next(1, 60); i > 0; i--, at += 0.02, timestamp += 960)
                {
                    byte[] payload = random.NextDouble() < 0.01 ? [0xFF, 0] : FakeDecoder.Packet(value);
                    if (random.NextDouble() >= 0.05)
                        packets.Add((at + (random.NextDouble() * 0.09), ssrc, sequence, timestamp, payload));
                    sequence++;
                }
            }

            Instant now = Instant.Zero;
            foreach ((double arrival, uint source, ushort number, uint time, byte[] payload) in packets.OrderBy(p => p.At))
            {
                while (track.NextTimeout < At(arrival))
                    track.HandleTimeout(track.NextTimeout);
                now = At(arrival);
                track.Push(now, source, number, time, payload);
                track.Load = (CaptionLoad)random.Next(3);
            }

            track.Flush(now);
            // Where the clock jumps at random, finals of two timelines may name the same timestamps: rules hold for each segment.
            foreach (IGrouping<string, CaptionMessage> segment in sink.Captions.GroupBy(caption => caption.Segment))
                CaptionRules.Check(segment);
            Assert.Equal(0, recognizer.Open);
        }, iter: 150);
    }

    private static Instant At(double seconds) => new((long)(seconds * TimeSpan.TicksPerSecond));

    private void Send(params (int Value, double Seconds)[] parts) => Send(_track, parts);

    private void Send(CaptionTrack track, params (int Value, double Seconds)[] parts)
    {
        foreach ((int value, double seconds) in parts)
        {
            for (int i = 0; i < Math.Round(seconds / 0.02); i++)
                Push(Ssrc, value, track);
        }
    }

    private void Push(uint ssrc, int value, CaptionTrack? track = null)
    {
        _now += 0.02;
        (track ?? _track).Push(At(_now), ssrc, _sequence++, _timestamp, FakeDecoder.Packet(value));
        _timestamp += 960;
    }
}
