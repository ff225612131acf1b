using System.Globalization;

namespace Transcribe.Director.Provisioning;

/// <summary>Who starts and stops SFU nodes, and when.</summary>
public sealed class ProvisioningOptions
{
    public const string None = "none";
    public const string Process = "process";
    public const string Docker = "docker";
    public const string Kubernetes = "kubernetes";

    /// <summary>TRANSCRIBE_PROVISIONER: "none" (somebody else starts nodes), "process", "docker" or "kubernetes". Default "none".</summary>
    public string Provisioner { get; set; } = None;

    /// <summary>When nodes are started and stopped.</summary>
    public ScalingPolicy Policy { get; set; } = new();

    /// <summary>First part of the names of nodes. Default "sfu".</summary>
    public string NodePrefix { get; set; } = "sfu";

    /// <summary>Environment of new nodes beyond what their provisioner sets. Secrets may be in it: it is never logged.</summary>
    public IDictionary<string, string> NodeEnvironment { get; } = new Dictionary<string, string>(StringComparer.Ordinal);

    /// <summary>Bound of every call to the container engine or the Kubernetes API, and of every wait for a node to end. Default 15 s.</summary>
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(15);

    /// <summary>The program that "process" starts; null: this one.</summary>
    public string? Executable { get; set; }

    /// <summary>Its arguments. Default "sfu".</summary>
    public IReadOnlyList<string> Arguments { get; set; } = ["sfu"];

    /// <summary>TRANSCRIBE_PROVISIONER_DIRECTORY: where "process" keeps its records of nodes; null: a directory of the cluster's own under the temporary one.</summary>
    public string? RecordDirectory { get; set; }

    /// <summary>TRANSCRIBE_PROVISIONER_REGIONS: the nodes of "process" are dealt to them, the next to where the fewest are. Default none: all are of TRANSCRIBE_REGION.</summary>
    public IReadOnlyList<string> Regions { get; set; } = [];

    /// <summary>TRANSCRIBE_DOCKER_HOST or DOCKER_HOST: the engine, "unix:///var/run/docker.sock" or "tcp://host:2375".</summary>
    public string DockerHost { get; set; } = "unix:///var/run/docker.sock";

    /// <summary>TRANSCRIBE_DOCKER_IMAGE: image of Transcribe, whose entry point takes the role as argument.</summary>
    public string? DockerImage { get; set; }

    /// <summary>TRANSCRIBE_DOCKER_NETWORK: network of the containers. Default "host": media needs UDP ports.</summary>
    public string DockerNetwork { get; set; } = "host";

    /// <summary>TRANSCRIBE_KUBERNETES_WORKLOAD: what is scaled, "statefulset/sfu" or "deployment/sfu". Its pods' names must be their TRANSCRIBE_NODE_ID.</summary>
    public string? KubernetesWorkload { get; set; }

    /// <summary>TRANSCRIBE_KUBERNETES_NAMESPACE; null: the namespace of this pod or of the kubeconfig.</summary>
    public string? KubernetesNamespace { get; set; }

    /// <summary>TRANSCRIBE_KUBERNETES_URL: an API server that asks for no credentials (kubectl proxy); null: in-cluster or kubeconfig access.</summary>
    public string? KubernetesUrl { get; set; }

    /// <summary>Options as the environment gives them.</summary>
    /// <param name="read">The value of a variable, or null.</param>
    /// <exception cref="InvalidOperationException">A variable that cannot be used: name, value, fix.</exception>
    public static ProvisioningOptions FromEnvironment(Func<string, string?> read)
    {
        string? Text(string name) => read(name) is { } value && !string.IsNullOrWhiteSpace(value) ? value.Trim() : null;

        double? Number(string name, double min, double max, string form) => Text(name) is not { } value
            ? null
            : double.TryParse(value, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double number) && number >= min && number <= max
                ? number
                : throw new InvalidOperationException($"{name} is \"{value}\". Set {form}, {min} to {max}, or unset it.");

        var policy = new ScalingPolicy();
        policy = policy with
        {
            MinNodes = (int)(Number("TRANSCRIBE_MIN_NODES", 0, 10_000, "a number of nodes") ?? policy.MinNodes),
            MaxNodes = (int)(Number("TRANSCRIBE_MAX_NODES", 1, 10_000, "a number of nodes") ?? policy.MaxNodes),
            Headroom = Number("TRANSCRIBE_HEADROOM", 0, 0.9, "the share of the fleet to keep free") ?? policy.Headroom,
            ScaleUpAfter = Seconds(Number("TRANSCRIBE_SCALE_UP_SECONDS", 0, 86_400, "seconds")) ?? policy.ScaleUpAfter,
            ScaleDownAfter = Seconds(Number("TRANSCRIBE_SCALE_DOWN_SECONDS", 0, 86_400, "seconds")) ?? policy.ScaleDownAfter,
            DrainDeadline = Seconds(Number("TRANSCRIBE_DRAIN_SECONDS", 0, 86_400, "seconds")) ?? policy.DrainDeadline,
        };
        var options = new ProvisioningOptions
        {
            Provisioner = Text("TRANSCRIBE_PROVISIONER") ?? None,
            Policy = policy,
            RecordDirectory = Text("TRANSCRIBE_PROVISIONER_DIRECTORY"),
            Regions = Text("TRANSCRIBE_PROVISIONER_REGIONS")?.Split(',', StringSplitOptions.TrimEntries) ?? [],
            DockerImage = Text("TRANSCRIBE_DOCKER_IMAGE"),
            KubernetesWorkload = Text("TRANSCRIBE_KUBERNETES_WORKLOAD"),
            KubernetesNamespace = Text("TRANSCRIBE_KUBERNETES_NAMESPACE"),
            KubernetesUrl = Text("TRANSCRIBE_KUBERNETES_URL"),
        };
        options.DockerHost = Text("TRANSCRIBE_DOCKER_HOST") ?? Text("DOCKER_HOST") ?? options.DockerHost;
        options.DockerNetwork = Text("TRANSCRIBE_DOCKER_NETWORK") ?? options.DockerNetwork;
        foreach (string name in NodeVariables)
        {
            if (Text(name) is { } value)
                options.NodeEnvironment[name] = value;
        }

        return options.Validate() is { } problem ? throw new InvalidOperationException(problem) : options;
    }

    /// <summary>Null, or a sentence that names the setting, its value and the fix.</summary>
    public string? Validate()
    {
        if (Provisioner is not (None or Process or Docker or Kubernetes))
            return $"TRANSCRIBE_PROVISIONER is \"{Provisioner}\". Set none, process, docker or kubernetes.";

        if (Policy.Validate() is { } problem)
            return problem;

        if (NodePrefix.Length is 0 or > 40 || !NodePrefix.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_'))
            return $"Provisioning:NodePrefix is \"{NodePrefix}\"; use 1 to 40 letters, digits, '-' or '_'.";

        if (Timeout < TimeSpan.FromMilliseconds(50) || Timeout > TimeSpan.FromMinutes(5))
            return $"Provisioning:Timeout is {Timeout}; use 50 ms to 5 minutes.";

        return Provisioner switch
        {
            Process when RecordDirectory is not null && !Path.IsPathRooted(RecordDirectory) =>
                $"TRANSCRIBE_PROVISIONER_DIRECTORY is \"{RecordDirectory}\". Set an absolute path, or unset it.",
            Process when Regions.Any(region => !IsRegion(region)) || Regions.Distinct(StringComparer.Ordinal).Count() < Regions.Count =>
                $"TRANSCRIBE_PROVISIONER_REGIONS is \"{string.Join(',', Regions)}\". Set different names of 1 to 64 letters, digits, '-' or '_', separated by commas, or unset it.",
            Docker or Kubernetes when Regions.Count > 0 =>
                $"TRANSCRIBE_PROVISIONER_REGIONS is \"{string.Join(',', Regions)}\", and TRANSCRIBE_PROVISIONER is \"{Provisioner}\", whose nodes are all of TRANSCRIBE_REGION. Unset it.",
            Docker when DockerImage is null => "TRANSCRIBE_DOCKER_IMAGE is not set. Set the image of Transcribe that new SFU nodes run.",
            Docker when !Uri.TryCreate(DockerHost, UriKind.Absolute, out Uri? host) || host.Scheme is not ("unix" or "tcp" or "http" or "https") =>
                $"TRANSCRIBE_DOCKER_HOST is \"{DockerHost}\". Set unix:///var/run/docker.sock or tcp://host:2375.",
            Kubernetes when KubernetesWorkload?.Split('/') is not [("statefulset" or "deployment"), { Length: > 0 }] =>
                $"TRANSCRIBE_KUBERNETES_WORKLOAD is \"{KubernetesWorkload}\". Set what runs the SFU nodes, statefulset/NAME or deployment/NAME.",
            Kubernetes when KubernetesUrl is not null && (!Uri.TryCreate(KubernetesUrl, UriKind.Absolute, out Uri? url) || url.Scheme is not ("http" or "https")) =>
                $"TRANSCRIBE_KUBERNETES_URL is \"{KubernetesUrl}\". Set an http or https URL, or unset it for in-cluster access.",
            _ => null,
        };
    }

    /// <summary>What every SFU node needs to be told.</summary>
    private static readonly string[] NodeVariables =
    [
        "TRANSCRIBE_REDIS", "TRANSCRIBE_CLUSTER_KEY", "TRANSCRIBE_REGION", "TRANSCRIBE_ADVERTISED_ADDRESSES", "TRANSCRIBE_MAX_SESSIONS",
        "TRANSCRIBE_RELAY_FANOUT",
    ];

    /// <summary>Where the records of nodes are: one place for all Directors of this cluster on this machine.</summary>
    internal string EffectiveRecordDirectory => RecordDirectory ?? NodeProcessStore.DefaultDirectory(
        NodeEnvironment.TryGetValue("TRANSCRIBE_REDIS", out string? redis) ? redis : "",
        NodeEnvironment.TryGetValue("TRANSCRIBE_CLUSTER_KEY", out string? key) ? key : "");

    private static bool IsRegion(string name) => name.Length is > 0 and <= 64 && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_');

    private static TimeSpan? Seconds(double? value) => value is { } seconds ? TimeSpan.FromSeconds(seconds) : null;
}
