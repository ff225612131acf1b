using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.State;

namespace Transcribe.Director.Http;

internal sealed record Health(string Status);

internal static class HealthEndpoints
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(2);

    public static void MapHealth(this IEndpointRouteBuilder endpoints)
    {
        endpoints.MapGet("/healthz", () => Results.Ok(new Health("ok")))
            .Produces<Health>().WithTags("Health").WithSummary("Liveness: the process answers");
        endpoints.MapGet("/readyz", async (HttpContext http, IClusterConnection connection, IStateStore state, INodeDirectory nodes, NodeStandings standings) =>
                await ProblemAsync(connection, state, nodes, standings[NodeRole.Director], http.RequestAborted) is { } problem
                    ? throw new ApiProblem(StatusCodes.Status503ServiceUnavailable, "not_ready", problem)
                    : Results.Ok(new Health("ready")))
            .AddEndpointFilter(ApiFilter.AnswerProblemsAsync)
            .Produces<Health>().ProducesProblem(StatusCodes.Status503ServiceUnavailable)
            .WithTags("Health").WithSummary("Readiness: the state store answers, there is a media server, and this Director is not being drained");
    }

    private static async Task<string?> ProblemAsync(
        IClusterConnection connection, IStateStore state, INodeDirectory nodes, NodeStanding standing, CancellationToken cancellationToken)
    {
        // Requests that come all the same are answered: it is load balancers that should leave.
        if (standing.IsDraining)
            return "This Director is being drained; another one answers.";

        if (!connection.IsConnected)
            return "Redis does not answer. Calls go on; nobody can join until it is back.";

        try
        {
            await state.GetAsync("readyz", cancellationToken).AsTask().WaitAsync(Timeout, cancellationToken);
            IReadOnlyList<NodeInfo> sfus = await nodes.ListAsync(NodeRole.Sfu, cancellationToken).AsTask().WaitAsync(Timeout, cancellationToken);
            return sfus.Any(node => node.State == NodeState.Active) ? null : "No media server is there yet, or all are draining.";
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            return "The state store does not answer.";
        }
    }
}
