using Transcribe.Rtc.Ice;
using Transcribe.Rtc.Rtp;
using Transcribe.Rtc.Sdp;

namespace Transcribe.Rtc.Tests.Session;

public sealed class RtcSessionAnswerTests : IDisposable
{
    private readonly SessionPair _pair = new();

    private RtcSession Server => _pair.Server.Session;

    private Instant Now => _pair.Network.Now;

    public void Dispose() => _pair.Dispose();

    [Fact]
    public void Answers_chrome()
    {
        SessionDescription answer = Answer(Offers.Chrome);

        Assert.True(answer.IceLite);
        Assert.Equal(["0", "1", "2", "3", "4"], answer.Bundle!.Mids);
        Assert.Equal(
            [MediaDirection.RecvOnly, MediaDirection.RecvOnly, MediaDirection.SendOnly, MediaDirection.SendOnly],
            answer.Media.Take(4).Select(m => m.Direction!.Value));
        Assert.All(answer.Media, m => Assert.Equal(SdpSetup.Passive, m.Setup));
        Assert.All(answer.Media.Take(4), m => Assert.True(m is { RtcpMux: true, RtcpReducedSize: true }));
        Assert.Equal([111], answer.Media[0].Codecs.Select(c => (int)c.PayloadType));
        Assert.Equal([96, 97, 103, 104, 39, 40, 45, 46, 98, 99], answer.Media[1].Codecs.Select(c => (int)c.PayloadType));
        Assert.Equal(["transport-cc"], answer.Media[0].Codecs[0].Feedback.Select(f => f.ToString()));
        Assert.Equal(
            ["goog-remb", "transport-cc", "ccm fir", "nack", "nack pli"], answer.Media[1].Codecs[0].Feedback.Select(f => f.ToString()));
        Assert.Equal([1, 2, 3, 4], answer.Media[0].ExtMaps.Select(e => e.Id));
        Assert.Equal([2, 13, 3, 5, 6, 4, 10, 11], answer.Media[1].ExtMaps.Select(e => e.Id));
        Assert.Null(answer.Media[1].Simulcast);
        Assert.Equal("webrtc-datachannel", answer.Media[4].Formats.Single());
        Assert.Equal(5000, answer.Media[4].SctpPort);
        Assert.Equal(262144, answer.Media[4].MaxMessageSize);
        Assert.NotEmpty(answer.Media[0].Candidates);
        Assert.True(answer.Media[0].EndOfCandidates);
    }

    [Fact]
    public void Who_does_nothing_with_transport_feedback_asks_its_receivers_for_none()
    {
        using SessionPair pair = new(server: o => o with { TransportFeedbackOnSending = false });
        Assert.True(pair.Server.Session.TrySetRemoteOffer(pair.Network.Now, Offers.Chrome, out string? error), error);
        SessionDescription answer = Parse(pair.Server.Session.CreateAnswer(pair.Network.Now));

        foreach (MediaDescription media in answer.Media.Take(4))
        {
            bool receives = media.Direction == MediaDirection.RecvOnly;
            Assert.Equal(receives, media.Codecs[0].HasFeedback(RtcpFeedback.TransportWide));
            Assert.Equal(receives, media.ExtMaps.Any(e => e.Uri == RtpExtensionUris.TransportSequenceNumber));
            Assert.Contains(media.ExtMaps, e => e.Uri == RtpExtensionUris.Mid);
        }

        Assert.True(answer.Media[3].Codecs[0].HasFeedback(RtcpFeedback.Nack));
    }

    [Fact]
    public void Shows_what_chrome_publishes_and_where_it_has_slots()
    {
        Answer(Offers.Chrome);

        Assert.Equal(4, Server.Media.Count);
        Assert.Equal(3570614608u, Server.Media[0].RemoteSsrc);
        Assert.Equal("47017fee-b6c1-4162-929c-a25110252400", Server.Media[0].RemoteStreamId);
        Assert.Equal("f83006c5-a0ff-4e0a-9ed9-d3e6747be7d9", Server.Media[0].RemoteTrackId);
        Assert.Equal(["q", "h", "f"], Server.Media[1].RemoteRids);
        Assert.Equal(RtpExtensionUris.Mid, Server.Media[1].HeaderExtensions.All.Single(e => e.Value == 4).Key);
        Assert.True(Server.HasDataSection);
    }

    [Fact]
    public void A_slot_gets_its_own_ssrcs_once_and_for_all()
    {
        MediaDescription slot = Answer(Offers.Chrome).Media[3];
        RtcMedia media = Server.Media[3];

        Assert.Equal([media.LocalSsrc, media.LocalRtxSsrc!.Value], slot.SourceGroups.Single(g => g.Semantics == "FID").Ssrcs);
        Assert.Equal(2, slot.Sources.Count);
        Assert.All(slot.Sources, s => Assert.Equal(Server.Cname, s.Cname));
        Assert.Equal(media.LocalStreamId, slot.Msids.Single().StreamId);
        Assert.Empty(Answer(Offers.Chrome).Media[0].Sources);
        Assert.Equal(slot.Sources.Select(s => s.Ssrc), Answer(Offers.Chrome).Media[3].Sources.Select(s => s.Ssrc));
    }

    [Fact]
    public void Answers_firefox_with_its_payload_types()
    {
        SessionDescription answer = Answer(Offers.Firefox);

        Assert.Equal([109], answer.Media[0].Codecs.Select(c => (int)c.PayloadType));
        Assert.Equal("1", answer.Media[0].Codecs[0].Parameter("stereo", ""));
        Assert.Equal([120, 124, 121, 125, 126, 127], answer.Media[1].Codecs.Select(c => (int)c.PayloadType));
        Assert.Equal([MediaDirection.SendRecv, MediaDirection.SendRecv], answer.Media.Take(2).Select(m => m.Direction!.Value));
        Assert.Equal(1111111111u, Server.Media[1].RemoteSsrc);
        Assert.Equal(2222222222u, Server.Media[1].RemoteRtxSsrc);
        Assert.False(answer.Media[0].RtcpReducedSize);
        Assert.True(answer.Media[1].RtcpReducedSize);
    }

    [Fact]
    public void Answers_obs_with_session_level_transport_and_no_rtx()
    {
        SessionDescription answer = Answer(Offers.Obs);

        Assert.Equal([96], answer.Media[1].Codecs.Select(c => (int)c.PayloadType));
        Assert.Equal(2, answer.Media.Count);
        Assert.Equal(["0", "1"], answer.Bundle!.Mids);
        Assert.Null(Server.Media[1].LocalRtxSsrc);
        Assert.Equal("obs", Server.Media[0].RemoteStreamId);
    }

    [Fact]
    public void Every_codec_of_the_answer_has_a_payload_type_of_the_offer()
    {
        foreach (string offer in new[] { Offers.Chrome, Offers.Firefox, Offers.Obs })
        {
            Assert.True(SessionDescription.TryParse(offer, out SessionDescription? offered, out _));
            using SessionPair pair = new();
            Assert.True(pair.Server.Session.TrySetRemoteOffer(Now, offer, out string? error), error);
            Assert.True(SessionDescription.TryParse(pair.Server.Session.CreateAnswer(Now), out SessionDescription? answer, out error), error);
            for (int i = 0; i < offered.Media.Count; i++)
            {
                Assert.Equal(offered.Media[i].Mid, answer.Media[i].Mid);
                Assert.All(answer.Media[i].Codecs, c => Assert.Equal(offered.Media[i].FindCodec(c.PayloadType)!.Name, c.Name));
                Assert.All(answer.Media[i].ExtMaps, e => Assert.Contains(offered.Media[i].ExtMaps, o => o.Id == e.Id && o.Uri == e.Uri));
            }
        }
    }

    [Fact]
    public void The_host_may_refuse_media_between_offer_and_answer()
    {
        Assert.True(Server.TrySetRemoteOffer(Now, Offers.Firefox, out string? error), error);
        Server.Media[0].AllowedDirection = MediaDirection.RecvOnly;
        Server.Media[1].Stop();
        SessionDescription answer = Parse(Server.CreateAnswer(Now));

        Assert.Equal(MediaDirection.RecvOnly, answer.Media[0].Direction);
        Assert.Empty(answer.Media[0].Sources);
        Assert.Equal(0, answer.Media[1].Port);
        Assert.Equal(["0", "2"], answer.Bundle!.Mids);
    }

    [Fact]
    public void Rejects_what_it_does_not_know_and_keeps_the_order()
    {
        string offer = Offers.Obs
            .Replace("m=audio 53514 UDP/TLS/RTP/SAVPF 111", "m=audio 53514 UDP/TLS/RTP/SAVPF 96", StringComparison.Ordinal)
            .Replace("a=rtpmap:111 opus/48000/2", "a=rtpmap:96 speex/16000", StringComparison.Ordinal)
            .Replace("a=fmtp:111", "a=fmtp:96", StringComparison.Ordinal);
        SessionDescription answer = Answer(offer);

        Assert.Equal(0, answer.Media[0].Port);
        Assert.Equal("audio", answer.Media[0].Type);
        Assert.Equal("0", answer.Media[0].Mid);
        Assert.Equal(["1"], answer.Bundle!.Mids);
        Assert.NotEmpty(answer.Media[1].Candidates);
        Assert.Single(Server.Media);
    }

    [Fact]
    public void Rejects_an_m_section_outside_the_bundle()
    {
        SessionDescription answer = Answer(Offers.Obs.Replace("a=group:BUNDLE 0 1", "a=group:BUNDLE 0", StringComparison.Ordinal));

        Assert.NotEqual(0, answer.Media[0].Port);
        Assert.Equal(0, answer.Media[1].Port);
    }

    [Fact]
    public void Recycles_a_rejected_m_section()
    {
        Answer(Offers.Obs);
        RtcMedia old = Server.Media[1];
        string stopped = Offers.Obs.Replace("m=video 53514", "m=video 0", StringComparison.Ordinal)
            .Replace("a=group:BUNDLE 0 1", "a=group:BUNDLE 0", StringComparison.Ordinal);
        SessionDescription answer = Answer(stopped);
        Assert.Equal(0, answer.Media[1].Port);
        Assert.True(old.IsStopped);

        string recycled = Offers.Obs.Replace("a=group:BUNDLE 0 1", "a=group:BUNDLE 0 v2", StringComparison.Ordinal)
            .Replace("a=mid:1", "a=mid:v2", StringComparison.Ordinal);
        answer = Answer(recycled);

        Assert.Equal("v2", answer.Media[1].Mid);
        Assert.NotEqual(0, answer.Media[1].Port);
        Assert.NotSame(old, Server.Media[1]);
        Assert.False(Server.Media[1].IsStopped);
    }

    [Theory]
    [InlineData("a=ice-ufrag:Y8nV", "", "ICE user name fragment")]
    [InlineData("a=ice-pwd:Zt1c4Q9kq0vHj2mQyVd1wE", "a=ice-pwd:short", "ICE password")]
    [InlineData("a=fingerprint:sha-256", "a=fingerprint:sha-1", "fingerprint")]
    [InlineData("a=setup:actpass", "", "DTLS role")]
    [InlineData("a=setup:actpass", "a=setup:holdconn", "holdconn")]
    [InlineData("a=mid:1", "a=mid:0", "mid")]
    [InlineData("a=group:BUNDLE 0 1", "a=group:BUNDLE 0 7", "BUNDLE")]
    [InlineData("s=-", "s=-\r\na=ice-lite", "ICE-lite")]
    [InlineData("m=audio 53514", "m=audio x", "line")]
    [InlineData("v=0", "v=1", "line")]
    public void Tells_in_a_sentence_what_is_wrong_with_an_offer(string line, string replacement, string says)
    {
        string offer = Offers.Obs.Replace(line, replacement, StringComparison.Ordinal);
        if (replacement.Length == 0)
            offer = offer.Replace("\r\n\r\n", "\r\n", StringComparison.Ordinal);

        Assert.False(Server.TrySetRemoteOffer(Now, offer, out string? error));
        Assert.Contains(says, error, StringComparison.OrdinalIgnoreCase);
        Assert.Equal(RtcSessionState.New, Server.State);
        Assert.Empty(Server.Media);
        Assert.True(Server.TrySetRemoteOffer(Now, Offers.Obs, out error), error);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("hello")]
    [InlineData("v=0\r\n")]
    [InlineData("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n")]
    public void Refuses_what_is_no_offer(string? offer)
    {
        Assert.False(Server.TrySetRemoteOffer(Now, offer, out string? error));
        Assert.EndsWith(".", error, StringComparison.Ordinal);
    }

    [Fact]
    public void A_bad_renegotiation_leaves_the_running_session_alone()
    {
        _pair.Client.Session.AddMedia(MediaKind.Audio, MediaDirection.SendOnly);
        _pair.Connect();
        string good = _pair.Client.Session.CreateOffer(Now);
        RtcMedia media = Server.Media[0];

        foreach ((string from, string to) in new[]
        {
            (SessionPair.ClientCertificate.Fingerprint.Value, SessionPair.ServerCertificate.Fingerprint.Value),
            ("a=mid:0", "a=mid:other"),
            ("a=setup:actpass", "a=setup:passive"),
            ("m=audio 9", "m=video 9"),
            ("a=group:BUNDLE 0", "a=group:BUNDLE 9"),
        })
        {
            Assert.False(Server.TrySetRemoteOffer(Now, good.Replace(from, to, StringComparison.Ordinal), out string? error), from);
            Assert.EndsWith(".", error, StringComparison.Ordinal);
        }

        int cut = good.IndexOf("m=application", StringComparison.Ordinal);
        Assert.False(Server.TrySetRemoteOffer(Now, good[..cut], out _));
        Assert.Same(media, Server.Media[0]);
        Assert.False(media.IsStopped);
        Assert.Equal(RtcSessionState.Connected, Server.State);
        Assert.True(Server.TrySetRemoteOffer(Now, good, out _));
    }

    [Fact]
    public void Renegotiation_adds_slots_and_keeps_the_old_ones()
    {
        RtcMedia microphone = _pair.Client.Session.AddMedia(MediaKind.Audio, MediaDirection.SendOnly);
        _pair.Connect();
        string ufrag = Server.LocalUfrag;
        RtcMedia published = Server.Media[0];
        RtcMedia slot = _pair.Client.Session.AddMedia(MediaKind.Audio, MediaDirection.RecvOnly);
        RtcMedia video = _pair.Client.Session.AddMedia(MediaKind.Video, MediaDirection.RecvOnly);
        _pair.Negotiate();

        Assert.Equal(ufrag, Server.LocalUfrag);
        Assert.Same(published, Server.Media[0]);
        Assert.Equal([microphone, slot, video], _pair.Client.Session.Media);
        Assert.Equal(MediaDirection.RecvOnly, slot.Direction);
        Assert.Equal(MediaDirection.SendOnly, Server.Media[1].Direction);
        Assert.Equal(Server.Media[1].LocalSsrc, slot.RemoteSsrc);
        Assert.Equal(Server.Media[2].LocalRtxSsrc, video.RemoteRtxSsrc);

        Assert.True(Server.Media[1].Send(Now, new byte[20], Server.Media[1].Codecs[0].PayloadType, true, 7));
        Assert.True(microphone.Send(Now, new byte[20], 111, true, 8));
        _pair.Network.Run(TimeSpan.FromSeconds(1));
        Assert.Same(slot, _pair.Client.Rtp.Single().Media);
        Assert.Same(published, _pair.Server.Rtp.Single().Media);
    }

    [Fact]
    public void A_direction_change_stops_and_starts_media()
    {
        RtcMedia microphone = _pair.Client.Session.AddMedia(MediaKind.Audio, MediaDirection.SendOnly);
        _pair.Connect();
        microphone.AllowedDirection = MediaDirection.Inactive;
        _pair.Negotiate();
        Assert.Equal(MediaDirection.Inactive, Server.Media[0].Direction);
        Assert.False(microphone.Send(Now, new byte[20], 111, true, 8));

        microphone.AllowedDirection = MediaDirection.SendOnly;
        _pair.Negotiate();
        Assert.Equal(MediaDirection.RecvOnly, Server.Media[0].Direction);
        Assert.True(microphone.Send(Now, new byte[20], 111, true, 8));
    }

    [Fact]
    public void Codecs_of_two_sessions_are_matched_by_format_not_by_payload_type()
    {
        Answer(Offers.Chrome);
        using SessionPair other = new();
        Assert.True(other.Server.Session.TrySetRemoteOffer(Now, Offers.Firefox, out _));
        RtcMedia chrome = Server.Media[1];
        RtcMedia firefox = other.Server.Session.Media[1];

        Assert.True(firefox.TryGetPayloadType(chrome.FindCodec(39)!, out byte payloadType));
        Assert.Equal(126, payloadType);
        Assert.True(firefox.TryGetPayloadType(chrome.FindCodec(96)!, out payloadType));
        Assert.Equal(120, payloadType);
        Assert.False(firefox.TryGetPayloadType(chrome.FindCodec(45)!, out _));
        Assert.Null(chrome.FindCodec(97));
    }

    [Fact]
    public void Trickled_candidates_are_taken_or_refused_without_harm()
    {
        Answer(Offers.Chrome);

        Assert.False(Server.TryAddRemoteCandidate(Now, "nonsense"));
        Assert.False(Server.TryAddRemoteCandidate(Now, "candidate:1 1 tcp 1 192.0.2.1 9 typ host tcptype active"));
        Assert.True(Server.TryAddRemoteCandidate(Now, null));
        Assert.True(Server.TryAddRemoteCandidate(Now, ""));
    }

    private SessionDescription Answer(string offer)
    {
        Assert.True(Server.TrySetRemoteOffer(Now, offer, out string? error), error);
        return Parse(Server.CreateAnswer(Now));
    }

    private static SessionDescription Parse(string sdp)
    {
        Assert.True(SessionDescription.TryParse(sdp, out SessionDescription? description, out string? error), error);
        return description;
    }
}
