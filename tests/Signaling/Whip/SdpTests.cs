using CsCheck;
using Transcribe.Cluster.Rooms;
using Transcribe.Signaling.Whip;

namespace Transcribe.Signaling.Tests.Whip;

public class SdpTests
{
    private static readonly string[] Lines =
        ["m=audio 9 X", "m=video", "m=", "a=mid:", "a=sendonly", "a=ice-ufrag:abcd", "a=ice-pwd:", "a=candidate:", "a=end-of-candidates"];

    [Fact]
    public void Directions_are_inherited_from_the_session_and_rejected_sections_left_out()
    {
        const string Sdp = "v=0\na=recvonly\nm=audio 9 X 0\na=mid:a\nm=video 0 X 0\na=mid:b\nm=video 9 X 0\na=mid:c\na=sendrecv\nm=application 9 X 0\na=mid:d\nm=audio 9 X 0\na=inactive\na=mid:e\nm=audio 9 X 0\n";
        Assert.Equal(
            [
                new SdpMediaSection("a", TrackKind.Audio, Sends: false, Receives: true),
                new SdpMediaSection("c", TrackKind.Video, Sends: true, Receives: true),
                new SdpMediaSection("e", TrackKind.Audio, Sends: false, Receives: false),
            ],
            SdpMedia.Read(Sdp));
    }

    [Theory]
    [InlineData("")]
    [InlineData("hello")]
    [InlineData("a=mid:0\r\n")]
    [InlineData("a=ice-ufrag:abc\r\na=ice-pwd:0123456789012345678901\r\n")]
    [InlineData("a=ice-ufrag:abcd\r\na=ice-pwd:short\r\n")]
    public void A_fragment_without_use_is_refused(string text) => Assert.False(SdpFragment.TryParse(text, out _));

    [Fact]
    public void Too_many_candidates_are_refused()
    {
        string text = string.Concat(Enumerable.Repeat("a=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n", 129));
        Assert.False(SdpFragment.TryParse(text, out _));
    }

    [Fact]
    public void Any_text_is_read_without_an_exception()
    {
        Gen<string> line = Gen.OneOf(
            Gen.String,
            Gen.Int[0, Lines.Length - 1].Select(i => Lines[i]));
        line.Array[0, 12].Select(lines => string.Join("\r\n", lines)).Sample(text =>
        {
            SdpMedia.Read(text);
            SdpMedia.WithIce(text, "abcd", "0123456789012345678901");
            Assert.Equal(SdpFragment.TryParse(text, out SdpFragment? fragment), fragment is not null);
            SdpFragment.FromAnswer(text);
        });
    }
}
