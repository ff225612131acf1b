using Transcribe.Cluster.Nodes;

namespace Transcribe.Hosting;

/// <summary>The media roles of the process.</summary>
internal static class Roles
{
    public static void Add(IServiceCollection services, ServeOptions options)
    {
        var node = new NodeInfo(ServeHost.NodeId, NodeRole.Sfu, $"udp:{options.UdpPort}");
        services.AddHostedService(provider => ActivatorUtilities.CreateInstance<SfuAnnouncer>(provider, node));
    }
}
