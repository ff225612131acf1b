using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Scalar.AspNetCore;
using Transcribe.Cluster;
using Transcribe.Cluster.Protocol;
using Transcribe.Director.Http;
using Transcribe.Director.Nodes;
using Transcribe.Director.Rooms;

namespace Transcribe.Director;

public static class DirectorServices
{
    private const string CorsPolicy = "director";

    /// <summary>The HTTP API. Needs the cluster's services (<c>AddInProcessCluster</c>).</summary>
    /// <exception cref="ArgumentException">An option that cannot be; the message names it and the fix.</exception>
    public static IServiceCollection AddDirector(this IServiceCollection services, DirectorOptions? options = null)
    {
        options ??= new DirectorOptions();
        if (options.Validate() is { } problem)
            throw new ArgumentException(problem, nameof(options));

        services.AddSingleton(options);
        services.TryAddSingleton<IIceServers>(new StaticIceServers([]));
        services.AddSingleton<CallerReader>();
        services.AddSingleton<RoomApi>();
        services.AddSingleton<NodeApi>();
        services.AddSingleton<HubUrls>();
        services.AddSingleton<DirectorLeases>();
        services.AddSingleton<DrainStore>();
        services.AddSingleton<NodeCommander>();
        services.AddSingleton<DrainKeeper>();
        services.AddHostedService(provider => provider.GetRequiredService<DrainKeeper>());
        services.AddProblemPages();
        services.ConfigureHttpJsonOptions(json => ClusterJson.Configure(json.SerializerOptions));

        // Any page may call: what counts is the Authorization header, and no cookie is ever read.
        services.AddCors(cors => cors.AddPolicy(CorsPolicy, policy =>
            policy.AllowAnyOrigin().AllowAnyMethod().AllowAnyHeader().WithExposedHeaders("Retry-After", "WWW-Authenticate")));
        services.AddOpenApi("v1", ApiDocument.Configure);
        return services;
    }

    /// <summary>The API, its health, its OpenAPI document and its reference page. The pipeline needs <c>UseProblemPages</c> and <c>UseCors</c>.</summary>
    public static IEndpointRouteBuilder MapDirector(this IEndpointRouteBuilder endpoints)
    {
        RouteGroupBuilder api = endpoints.MapGroup("/v1").AddEndpointFilter(ApiFilter.AnswerProblemsAsync).RequireCors(CorsPolicy);
        api.MapRooms();
        api.MapNodes();
        endpoints.MapHealth();
        endpoints.MapOpenApi("/openapi/{documentName}.json").RequireCors(CorsPolicy);
        endpoints.MapScalarApiReference("/docs", page => page
            .WithTitle("Transcribe HTTP API")
            .WithOpenApiRoutePattern("/openapi/{documentName}.json")
            .DisableDefaultFonts()
            .DisableTelemetry());
        return endpoints;
    }
}
