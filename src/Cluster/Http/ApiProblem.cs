using System.Globalization;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.WebUtilities;

namespace Transcribe.Cluster.Http;

/// <summary>A refusal over HTTP: RFC 9457 problem details with a machine-readable <c>code</c>.</summary>
/// <param name="status">The HTTP status. 503 goes with a Retry-After of <see cref="RetryAfter"/>.</param>
/// <param name="message">A sentence that says what is wrong and what to do.</param>
public sealed class ApiProblem(int status, string code, string message) : Exception(message)
{
    public string Code { get; } = code;

    /// <summary>What a 503 tells the client to wait. Default 2 s.</summary>
    public TimeSpan RetryAfter { get; init; } = TimeSpan.FromSeconds(2);

    public static ApiProblem BadRequest(string message, string code = "bad_request") => new(StatusCodes.Status400BadRequest, code, message);

    public static ApiProblem Forbidden(string message, string code = "not_granted") => new(StatusCodes.Status403Forbidden, code, message);

    public static ApiProblem NotFound(string message, string code = "not_found") => new(StatusCodes.Status404NotFound, code, message);

    /// <summary>503 while Redis is away. The exception's own message names addresses and is for the log.</summary>
    public static ApiProblem Unavailable() =>
        new(StatusCodes.Status503ServiceUnavailable, "unavailable", "The cluster's store is away for the moment; running calls go on. Try again in a few seconds.");

    /// <summary>The answer; counted among the <see cref="Refusals"/>.</summary>
    /// <param name="surface">See <see cref="Refusals.Count"/>.</param>
    public IResult ToResult(string surface)
    {
        Refusals.Count(surface, Code);
        IResult problem = Results.Problem(
            detail: Message,
            statusCode: status,
            title: ReasonPhrases.GetReasonPhrase(status),
            type: "about:blank",
            extensions: new Dictionary<string, object?> { ["code"] = Code });
        return status == StatusCodes.Status503ServiceUnavailable ? new Later(problem, RetryAfter) : problem;
    }

    private sealed class Later(IResult problem, TimeSpan after) : IResult
    {
        public Task ExecuteAsync(HttpContext httpContext)
        {
            httpContext.Response.Headers.RetryAfter = Math.Ceiling(after.TotalSeconds).ToString(CultureInfo.InvariantCulture);
            return problem.ExecuteAsync(httpContext);
        }
    }
}
