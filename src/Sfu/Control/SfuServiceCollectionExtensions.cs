using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;

namespace Transcribe.Sfu.Control;

/// <summary>Adds the SFU role to a host.</summary>
public static class SfuServiceCollectionExtensions
{
    /// <summary>
    /// Registers an <see cref="SfuNode"/> as a hosted service. Needs <c>IMessageBus</c>, <c>IRoomDirectory</c> and
    /// <c>INodeDirectory</c>.
    /// </summary>
    /// <param name="configure">Sets options, e.g. from configuration.</param>
    public static IServiceCollection AddSfu(this IServiceCollection services, Action<SfuOptions>? configure = null)
    {
        var options = new SfuOptions();
        configure?.Invoke(options);
        services.AddSingleton(options);
        services.TryAddSingleton(TimeProvider.System);
        services.AddSingleton<SfuNode>();
        services.AddHostedService(provider => provider.GetRequiredService<SfuNode>());
        return services;
    }
}
