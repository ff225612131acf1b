using System.CommandLine;
using Spectre.Console;
using Transcribe.Cluster.Nodes;
using Transcribe.Hosting;
using Transcribe.LocalCluster;

namespace Transcribe.Commands;

internal static class ClusterCommand
{
    // SGR codes.
    private static readonly Dictionary<string, string> Colors = new(StringComparer.Ordinal)
    {
        ["redis"] = "90",
        ["director"] = "34",
        ["signaling"] = "32",
        ["sfu"] = "33",
        ["gateway"] = "35",
        ["cluster"] = "1",
    };

    private const int MostNodes = 32;

    private static readonly Lock Printing = new();

    public static Command Create()
    {
        var http = new Option<int?>("--http-port") { Description = "HTTP port of the director: page and API. Default 8080 (TRANSCRIBE_HTTP_PORT)." };
        Option<int> signaling = Count("--signaling", "Signalling nodes.", 2, 1);
        Option<int> sfus = Count("--sfus", "SFU nodes, which the director starts, and replaces when they die.", 3, 1);
        var mostSfus = new Option<int?>("--max-sfus") { Description = "SFU nodes that the director starts at most when they fill up. Default: two more than --sfus." };
        var sessions = new Option<int?>("--sfu-sessions") { Description = "Sessions an SFU node takes; a few, to see the director start another. Default 20000." };
        Option<int> gateways = Count("--gateways", "AI gateways.", 2, 0);
        var regions = new Option<string>("--regions") { Description = "Regions, separated by commas; nodes are dealt out to them in turn.", DefaultValueFactory = _ => "local" };
        var restart = new Option<bool>("--restart") { Description = "Start a process that died again, after a second; Redis with its data. SFU nodes are replaced in any case." };
        var command = new Command("cluster", "Starts a real cluster on this machine to try: Redis, a director, signalling nodes, SFU nodes and gateways, each its own process.")
        {
            http, signaling, sfus, mostSfus, sessions, gateways, regions, restart,
        };
        command.SetAction(async (arguments, cancellationToken) =>
        {
            var plan = new ClusterPlan
            {
                HttpPort = arguments.GetValue(http) ?? ServeOptions.FromEnvironment().HttpPort,
                Signaling = arguments.GetValue(signaling),
                Sfus = arguments.GetValue(sfus),
                MaxSfus = arguments.GetValue(mostSfus),
                SessionsPerSfu = arguments.GetValue(sessions),
                Gateways = arguments.GetValue(gateways),
                Regions = Names(arguments.GetRequiredValue(regions)),
                Restart = arguments.GetValue(restart),
            };
            if (plan.MaxSfus is { } most && (most < plan.Sfus || most > MostNodes))
                throw new CommandException($"--max-sfus is {most} and --sfus is {plan.Sfus}; choose the same up to {MostNodes}.");
            if (plan.SessionsPerSfu is < 1 or > 1_000_000)
                throw new CommandException($"--sfu-sessions is {plan.SessionsPerSfu}; choose 1 to 1000000.");
            Ports.Check("localhost", plan.HttpPort, null);
            await RunAsync(plan, cancellationToken);
            return ExitStatus.Ok;
        });
        return command;
    }

    private static async Task RunAsync(ClusterPlan plan, CancellationToken cancellationToken)
    {
        Say("cluster", "Starting the processes; this takes a few seconds");
        ClusterSupervisor cluster = await ClusterSupervisor.StartAsync(plan, Say, cancellationToken);
        try
        {
            cluster.Happened += sentence => Say("cluster", sentence);
            Print(cluster, plan);
            await Task.Delay(Timeout.Infinite, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            Say("cluster", "Stopping");
        }
        finally
        {
            await cluster.DisposeAsync();
        }
    }

    private static void Print(ClusterSupervisor cluster, ClusterPlan plan)
    {
        var table = new Table().Border(TableBorder.Rounded).AddColumns("process", "pid", "region", "HTTP", "UDP");
        table.AddRow("redis", $"{cluster.Redis.Process.Id}", "", $"TCP {cluster.Redis.Port}", "");
        foreach (IClusterNode node in cluster.Processes)
            table.AddRow(node.Name, $"{node.Id}", Markup.Escape(node.Region), $"{node.Url}", string.Join(", ", node.UdpPorts));
        IClusterNode last = cluster.Of(NodeRole.Sfu)[^1];
        string credentials = $"{plan.Keys.Signing.Key}:{plan.Keys.Signing.Secret}";
        lock (Printing)
        {
            AnsiConsole.Write(table);
            Console.WriteLine($"The page: {cluster.Url} (reference of the API: {new Uri(cluster.Url, "docs")})");
            Console.WriteLine("Open it twice, speak, and try:");
            foreach ((string line, string comment) in Trials(cluster, last, credentials))
                Console.WriteLine($"  {line}    # {comment}");
            Console.WriteLine("Ctrl-C stops everything.");
            Console.Out.Flush();
        }
    }

    private static IEnumerable<(string Line, string Comment)> Trials(ClusterSupervisor cluster, IClusterNode node, string credentials) =>
    [
        ($"kill -9 {node.Id}", $"{node.Name} dies: its participants go on elsewhere, and the director starts another node"),
        ($"kill -9 {cluster.Director.Id}", "the director dies: calls go on; a new one (--restart) takes over the SFU nodes"),
        ($"curl -u {credentials} {new Uri(cluster.Url, "v1/nodes")}", "the nodes as the cluster sees them"),
        ($"curl -u {credentials} -X POST {new Uri(cluster.Url, $"v1/nodes/{node.NodeId}/drain")}", $"move everybody away from {node.Name}"),
    ];

    private static Option<int> Count(string name, string description, int usual, int least)
    {
        var option = new Option<int>(name) { Description = description, DefaultValueFactory = _ => usual };
        option.Validators.Add(result =>
        {
            if (result.Tokens.Count == 1 && (!int.TryParse(result.Tokens[0].Value, out int count) || count < least || count > MostNodes))
                result.AddError($"{name} is {result.Tokens[0].Value}; choose {least} to {MostNodes}.");
        });
        return option;
    }

    private static string[] Names(string list)
    {
        string[] names = [.. list.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Distinct(StringComparer.Ordinal)];
        return names.Length > 0 && names.All(name => name.Length <= 64 && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_'))
            ? names
            : throw new CommandException($"--regions is \"{list}\"; give names of letters, digits, '-' or '_', separated by commas.");
    }

    private static void Say(string name, string line)
    {
        lock (Printing)
            Console.WriteLine(Console.IsOutputRedirected ? $"{name,-12} {line}" : $"\e[{Colors.GetValueOrDefault(name.Split('-')[0], "0")}m{name,-12}\e[0m {line}");
    }
}
