using System.Net;
using Transcribe.Rtc.Ice;
using Transcribe.Sfu.Control;

namespace Transcribe.Sfu.Tests.Control;

public sealed class SfuOptionsTests
{
    private static readonly IPAddress[] Host =
    [
        IPAddress.Parse("127.0.0.1"), IPAddress.Parse("192.168.1.7"), IPAddress.Parse("169.254.3.3"), IPAddress.Parse("10.1.2.3"),
        IPAddress.Parse("2001:db8::7"), IPAddress.Parse("fe80::1"), IPAddress.IPv6Loopback,
    ];

    private static string[] Addresses(SfuOptions options) =>
        [.. AdvertisedCandidates.For(options, 7882, Host).OrderByDescending(c => c.Priority).Select(c => c.Address.ToString())];

    [Fact]
    public void The_defaults_are_valid() => new SfuOptions().Validate();

    [Theory]
    [InlineData("NodeId")]
    [InlineData("Workers")]
    [InlineData("SessionsOfRoomPerWorker")]
    [InlineData("UdpPort")]
    [InlineData("BindAddress")]
    [InlineData("AdvertisedAddresses")]
    [InlineData("SocketBuffer")]
    [InlineData("PeerTimeout")]
    [InlineData("Limits:MaxSessions")]
    [InlineData("Limits:ConnectTimeout")]
    [InlineData("Limits:MaxTracks")]
    [InlineData("Limits:MaxPacketsPerSecond")]
    [InlineData("Limits:MaxCpu")]
    [InlineData("Limits:MaxEgressBitsPerSecond")]
    [InlineData("Limits:WorkerLinkBytes")]
    public void A_wrong_option_is_named(string key)
    {
        var options = new SfuOptions();
        switch (key)
        {
            case "NodeId": options.NodeId = "a.b"; break;
            case "Workers": options.Workers = -1; break;
            case "SessionsOfRoomPerWorker": options.SessionsOfRoomPerWorker = 0; break;
            case "UdpPort": options.UdpPort = 65_535; options.Workers = 2; break;
            case "BindAddress": options.BindAddress = "localhost"; break;
            case "AdvertisedAddresses": options.AdvertisedAddresses.Add("example.org"); break;
            case "SocketBuffer": options.SocketBuffer = 1; break;
            case "PeerTimeout": options.PeerTimeout = TimeSpan.Zero; break;
            case "Limits:MaxSessions": options.Limits.MaxSessions = 0; break;
            case "Limits:ConnectTimeout": options.Limits.ConnectTimeout = TimeSpan.Zero; break;
            case "Limits:MaxTracks": options.Limits.MaxTracks = -1; break;
            case "Limits:MaxPacketsPerSecond": options.Limits.MaxPacketsPerSecond = double.NaN; break;
            case "Limits:MaxCpu": options.Limits.MaxCpu = 90; break;
            case "Limits:MaxEgressBitsPerSecond": options.Limits.MaxEgressBitsPerSecond = double.PositiveInfinity; break;
            case "Limits:WorkerLinkBytes": options.Limits.WorkerLinkBytes = 1; break;
            default: Assert.Fail(key); break;
        }

        Assert.Contains($"Sfu:{key}", Assert.Throws<InvalidOperationException>(options.Validate).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Without_a_public_address_clients_of_this_host_and_of_the_network_can_reach_it() =>
        Assert.Equal(
            ["192.168.1.7:7882", "10.1.2.3:7882", "[2001:db8::7]:7882", "127.0.0.1:7882"], Addresses(new SfuOptions()));

    [Fact]
    public void With_a_public_address_only_that_is_told()
    {
        var options = new SfuOptions { AdvertisedAddresses = { "203.0.113.9" } };
        Assert.Equal(["203.0.113.9:7882"], Addresses(options));
        options.AdvertiseLoopback = true;
        Assert.Equal(["203.0.113.9:7882", "127.0.0.1:7882"], Addresses(options));
    }

    [Fact]
    public void A_node_bound_to_one_address_tells_that_one() =>
        Assert.Equal(["10.1.2.3:7882"], Addresses(new SfuOptions { BindAddress = "10.1.2.3" }));

    [Fact]
    public void A_node_bound_to_IPv4_tells_no_IPv6() =>
        Assert.DoesNotContain(Addresses(new SfuOptions { BindAddress = "0.0.0.0" }), a => a.StartsWith('['));

    [Fact]
    public void The_first_address_is_preferred_most()
    {
        IReadOnlyList<IceCandidate> candidates = AdvertisedCandidates.For(new SfuOptions(), 1, Host);
        Assert.Equal(candidates.OrderByDescending(c => c.Priority), candidates);
    }
}
