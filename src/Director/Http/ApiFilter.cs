using Microsoft.AspNetCore.Http;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Http;
using Transcribe.Cluster.State;

namespace Transcribe.Director.Http;

internal static class ApiFilter
{
    /// <summary>Answers an endpoint's <see cref="ApiProblem"/>.</summary>
    public static async ValueTask<object?> AnswerProblemsAsync(EndpointFilterInvocationContext call, EndpointFilterDelegate next)
    {
        // Tokens and transcripts are nobody else's.
        call.HttpContext.Response.Headers.CacheControl = "no-store";
        try
        {
            return await next(call);
        }
        catch (ApiProblem problem)
        {
            return problem.ToResult("api");
        }
        catch (ClusterUnavailableException)
        {
            return ApiProblem.Unavailable().ToResult("api");
        }
        catch (BusException e) when (e.Code == BusException.Unavailable)
        {
            return ApiProblem.Unavailable().ToResult("api");
        }
    }
}
