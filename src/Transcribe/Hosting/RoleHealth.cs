using Transcribe.Cluster.Nodes;

namespace Transcribe.Hosting;

/// <summary>Health of the roles that have no API of their own.</summary>
internal static class RoleHealth
{
    public static void MapRoleHealth(this WebApplication app)
    {
        app.MapGet("/healthz", () => Results.Ok(new { status = "ok" })).ExcludeFromDescription();
        app.MapGet("/readyz", (IClusterConnection cluster) => cluster.IsConnected
            ? Results.Ok(new { status = "ready" })
            : Results.Problem(
                "Redis does not answer. What runs goes on; nothing new is taken.", statusCode: StatusCodes.Status503ServiceUnavailable,
                extensions: new Dictionary<string, object?> { ["code"] = "not_ready" })).ExcludeFromDescription();
    }
}
