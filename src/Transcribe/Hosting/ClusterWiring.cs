using Transcribe.Cluster;
using Transcribe.Cluster.Tokens;

namespace Transcribe.Hosting;

internal static class ClusterWiring
{
    public static void Add(IServiceCollection services, RoleOptions options)
    {
        services.AddInProcessCluster(options.Keys ?? ApiKeyRing.CreateDevelopment());
    }
}
