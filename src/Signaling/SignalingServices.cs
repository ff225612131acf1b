using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Routing;
using Microsoft.AspNetCore.SignalR;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Transcribe.Cluster;
using Transcribe.Cluster.Protocol;
using Transcribe.Signaling.Hubs;
using Transcribe.Signaling.Rooms;
using Transcribe.Signaling.Sessions;
using Transcribe.Signaling.Whip;

namespace Transcribe.Signaling;

public static class SignalingServices
{
    /// <summary>The hub, WHIP and WHEP. Needs the cluster's services (<c>AddInProcessCluster</c>).</summary>
    /// <exception cref="ArgumentException">An option that cannot be; the message names it and the fix.</exception>
    public static IServiceCollection AddSignaling(this IServiceCollection services, SignalingOptions? options = null)
    {
        options ??= new SignalingOptions();
        if (options.Validate() is { } problem)
            throw new ArgumentException(problem, nameof(options));

        services.AddSingleton(options);
        services.TryAddSingleton<IIceServers>(new StaticIceServers([]));
        services.AddSingleton<RoomFeeds>();
        services.AddSingleton<SessionStore>();
        services.AddSingleton<WhipStates>();
        services.AddSingleton<SessionRemoval>();
        services.AddSingleton<SfuWatch>();
        services.AddSingleton<SessionMover>();
        services.AddSingleton<SessionManager>();
        services.AddSingleton<SessionSweeper>();
        services.AddSingleton<SignalingDrain>();
        services.AddHostedService<SignalingNode>();
        services.AddSingleton<WhipHandler>();
        services.AddSignalR(hub =>
            {
                hub.MaximumReceiveMessageSize = options.MaxMessageBytes;
                hub.KeepAliveInterval = TimeSpan.FromSeconds(10);
                hub.ClientTimeoutInterval = TimeSpan.FromSeconds(30);
                hub.MaximumParallelInvocationsPerClient = 1;

                // Our methods catch everything; what is left are SignalR's own sentences, such as the one on message size.
                hub.EnableDetailedErrors = true;
            })
            .AddJsonProtocol(json => ClusterJson.Configure(json.PayloadSerializerOptions));
        return services;
    }

    /// <summary>Sessions that this process has now.</summary>
    public static int CountSessions(IServiceProvider services) => services.GetRequiredService<SessionManager>().Count;

    public static IEndpointRouteBuilder MapSignaling(this IEndpointRouteBuilder endpoints)
    {
        endpoints.MapHub<RtcHub>(HubMethods.Path).RequireCors(policy => policy.AllowAnyOrigin().AllowAnyHeader().AllowAnyMethod());
        endpoints.MapWhip();
        return endpoints;
    }
}
