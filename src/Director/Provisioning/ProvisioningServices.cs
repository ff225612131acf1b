using Microsoft.Extensions.DependencyInjection;

namespace Transcribe.Director.Provisioning;

public static class ProvisioningServices
{
    /// <summary>Starts and stops SFU nodes by need, if the options name a provisioner. Needs <c>AddDirector</c>.</summary>
    /// <exception cref="InvalidOperationException">An option that cannot be; the message names it and the fix.</exception>
    public static IServiceCollection AddProvisioning(this IServiceCollection services, ProvisioningOptions options)
    {
        if (options.Validate() is { } problem)
            throw new InvalidOperationException(problem);

        services.AddSingleton(options);
        switch (options.Provisioner)
        {
            case ProvisioningOptions.Process:
                services.AddSingleton(NodeProcessStore.Open(options.EffectiveRecordDirectory));
                services.AddSingleton<INodeProvisioner, ProcessProvisioner>();
                break;
            case ProvisioningOptions.Docker:
                services.AddSingleton<INodeProvisioner, DockerProvisioner>();
                break;
            case ProvisioningOptions.Kubernetes:
                services.AddSingleton<INodeProvisioner, KubernetesProvisioner>();
                break;
            default:
                return services;
        }

        services.AddSingleton<ScalingService>();
        services.AddHostedService(provider => provider.GetRequiredService<ScalingService>());
        return services;
    }
}
