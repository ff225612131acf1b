using Transcribe.Rtc.Stun;

namespace Transcribe.Rtc.Tests.Stun;

public sealed class DatagramClassifierTests
{
    [Theory]
    [InlineData("", DatagramKind.Unknown)]
    [InlineData("00", DatagramKind.Stun)]
    [InlineData("03", DatagramKind.Stun)]
    [InlineData("04", DatagramKind.Unknown)]
    [InlineData("10", DatagramKind.Zrtp)]
    [InlineData("14", DatagramKind.Dtls)]
    [InlineData("3f", DatagramKind.Dtls)]
    [InlineData("40", DatagramKind.TurnChannel)]
    [InlineData("4f", DatagramKind.TurnChannel)]
    [InlineData("50", DatagramKind.Unknown)]
    [InlineData("80", DatagramKind.Rtp)]
    [InlineData("806f", DatagramKind.Rtp)]
    [InlineData("80ef", DatagramKind.Rtp)]
    [InlineData("80c8", DatagramKind.Rtcp)]
    [InlineData("81ce", DatagramKind.Rtcp)]
    [InlineData("80c0", DatagramKind.Rtcp)]
    [InlineData("80df", DatagramKind.Rtcp)]
    [InlineData("80e0", DatagramKind.Rtp)]
    [InlineData("bfc9", DatagramKind.Rtcp)]
    [InlineData("c0c9", DatagramKind.Unknown)]
    [InlineData("ff", DatagramKind.Unknown)]
    public void Protocols_are_told_apart_by_their_first_bytes(string hex, DatagramKind kind) =>
        Assert.Equal(kind, DatagramClassifier.Classify(Convert.FromHexString(hex)));
}
