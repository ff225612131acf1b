using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;

namespace Transcribe.Cluster.Processes.Tests.Support;

/// <summary>
/// Hosts in network namespaces of their own, each with a cable to a router in another, which has one to this machine. A path
/// between two hosts can be cut, and nothing else: packets vanish at the router. Everything is in the namespaces and goes
/// with them.
/// </summary>
internal sealed partial class TestNetwork : IAsyncDisposable
{
    private readonly string _name;
    private readonly string _net;

    private TestNetwork(string name, string net, IReadOnlyList<Host> hosts) => (_name, _net, Hosts) = (name, net, hosts);

    /// <summary>This machine's address on the network.</summary>
    public string Address => $"{_net}.1";

    public IReadOnlyList<Host> Hosts { get; }

    private string Router => $"{_name}-r";

    /// <summary>A network with so many hosts; null, with the reason, where this machine does not permit it.</summary>
    public static async Task<(TestNetwork? Network, string Reason)> TryCreateAsync(int hosts)
    {
        if (!OperatingSystem.IsLinux())
            return (null, "Network namespaces are a thing of Linux.");
        await RemoveLeftoversAsync();
        string id = Environment.ProcessId.ToString(CultureInfo.InvariantCulture);
        string name = $"tr{id}";

        // A private range (RFC 1918) that nothing else here uses.
        string net = $"10.{200 + (Environment.ProcessId / 256 % 50)}.{Environment.ProcessId % 256}";
        var network = new TestNetwork(
            name, net, [.. Enumerable.Range(1, hosts).Select(i => new Host($"{name}-{i}", $"{net}.{(4 * i) + 2}", $"{net}.{(4 * i) + 1}"))]);
        try
        {
            if ((await IpAsync($"route show root {net}.0/24")).Length > 0)
                return (null, $"The range {net}.0/24 is in use on this machine.");
            await network.BuildAsync();
            return (network, "");
        }
        catch (IOException e)
        {
            await network.DisposeAsync();
            return (null, $"Network namespaces are not permitted here: {e.Message}");
        }
    }

    /// <summary>From now on nothing comes through between two hosts, without a word to either.</summary>
    public Task CutAsync(Host a, Host b) => RulesAsync("add", a, b);

    public Task HealAsync(Host a, Host b) => RulesAsync("del", a, b);

    public async ValueTask DisposeAsync()
    {
        foreach (string space in Hosts.Select(host => host.Name).Append(Router))
        {
            try
            {
                await IpAsync($"netns del {space}");
            }
            catch (IOException)
            {
                // It was not made.
                continue;
            }
        }
    }

    /// <summary>Those of test processes that were killed, of one with this process's id too.</summary>
    private static async Task RemoveLeftoversAsync()
    {
        string spaces;
        try
        {
            spaces = await IpAsync("netns list");
        }
        catch (IOException)
        {
            return; // there is no "ip": creating will say so
        }

        foreach (Match space in Ours().Matches(spaces))
        {
            string pid = space.Groups["pid"].Value;
            if (pid == Environment.ProcessId.ToString(CultureInfo.InvariantCulture) || !Directory.Exists($"/proc/{pid}"))
                await IpAsync($"netns del {space.Value}");
        }
    }

    private static async Task<string> IpAsync(string arguments)
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo("ip", arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
            Task<string> said = process.StandardOutput.ReadToEndAsync();
            string error = await process.StandardError.ReadToEndAsync();
            await process.WaitForExitAsync();
            return process.ExitCode == 0 ? await said : throw new IOException($"\"ip {arguments}\" failed: {error.Trim()}");
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            throw new IOException($"There is no \"ip\" (package iproute2): {e.Message}", e);
        }
    }

    private async Task BuildAsync()
    {
        await IpAsync($"netns add {Router}");
        await IpAsync($"link add {_name} type veth peer name root netns {Router}");
        await IpAsync($"addr add {_net}.1/30 dev {_name}");
        await IpAsync($"link set {_name} up");
        await IpAsync($"-n {Router} addr add {_net}.2/30 dev root");
        await IpAsync($"-n {Router} link set root up");
        await IpAsync($"-n {Router} link set lo up");
        await IpAsync($"netns exec {Router} sh -c \"echo 1 > /proc/sys/net/ipv4/ip_forward\"");
        await IpAsync($"route add {_net}.0/24 via {_net}.2");
        foreach (Host host in Hosts)
        {
            await IpAsync($"netns add {host.Name}");
            await IpAsync($"-n {Router} link add {host.Name} type veth peer name eth0 netns {host.Name}");
            await IpAsync($"-n {Router} addr add {host.Router}/30 dev {host.Name}");
            await IpAsync($"-n {Router} link set {host.Name} up");
            await IpAsync($"-n {host.Name} addr add {host.Address}/30 dev eth0");
            await IpAsync($"-n {host.Name} link set eth0 up");
            await IpAsync($"-n {host.Name} link set lo up");
            await IpAsync($"-n {host.Name} route add default via {host.Router}");
        }

        // Whether the kernel can cut at all.
        await CutAsync(Hosts[0], Hosts[^1]);
        await HealAsync(Hosts[0], Hosts[^1]);
    }

    private async Task RulesAsync(string what, Host a, Host b)
    {
        await IpAsync($"-n {Router} rule {what} from {a.Address} to {b.Address} blackhole");
        await IpAsync($"-n {Router} rule {what} from {b.Address} to {a.Address} blackhole");
    }

    [GeneratedRegex(@"^tr(?<pid>\d+)-(r|\d+)", RegexOptions.Multiline)]
    private static partial Regex Ours();

    /// <param name="Name">Of its namespace.</param>
    /// <param name="Router">The router's address on the host's cable.</param>
    public sealed record Host(string Name, string Address, string Router)
    {
        /// <summary>Runs a program on the host; the process is the program itself.</summary>
        public string[] Command(string program, params string[] arguments) => ["nsenter", $"--net=/run/netns/{Name}", program, .. arguments];
    }
}
