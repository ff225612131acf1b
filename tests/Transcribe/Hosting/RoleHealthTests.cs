using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Transcribe.Cluster.Nodes;
using Transcribe.Hosting;

namespace Transcribe.Transcribe.Tests.Hosting;

public sealed class RoleHealthTests
{
    [Fact]
    public async Task A_draining_node_lives_but_is_not_ready_until_the_order_is_withdrawn()
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        builder.Services.AddSingleton<IClusterConnection, InProcessClusterConnection>();
        builder.Services.AddSingleton<NodeStandings>();
        await using WebApplication app = builder.Build();
        app.MapRoleHealth(NodeRole.Gateway);
        await app.StartAsync(TestContext.Current.CancellationToken);
        string address = app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First();
        using var http = new HttpClient { BaseAddress = new Uri(address) };
        NodeStandings standings = app.Services.GetRequiredService<NodeStandings>();
        standings[NodeRole.Signaling].Set(NodeState.Draining);
        Assert.Equal(HttpStatusCode.OK, await AskAsync("/readyz"));
        standings[NodeRole.Gateway].Set(NodeState.Draining);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await AskAsync("/readyz"));
        Assert.Equal(HttpStatusCode.OK, await AskAsync("/healthz"));
        standings[NodeRole.Gateway].Set(NodeState.Active);
        Assert.Equal(HttpStatusCode.OK, await AskAsync("/readyz"));

        async Task<HttpStatusCode> AskAsync(string path)
        {
            using HttpResponseMessage response = await http.GetAsync(path, TestContext.Current.CancellationToken);
            return response.StatusCode;
        }
    }
}
