using Transcribe.Rtc.Sdp;

namespace Transcribe.Rtc.Tests.Sdp;

public sealed class CodecNegotiationTests
{
    private static readonly RtcpFeedback[] VideoFeedback =
        [RtcpFeedback.Nack, RtcpFeedback.PictureLoss, RtcpFeedback.FullIntraRequest, RtcpFeedback.TransportWide];

    private static readonly RtpCodec Opus = new() { Name = "opus", ClockRate = 48000, Channels = 2, PayloadType = 111, Feedback = [RtcpFeedback.TransportWide] };
    private static readonly RtpCodec Vp8 = new() { Name = "VP8", ClockRate = 90000, PayloadType = 96, RtxPayloadType = 97, Feedback = VideoFeedback };
    private static readonly RtpCodec H264 = new()
    {
        Name = "H264",
        ClockRate = 90000,
        PayloadType = 102,
        RtxPayloadType = 103,
        Feedback = VideoFeedback,
        Parameters = RtpCodec.ParseParameters("packetization-mode=1;profile-level-id=42e01f;level-asymmetry-allowed=1"),
    };

    private static readonly RtpCodec Vp9 = new() { Name = "VP9", ClockRate = 90000, PayloadType = 98 };

    [Fact]
    public void Takes_over_the_offerers_payload_types_and_order()
    {
        IReadOnlyList<RtpCodec> matched = CodecNegotiation.Match(Codecs(SdpSamples.Firefox, 1), [H264, Vp8, Vp9], out IReadOnlyList<RtpCodec> listed);
        Assert.Equal(["120 VP8", "121 VP9", "126 H264"], matched.Select(c => $"{c.PayloadType} {c.Name}"));
        Assert.Equal([124, null, 127], matched.Select(c => (int?)c.RtxPayloadType));
        Assert.Equal([120, 124, 121, 126, 127], listed.Select(c => (int)c.PayloadType));
    }

    [Fact]
    public void Keeps_the_feedback_both_know()
    {
        RtpCodec vp8 = Match(SdpSamples.Chrome, 1, Vp8)[0];
        Assert.Equal([RtcpFeedback.TransportWide, RtcpFeedback.FullIntraRequest, RtcpFeedback.Nack, RtcpFeedback.PictureLoss], vp8.Feedback);
    }

    [Fact]
    public void Takes_only_the_constrained_baseline_in_packetization_mode_1()
    {
        Assert.Equal([106], Match(SdpSamples.Chrome, 1, H264).Select(c => (int)c.PayloadType));
    }

    [Fact]
    public void Takes_only_the_profile_of_vp9_that_is_supported()
    {
        Assert.Equal([98], Match(SdpSamples.Chrome, 1, Vp9).Select(c => (int)c.PayloadType));
    }

    [Fact]
    public void Matches_opus_whatever_its_parameters()
    {
        RtpCodec matched = Assert.Single(Match(SdpSamples.Firefox, 0, Opus));
        Assert.Equal((109, "1"), (matched.PayloadType, matched.Parameter("stereo", "0")));
    }

    [Fact]
    public void Matches_nothing_where_nothing_is_common()
    {
        Assert.Empty(Match(SdpSamples.Chrome, 0, Vp8, H264));
        Assert.Empty(CodecNegotiation.Match([], [Opus], out _));
    }

    [Fact]
    public void Finds_what_a_publishers_codec_is_called_by_a_subscriber()
    {
        RtpCodec published = Codecs(SdpSamples.Chrome, 1).First(c => c.PayloadType == 106);
        Assert.Equal(98, CodecNegotiation.FindSame(published, Codecs(SdpSamples.Safari, 1))!.PayloadType);
        Assert.Null(CodecNegotiation.FindSame(published, Codecs(SdpSamples.WrtcViewer, 1)));
    }

    [Theory]
    [InlineData("42e01f", H264Profile.ConstrainedBaseline, 31)]
    [InlineData("42e02a", H264Profile.ConstrainedBaseline, 42)]
    [InlineData("4d801f", H264Profile.ConstrainedBaseline, 31)]
    [InlineData("58f01f", H264Profile.ConstrainedBaseline, 31)]
    [InlineData("42001f", H264Profile.Baseline, 31)]
    [InlineData("4d001f", H264Profile.Main, 31)]
    [InlineData("64001f", H264Profile.High, 31)]
    [InlineData("640c1f", H264Profile.ConstrainedHigh, 31)]
    [InlineData("42F00B", H264Profile.ConstrainedBaseline, 9)]
    [InlineData("f40028", H264Profile.High444Predictive, 40)]
    public void Reads_h264_profiles(string text, H264Profile profile, byte level)
    {
        Assert.True(H264ProfileLevelId.TryParse(text, out H264ProfileLevelId value));
        Assert.Equal(new H264ProfileLevelId(profile, level), value);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("42e01")]
    [InlineData("42e01f0")]
    [InlineData("zzzzzz")]
    [InlineData("ff001f")]
    [InlineData("+42e01")]
    public void Refuses_h264_profiles(string? text)
    {
        Assert.False(H264ProfileLevelId.TryParse(text, out _));
    }

    [Fact]
    public void Takes_a_missing_h264_profile_as_baseline_in_packetization_mode_0()
    {
        RtpCodec bare = new() { Name = "H264", ClockRate = 90000 };
        RtpCodec baseline = bare with { Parameters = RtpCodec.ParseParameters("profile-level-id=42001f") };
        RtpCodec modeOne = bare with { Parameters = RtpCodec.ParseParameters("packetization-mode=1") };
        Assert.True(CodecNegotiation.AreCompatible(bare, baseline));
        Assert.False(CodecNegotiation.AreCompatible(bare, modeOne));
    }

    [Fact]
    public void Parses_parameters_without_case_and_spaces_in_names()
    {
        IReadOnlyDictionary<string, string> parameters = RtpCodec.ParseParameters(" A=1 ; b = x=y;;c=; 0-15 ");
        Assert.Equal("a=1;b=x=y;c=;0-15", RtpCodec.FormatParameters(parameters));
    }

    private static IReadOnlyList<RtpCodec> Match(string sdp, int media, params RtpCodec[] supported) =>
        CodecNegotiation.Match(Codecs(sdp, media), supported, out _);

    private static IList<RtpCodec> Codecs(string sdp, int media)
    {
        Assert.True(SessionDescription.TryParse(sdp, out SessionDescription? description, out string? error), error);
        return description.Media[media].Codecs;
    }
}
