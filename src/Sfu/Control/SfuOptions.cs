using System.Net;
using System.Net.Sockets;
using Transcribe.Sfu.Relay;

namespace Transcribe.Sfu.Control;

/// <summary>Configuration of an SFU node; section "Sfu".</summary>
public sealed class SfuOptions
{
    /// <summary>Unique name of the node in the cluster; letters, digits, '-' and '_'. Default "local".</summary>
    public string NodeId { get; set; } = "local";

    /// <summary>Where the node is, for placement. Default "local".</summary>
    public string Region { get; set; } = "local";

    /// <summary>UDP port of the first worker; worker n uses the n-th port after it. 0 takes free ones. Default 7882.</summary>
    public int UdpPort { get; set; } = 7882;

    /// <summary>
    /// Worker threads, one UDP port each: a small room lives on one of them, a large one on several. 0, the default, makes
    /// one for each processor that the process may use.
    /// </summary>
    public int Workers { get; set; }

    /// <summary>Worker threads in fact.</summary>
    public int EffectiveWorkers => Workers > 0 ? Workers : Math.Min(Environment.ProcessorCount, 256);

    /// <summary>Sessions of one room on one worker before further ones go to others. Default 200.</summary>
    public int SessionsOfRoomPerWorker { get; set; } = 200;

    /// <summary>Local address to receive on; "::" takes IPv4 as well. Default "::".</summary>
    public string BindAddress { get; set; } = "::";

    /// <summary>
    /// Addresses told to clients, e.g. the public one of a host behind 1:1 NAT. Default: none, which tells the unicast
    /// addresses of this host's interfaces, link-local ones excepted.
    /// </summary>
    public IList<string> AdvertisedAddresses { get; } = [];

    /// <summary>Tell 127.0.0.1 as well. Default: only where <see cref="AdvertisedAddresses"/> is empty.</summary>
    public bool? AdvertiseLoopback { get; set; }

    /// <summary>Bind worker n to processor n: for machines that do nothing else. Default false.</summary>
    public bool PinWorkers { get; set; }

    /// <summary>Bytes asked of the kernel for each socket buffer. Default 8 MiB.</summary>
    public int SocketBuffer { get; set; } = 8 << 20;

    /// <summary>Use UDP segmentation and receive offload where the kernel has it. Default true.</summary>
    public bool Offload { get; set; } = true;

    /// <summary>Use the platform's <see cref="Socket"/> instead of the native calls of Linux. Default false.</summary>
    public bool PortableSockets { get; set; }

    /// <summary>Silence of a client after which its session is closed ("timeout"). Default 30 s (RFC 7675).</summary>
    public TimeSpan PeerTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>How the node relays to and from others.</summary>
    public RelayOptions Relay { get; set; } = new();

    /// <summary>Bounds on what clients can make the node hold or do.</summary>
    public SfuLimits Limits { get; set; } = new();

    /// <summary>Throws where the options cannot work.</summary>
    /// <exception cref="InvalidOperationException">One sentence a problem: key, value, fix.</exception>
    public void Validate()
    {
        string[] problems = [.. Problems()];
        if (problems.Length > 0)
            throw new InvalidOperationException(string.Join(" ", problems));
    }

    private IEnumerable<string> Problems()
    {
        if (NodeId.Length is 0 or > 64 || !NodeId.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_'))
            yield return $"Sfu:NodeId is \"{NodeId}\"; use 1 to 64 letters, digits, '-' or '_'.";
        if (Workers is < 0 or > 256)
            yield return $"Sfu:Workers is {Workers}; use 1 to 256, or 0 for one per processor.";
        if (SessionsOfRoomPerWorker < 1)
            yield return $"Sfu:SessionsOfRoomPerWorker is {SessionsOfRoomPerWorker}; use 1 or more.";
        if (UdpPort != 0 && (UdpPort < 1 || UdpPort + EffectiveWorkers - 1 > 65_535))
            yield return $"Sfu:UdpPort is {UdpPort} for {EffectiveWorkers} worker(s); use 1 to {65_536 - EffectiveWorkers}, or 0 for free ports.";
        if (!IPAddress.TryParse(BindAddress, out _))
            yield return $"Sfu:BindAddress is \"{BindAddress}\"; use an IP address of this host, or \"::\" for all.";
        foreach (string address in AdvertisedAddresses)
        {
            if (!IPAddress.TryParse(address, out _))
                yield return $"Sfu:AdvertisedAddresses has \"{address}\"; use IP addresses that clients can reach.";
        }

        if (SocketBuffer < 65_536)
            yield return $"Sfu:SocketBuffer is {SocketBuffer}; use 65536 bytes or more.";
        if (PeerTimeout < TimeSpan.FromSeconds(2))
            yield return $"Sfu:PeerTimeout is {PeerTimeout}; use 2 seconds or more.";
        foreach (string problem in Limits.Problems())
            yield return problem;
        foreach (string problem in Relay.Problems())
            yield return problem;
    }
}
