using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.WebUtilities;
using Transcribe.Cluster;

namespace Transcribe.Director.Http;

/// <summary>A refusal: RFC 9457 problem details with a machine-readable <c>code</c>.</summary>
/// <param name="message">A sentence that says what is wrong and what to do.</param>
internal sealed class ApiProblem(int status, string code, string message) : Exception(message)
{
    public static ApiProblem BadRequest(string message, string code = "bad_request") => new(StatusCodes.Status400BadRequest, code, message);

    public static ApiProblem Forbidden(string message, string code = "not_granted") => new(StatusCodes.Status403Forbidden, code, message);

    public static ApiProblem NotFound(string message) => new(StatusCodes.Status404NotFound, "not_found", message);

    public IResult ToResult()
    {
        Refusals.Count("api", code);
        return Results.Problem(
            detail: Message,
            statusCode: status,
            title: ReasonPhrases.GetReasonPhrase(status),
            type: "about:blank",
            extensions: new Dictionary<string, object?> { ["code"] = code });
    }
}
