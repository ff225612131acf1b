using CsCheck;
using Transcribe.Rtc.Sdp;

namespace Transcribe.Rtc.Tests.Session;

/// <summary>A peer that passed ICE and DTLS, and then misbehaves.</summary>
public sealed class RtcSessionHostilePeerTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Authentic_rtp_and_rtcp_nonsense_harms_nothing(int seed)
    {
        using SessionPair pair = new(seed: seed);
        RtcMedia video = pair.Client.Session.AddMedia(MediaKind.Video, MediaDirection.SendRecv);
        pair.Connect();
        Random random = new(seed);
        RtcMedia server = pair.Server.Session.Media[0];
        pair.Network.Every(TimeSpan.FromMilliseconds(2), 2000, i =>
        {
            server.Send(pair.Network.Now, new byte[30], 96, true, (uint)i);
            byte[] rtcp = new byte[8 + (random.Next(40) * 4)];
            random.NextBytes(rtcp);
            rtcp[0] = (byte)(0x80 | random.Next(32));
            rtcp[1] = (byte)random.Next(200, 208);
            rtcp[2] = 0;
            rtcp[3] = (byte)((rtcp.Length / 4) - 1);

            // Half of it speaks of streams that exist.
            uint ssrc = random.Next(2) == 0 ? server.LocalSsrc : video.LocalSsrc;
            for (int at = 8; at + 4 <= rtcp.Length && random.Next(3) > 0; at += 4)
                System.Buffers.Binary.BinaryPrimitives.WriteUInt32BigEndian(rtcp.AsSpan(at), ssrc);
            pair.Client.Session.SendRawRtcp(pair.Network.Now, rtcp);

            Span<byte> rtp = pair.Client.Session.SendBuffer.Slice(0, random.Next(12, 200));
            byte[] noise = new byte[rtp.Length];
            random.NextBytes(noise);
            noise.CopyTo(rtp);
            rtp[0] = (byte)(0x80 | (random.Next(2) << 4) | random.Next(2));
            rtp[1] = (byte)(random.Next(2) == 0 ? 96 : 97);
            if (random.Next(2) == 0)
                System.Buffers.Binary.BinaryPrimitives.WriteUInt32BigEndian(rtp[8..], random.Next(2) == 0 ? video.LocalSsrc : video.LocalRtxSsrc!.Value);
            pair.Client.Session.SendRtp(pair.Network.Now, rtp.Length);
        });
        pair.Network.Run(TimeSpan.FromSeconds(6));

        Assert.Equal(RtcSessionState.Connected, pair.Server.Session.State);
        Assert.True(pair.Server.Session.Statistics.Drops > 100);
    }

    [Fact]
    public void New_ssrcs_without_end_are_bounded()
    {
        using SessionPair pair = new(server: o => o with { Limits = new RtcSessionLimits { MaxStreams = 8 } });
        RtcMedia audio = pair.Client.Session.AddMedia(MediaKind.Audio, MediaDirection.SendOnly);
        pair.Connect();
        for (uint i = 0; i < 1000; i++)
        {
            Span<byte> rtp = pair.Client.Session.SendBuffer.Slice(0, 40);
            rtp.Clear();
            rtp[0] = 0x80;
            rtp[1] = 111;
            System.Buffers.Binary.BinaryPrimitives.WriteUInt32BigEndian(rtp[8..], 100_000 + i);
            pair.Client.Session.SendRtp(pair.Network.Now, rtp.Length);
        }

        pair.Network.Run(TimeSpan.FromSeconds(1));
        Assert.True(audio.Send(pair.Network.Now, new byte[20], 111, true, 1));
        pair.Network.Run(TimeSpan.FromSeconds(1));

        Assert.Equal(20, pair.Server.Rtp[^1].Payload.Length);
        Assert.Equal(RtcSessionState.Connected, pair.Server.Session.State);
    }

    [Fact]
    public void A_mutated_offer_is_refused_with_a_sentence_or_answered_with_sdp()
    {
        using SessionPair pair = new();
        string[] offers = [Offers.Chrome, Offers.Firefox, Offers.Obs];
        var mutation = Gen.Select(Gen.Int[0, 2], Gen.Int[0, 3], Gen.Int[0, 100_000], Gen.Int[0, 100_000], Gen.Char[' ', 'z']);
        mutation.Array[1, 4].Sample(
            mutations =>
            {
                List<string> lines = [.. offers[mutations[0].Item1].Split("\r\n")];
                foreach ((_, int what, int first, int second, char character) in mutations)
                {
                    int line = first % lines.Count;
                    switch (what)
                    {
                        case 0:
                            lines.RemoveAt(line);
                            break;
                        case 1:
                            lines.Insert(second % lines.Count, lines[line]);
                            break;
                        case 2 when lines[line].Length > 0:
                            char[] text = lines[line].ToCharArray();
                            text[second % text.Length] = character;
                            lines[line] = new string(text);
                            break;
                        default:
                            lines[line] = lines[line][..(second % (lines[line].Length + 1))];
                            break;
                    }
                }

                using RtcSession session = new(SessionPair.Options(SessionPair.ServerCertificate, 1) with { IceLite = true }, pair.Server);
                bool applied = session.TrySetRemoteOffer(pair.Network.Now, string.Join("\r\n", lines), out string? error);
                return applied
                    ? SessionDescription.TryParse(session.CreateAnswer(pair.Network.Now), out _, out _)
                    : error!.EndsWith('.');
            },
            iter: 1500,
            threads: 1);
    }

    [Fact]
    public void An_answer_that_does_not_fit_the_offer_is_refused_and_the_right_one_still_taken()
    {
        using SessionPair pair = new();
        pair.Client.Session.AddMedia(MediaKind.Audio, MediaDirection.SendOnly);
        Assert.False(pair.Client.Session.TrySetRemoteAnswer(pair.Network.Now, "v=0", out string? error));
        Assert.Contains("no offer", error, StringComparison.Ordinal);
        string offer = pair.Client.Session.CreateOffer(pair.Network.Now);
        Assert.True(pair.Server.Session.TrySetRemoteOffer(pair.Network.Now, offer, out error), error);
        string answer = pair.Server.Session.CreateAnswer(pair.Network.Now);

        foreach ((string from, string to) in new[]
        {
            ("a=setup:passive", "a=setup:actpass"),
            ("a=mid:0", "a=mid:5"),
            ("m=audio", "m=video"),
            ("a=rtcp-mux", "a=x"),
            ("opus/48000/2", "speex/48000/2"),
            ("a=group:BUNDLE 0 1", "a=group:BUNDLE 1"),
            ("m=application", "m=message"),
        })
        {
            Assert.False(pair.Client.Session.TrySetRemoteAnswer(pair.Network.Now, answer.Replace(from, to, StringComparison.Ordinal), out error), from);
            Assert.EndsWith(".", error, StringComparison.Ordinal);
        }

        Assert.True(pair.Client.Session.TrySetRemoteAnswer(pair.Network.Now, answer, out error), error);
        Assert.True(pair.Network.Run(TimeSpan.FromSeconds(5), () => pair.Server.Session.State == RtcSessionState.Connected));
    }

    [Fact]
    public void Nothing_moves_a_closed_session()
    {
        using SessionPair pair = new();
        RtcMedia audio = pair.Client.Session.AddMedia(MediaKind.Audio, MediaDirection.SendOnly);
        pair.Connect();
        pair.Server.Session.Close(pair.Network.Now);
        long sent = pair.Server.Session.Statistics.DatagramsSent;

        pair.Network.Inject(pair.Client.Address, pair.Server, new byte[100]);
        pair.Server.Session.HandleTimeout(pair.Network.Now);
        pair.Server.Session.Poll(pair.Network.Now);
        pair.Server.Session.Close(pair.Network.Now);

        Assert.False(pair.Server.Session.TrySetRemoteOffer(pair.Network.Now, Offers.Chrome, out string? error));
        Assert.Contains("closed", error, StringComparison.Ordinal);
        Assert.False(pair.Server.Session.TryAddRemoteCandidate(pair.Network.Now, "candidate:1 1 udp 1 127.0.0.1 9 typ host"));
        Assert.False(pair.Server.Session.Media[0].Send(pair.Network.Now, new byte[10], 111, true, 1));
        Assert.Equal(sent, pair.Server.Session.Statistics.DatagramsSent);
        Assert.Equal(1, pair.Server.Session.Statistics.DropsBecause(RtcDropReason.Closed));
        Assert.Equal(0, audio.PacketsSent);
    }
}
