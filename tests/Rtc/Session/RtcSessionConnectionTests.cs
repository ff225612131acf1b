using Transcribe.Rtc.Sctp;
using Transcribe.Rtc.Srtp;
using Transcribe.Rtc.Tests.Simulation;

namespace Transcribe.Rtc.Tests.Session;

public sealed class RtcSessionConnectionTests
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    [Fact]
    public void A_client_and_a_server_connect_and_tell_their_states()
    {
        using SessionPair pair = new();
        pair.Connect();

        Assert.Equal([RtcSessionState.Connecting, RtcSessionState.Connected], pair.Client.States);
        Assert.Equal([RtcSessionState.Connecting, RtcSessionState.Connected], pair.Server.States);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Audio_video_and_data_flow_over_a_bad_link(int seed)
    {
        using SessionPair pair = new(LinkConditions.Bad, seed);
        Flow(pair, audioAtLeast: 170, videoAtLeast: 195);
    }

    [Theory]
    [InlineData(SrtpProfile.AeadAes128Gcm)]
    [InlineData(SrtpProfile.Aes128CmHmacSha1Tag80)]
    public void Audio_video_and_data_flow_with_each_srtp_profile(SrtpProfile profile)
    {
        using SessionPair pair = new(client: o => o with { SrtpProfiles = [profile] });
        Flow(pair, audioAtLeast: 200, videoAtLeast: 200);
    }

    [Fact]
    public void A_certificate_that_is_not_the_one_of_the_sdp_fails_the_session()
    {
        using SessionPair pair = new(server: o => o with { DtlsHandshakeTimeout = TimeSpan.FromSeconds(5) });
        string offer = pair.Client.Session.CreateOffer(pair.Network.Now);
        string forged = offer.Replace(
            SessionPair.ClientCertificate.Fingerprint.Value, SessionPair.ServerCertificate.Fingerprint.Value, StringComparison.Ordinal);
        Assert.True(pair.Server.Session.TrySetRemoteOffer(pair.Network.Now, forged, out string? error), error);
        Assert.True(pair.Client.Session.TrySetRemoteAnswer(pair.Network.Now, pair.Server.Session.CreateAnswer(pair.Network.Now), out error), error);

        Assert.True(pair.Network.Run(TimeSpan.FromSeconds(10), () => pair.Server.Session.State == RtcSessionState.Failed));
        Assert.Equal(RtcSessionFailure.FingerprintMismatch, pair.Server.Session.Failure);
        Assert.NotEqual(RtcSessionState.Connected, pair.Client.Session.State);
    }

    [Fact]
    public void An_idle_session_costs_its_consent_checks_and_nothing_else()
    {
        using SessionPair pair = new();
        List<byte> kinds = [];
        int wakes = 0;
        pair.Client.Session.AddMedia(MediaKind.Audio, MediaDirection.RecvOnly);
        pair.Client.Session.AddMedia(MediaKind.Video, MediaDirection.RecvOnly);
        pair.Client.Session.CreateDataChannel(pair.Network.Now, "captions");
        pair.Negotiate();
        Assert.True(pair.Network.Run(TimeSpan.FromSeconds(5), () => pair.Server.Opened.Count > 0));
        pair.Network.Run(TimeSpan.FromSeconds(5));

        pair.Client.Tap = datagram => kinds.Add(datagram[0]);
        pair.Server.Tap = datagram => kinds.Add(datagram[0]);
        Instant end = pair.Network.Now + TimeSpan.FromMinutes(2);
        while (pair.Network.Now < end)
        {
            Instant due = pair.Server.Session.NextTimeout;
            pair.Network.Run(Instant.Min(due, end) - pair.Network.Now + TimeSpan.FromMilliseconds(1));
            wakes += pair.Network.Now >= due ? 1 : 0;
        }

        // A request and its response every 4 to 6 seconds.
        Assert.All(kinds, kind => Assert.InRange(kind, 0, 3));
        Assert.InRange(kinds.Count, 2 * 120 / 6, 2 * 120 / 4);
        Assert.Equal(RtcSessionState.Connected, pair.Server.Session.State);
        Assert.Equal(RtcSessionState.Connected, pair.Client.Session.State);
        Assert.InRange(wakes, 0, 20);
    }

    [Fact]
    public void Close_is_seen_by_the_peer_at_once()
    {
        using SessionPair pair = new();
        RtcMedia audio = pair.Client.Session.AddMedia(MediaKind.Audio, MediaDirection.SendOnly);
        pair.Connect();
        audio.Send(pair.Network.Now, new byte[40], 111, true, 1000);
        pair.Network.Run(TimeSpan.FromMilliseconds(200));

        pair.Client.Session.Close(pair.Network.Now);
        pair.Network.Run(TimeSpan.FromMilliseconds(100));

        Assert.Equal(RtcSessionState.Closed, pair.Client.Session.State);
        Assert.Equal(RtcSessionState.Closed, pair.Server.Session.State);
        Assert.Equal(RtcSessionFailure.ClosedByPeer, pair.Server.Session.Failure);
        Assert.Single(pair.Server.Byes);
        Assert.Equal(Instant.Never, pair.Server.Session.NextTimeout);
    }

    [Fact]
    public void A_silent_peer_is_disconnected_and_then_failed()
    {
        using SessionPair pair = new();
        pair.Connect();
        foreach (VirtualLink link in pair.Network.Links)
            link.Conditions = link.Conditions with { Loss = 1 };

        pair.Network.Run(TimeSpan.FromSeconds(60));

        RtcSessionState[] expected =
            [RtcSessionState.Connecting, RtcSessionState.Connected, RtcSessionState.Disconnected, RtcSessionState.Failed];
        Assert.Equal(expected, pair.Server.States);
        Assert.Equal(expected, pair.Client.States);
        Assert.Equal(RtcSessionFailure.IceTimeout, pair.Server.Session.Failure);
    }

    [Fact]
    public void A_peer_that_comes_back_in_time_is_connected_again()
    {
        using SessionPair pair = new();
        RtcMedia audio = pair.Client.Session.AddMedia(MediaKind.Audio, MediaDirection.SendOnly);
        pair.Connect();
        LinkConditions good = pair.Network.Links.First().Conditions;
        foreach (VirtualLink link in pair.Network.Links)
            link.Conditions = good with { Loss = 1 };
        pair.Network.Run(TimeSpan.FromSeconds(18));
        Assert.Equal(RtcSessionState.Disconnected, pair.Server.Session.State);

        foreach (VirtualLink link in pair.Network.Links)
            link.Conditions = good;
        Assert.True(pair.Network.Run(
            TimeSpan.FromSeconds(12),
            () => pair.Server.Session.State == RtcSessionState.Connected && pair.Client.Session.State == RtcSessionState.Connected));
        Assert.True(audio.Send(pair.Network.Now, new byte[40], 111, false, 1000));
        pair.Network.Run(Second);
        Assert.Single(pair.Server.Rtp);
    }

    [Fact]
    public void An_ice_restart_keeps_media_and_keys_and_retires_the_old_user_name_fragment()
    {
        using SessionPair pair = new();
        RtcMedia audio = pair.Client.Session.AddMedia(MediaKind.Audio, MediaDirection.SendOnly);
        pair.Connect();
        string clientUfrag = pair.Client.Session.LocalUfrag;
        string serverUfrag = pair.Server.Session.LocalUfrag;

        pair.Client.Session.RestartIce(pair.Network.Now);
        pair.Negotiate();
        Assert.NotEqual(clientUfrag, pair.Client.Session.LocalUfrag);
        Assert.NotEqual(serverUfrag, pair.Server.Session.LocalUfrag);

        pair.Network.Every(TimeSpan.FromMilliseconds(20), 100, i => audio.Send(pair.Network.Now, new byte[40], 111, false, (uint)i * 960));
        pair.Network.Run(TimeSpan.FromSeconds(3));

        Assert.Equal(100, pair.Server.Rtp.Count);
        Assert.Equal(RtcSessionState.Connected, pair.Server.Session.State);
        Assert.Equal(RtcSessionState.Connected, pair.Client.Session.State);
        Assert.Contains(serverUfrag, pair.Server.RetiredUfrags);
        Assert.DoesNotContain(RtcSessionState.Failed, pair.Server.States);
    }

    [Fact]
    public void A_failed_session_comes_back_by_an_ice_restart()
    {
        using SessionPair pair = new();
        pair.Connect();
        LinkConditions good = pair.Network.Links.First().Conditions;
        foreach (VirtualLink link in pair.Network.Links)
            link.Conditions = good with { Loss = 1 };
        pair.Network.Run(TimeSpan.FromSeconds(60));
        Assert.Equal(RtcSessionState.Failed, pair.Client.Session.State);
        foreach (VirtualLink link in pair.Network.Links)
            link.Conditions = good;

        pair.Client.Session.RestartIce(pair.Network.Now);
        pair.Connect();

        Assert.Equal(RtcSessionFailure.None, pair.Client.Session.Failure);
        Assert.Equal(RtcSessionFailure.None, pair.Server.Session.Failure);
    }

    [Fact]
    public void Dtls_from_an_address_that_ice_has_not_validated_is_not_answered()
    {
        using SessionPair pair = new();
        List<byte[]> sent = [];
        pair.Client.Tap = sent.Add;
        pair.Connect();
        byte[] clientHello = sent.First(d => d[0] == 22);
        long before = pair.Server.Session.Statistics.DatagramsSent;
        Assert.True(TransportAddress.TryParse("127.0.0.1:6666", out TransportAddress stranger));

        pair.Network.Inject(stranger, pair.Server, clientHello);

        Assert.Equal(1, pair.Server.Session.Statistics.DropsBecause(RtcDropReason.UnvalidatedAddress));
        Assert.Equal(before, pair.Server.Session.Statistics.DatagramsSent);
    }

    [Fact]
    public void Dtls_before_any_check_starts_nothing()
    {
        using SessionPair pair = new();
        string offer = pair.Client.Session.CreateOffer(pair.Network.Now);
        Assert.True(pair.Server.Session.TrySetRemoteOffer(pair.Network.Now, offer, out _));
        pair.Server.Session.CreateAnswer(pair.Network.Now);
        byte[] record = [22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1];

        pair.Network.Inject(pair.Client.Address, pair.Server, record);

        Assert.Equal(1, pair.Server.Session.Statistics.DropsBecause(RtcDropReason.UnvalidatedAddress));
        Assert.Equal(0, pair.Server.Session.Statistics.DatagramsSent);
    }

    [Theory]
    [InlineData(11)]
    [InlineData(12)]
    public void Garbage_at_every_stage_disturbs_nothing(int seed)
    {
        using SessionPair pair = new(seed: seed);
        Random random = new(seed);
        Assert.True(TransportAddress.TryParse("127.0.0.1:6666", out TransportAddress stranger));
        pair.Network.Every(TimeSpan.FromMilliseconds(5), 1200, _ =>
        {
            byte[] garbage = new byte[random.Next(0, 1400)];
            random.NextBytes(garbage);

            // Half of it looks like one of the protocols, and comes from the peer's own address.
            if (garbage.Length > 0 && random.Next(2) == 0)
                garbage[0] = (byte)random.Next(256) switch { < 64 => 0, < 128 => 22, < 160 => 23, _ => 0x80 };
            pair.Network.Inject(random.Next(2) == 0 ? pair.Client.Address : stranger, pair.Server, garbage);
            pair.Network.Inject(random.Next(2) == 0 ? pair.Server.Address : stranger, pair.Client, garbage);
        });

        Flow(pair, audioAtLeast: 200, videoAtLeast: 200);
        Assert.True(pair.Server.Session.Statistics.Drops > 500);
        Assert.DoesNotContain(RtcSessionState.Failed, pair.Server.States);
    }

    [Fact]
    public void Truncated_and_flipped_datagrams_of_the_peer_disturb_nothing()
    {
        using SessionPair pair = new();
        Random random = new(5);
        pair.Client.Tap = datagram =>
        {
            byte[] broken = datagram[..random.Next(datagram.Length + 1)];
            if (broken.Length > 0)
                broken[random.Next(broken.Length)] ^= (byte)(1 << random.Next(8));
            pair.Network.At(TimeSpan.FromMilliseconds(5), () => pair.Network.Inject(pair.Client.Address, pair.Server, broken));
        };

        Flow(pair, audioAtLeast: 200, videoAtLeast: 200);
        Assert.True(pair.Server.Session.Statistics.Drops > 100);
    }

    /// <summary>Connects, and sends 200 audio packets, 200 video packets and 100 messages both ways.</summary>
    private static void Flow(SessionPair pair, int audioAtLeast, int videoAtLeast)
    {
        VirtualNetwork network = pair.Network;
        RtcMedia audio = pair.Client.Session.AddMedia(MediaKind.Audio, MediaDirection.SendOnly);
        RtcMedia video = pair.Client.Session.AddMedia(MediaKind.Video, MediaDirection.SendOnly);
        RtcDataChannel channel = pair.Client.Session.CreateDataChannel(network.Now, "captions");
        pair.Connect();
        Assert.True(network.Run(TimeSpan.FromSeconds(20), () => pair.Server.Opened.Count == 1), "no data channel");

        byte[] payload = new byte[900];
        network.Every(TimeSpan.FromMilliseconds(20), 200, i =>
        {
            Assert.True(audio.Send(network.Now, payload.AsSpan(0, 80), 111, i == 0, (uint)i * 960));
            Assert.True(video.Send(network.Now, payload, 96, true, (uint)i * 1800));
            if (i % 2 == 0)
                Assert.True(channel.TrySend(network.Now, System.Text.Encoding.UTF8.GetBytes($"up {i / 2}"), isText: true));
            if (i % 2 == 1)
                Assert.True(pair.Server.Opened[0].TrySend(network.Now, System.Text.Encoding.UTF8.GetBytes($"down {i / 2}"), isText: true));
        });
        network.Run(TimeSpan.FromSeconds(12));

        Assert.InRange(pair.Server.Rtp.Count(p => p.Media.Kind == MediaKind.Audio), audioAtLeast, 200);
        Assert.InRange(pair.Server.Rtp.Count(p => p.Media.Kind == MediaKind.Video), videoAtLeast, 200);
        Assert.Equal(pair.Server.Rtp.Count, pair.Server.Rtp.Select(p => (p.Ssrc, p.SequenceNumber)).Distinct().Count());
        Assert.Equal(Enumerable.Range(0, 100).Select(i => $"up {i}"), pair.Server.Messages.Select(m => System.Text.Encoding.UTF8.GetString(m.Data)));
        Assert.Equal(Enumerable.Range(0, 100).Select(i => $"down {i}"), pair.Client.Messages.Select(m => System.Text.Encoding.UTF8.GetString(m.Data)));
    }
}
