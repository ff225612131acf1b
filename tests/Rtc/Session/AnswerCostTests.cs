using Transcribe.Rtc.Media;
using Transcribe.Rtc.Tests.Sdp;

namespace Transcribe.Rtc.Tests.Session;

/// <summary>A storm of joins must not be a storm of garbage: it is collected while media waits.</summary>
public sealed class AnswerCostTests
{
    [Theory]
    [InlineData(1, 64)]
    [InlineData(8, 200)]
    public void An_answer_to_a_usual_offer_allocates_little(int slots, int mostKilobytes)
    {
        using SessionPair pair = new();
        pair.Client.Session.AddMedia(MediaKind.Audio, MediaDirection.SendOnly);
        pair.Client.Session.AddMedia(MediaKind.Video, MediaDirection.SendOnly);
        for (int i = 0; i < slots; i++)
        {
            pair.Client.Session.AddMedia(MediaKind.Audio, MediaDirection.RecvOnly);
            pair.Client.Session.AddMedia(MediaKind.Video, MediaDirection.RecvOnly);
        }

        pair.Client.Session.CreateDataChannel(pair.Network.Now, "captions");
        string offer = pair.Client.Session.CreateOffer(pair.Network.Now);
        RtcSessionOptions options = SessionPair.Options(SessionPair.ServerCertificate, 9) with { IceLite = true, TransportFeedbackOnSending = false };
        Assert.Equal(Answer().Length, Answer().Length, 8.0);

        long each = long.MaxValue;
        for (int i = 0; i < 10; i++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            Answer();

            // Another test may have emptied the cache that all share.
            each = Math.Min(each, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        TestContext.Current.TestOutputHelper?.WriteLine($"{each} bytes");
        Assert.InRange(each, 1, mostKilobytes * 1024);

        string Answer()
        {
            using RtcSession server = new(options, pair.Server);
            Assert.True(server.TrySetRemoteOffer(pair.Network.Now, offer, out string? error), error);
            return server.CreateAnswer(pair.Network.Now);
        }
    }

    [Theory]
    [MemberData(nameof(SdpSamples.Names), MemberType = typeof(SdpSamples))]
    public void The_second_answer_of_a_make_is_like_the_first(string name)
    {
        // What the second one finds prepared, the first one works out.
        RtcSessionOptions options = SessionPair.Options(SessionPair.ServerCertificate, 5) with { IceLite = true };
        using SessionPair pair = new();
        string[] answers = [.. Enumerable.Range(0, 2).Select(_ => Answer())];
        Assert.Equal(Formats(answers[0]), Formats(answers[1]));

        string Answer()
        {
            using RtcSession server = new(options, pair.Server);
            Assert.True(server.TrySetRemoteOffer(pair.Network.Now, SdpSamples.Get(name), out string? error), error);
            return server.CreateAnswer(pair.Network.Now);
        }

        // All but what is each session's own.
        static string[] Formats(string answer) =>
            [.. answer.Split("\r\n").Where(line => line[..Math.Min(line.Length, 6)] is not ("a=ice-" or "a=ssrc") && !line.StartsWith("o=", StringComparison.Ordinal))];
    }

    [Fact]
    public void Abilities_and_attributes_that_differ_are_not_taken_for_the_same()
    {
        using SessionPair pair = new();
        RtcSessionOptions all = SessionPair.Options(SessionPair.ServerCertificate, 5) with { IceLite = true };
        RtcSessionOptions[] options =
        [
            all,
            all with { VideoCodecs = [RtcCodecs.Vp8] },
            all with { VideoExtensions = [] },
            all with { TransportFeedbackOnSending = false },
        ];
        string offer = SdpSamples.Chrome.Replace("a=sendonly", "a=recvonly", StringComparison.Ordinal);
        foreach (string one in (string[])[offer, offer.Replace("a=rtcp-rsize\r\n", "", StringComparison.Ordinal), offer.Replace("a=extmap-allow-mixed\r\n", "", StringComparison.Ordinal)])
        {
            string[] answers = [.. options.Select(o => Answer(o, one))];
            for (int round = 0; round < 2; round++)
            {
                Assert.Equal(answers, options.Select(o => Answer(o, one)));
                Assert.Equal(answers.Length, answers.Distinct().Count());
            }

            Assert.Equal(one.Contains("a=rtcp-rsize", StringComparison.Ordinal), answers[0].Contains("a=rtcp-rsize", StringComparison.Ordinal));
            Assert.Equal(one.Contains("a=extmap-allow-mixed", StringComparison.Ordinal), answers[0].Contains("a=extmap-allow-mixed", StringComparison.Ordinal));
            Assert.DoesNotContain("H264", answers[1], StringComparison.Ordinal);
            Assert.DoesNotContain("transport-cc", answers[3], StringComparison.Ordinal);
        }

        string Answer(RtcSessionOptions o, string text)
        {
            using RtcSession server = new(o, pair.Server);
            Assert.True(server.TrySetRemoteOffer(pair.Network.Now, text, out string? error), error);
            return string.Join('\n', server.CreateAnswer(pair.Network.Now).Split("\r\n")
                .Where(line => line[..Math.Min(line.Length, 6)] is not ("a=ice-" or "a=ssrc") && !line.StartsWith("o=", StringComparison.Ordinal)));
        }
    }
}
