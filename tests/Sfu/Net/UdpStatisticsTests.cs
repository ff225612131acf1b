using CsCheck;
using Transcribe.Sfu.Net;

namespace Transcribe.Sfu.Tests.Net;

/// <summary>The kernel's own count of datagrams it had no room for.</summary>
public sealed class UdpStatisticsTests
{
    private const string Snmp = """
        Tcp: RtoAlgorithm RtoMin
        Tcp: 1 200
        Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors
        Udp: 9001 3 17 8000 15 2 0 0 0
        UdpLite: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors
        UdpLite: 1 1 1 1 99 99
        """;

    [Fact]
    public void Counts_are_found_by_their_names()
    {
        Assert.True(UdpStatistics.TryParse(Snmp, out UdpStatistics statistics));
        Assert.Equal(new UdpStatistics(15, 2), statistics);
    }

    [Fact]
    public void Those_of_IPv6_are_added()
    {
        UdpStatistics sum = UdpStatistics.ParseVersion6("Udp6InErrors\t4\nUdp6RcvbufErrors                \t7\nUdp6SndbufErrors\t1\n", new UdpStatistics(15, 2));
        Assert.Equal(new UdpStatistics(22, 3), sum);
    }

    [Fact]
    public void This_host_tells_them() => Assert.Equal(OperatingSystem.IsLinux(), UdpStatistics.TryRead(out _));

    [Fact]
    public void Any_text_is_taken() => Gen.String.Sample(text =>
    {
        _ = UdpStatistics.TryParse(text, out _);
        _ = UdpStatistics.TryParse("Udp: " + text + "\nUdp: " + text, out _);
        UdpStatistics.ParseVersion6(text, default);
    });
}
