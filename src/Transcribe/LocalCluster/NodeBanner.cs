using System.Globalization;
using System.Text.RegularExpressions;

namespace Transcribe.LocalCluster;

/// <summary>The line by which a node says that it is up (RoleHost.Banner).</summary>
internal sealed partial record NodeBanner(string NodeId, Uri? Url, IReadOnlyList<int> UdpPorts)
{
    /// <summary>Null where the line is another one.</summary>
    public static NodeBanner? Parse(string line)
    {
        Match match = Banner().Match(line);
        if (!match.Success)
            return null;

        Uri? url = Uri.TryCreate(match.Groups["url"].Value, UriKind.Absolute, out Uri? found) ? found : null;
        string[] ports = match.Groups["udp"].Value.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        return new NodeBanner(match.Groups["id"].Value, url, [.. ports.Select(port => int.Parse(port, CultureInfo.InvariantCulture))]);
    }

    /// <summary>Parts a line of a node that shares its streams with others (TRANSCRIBE_LOG_NODE); null where it is of none.</summary>
    public static (string NodeId, string Line)? ReadTag(string line)
    {
        Match match = Tag().Match(line);
        return match.Success ? (match.Groups["id"].Value, line[match.Length..]) : null;
    }

    [GeneratedRegex(@"^\w+ node (?<id>\S+) \(region [^)]*\) is up(, HTTP at (?<url>[^,\s]+))?(, media on UDP (?<udp>\d{1,5}(, \d{1,5})*))?$")]
    private static partial Regex Banner();

    [GeneratedRegex(@"^\[(?<id>[\w-]{1,64})\] ")]
    private static partial Regex Tag();
}
