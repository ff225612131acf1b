using Transcribe.Rtc.Media;
using Transcribe.Rtc.Negotiation;
using Transcribe.Rtc.Rtp;
using Transcribe.Rtc.Sdp;

namespace Transcribe.Rtc.Tests.Session;

public sealed class NegotiationCacheTests
{
    [Fact]
    public void Sessions_of_one_host_share_what_clients_of_one_make_negotiate()
    {
        using SessionPair pair = new();
        RtcSessionOptions options = SessionPair.Options(SessionPair.ServerCertificate, 9) with { IceLite = true };
        List<RtcSession> servers = [];
        for (int seed = 1; seed <= 3; seed++)
        {
            TestPeer client = pair.NewClient((ushort)(5000 + seed), seed);
            client.Session.AddMedia(MediaKind.Audio, MediaDirection.RecvOnly);
            client.Session.AddMedia(MediaKind.Video, MediaDirection.RecvOnly);
            RtcSession server = new(options with { Cname = "c" + seed }, client);
            Assert.True(server.TrySetRemoteOffer(pair.Network.Now, client.Session.CreateOffer(pair.Network.Now), out string? error), error);
            servers.Add(server);
        }

        for (int i = 0; i < 2; i++)
        {
            Assert.Same(servers[0].Media[i].Codecs, servers[1].Media[i].Codecs);
            Assert.Same(servers[0].Media[i].Codecs, servers[2].Media[i].Codecs);
        }

        Assert.Equal(2, options.Negotiations.Count);
        foreach (RtcSession server in servers)
            server.Dispose();
    }

    [Fact]
    public void What_differs_in_anything_is_not_shared()
    {
        NegotiationCache cache = new();
        SharedNegotiation first = Make(RtcCodecs.Opus);
        Assert.Same(first, cache.Share(first));
        Assert.Same(first, cache.Share(Make(RtcCodecs.Opus with { })));
        foreach (RtpCodec other in (RtpCodec[])
        [
            RtcCodecs.Opus with { PayloadType = 109 },
            RtcCodecs.Opus with { ClockRate = 16000 },
            RtcCodecs.Opus with { Channels = 1 },
            RtcCodecs.Opus with { Feedback = [] },
            RtcCodecs.Opus with { RtxPayloadType = 112 },
            RtcCodecs.Opus with { Parameters = RtpCodec.ParseParameters("minptime=20;useinbandfec=1") },
        ])
        {
            SharedNegotiation different = Make(other);
            Assert.Same(different, cache.Share(different));
        }

        SharedNegotiation mixed = first with { Negotiated = new NegotiatedMedia([RtcCodecs.Opus], RtpExtensionIds.None, true, false) };
        Assert.Same(mixed, cache.Share(mixed));
        SharedNegotiation extended = first with { ExtMaps = [new SdpExtMap(1, RtpExtensionUris.AudioLevel)] };
        Assert.Same(extended, cache.Share(extended));
        SharedNegotiation ordered = first with { Formats = ["111", "0"] };
        Assert.Same(ordered, cache.Share(ordered));
    }

    [Fact]
    public void Stays_bounded_whatever_is_offered()
    {
        NegotiationCache cache = new();
        for (int i = 0; i < 2000; i++)
        {
            cache.Share(Make(RtcCodecs.Opus with { Parameters = RtpCodec.ParseParameters("minptime=" + i) }));
            Assert.InRange(cache.Count, 1, 256);
        }

        int before = cache.Count;
        cache.Share(Make(RtcCodecs.Opus with { Parameters = RtpCodec.ParseParameters("x=" + new string('y', 10_000)) }));
        Assert.Equal(before, cache.Count);
    }

    private static SharedNegotiation Make(RtpCodec codec) =>
        new(["111"], [codec], [], new NegotiatedMedia([codec], RtpExtensionIds.None, false, false));
}
