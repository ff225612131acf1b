using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;

namespace Transcribe.Peer;

/// <summary>Which addresses a socket bound to every interface can be reached at.</summary>
internal static class LocalAddresses
{
    /// <summary>
    /// One address per family, loopback only where there is nothing else. The socket is bound to every interface, so one
    /// host candidate stands for all: an ICE-lite server answers to whatever source address it sees.
    /// </summary>
    public static IReadOnlyList<IPAddress> Pick()
    {
        var picked = new List<IPAddress>();
        IEnumerable<UnicastIPAddressInformation> all = NetworkInterface.GetAllNetworkInterfaces()
            .Where(i => i.OperationalStatus == OperationalStatus.Up)
            .OrderBy(i => i.NetworkInterfaceType == NetworkInterfaceType.Loopback)
            .SelectMany(i => i.GetIPProperties().UnicastAddresses);
        foreach (UnicastIPAddressInformation address in all)
        {
            IPAddress ip = address.Address;
            bool usable = ip.AddressFamily == AddressFamily.InterNetwork
                || (ip.AddressFamily == AddressFamily.InterNetworkV6 && !ip.IsIPv6LinkLocal && !ip.IsIPv6Multicast);
            if (usable && !picked.Exists(p => p.AddressFamily == ip.AddressFamily))
                picked.Add(ip);
        }

        return picked.Count > 0 ? picked : [IPAddress.Loopback];
    }
}
