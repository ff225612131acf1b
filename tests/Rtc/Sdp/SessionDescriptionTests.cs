using CsCheck;
using Transcribe.Rtc.Sdp;

namespace Transcribe.Rtc.Tests.Sdp;

public sealed class SessionDescriptionTests
{
    private const string Head = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";
    private const string Audio = Head + "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n";

    [Fact]
    public void Reads_a_Chrome_offer_with_simulcast()
    {
        SessionDescription offer = Parse(SdpSamples.Chrome);

        Assert.Equal(new SdpOrigin("-", 4962303333179871722, 2, "127.0.0.1"), offer.Origin);
        Assert.Equal(["0", "1", "2"], offer.Bundle!.Mids);
        Assert.Equal("WMS 61317484-2ed4-49d7-9eb7-1414322a7aae", offer.MsidSemantic);
        Assert.Equal([MediaKind.Audio, MediaKind.Video, null], offer.Media.Select(m => m.Kind));
        Assert.All(offer.Media, m => Assert.True(offer.AllowsMixedExtMaps(m)));

        MediaDescription audio = offer.FindMedia("0")!;
        Assert.Equal(MediaDirection.SendOnly, offer.DirectionOf(audio));
        Assert.True(audio.RtcpMux && audio.RtcpReducedSize && !audio.IsRejected && !audio.IsDataChannel);
        Assert.Equal(("ETEn", "OtSK0WpNtpUjkY4+86js7Z/l", SdpSetup.ActPass), (audio.IceUfrag!, audio.IcePwd!, audio.Setup!.Value));
        Assert.Equal(["trickle"], audio.IceOptions);
        Assert.Equal("sha-256", Assert.Single(audio.Fingerprints).Algorithm);
        Assert.Equal([111, 63, 9, 0, 8, 13, 110, 126], audio.Codecs.Select(c => (int)c.PayloadType));
        RtpCodec opus = audio.FindCodec(111)!;
        Assert.Equal(("opus", 48000, 2), (opus.Name, opus.ClockRate, opus.Channels));
        Assert.Equal("1", opus.Parameter("useinbandfec", "0"));
        Assert.True(opus.HasFeedback(RtcpFeedback.TransportWide));
        Assert.True(audio.FindCodec(63)!.IsRepair);
        Assert.Equal(new SdpExtMap(4, "urn:ietf:params:rtp-hdrext:sdes:mid"), audio.ExtMaps[3]);
        SdpSource source = Assert.Single(audio.Sources);
        Assert.Equal((3570614608u, "4TOk42mSjXCkVIa6"), (source.Ssrc, source.Cname!));
        Assert.Equal("a8fe4a6e-0b3b-4d3b-9d5b-1a9e3a1b4b11", Assert.Single(audio.Msids).TrackId);

        MediaDescription video = offer.FindMedia("1")!;
        RtpCodec vp8 = video.FindCodec(96)!;
        Assert.Equal((byte)97, vp8.RtxPayloadType);
        Assert.Equal(
            [RtcpFeedback.Remb, RtcpFeedback.TransportWide, RtcpFeedback.FullIntraRequest, RtcpFeedback.Nack, RtcpFeedback.PictureLoss],
            vp8.Feedback);
        Assert.Equal((byte)96, video.FindCodec(97)!.AssociatedPayloadType);
        Assert.Equal(["q", "h", "f"], video.Rids.Select(r => r.Id));
        Assert.All(video.Rids, r => Assert.True(r.Send));
        Assert.Equal([["q"], ["h"], ["f"]], video.Simulcast!.Send.Select(s => s.Select(r => r.Rid)));
        Assert.Empty(video.Simulcast.Receive);

        MediaDescription data = offer.FindMedia("2")!;
        Assert.True(data.IsDataChannel);
        Assert.Equal((5000, 262144L), (data.SctpPort!.Value, data.MaxMessageSize!.Value));
        Assert.Null(data.Kind);
    }

    [Fact]
    public void Reads_a_Firefox_offer_with_its_session_level_fingerprint()
    {
        SessionDescription offer = Parse(SdpSamples.Firefox);
        MediaDescription video = offer.FindMedia("1")!;

        Assert.Empty(video.Fingerprints);
        SdpTransport transport = offer.TransportOf(video);
        Assert.Equal(("sha-256", "5a0b1c2d"), (Assert.Single(transport.Fingerprints).Algorithm, transport.IceUfrag!));
        Assert.Equal(["trickle"], transport.IceOptions);
        Assert.Equal(SdpSetup.ActPass, transport.Setup);
        Assert.True(video.BundleOnly && !video.IsRejected && video.Port == 0);
        Assert.Equal(1142349876u, video.RtxSourceOf(2719201442));
        Assert.Null(video.RtxSourceOf(1142349876));

        MediaDescription audio = offer.Media[0];
        Assert.True(audio.EndOfCandidates);
        Assert.Equal("0 1 UDP 2122252543 192.0.2.17 52113 typ host", audio.Candidates[0]);
        Assert.Equal("192.0.2.17", audio.ConnectionAddress);
        Assert.Equal(MediaDirection.RecvOnly, audio.ExtMaps[1].Direction);
        Assert.Equal("0-15", audio.FindCodec(101)!.Parameters[""]);
        Assert.Equal(new SdpMsid("-", "dbd6e2f8-3a4c-4f06-a2c4-6a3f2b0a7c11"), Assert.Single(audio.Msids));
        Assert.Equal(1073741823L, offer.Media[2].MaxMessageSize);
    }

    [Fact]
    public void Gives_wildcard_feedback_to_every_codec_and_writes_it_once()
    {
        SessionDescription offer = Parse(SdpSamples.WrtcViewer);
        Assert.All(offer.Media[1].Codecs, c => Assert.True(c.HasFeedback(RtcpFeedback.Nack)));
        string text = offer.ToString();
        Assert.Contains("a=rtcp-fb:* nack\r\n", text, StringComparison.Ordinal);
        Assert.DoesNotContain("a=rtcp-fb:96 nack\r\n", text, StringComparison.Ordinal);
        Assert.Contains("a=rtcp-fb:96 nack pli\r\n", text, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(SdpSamples.Names), MemberType = typeof(SdpSamples))]
    public void Keeps_every_line_of_a_browsers_description(string name)
    {
        string[] expected = Lines(SdpSamples.Get(name).Replace("semantic: ", "semantic:", StringComparison.Ordinal));
        string[] written = Lines(Parse(SdpSamples.Get(name)).ToString());

        // a=rtcp is written for every RTP m-section, which is harmless where it was not there; numbers of channels of 1 are not.
        Assert.Empty(expected.Except(written).Except(["a=rtpmap:9 G722/8000/1"]));
        Assert.Empty(written.Except(expected).Except(["a=rtcp:9 IN IP4 0.0.0.0", "a=rtpmap:9 G722/8000"]));
    }

    [Theory]
    [MemberData(nameof(SdpSamples.Names), MemberType = typeof(SdpSamples))]
    public void Writes_what_it_reads_back_the_same(string name)
    {
        string once = Parse(SdpSamples.Get(name)).ToString();
        Assert.Equal(once, Parse(once).ToString());
        Assert.Equal(Parse(SdpSamples.Get(name)).Media.Count, Parse(once).Media.Count);
    }

    [Fact]
    public void Accepts_lines_ended_by_line_feeds_alone_and_a_last_line_without_end()
    {
        SessionDescription offer = Parse(SdpSamples.Chrome.Replace("\r\n", "\n", StringComparison.Ordinal).TrimEnd());
        Assert.Equal(262144L, offer.Media[2].MaxMessageSize);
    }

    [Fact]
    public void Keeps_attributes_it_does_not_know()
    {
        SessionDescription offer = Parse(Head + "a=x-session:1 2\r\na=x-flag\r\nb=AS:5\r\nk=clear:no\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=x-media: 7\r\n");
        Assert.Equal([new SdpAttribute("x-session", "1 2"), new SdpAttribute("x-flag", null)], offer.OtherAttributes);
        Assert.Equal([new SdpAttribute("x-media", " 7")], offer.Media[0].OtherAttributes);
        Assert.Contains("a=x-session:1 2\r\na=x-flag\r\n", offer.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Knows_a_rejected_section_and_keeps_its_formats()
    {
        SessionDescription answer = Parse(Head + "m=video 0 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:1\r\na=inactive\r\n");
        MediaDescription video = answer.Media[0];
        Assert.True(video.IsRejected);
        Assert.Empty(video.Codecs);
        Assert.Equal(MediaDirection.Inactive, answer.DirectionOf(video));
        Assert.Contains("m=video 0 UDP/TLS/RTP/SAVPF 96 97\r\n", answer.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Takes_send_and_receive_where_no_direction_is_told()
    {
        Assert.Equal(MediaDirection.SendRecv, Parse(Audio).DirectionOf(Parse(Audio).Media[0]));
        SessionDescription inherited = Parse(Head + "a=recvonly\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n");
        Assert.Equal(MediaDirection.RecvOnly, inherited.DirectionOf(inherited.Media[0]));
    }

    [Fact]
    public void Reads_simulcast_with_alternatives_pauses_and_both_directions()
    {
        SessionDescription offer = Parse(Audio + "a=rid:a send pt=97;max-width=1280\r\na=simulcast:recv ~d send a,~b;c\r\n");
        SdpSimulcast simulcast = offer.Media[0].Simulcast!;
        Assert.Equal([[new("a"), new("b", Paused: true)], [new("c")]], simulcast.Send);
        Assert.Equal([[new("d", Paused: true)]], simulcast.Receive);
        Assert.Equal("pt=97;max-width=1280", offer.Media[0].Rids[0].Restrictions);
        Assert.Contains("a=simulcast:send a,~b;c recv ~d\r\n", offer.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Reads_static_payload_types_without_a_map()
    {
        SessionDescription offer = Parse(Head + "m=audio 9 UDP/TLS/RTP/SAVPF 0 111 8\r\na=rtpmap:111 opus/48000/2\r\n");
        Assert.Equal(["PCMU", "opus", "PCMA"], offer.Media[0].Codecs.Select(c => c.Name));
    }

    [Fact]
    public void Builds_an_answer_from_the_model()
    {
        SessionDescription answer = new() { Origin = new("-", 5, 1), IceLite = true, MsidSemantic = "WMS *", ExtMapAllowMixed = true };
        answer.Groups.Add(new("BUNDLE", ["0"]));
        MediaDescription video = new() { Type = "video", Mid = "0", RtcpMux = true, IceUfrag = "abcd", IcePwd = new string('p', 24), Setup = SdpSetup.Passive, Direction = MediaDirection.SendOnly, EndOfCandidates = true };
        video.Fingerprints.Add(new("sha-256", "AA:BB"));
        video.Candidates.Add("1 1 udp 2130706431 192.0.2.1 7882 typ host");
        video.Codecs.Add(new() { Name = "VP8", ClockRate = 90000, PayloadType = 96, Feedback = [RtcpFeedback.Nack, RtcpFeedback.PictureLoss] });
        video.Codecs.Add(new() { Name = "rtx", ClockRate = 90000, PayloadType = 97, Parameters = new Dictionary<string, string> { ["apt"] = "96" } });
        video.SourceGroups.Add(new("FID", [1, 2]));
        SdpSource source = new(1);
        source.Attributes.Add(new("cname", "sfu"));
        video.Sources.Add(source);
        video.Sources.Add(new SdpSource(2));
        answer.Media.Add(video);

        Assert.Equal(
            [
                "v=0", "o=- 5 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0", "a=ice-lite", "a=msid-semantic:WMS *", "a=extmap-allow-mixed",
                "m=video 9 UDP/TLS/RTP/SAVPF 96 97", "c=IN IP4 0.0.0.0", "a=rtcp:9 IN IP4 0.0.0.0",
                "a=candidate:1 1 udp 2130706431 192.0.2.1 7882 typ host", "a=end-of-candidates", "a=mid:0",
                "a=ice-ufrag:abcd", "a=ice-pwd:pppppppppppppppppppppppp", "a=fingerprint:sha-256 AA:BB", "a=setup:passive", "a=sendonly",
                "a=rtcp-mux", "a=rtpmap:96 VP8/90000", "a=rtcp-fb:96 nack", "a=rtcp-fb:96 nack pli", "a=rtpmap:97 rtx/90000", "a=fmtp:97 apt=96",
                "a=ssrc-group:FID 1 2", "a=ssrc:1 cname:sfu", "a=ssrc:2",
            ],
            Lines(answer.ToString()));
    }

    [Theory]
    [InlineData(null, "empty")]
    [InlineData("", "empty")]
    [InlineData("hello", "Line 1")]
    [InlineData("s=-\r\n", "first line must be v=0")]
    [InlineData("v=1\r\n", "v=0")]
    [InlineData("v=0\r\ns=-\r\n", "no o= line")]
    [InlineData("v=0\r\no=- x 2 IN IP4 127.0.0.1\r\n", "o= needs")]
    [InlineData(Head + "m=audio\r\n", "Line 5")]
    [InlineData(Head + "m=audio 70000 UDP/TLS/RTP/SAVPF 0\r\n", "port")]
    [InlineData(Head + "m=audio 9 UDP/TLS/RTP/SAVPF 128\r\n", "payload type")]
    [InlineData(Head + "m=audio 9 UDP/TLS/RTP/SAVPF x\r\n", "payload type")]
    [InlineData(Audio + "a=rtpmap:111 opus\r\n", "clock rate")]
    [InlineData(Audio + "a=rtpmap:111 opus/0\r\n", "clock rate")]
    [InlineData(Audio + "a=rtpmap:111 opus/48000/0\r\n", "channels")]
    [InlineData(Audio + "a=setup:later\r\n", "a=setup")]
    [InlineData(Audio + "a=ice-ufrag:abc\r\n", "4 to 256")]
    [InlineData(Audio + "a=ice-pwd:short\r\n", "22 to 256")]
    [InlineData(Audio + "a=fingerprint:sha-256\r\n", "a=fingerprint")]
    [InlineData(Audio + "a=extmap:0 urn:x\r\n", "1 to 255")]
    [InlineData(Audio + "a=extmap:3/sideways urn:x\r\n", "direction")]
    [InlineData(Audio + "a=ssrc:99999999999 cname:x\r\n", "SSRC")]
    [InlineData(Audio + "a=simulcast:send\r\n", "a=simulcast")]
    [InlineData(Audio + "a=simulcast:send a;;b\r\n", "a=simulcast")]
    [InlineData(Audio + "a=rid:a both\r\n", "a=rid")]
    [InlineData(Audio + "a=mid:\r\n", "a=mid")]
    [InlineData(Audio + "a=sctp-port:x\r\n", "a=sctp-port")]
    [InlineData(Audio + "a=\r\n", "a= needs")]
    [InlineData(Audio + "a=x\rb=y\r\n", "control characters")]
    public void Refuses_with_a_sentence(string? sdp, string part)
    {
        Assert.False(SessionDescription.TryParse(sdp, out SessionDescription? description, out string? error));
        Assert.Null(description);
        Assert.Contains(part, error, StringComparison.Ordinal);
        Assert.EndsWith(".", error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("a=mid:0\r\na=rtpmap:111 opus\r\na=rtcp-mux\r\n", 7)]
    [InlineData("a=rtpmap:111 opus/48000/2\r\na=rtcp-mux\r\na=extmap:0 urn:x\r\n", 8)]
    [InlineData("a=fmtp:1x a=1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n", 6)]
    public void Names_the_line_of_a_wrong_format_wherever_it_stands(string lines, int number)
    {
        Assert.False(SessionDescription.TryParse(Audio + lines, out _, out string? error));
        Assert.StartsWith($"Line {number} of", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Format_lines_seen_before_give_the_same_again()
    {
        foreach (string name in SdpSamples.Names)
        {
            SessionDescription first = Parse(SdpSamples.Get(name));
            SessionDescription second = Parse(SdpSamples.Get(name));
            Assert.Equal(first.ToString(), second.ToString());
            for (int i = 0; i < first.Media.Count; i++)
            {
                Assert.NotSame(first.Media[i].Codecs, second.Media[i].Codecs);
                Assert.Equal(first.Media[i].Codecs, second.Media[i].Codecs);
            }

            // Other tests fill the cache at the same time, and empty it when it is full.
            Assert.Contains(Enumerable.Range(0, 20), _ => ReferenceEquals(Formats(name), Formats(name)));
        }

        static SdpFormats? Formats(string name) => Parse(SdpSamples.Get(name)).Media[0].ParsedFormats;
    }

    [Fact]
    public void Format_lines_kept_are_bounded()
    {
        for (int i = 0; i < 3 * SdpFormatsCache.Capacity; i++)
        {
            Parse(Audio + $"a=rtpmap:111 opus/48000/2\r\na=fmtp:111 x={i}\r\n");
            Assert.InRange(SdpFormatsCache.Count, 1, SdpFormatsCache.Capacity);
        }

        string large = Audio + string.Concat(Enumerable.Repeat($"a=fmtp:111 x={new string('x', 2000)}\r\n", 5));
        Assert.NotSame(Parse(large).Media[0].ParsedFormats, Parse(large).Media[0].ParsedFormats);
    }

    [Fact]
    public void Prepared_format_lines_are_those_of_the_lists()
    {
        foreach (MediaDescription media in SdpSamples.Names.SelectMany(name => Parse(SdpSamples.Get(name)).Media).Where(m => m.Kind is not null))
        {
            SessionDescription listed = new();
            MediaDescription plain = new() { Type = media.Type };
            foreach (RtpCodec codec in media.Codecs)
                plain.Codecs.Add(codec);
            foreach (SdpExtMap map in media.ExtMaps)
                plain.ExtMaps.Add(map);
            listed.Media.Add(plain);
            SessionDescription prepared = new();
            prepared.Media.Add(new MediaDescription { Type = media.Type, PreparedFormats = SdpFormatText.Of([.. media.Codecs], [.. media.ExtMaps]) });
            Assert.Equal(listed.ToString(), prepared.ToString());
        }
    }

    [Fact]
    public void Never_quotes_what_it_refuses()
    {
        Assert.False(SessionDescription.TryParse(Audio + "a=ice-pwd:secret\r\n", out _, out string? error));
        Assert.DoesNotContain("secret", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Enforces_its_limits()
    {
        SdpLimits limits = new() { MaxLength = 2000, MaxLines = 20, MaxLineLength = 100, MaxMedia = 3 };
        Assert.Contains("characters", Error(Head + new string('x', 2000)), StringComparison.Ordinal);
        Assert.Contains("20 lines", Error(Head + string.Concat(Enumerable.Repeat("a=x\r\n", 20))), StringComparison.Ordinal);
        Assert.Contains("longer than 100", Error(Head + "a=" + new string('x', 100)), StringComparison.Ordinal);
        Assert.Contains("3 m-sections", Error(Head + string.Concat(Enumerable.Repeat("m=audio 9 RTP/AVP 0\r\n", 4))), StringComparison.Ordinal);

        string Error(string sdp)
        {
            Assert.False(SessionDescription.TryParse(sdp, out _, out string? error, limits));
            return error;
        }
    }

    [Fact]
    public void Limits_the_sources_of_a_section()
    {
        string sdp = Audio + string.Concat(Enumerable.Range(1, 300).Select(i => $"a=ssrc:{i} cname:x\r\n"));
        Assert.False(SessionDescription.TryParse(sdp, out _, out string? error));
        Assert.Contains("sources", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Never_throws_on_random_text() =>
        Gen.String[Gen.Char["vosmactb=:/ 019\r\nudpRTP;,~-*"], 0, 200]
            .Select(s => "v=0\r\no=- 1 1 IN IP4 0\r\n" + s)
            .Sample(sdp => { Touch(sdp); }, iter: 5000);

    [Fact]
    public void Never_throws_on_a_mutated_description()
    {
        string[] samples = [SdpSamples.Chrome, SdpSamples.Firefox, SdpSamples.Safari, SdpSamples.WrtcViewer];
        Gen.Select(
            Gen.Int[0, samples.Length - 1],
            Gen.Select(Gen.Int[0, 10_000], Gen.Char["\r\n =:/;,~0123456789abcxyz\u00E9"], Gen.Int[0, 3]).Array[1, 12]).Sample((index, changes) =>
        {
            System.Text.StringBuilder text = new(samples[index]);
            foreach ((int position, char c, int kind) in changes)
            {
                int at = position % text.Length;
                if (kind == 0)
                    text[at] = c;
                else if (kind == 1)
                    text.Insert(at, c);
                else if (kind == 2)
                    text.Remove(at, Math.Min(20, text.Length - at));
                else
                    text.Insert(at, "\r\na=");
            }

            Touch(text.ToString());
        }, iter: 2000);
    }

    /// <summary>What can be read can be asked and written, and what was written can be read again.</summary>
    private static void Touch(string sdp)
    {
        if (!SessionDescription.TryParse(sdp, out SessionDescription? description, out string? error))
        {
            Assert.NotEmpty(error);
            return;
        }

        foreach (MediaDescription media in description.Media)
        {
            _ = (media.Kind, media.IsDataChannel, media.IsRejected, description.TransportOf(media), description.DirectionOf(media));
            CodecNegotiation.Match(media.Codecs, [.. media.Codecs], out _);
        }

        string written = description.ToString();
        Assert.True(SessionDescription.TryParse(written, out SessionDescription? again, out error), error);
        Assert.Equal(description.Media.Count, again.Media.Count);
        Assert.Equal(written, again.ToString());
    }

    private static SessionDescription Parse(string sdp)
    {
        Assert.True(SessionDescription.TryParse(sdp, out SessionDescription? description, out string? error), error);
        return description;
    }

    private static string[] Lines(string sdp) => sdp.Split("\r\n", StringSplitOptions.RemoveEmptyEntries);
}
