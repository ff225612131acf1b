using System.Text;

namespace Transcribe.Sfu.Relay;

/// <summary>How nodes relay to one another; section "Sfu:Relay".</summary>
public sealed class RelayOptions
{
    /// <summary>
    /// The cluster's secret (TRANSCRIBE_CLUSTER_KEY), the same on every node: 32 bytes or more. Without it the node
    /// neither asks for relays nor accepts any. Default: none.
    /// </summary>
    public string? ClusterKey { get; set; }

    /// <summary>UDP port from which this node's links to others start; 0 takes a free one. Default 0.</summary>
    public int UdpPort { get; set; }

    /// <summary>Nodes that one node serves with the same track, or with the data of the same room. Default 8.</summary>
    public int MaxRelaysPerTrack { get; set; } = 8;

    /// <summary>Hops from a track's node to the farthest one. Default 3.</summary>
    public int MaxDepth { get; set; } = 3;

    /// <summary>A track that nobody here receives any more is given up after this. Default 5 s.</summary>
    public TimeSpan TrackLinger { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>A link that carries nothing is closed after this. Default 30 s.</summary>
    public TimeSpan LinkLinger { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>A link that is not connected this long after its start is given up and tried anew, or another way. Default 2 s.</summary>
    public TimeSpan ConnectTimeout { get; set; } = TimeSpan.FromSeconds(2);

    /// <summary>Silence of the other node after which a link counts as cut. Default 1.2 s.</summary>
    public TimeSpan CutAfter { get; set; } = TimeSpan.FromMilliseconds(1200);

    /// <summary>How long data messages are kept to be sent again after a cut. Default 30 s.</summary>
    public TimeSpan ResendWindow { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>Data messages of one room kept for that. Default 4096.</summary>
    public int MaxResendMessages { get; set; } = 4096;

    /// <summary>Bytes of data messages of one room kept for that. Default 2 MiB.</summary>
    public int MaxResendBytes { get; set; } = 2 << 20;

    /// <summary>How long a node helps with a room that nobody on it is in, after it was asked.</summary>
    internal TimeSpan AssistTime { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>For tests: whether a datagram from this node, with this first byte, is lost. Called on the workers' threads.</summary>
    internal Func<string, byte, bool>? Loses { get; set; }

    /// <summary>Whether there is a key to authenticate relays with.</summary>
    public bool IsEnabled => !string.IsNullOrEmpty(ClusterKey);

    internal IEnumerable<string> Problems()
    {
        if (IsEnabled && Encoding.UTF8.GetByteCount(ClusterKey!) < 32)
            yield return "Sfu:Relay:ClusterKey has less than 32 bytes; make a longer one, e.g. with \"openssl rand -base64 32\".";
        if (UdpPort is < 0 or > 65_535)
            yield return $"Sfu:Relay:UdpPort is {UdpPort}; use 1 to 65535, or 0 for a free port.";
        if (MaxRelaysPerTrack is < 1 or > 64)
            yield return $"Sfu:Relay:MaxRelaysPerTrack is {MaxRelaysPerTrack}; use 1 to 64.";
        if (MaxDepth is < 1 or > 8)
            yield return $"Sfu:Relay:MaxDepth is {MaxDepth}; use 1 to 8.";
        (string Key, TimeSpan Value, TimeSpan Least)[] times =
        [
            (nameof(TrackLinger), TrackLinger, TimeSpan.Zero),
            (nameof(LinkLinger), LinkLinger, TimeSpan.FromSeconds(1)),
            (nameof(ConnectTimeout), ConnectTimeout, TimeSpan.FromMilliseconds(200)),
            (nameof(CutAfter), CutAfter, TimeSpan.FromMilliseconds(300)),
            (nameof(ResendWindow), ResendWindow, TimeSpan.FromSeconds(1)),
        ];
        foreach ((string key, TimeSpan value, TimeSpan least) in times)
        {
            if (value < least)
                yield return $"Sfu:Relay:{key} is {value}; use {least} or more.";
        }

        if (MaxResendMessages < 16)
            yield return $"Sfu:Relay:MaxResendMessages is {MaxResendMessages}; use 16 or more.";
        if (MaxResendBytes < 65_536)
            yield return $"Sfu:Relay:MaxResendBytes is {MaxResendBytes}; use 65536 or more.";
    }
}
