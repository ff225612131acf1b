using Transcribe.Cluster.Nodes;

namespace Transcribe.Hosting;

/// <summary>Health of the roles that have no API of their own.</summary>
internal static class RoleHealth
{
    public static void MapRoleHealth(this WebApplication app, NodeRole role)
    {
        app.MapGet("/healthz", () => Results.Ok(new { status = "ok" })).ExcludeFromDescription();
        app.MapGet("/readyz", (IClusterConnection cluster, NodeStandings standings) => Problem(cluster, standings[role]) is not { } problem
            ? Results.Ok(new { status = "ready" })
            : Results.Problem(
                problem, statusCode: StatusCodes.Status503ServiceUnavailable,
                extensions: new Dictionary<string, object?> { ["code"] = "not_ready" })).ExcludeFromDescription();
    }

    private static string? Problem(IClusterConnection cluster, NodeStanding standing) =>
        !cluster.IsConnected ? "Redis does not answer. What runs goes on; nothing new is taken."
        : standing.IsDraining ? "This node is being drained; another one takes what is new."
        : null;
}
