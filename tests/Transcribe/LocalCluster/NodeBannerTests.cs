using Transcribe.LocalCluster;

namespace Transcribe.Transcribe.Tests.LocalCluster;

public sealed class NodeBannerTests
{
    [Fact]
    public void A_node_that_is_up_is_told_from_its_line()
    {
        NodeBanner? sfu = NodeBanner.Parse("sfu node sfu-1f2e (region eu) is up, HTTP at http://127.0.0.1:4000/, media on UDP 7882, 7883");
        Assert.Equal(("sfu-1f2e", new Uri("http://127.0.0.1:4000/")), (sfu?.NodeId, sfu?.Url));
        Assert.Equal([7882, 7883], sfu!.UdpPorts);

        NodeBanner? gateway = NodeBanner.Parse("gateway node gw (region local) is up");
        Assert.Equal(("gw", null), (gateway?.NodeId, gateway?.Url));
        Assert.Empty(gateway!.UdpPorts);
    }

    [Theory]
    [InlineData("")]
    [InlineData("12:00:00.000 info: X[1] sfu node a (region b) is up")]
    [InlineData("sfu node a (region b) is up, and away")]
    [InlineData("sfu node a (region b) is up, media on UDP 7882,")]
    [InlineData("sfu node a (region b) is up, media on UDP 99999999999")]
    public void Another_line_is_none(string line) => Assert.Null(NodeBanner.Parse(line));

    [Theory]
    [InlineData("[sfu-1] 12:00:00.000 info: X[1] text", "sfu-1", "12:00:00.000 info: X[1] text")]
    [InlineData("[sfu-1] ", "sfu-1", "")]
    [InlineData("12:00:00.000 info: X[1] text [sfu-1] ", null, null)]
    [InlineData("[two words] text", null, null)]
    [InlineData("[sfu-1]text", null, null)]
    public void A_line_on_a_shared_stream_says_whose_it_is(string line, string? node, string? text) =>
        Assert.Equal((node, text), NodeBanner.ReadTag(line) is var (found, rest) ? (found, rest) : (null, null));
}
