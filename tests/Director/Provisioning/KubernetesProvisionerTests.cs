using Microsoft.Extensions.Logging.Abstractions;
using Transcribe.Cluster.Nodes;
using Transcribe.Director.Provisioning;
using Transcribe.Director.Tests.Support;

namespace Transcribe.Director.Tests.Provisioning;

/// <summary>KubernetesClient against an HTTP server that speaks the API.</summary>
public class KubernetesProvisionerTests
{
    private static KubernetesProvisioner Provisioner(FakeKubernetes api, string workload = "statefulset/sfu", TimeSpan? timeout = null) => new(
        new ProvisioningOptions
        {
            Provisioner = ProvisioningOptions.Kubernetes,
            KubernetesUrl = api.Url,
            KubernetesNamespace = "media",
            KubernetesWorkload = workload,
            Timeout = timeout ?? TimeSpan.FromSeconds(20),
        },
        TimeProvider.System,
        NullLogger<KubernetesProvisioner>.Instance);

    private static async Task<string[]> NamesAsync(KubernetesProvisioner provisioner) => [.. (await provisioner.ListAsync()).Select(node => node.Id).Order()];

    [Fact]
    public async Task A_stateful_set_grows_and_loses_its_last_pods()
    {
        await using FakeKubernetes api = await FakeKubernetes.StartAsync();
        using KubernetesProvisioner provisioner = Provisioner(api);
        await provisioner.StartAsync(3);
        Assert.Equal(3, api.Replicas);

        // Pods that are still to come are nodes that are starting.
        Assert.Equal(["sfu-0", "sfu-1", "sfu-2"], await NamesAsync(provisioner));
        api.Reconcile();
        IReadOnlyList<ProvisionedNode> nodes = await provisioner.ListAsync();
        Assert.All(nodes, node => Assert.Equal(new DateTimeOffset(2026, 11, 22, 10, 0, 0, TimeSpan.Zero), node.StartedAt));

        NodeInfo[] running = [.. nodes.Select((node, i) => new NodeInfo(node.Id, NodeRole.Sfu, "x", Load: i * 10))];
        Assert.Equal("sfu-2", ((INodeProvisioner)provisioner).ChooseForRemoval(running)?.Id);
        ProvisioningException refused = await Assert.ThrowsAsync<ProvisioningException>(async () => await provisioner.StopAsync(["sfu-0"]));
        Assert.Contains("sfu-2", refused.Message, StringComparison.Ordinal);
        Assert.Equal(3, api.Replicas);
        await provisioner.StopAsync(["sfu-2"]);
        api.Reconcile();
        Assert.Equal(["sfu-0", "sfu-1"], api.Pods.Keys.Order());
        await provisioner.StopAsync(["sfu-2"]);
        Assert.Equal(2, api.Replicas);
        Assert.Contains("PATCH application/merge-patch+json", api.Calls.Select(call => call.Split(';')[0]));
    }

    [Fact]
    public async Task A_deployment_loses_the_pods_that_were_drained()
    {
        await using FakeKubernetes api = await FakeKubernetes.StartAsync(stateful: false);
        using KubernetesProvisioner provisioner = Provisioner(api, "deployment/sfu");
        await provisioner.StartAsync(3);
        Assert.Equal(3, (await provisioner.ListAsync()).Count);
        api.Reconcile();
        string[] names = await NamesAsync(provisioner);
        NodeInfo[] running = [.. names.Select((name, i) => new NodeInfo(name, NodeRole.Sfu, "x", Load: i == 1 ? 0 : 10))];
        Assert.Equal(names[1], ((INodeProvisioner)provisioner).ChooseForRemoval(running)?.Id);
        await provisioner.StopAsync([names[1]]);
        api.Reconcile();
        Assert.Equal([names[0], names[2]], api.Pods.Keys.Order());
    }

    [Fact]
    public async Task Somebody_else_scaling_at_the_same_time_is_a_conflict_that_is_resolved()
    {
        await using FakeKubernetes api = await FakeKubernetes.StartAsync();
        using KubernetesProvisioner provisioner = Provisioner(api);
        api.Failures["PATCH"] = (409, 2);
        await provisioner.StartAsync(2);
        Assert.Equal(2, api.Replicas);
        api.Failures["PATCH"] = (409, 3);
        await Assert.ThrowsAsync<ProvisioningException>(async () => await provisioner.StartAsync(1));
        Assert.Equal(2, api.Replicas);
    }

    [Theory]
    [InlineData(403, "service account")]
    [InlineData(404, "TRANSCRIBE_KUBERNETES_WORKLOAD")]
    [InlineData(500, "500")]
    public async Task A_refusal_says_what_to_do(int status, string hint)
    {
        await using FakeKubernetes api = await FakeKubernetes.StartAsync();
        using KubernetesProvisioner provisioner = Provisioner(api);
        api.Failures["GET"] = (status, 1);
        ProvisioningException refused = await Assert.ThrowsAsync<ProvisioningException>(async () => await provisioner.ListAsync());
        Assert.Contains(hint, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_api_server_that_does_not_answer_is_not_waited_for_for_ever()
    {
        await using FakeKubernetes api = await FakeKubernetes.StartAsync();
        using KubernetesProvisioner provisioner = Provisioner(api, timeout: TimeSpan.FromMilliseconds(200));
        api.Failures["GET"] = (0, 1);
        ProvisioningException refused = await Assert.ThrowsAsync<ProvisioningException>(async () => await provisioner.ListAsync());
        Assert.Contains("in time", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_api_server_that_is_not_there_is_a_sentence()
    {
        FakeKubernetes api = await FakeKubernetes.StartAsync();
        using KubernetesProvisioner provisioner = Provisioner(api);
        await api.DisposeAsync();
        ProvisioningException refused = await Assert.ThrowsAsync<ProvisioningException>(async () => await provisioner.StartAsync(1));
        Assert.Contains("cannot be used", refused.Message, StringComparison.Ordinal);
    }
}
