namespace Transcribe.Sfu.Net;

/// <summary>
/// What the kernel counted for all UDP sockets of this network namespace: /proc/net/snmp, and snmp6 for IPv6. Datagrams
/// it threw away for want of buffer space show here whichever socket they were for.
/// </summary>
/// <param name="ReceiveBufferErrors">Datagrams dropped because a receive buffer was full (RcvbufErrors).</param>
/// <param name="SendBufferErrors">Datagrams dropped because a send buffer was full (SndbufErrors).</param>
internal readonly record struct UdpStatistics(long ReceiveBufferErrors, long SendBufferErrors)
{
    /// <summary>Reads the counters now; false where the system has none.</summary>
    public static bool TryRead(out UdpStatistics statistics)
    {
        statistics = default;
        if (!OperatingSystem.IsLinux())
            return false;
        try
        {
            if (!TryParse(File.ReadAllText("/proc/net/snmp"), out statistics))
                return false;
            if (File.Exists("/proc/net/snmp6"))
                statistics = ParseVersion6(File.ReadAllText("/proc/net/snmp6"), statistics);
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    /// <summary>Reads the two lines "Udp:" of /proc/net/snmp: names, then values.</summary>
    internal static bool TryParse(string text, out UdpStatistics statistics)
    {
        statistics = default;
        string[] lines = [.. text.Split('\n').Where(line => line.StartsWith("Udp:", StringComparison.Ordinal))];
        if (lines.Length < 2)
            return false;
        string[] names = lines[0].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        string[] values = lines[1].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        bool found = TryFind("RcvbufErrors", out long receive);
        found &= TryFind("SndbufErrors", out long send);
        statistics = new UdpStatistics(receive, send);
        return found;

        bool TryFind(string name, out long value)
        {
            int at = Array.IndexOf(names, name);
            value = 0;
            return at >= 0 && at < values.Length && long.TryParse(values[at], out value);
        }
    }

    /// <summary>Adds IPv6's, one name and value a line in /proc/net/snmp6.</summary>
    internal static UdpStatistics ParseVersion6(string text, UdpStatistics sum)
    {
        foreach (string line in text.Split('\n'))
        {
            string[] parts = line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
            if (parts.Length != 2 || !long.TryParse(parts[1], out long value))
                continue;
            sum = parts[0] switch
            {
                "Udp6RcvbufErrors" => sum with { ReceiveBufferErrors = sum.ReceiveBufferErrors + value },
                "Udp6SndbufErrors" => sum with { SendBufferErrors = sum.SendBufferErrors + value },
                _ => sum,
            };
        }

        return sum;
    }
}
