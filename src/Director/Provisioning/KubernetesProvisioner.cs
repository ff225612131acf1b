using System.Globalization;
using System.Net;
using k8s;
using k8s.Autorest;
using k8s.Models;
using Microsoft.Extensions.Logging;
using Transcribe.Cluster;
using Transcribe.Cluster.Nodes;

namespace Transcribe.Director.Provisioning;

/// <summary>
/// SFU nodes as pods of a StatefulSet or Deployment, whose scale it sets. Kubernetes replaces what fails. Of a StatefulSet the pod with the
/// highest ordinal goes first; of a Deployment those go that were drained, by their deletion cost.
/// </summary>
internal sealed partial class KubernetesProvisioner : INodeProvisioner, IDisposable
{
    private const int Attempts = 3;
    private const string DeletionCost = "controller.kubernetes.io/pod-deletion-cost";

    private readonly ProvisioningOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger<KubernetesProvisioner> _log;
    private readonly k8s.Kubernetes _client;
    private readonly string _namespace;
    private readonly string _workload;
    private readonly bool _stateful;

    /// <exception cref="InvalidOperationException">There is no way to the API server.</exception>
    public KubernetesProvisioner(ProvisioningOptions options, TimeProvider time, ILogger<KubernetesProvisioner> log)
    {
        (_options, _time, _log) = (options, time, log);
        KubernetesClientConfiguration access = Access(options);
        access.HttpClientTimeout = System.Threading.Timeout.InfiniteTimeSpan;
        _client = new k8s.Kubernetes(access);
        _namespace = options.KubernetesNamespace ?? access.Namespace ?? "default";
        string[] workload = options.KubernetesWorkload!.Split('/');
        (_stateful, _workload) = (workload[0] == "statefulset", workload[1]);
    }

    public string Name => ProvisioningOptions.Kubernetes;

    public bool HealsItself => true;

    public async ValueTask<IReadOnlyList<ProvisionedNode>> ListAsync(CancellationToken cancellationToken = default)
    {
        V1Scale scale = await ReadAsync(cancellationToken);
        V1PodList pods = await AskAsync(
            "list pods", token => _client.CoreV1.ListNamespacedPodAsync(_namespace, labelSelector: scale.Status?.Selector, cancellationToken: token), cancellationToken);
        var nodes = pods.Items
            .Where(pod => pod.Metadata.DeletionTimestamp is null && pod.Status?.Phase is not ("Succeeded" or "Failed"))
            .Select(pod => new ProvisionedNode(pod.Metadata.Name, StartOf(pod)))
            .ToList();

        // Asked for, and not created yet.
        for (int i = 0; nodes.Count < (scale.Spec.Replicas ?? 0); i++)
        {
            string name = _stateful ? $"{_workload}-{i}" : $"{_workload}-pending-{i}";
            if (nodes.All(node => node.Id != name))
                nodes.Add(new ProvisionedNode(name, _time.GetUtcNow()));
        }

        return nodes;
    }

    public async ValueTask StartAsync(int count, CancellationToken cancellationToken = default) => await ScaleAsync(count, cancellationToken);

    public NodeInfo? ChooseForRemoval(IReadOnlyList<NodeInfo> nodes) =>
        _stateful ? nodes.MaxBy(node => Ordinal(node.Id)) : nodes.MinBy(node => node.Load);

    public async ValueTask StopAsync(IReadOnlyList<string> ids, CancellationToken cancellationToken = default)
    {
        IReadOnlyList<ProvisionedNode> all = await ListAsync(cancellationToken);
        string[] there = [.. ids.Where(id => all.Any(node => node.Id == id))];
        if (there.Length == 0)
            return;

        if (_stateful)
        {
            // A smaller StatefulSet loses its highest ordinals, whoever was drained.
            string[] last = [.. all.Select(node => node.Id).OrderByDescending(Ordinal).Take(there.Length)];
            if (there.Except(last, StringComparer.Ordinal).Any())
                throw new ProvisioningException($"The StatefulSet {_workload} can only lose {string.Join(", ", last)} next; drain those first.");
        }
        else
        {
            foreach (string id in there)
                await CheapenAsync(id, cancellationToken);
        }

        await ScaleAsync(-there.Length, cancellationToken);
    }

    public void Dispose() => _client.Dispose();

    private static KubernetesClientConfiguration Access(ProvisioningOptions options)
    {
        if (options.KubernetesUrl is { } url)
            return new KubernetesClientConfiguration { Host = url };

        try
        {
            return KubernetesClientConfiguration.IsInCluster()
                ? KubernetesClientConfiguration.InClusterConfig()
                : KubernetesClientConfiguration.BuildConfigFromConfigFile();
        }
        catch (Exception e) when (e is k8s.Exceptions.KubeConfigException or IOException)
        {
            throw new InvalidOperationException(
                $"TRANSCRIBE_PROVISIONER is \"kubernetes\", and there is no way to the cluster: {e.Message.TrimEnd('.')}. Run in a pod with a service account, give a kubeconfig, or set TRANSCRIBE_KUBERNETES_URL.", e);
        }
    }

    private static int Ordinal(string pod) =>
        int.TryParse(pod[(pod.LastIndexOf('-') + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out int ordinal) ? ordinal : -1;

    private DateTimeOffset StartOf(V1Pod pod) =>
        pod.Metadata.CreationTimestamp is { } created ? new DateTimeOffset(DateTime.SpecifyKind(created, DateTimeKind.Utc)) : _time.GetUtcNow();

    private Task<V1Scale> ReadAsync(CancellationToken cancellationToken) => AskAsync(
        "read the scale",
        token => _stateful
            ? _client.AppsV1.ReadNamespacedStatefulSetScaleAsync(_workload, _namespace, cancellationToken: token)
            : _client.AppsV1.ReadNamespacedDeploymentScaleAsync(_workload, _namespace, cancellationToken: token),
        cancellationToken);

    /// <summary>Adds to the number of replicas. Whoever else scales at the same moment makes it a conflict, and it is done again from what is there then.</summary>
    private async Task ScaleAsync(int by, CancellationToken cancellationToken)
    {
        for (int attempt = 1; ; attempt++)
        {
            V1Scale scale = await ReadAsync(cancellationToken);
            int replicas = Math.Max(0, (scale.Spec.Replicas ?? 0) + by);
            var patch = new V1Patch(
                ClusterJson.Serialize(new { metadata = new { scale.Metadata.ResourceVersion }, spec = new { replicas } }), V1Patch.PatchType.MergePatch);
            try
            {
                await AskAsync(
                    "set the scale",
                    token => _stateful
                        ? _client.AppsV1.PatchNamespacedStatefulSetScaleAsync(patch, _workload, _namespace, cancellationToken: token)
                        : _client.AppsV1.PatchNamespacedDeploymentScaleAsync(patch, _workload, _namespace, cancellationToken: token),
                    cancellationToken);
                LogScaled(_workload, replicas);
                return;
            }
            catch (ProvisioningException e) when (
                attempt < Attempts && e.InnerException is HttpOperationException { Response.StatusCode: HttpStatusCode.Conflict })
            {
                LogConflict(_workload);
            }
        }
    }

    /// <summary>Makes a drained pod the cheapest to lose.</summary>
    private Task<V1Pod> CheapenAsync(string pod, CancellationToken cancellationToken) => AskAsync(
        "mark a pod for deletion",
        token => _client.CoreV1.PatchNamespacedPodAsync(
            new V1Patch(
                ClusterJson.Serialize(new { metadata = new { annotations = new Dictionary<string, string>(StringComparer.Ordinal) { [DeletionCost] = "-2147483647" } } }),
                V1Patch.PatchType.MergePatch), pod, _namespace, cancellationToken: token),
        cancellationToken);

    private async Task<T> AskAsync<T>(string what, Func<CancellationToken, Task<T>> ask, CancellationToken cancellationToken)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(_options.Timeout);
        try
        {
            return await ask(patience.Token);
        }
        catch (HttpOperationException e)
        {
            string advice = e.Response.StatusCode is HttpStatusCode.Forbidden or HttpStatusCode.Unauthorized
                ? " The service account needs get and patch on the scale, and list and patch on pods."
                : e.Response.StatusCode == HttpStatusCode.NotFound ? " Does TRANSCRIBE_KUBERNETES_WORKLOAD name what is there?" : "";
            throw new ProvisioningException(
                $"Kubernetes refused to {what} of {_options.KubernetesWorkload} in {_namespace}: {(int)e.Response.StatusCode} {e.Response.StatusCode}.{advice}", e);
        }
        catch (OperationCanceledException e) when (!cancellationToken.IsCancellationRequested)
        {
            throw new ProvisioningException($"Kubernetes did not {what} of {_options.KubernetesWorkload} in time.", e);
        }
        catch (Exception e) when (e is HttpRequestException or IOException or System.Text.Json.JsonException)
        {
            throw new ProvisioningException($"The Kubernetes API cannot be used: {e.Message}", e);
        }
    }

    [LoggerMessage(4231, LogLevel.Information, "{Workload} is scaled to {Replicas} pods")]
    private partial void LogScaled(string workload, int replicas);

    [LoggerMessage(4232, LogLevel.Information, "The scale of {Workload} was changed by somebody else at the same time; done again")]
    private partial void LogConflict(string workload);
}
