using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using Transcribe.Rtc;
using Transcribe.Rtc.Ice;

namespace Transcribe.Sfu.Control;

/// <summary>Which addresses clients are told.</summary>
internal static class AdvertisedCandidates
{
    /// <summary>More would only lengthen every answer and every client's list of pairs.</summary>
    private const int Max = 16;

    /// <summary>Host candidates for a worker's port, the preferred first.</summary>
    /// <param name="port">The port the worker's socket has.</param>
    /// <param name="localAddresses">Addresses of this host's interfaces.</param>
    public static IReadOnlyList<IceCandidate> For(SfuOptions options, int port, IEnumerable<IPAddress> localAddresses)
    {
        IPAddress bound = IPAddress.Parse(options.BindAddress);
        bool anyV6 = bound.Equals(IPAddress.IPv6Any);
        bool any = anyV6 || bound.Equals(IPAddress.Any);
        var addresses = new List<IPAddress>();
        if (options.AdvertisedAddresses.Count > 0)
            addresses.AddRange(options.AdvertisedAddresses.Select(IPAddress.Parse));
        else if (!any)
            addresses.Add(bound);
        else
            addresses.AddRange(localAddresses.Where(a => IsReachable(a) && (anyV6 || a.AddressFamily == AddressFamily.InterNetwork)));

        if ((options.AdvertiseLoopback ?? options.AdvertisedAddresses.Count == 0) && any)
            addresses.Add(IPAddress.Loopback);
        return
        [
            .. addresses.Distinct().Take(Max)
                .Select((address, index) => IceCandidate.CreateHost(TransportAddress.From(address, port), 65_535 - index))
        ];
    }

    /// <summary>Unicast addresses of the interfaces that are up: IPv4 first.</summary>
    public static IReadOnlyList<IPAddress> LocalAddresses() =>
    [
        .. NetworkInterface.GetAllNetworkInterfaces()
            .Where(i => i.OperationalStatus is OperationalStatus.Up or OperationalStatus.Unknown)
            .SelectMany(i => i.GetIPProperties().UnicastAddresses)
            .Select(a => a.Address)
            .OrderBy(a => a.AddressFamily == AddressFamily.InterNetwork ? 0 : 1)
    ];

    private static bool IsReachable(IPAddress address) =>
        !IPAddress.IsLoopback(address) && !address.IsIPv6LinkLocal && !address.IsIPv6Multicast && !address.IsIPv4MappedToIPv6
        && !(address.AddressFamily == AddressFamily.InterNetwork && address.GetAddressBytes() is [169, 254, ..]);
}
