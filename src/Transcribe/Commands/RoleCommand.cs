using System.CommandLine;
using Transcribe.Cluster.Nodes;
using Transcribe.Hosting;

namespace Transcribe.Commands;

/// <summary>One role of a cluster; every option is also a TRANSCRIBE_* variable, which it wins over.</summary>
internal static class RoleCommand
{
    public static Command Director() => Create(
        NodeRole.Director, "director",
        "Runs a director of a cluster: meeting page, HTTP API, placement. Needs TRANSCRIBE_REDIS, TRANSCRIBE_CLUSTER_KEY, TRANSCRIBE_API_KEY and TRANSCRIBE_API_SECRET.");

    public static Command Signaling() => Create(
        NodeRole.Signaling, "signaling",
        "Runs a signalling node of a cluster: SignalR hub, WHIP, WHEP. Needs TRANSCRIBE_REDIS, TRANSCRIBE_CLUSTER_KEY, TRANSCRIBE_API_KEY and TRANSCRIBE_API_SECRET.");

    public static Command Sfu() => Create(
        NodeRole.Sfu, "sfu",
        "Runs a media server (SFU) of a cluster. Needs TRANSCRIBE_REDIS and TRANSCRIBE_CLUSTER_KEY.");

    public static Command Gateway() => Create(
        NodeRole.Gateway, "gateway",
        "Runs an AI gateway of a cluster, which captions rooms. Needs TRANSCRIBE_REDIS, TRANSCRIBE_CLUSTER_KEY, TRANSCRIBE_API_KEY and TRANSCRIBE_API_SECRET.");

    private static Command Create(NodeRole role, string name, string description)
    {
        var command = new Command(name, description);
        var overrides = new List<(string Variable, Option<string?> Option)>();
        void Add(string option, string variable, string text)
        {
            var added = new Option<string?>(option) { Description = $"{text} ({variable})." };
            command.Add(added);
            overrides.Add((variable, added));
        }

        bool clients = role is NodeRole.Director or NodeRole.Signaling;
        Add("--node-id", "TRANSCRIBE_NODE_ID", "Unique name in the cluster. Default: role, host name and random characters");
        Add("--region", "TRANSCRIBE_REGION", "Where this node is, for placement. Default local");
        Add("--redis", "TRANSCRIBE_REDIS", "The cluster's Redis, like 127.0.0.1:6379");
        Add("--http-port", "TRANSCRIBE_HTTP_PORT", clients ? "HTTP port; 0 for any free one. Default 8080" : "HTTP port for /healthz and /readyz; 0 for any free one. Default: none");
        Add("--http-address", "TRANSCRIBE_HTTP_ADDRESS", $"IP address to listen on, \"localhost\", or \"*\". Default {(clients ? "*" : "localhost")}");
        if (clients)
            Add("--public-url", "TRANSCRIBE_PUBLIC_URL", "How clients reach this node. Default: the address that it listens on");
        if (role == NodeRole.Sfu)
        {
            Add("--udp-port", "TRANSCRIBE_UDP_PORT", "UDP port for media; 0 for any free one. Default 7882");
            Add("--advertise", "TRANSCRIBE_ADVERTISED_ADDRESSES", "IP addresses told to clients and other nodes, separated by commas. Default: those of this host");
        }

        if (!clients)
        {
            Add("--max-sessions", "TRANSCRIBE_MAX_SESSIONS", role == NodeRole.Sfu
                ? "Sessions this node takes. Default 20000"
                : "Rooms this gateway captions. Default 16 a processor");
        }

        command.SetAction(async (arguments, cancellationToken) =>
        {
            var given = overrides.ToDictionary(o => o.Variable, o => arguments.GetValue(o.Option), StringComparer.Ordinal);
            RoleOptions options = RoleOptions.FromEnvironment(role, variable => given.GetValueOrDefault(variable) ?? Environment.GetEnvironmentVariable(variable))
                with
            { Settings = Settings.FromEnvironment() };
            await RoleHost.RunAsync(options, Console.Out, Console.Error, cancellationToken);
            return ExitStatus.Ok;
        });
        return command;
    }
}
