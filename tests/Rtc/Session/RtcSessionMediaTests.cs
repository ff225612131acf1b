using System.Buffers.Binary;
using Transcribe.Rtc.Rtcp;
using Transcribe.Rtc.Rtp;
using Transcribe.Rtc.Tests.Simulation;

namespace Transcribe.Rtc.Tests.Session;

public sealed class RtcSessionMediaTests
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Frame = TimeSpan.FromMilliseconds(20);

    [Fact]
    public void Forwarded_audio_keeps_its_timestamp_and_level_and_carries_the_slots_mid()
    {
        using Relay relay = new();
        relay.Network.Every(Frame, 100, i => Assert.True(relay.Microphone.Send(
            relay.Network.Now, new byte[] { (byte)i, 1, 2 }, 111, i == 0, 4_294_950_000u + ((uint)i * 960), new AudioLevel((byte)i, true))));
        relay.Network.Run(TimeSpan.FromSeconds(3));

        Assert.Equal(100, relay.Subscriber.Rtp.Count);
        for (int i = 0; i < 100; i++)
        {
            ReceivedRtp packet = relay.Subscriber.Rtp[i];
            Assert.Equal(unchecked(4_294_950_000u + ((uint)i * 960)), packet.Timestamp);
            Assert.Equal(i, packet.Payload[0]);
            Assert.Equal((byte)(0x80 | i), packet.AudioLevel!.Value);
            Assert.Equal(relay.AudioSlot.Mid, packet.Mid);
            Assert.Equal(relay.AudioSlot.RemoteSsrc, packet.Ssrc);
            Assert.Equal(i == 0, packet.Marker);
            Assert.Equal((ushort)(relay.Subscriber.Rtp[0].SequenceNumber + i), packet.SequenceNumber);
        }
    }

    [Fact]
    public void The_slots_sender_reports_carry_the_publishers_clock()
    {
        using Relay relay = new();
        relay.Network.Every(Frame, 200, i => relay.Microphone.Send(relay.Network.Now, new byte[20], 111, false, (uint)i * 960));
        Instant start = relay.Network.Now;
        relay.Network.Run(TimeSpan.FromSeconds(5));

        NtpTimestamp epoch = NtpTimestamp.From(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero));
        Assert.NotEmpty(relay.Subscriber.SenderReports);
        foreach ((RtcMedia media, SenderReport report, Instant at) in relay.Subscriber.SenderReports.Skip(1))
        {
            Assert.Same(relay.AudioSlot, media);

            // Timestamp 0 left the publisher at the start; the report must say when that was on the publisher's clock.
            NtpTimestamp sent = new RtpNtpMapping(report.Ntp, report.RtpTimestamp, 48000).ToNtp(0);
            double error = (sent - (epoch + (start - Instant.Zero))).TotalMilliseconds;
            Assert.InRange(error, -25, 25);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Lost_video_is_repaired_by_nack_and_rtx_on_both_hops(int seed)
    {
        using Relay relay = new(seed: seed);
        foreach (VirtualLink link in relay.Network.Links)
            link.Conditions = LinkConditions.Bad;
        relay.Network.Every(TimeSpan.FromMilliseconds(5), 1000, i =>
        {
            byte[] payload = new byte[600];
            BinaryPrimitives.WriteInt32BigEndian(payload, i);
            Assert.True(relay.Camera.Send(relay.Network.Now, payload, 96, i % 10 == 9, (uint)(i / 10) * 4500));
        });
        relay.Network.Run(TimeSpan.FromSeconds(9));

        HashSet<int> arrived = [.. relay.Subscriber.Rtp.Select(p => BinaryPrimitives.ReadInt32BigEndian(p.Payload))];
        Assert.InRange(arrived.Count, 997, 1000);
        Assert.Equal(arrived.Count, relay.Subscriber.Rtp.Count);
        Assert.All(relay.Subscriber.Rtp, p => Assert.Equal(96, p.PayloadType));
        Assert.True(relay.Subscriber.Session.Statistics.RetransmittedPacketsReceived > 20);
        Assert.True(relay.Inbound.Session.Statistics.NackCountSent > 0);
        Assert.NotEmpty(relay.Outbound.Nacks);
    }

    [Fact]
    public void A_retransmission_carries_the_timestamp_and_extensions_of_the_original()
    {
        using Relay relay = new();
        int sent = 0;
        relay.Network.Every(Frame, 20, i =>
        {
            // Drop exactly one packet of the second hop.
            VirtualLink link = relay.Network.Link(relay.Outbound, relay.Subscriber);
            link.Conditions = link.Conditions with { Loss = i == 10 ? 1 : 0 };
            relay.Camera.Send(relay.Network.Now, new byte[] { (byte)sent++ }, 96, true, (uint)i * 1800);
        });

        // The forwarded packet leaves a propagation delay after it was published.
        relay.Network.Run(Second);
        Assert.Equal(20, relay.Subscriber.Rtp.Count);
        foreach (ReceivedRtp packet in relay.Subscriber.Rtp)
        {
            Assert.Equal(packet.Payload[0] * 1800u, packet.Timestamp);
            Assert.Equal(relay.VideoSlot.Mid, packet.Mid);
        }

        Assert.Equal(1, relay.Subscriber.Session.Statistics.RetransmittedPacketsReceived);
    }

    [Fact]
    public void Streams_without_signalled_ssrc_are_found_by_mid()
    {
        using SessionPair pair = new();
        RtcMedia first = pair.Client.Session.AddMedia(MediaKind.Audio, MediaDirection.SendOnly);
        RtcMedia second = pair.Client.Session.AddMedia(MediaKind.Audio, MediaDirection.SendOnly);
        ConnectWithoutSsrcs(pair, keepMid: true);

        second.Send(pair.Network.Now, new byte[20], 111, true, 1);
        first.Send(pair.Network.Now, new byte[20], 111, true, 2);
        pair.Network.Run(Second);

        Assert.Equal([second.Mid, first.Mid], pair.Server.Rtp.Select(p => p.Media.Mid));
        Assert.Equal(first.LocalSsrc, pair.Server.Session.Media[0].RemoteSsrc);
    }

    [Fact]
    public void A_stream_without_ssrc_and_mid_is_found_by_its_payload_type_where_that_is_unique()
    {
        using SessionPair pair = new();
        RtcMedia audio = pair.Client.Session.AddMedia(MediaKind.Audio, MediaDirection.SendOnly);
        RtcMedia one = pair.Client.Session.AddMedia(MediaKind.Video, MediaDirection.SendOnly);
        pair.Client.Session.AddMedia(MediaKind.Video, MediaDirection.SendOnly);
        ConnectWithoutSsrcs(pair, keepMid: false);

        audio.Send(pair.Network.Now, new byte[20], 111, true, 1);
        one.Send(pair.Network.Now, new byte[20], 96, true, 1);
        pair.Network.Run(Second);

        Assert.Equal(audio.Mid, pair.Server.Rtp.Single().Media.Mid);
        Assert.Equal(1, pair.Server.Session.Statistics.DropsBecause(RtcDropReason.UnknownStream));
    }

    [Fact]
    public void Media_that_was_not_negotiated_is_dropped_and_counted()
    {
        using SessionPair pair = new();
        RtcMedia audio = pair.Client.Session.AddMedia(MediaKind.Audio, MediaDirection.SendOnly);
        pair.Connect();

        audio.Send(pair.Network.Now, new byte[20], 120, true, 1);
        pair.Network.Run(Second);

        Assert.Empty(pair.Server.Rtp);
        Assert.Equal(1, pair.Server.Session.Statistics.DropsBecause(RtcDropReason.UnknownPayloadType));
    }

    [Fact]
    public void Keyframe_requests_reach_the_sender_and_are_throttled()
    {
        using SessionPair pair = new();
        RtcMedia video = pair.Client.Session.AddMedia(MediaKind.Video, MediaDirection.SendOnly);
        pair.Connect();
        RtcMedia received = pair.Server.Session.Media[0];
        video.Send(pair.Network.Now, new byte[20], 96, true, 1);
        pair.Network.Run(TimeSpan.FromMilliseconds(50));

        pair.Network.Every(TimeSpan.FromMilliseconds(10), 50, _ => received.RequestKeyframe(pair.Network.Now));
        pair.Network.Run(Second);

        Assert.InRange(pair.Client.KeyframeRequests.Count, 2, 3);
        Assert.All(pair.Client.KeyframeRequests, m => Assert.Same(video, m));
    }

    [Fact]
    public void A_keyframe_request_made_before_anything_arrived_is_sent_with_the_first_packet()
    {
        using SessionPair pair = new();
        RtcMedia video = pair.Client.Session.AddMedia(MediaKind.Video, MediaDirection.SendOnly);
        ConnectWithoutSsrcs(pair, keepMid: true);
        Assert.False(pair.Server.Session.Media[0].RequestKeyframe(pair.Network.Now));
        pair.Network.Run(Second);
        Assert.Empty(pair.Client.KeyframeRequests);

        video.Send(pair.Network.Now, new byte[20], 96, true, 1);
        pair.Network.Run(TimeSpan.FromMilliseconds(100));

        Assert.Single(pair.Client.KeyframeRequests);
    }

    [Fact]
    public void Reports_tell_the_round_trip_time_and_the_loss()
    {
        using SessionPair pair = new();
        RtcMedia audio = pair.Client.Session.AddMedia(MediaKind.Audio, MediaDirection.SendOnly);
        pair.Connect();
        VirtualLink up = pair.Network.Link(pair.Client, pair.Server);
        VirtualLink down = pair.Network.Link(pair.Server, pair.Client);
        up.Conditions = new LinkConditions { Delay = TimeSpan.FromMilliseconds(40), Loss = 0.2 };
        down.Conditions = new LinkConditions { Delay = TimeSpan.FromMilliseconds(60) };
        pair.Network.Every(Frame, 500, i => audio.Send(pair.Network.Now, new byte[50], 111, false, (uint)i * 960));
        pair.Network.Run(TimeSpan.FromSeconds(12));

        Assert.InRange(pair.Client.Session.Statistics.RoundTripTime!.Value.TotalMilliseconds, 99, 102);
        Assert.InRange(pair.Client.ReportBlocks.Count, 6, 16);
        Assert.InRange(pair.Client.ReportBlocks[^1].CumulativeLost, 60, 140);
        Assert.Contains(pair.Client.ReportBlocks, b => b.FractionLost > 25);
        Assert.InRange(pair.Client.ReportBlocks[^1].Jitter, 0u, 48u);
    }

    [Fact]
    public void Forwarding_allocates_nothing()
    {
        using Relay relay = new();
        relay.Subscriber.Record = relay.Inbound.Record = false;
        byte[] captured = [];
        relay.Inbound.Forward = (_, packet, _) => captured = packet.Bytes.ToArray();
        relay.Microphone.Send(relay.Network.Now, new byte[100], 111, false, 1, new AudioLevel(30, true));
        relay.Network.Run(Second);
        RtcMedia source = relay.Inbound.Session.Media[0];
        RtcMedia slot = relay.Outbound.Session.Media[0];
        RtpExtensionMap map = RtpExtensionMap.Between(source.HeaderExtensions, slot.HeaderExtensions);
        relay.Outbound.Tap = null;
        relay.Network.Discard = true;

        long Measure(int packets, ushort first)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < packets; i++)
            {
                Assert.True(RtpPacket.TryParse(captured, out RtpPacket packet));
                if (!slot.Send(relay.Network.Now, packet, map, 111, (ushort)(first + i), packet.Timestamp))
                    throw new InvalidOperationException("Not sent.");
            }

            return GC.GetAllocatedBytesForCurrentThread() - before;
        }

        Measure(1000, 1000);
        Assert.Equal(0, Measure(10_000, 2000));
    }

    [Fact]
    public void Receiving_allocates_nothing()
    {
        using SessionPair pair = new();
        RtcMedia audio = pair.Client.Session.AddMedia(MediaKind.Audio, MediaDirection.SendOnly);
        pair.Connect();
        pair.Server.Record = false;
        List<byte[]> datagrams = [];
        pair.Client.Tap = datagrams.Add;
        pair.Network.Discard = true;
        for (int i = 0; i < 6000; i++)
            Assert.True(audio.Send(pair.Network.Now, new byte[100], 111, false, (uint)i, new AudioLevel(3, false)));
        TransportPath path = new(pair.Server.Address, pair.Client.Address);

        void Receive(int from, int to)
        {
            for (int i = from; i < to; i++)
                pair.Server.Session.Receive(pair.Network.Now, path, datagrams[i]);
        }

        Receive(0, 1000);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Receive(1000, 6000);

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.Equal(6000, pair.Server.Session.Statistics.PacketsReceived);
    }

    [Fact]
    public void Transport_wide_feedback_and_remb_are_sent_where_negotiated()
    {
        using SessionPair pair = new();
        RtcMedia video = pair.Client.Session.AddMedia(MediaKind.Video, MediaDirection.SendOnly);
        pair.Connect();
        long before = pair.Server.Session.Statistics.DatagramsSent;
        pair.Network.Every(Frame, 100, i => video.Send(pair.Network.Now, new byte[50], 96, true, (uint)i * 1800));
        pair.Network.Run(TimeSpan.FromSeconds(2));

        // One feedback packet each 50 ms of media, and a report with REMB each second.
        Assert.InRange(pair.Server.Session.Statistics.DatagramsSent - before, 25, 60);
    }

    private static void ConnectWithoutSsrcs(SessionPair pair, bool keepMid)
    {
        string offer = pair.Client.Session.CreateOffer(pair.Network.Now);
        IEnumerable<string> lines = offer.Split("\r\n")
            .Where(l => !l.StartsWith("a=ssrc", StringComparison.Ordinal))
            .Where(l => keepMid || !l.Contains(RtpExtensionUris.Mid, StringComparison.Ordinal));
        Assert.True(pair.Server.Session.TrySetRemoteOffer(pair.Network.Now, string.Join("\r\n", lines), out string? error), error);
        Assert.True(pair.Client.Session.TrySetRemoteAnswer(pair.Network.Now, pair.Server.Session.CreateAnswer(pair.Network.Now), out error), error);
        Assert.True(pair.Network.Run(TimeSpan.FromSeconds(10), () =>
            pair.Client.Session.State == RtcSessionState.Connected && pair.Server.Session.State == RtcSessionState.Connected));
    }

    /// <summary>Publisher -> server session -> server session -> subscriber, forwarding as an SFU does.</summary>
    private sealed class Relay : IDisposable
    {
        private readonly SessionPair _pair;
        private readonly Dictionary<RtcMedia, RetransmissionCache> _caches = [];
        private readonly Dictionary<RtcMedia, RtpExtensionMap> _maps = [];

        public Relay(int seed = 1)
        {
            _pair = new SessionPair(seed: seed);
            Subscriber = _pair.NewClient(4001, seed);
            Outbound = _pair.NewServer(7883, seed);
            Microphone = _pair.Client.Session.AddMedia(MediaKind.Audio, MediaDirection.SendOnly);
            Camera = _pair.Client.Session.AddMedia(MediaKind.Video, MediaDirection.SendOnly);
            AudioSlot = Subscriber.Session.AddMedia(MediaKind.Audio, MediaDirection.RecvOnly);
            VideoSlot = Subscriber.Session.AddMedia(MediaKind.Video, MediaDirection.RecvOnly);
            _pair.Connect();
            _pair.Connect(Subscriber, Outbound);
            foreach (RtcMedia media in Inbound.Session.Media)
            {
                RtcMedia slot = Outbound.Session.Media[media.Index];
                _caches[slot] = new RetransmissionCache();
                _maps[slot] = RtpExtensionMap.Between(media.HeaderExtensions, slot.HeaderExtensions);
            }

            Inbound.Forward = Forward;
            Outbound.AnswerNack = Resend;
            Inbound.Record = false;
        }

        public VirtualNetwork Network => _pair.Network;

        public TestPeer Inbound => _pair.Server;

        public TestPeer Outbound { get; }

        public TestPeer Subscriber { get; }

        public RtcMedia Microphone { get; }

        public RtcMedia Camera { get; }

        public RtcMedia AudioSlot { get; }

        public RtcMedia VideoSlot { get; }

        public void Dispose() => _pair.Dispose();

        private void Forward(RtcMedia media, RtpPacket packet, Instant arrival)
        {
            RtcMedia slot = Outbound.Session.Media[media.Index];
            if (Inbound.SenderReports.LastOrDefault(r => r.Media == media) is { Media: not null } report)
                slot.SetSenderReportSource(report.Report, report.At, media.Codecs[0].ClockRate);
            _caches[slot].Add(arrival, packet);
            Assert.True(slot.TryGetPayloadType(media.FindCodec(packet.PayloadType)!, out byte payloadType));
            Assert.True(slot.Send(Network.Now, packet, _maps[slot], payloadType, packet.SequenceNumber, packet.Timestamp));
        }

        private void Resend(RtcMedia slot, ushort[] sequenceNumbers)
        {
            foreach (ushort number in sequenceNumbers)
            {
                if (_caches[slot].TryGet(Network.Now, number, out RtpPacket packet))
                    Assert.True(slot.SendRtx(Network.Now, packet, _maps[slot], slot.Codecs[0].PayloadType, number, packet.Timestamp));
            }
        }
    }
}
