using System.Globalization;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.WebUtilities;
using Transcribe.Cluster;
using Transcribe.Signaling.Sessions;

namespace Transcribe.Signaling.Whip;

/// <summary>A refusal over HTTP: RFC 9457 problem details with our code.</summary>
internal sealed class HttpRefusal(int status, string code, string message) : Exception(message)
{
    private const int RetryAfterSeconds = 2;

    public string Code { get; } = code;

    public static HttpRefusal From(SessionException e) => new(
        e.Code switch
        {
            SessionException.SdpInvalid or SessionException.BadRequest => StatusCodes.Status400BadRequest,
            SessionException.TooLarge => StatusCodes.Status413PayloadTooLarge,
            SessionException.NotGranted => StatusCodes.Status403Forbidden,
            SessionException.NotFound => StatusCodes.Status404NotFound,
            SessionException.Unavailable or SessionException.RoomFull => StatusCodes.Status503ServiceUnavailable,
            _ => StatusCodes.Status500InternalServerError,
        },
        e.Code,
        e.Message);

    public IResult ToResult()
    {
        Refusals.Count("whip", Code);
        return new Refusal(
            status,
            Results.Problem(
                detail: Message,
                statusCode: status,
                title: ReasonPhrases.GetReasonPhrase(status),
                type: "about:blank",
                extensions: new Dictionary<string, object?> { ["code"] = Code }));
    }

    private sealed class Refusal(int status, IResult problem) : IResult
    {
        public Task ExecuteAsync(HttpContext httpContext)
        {
            if (status == StatusCodes.Status503ServiceUnavailable)
                httpContext.Response.Headers.RetryAfter = RetryAfterSeconds.ToString(CultureInfo.InvariantCulture);

            return problem.ExecuteAsync(httpContext);
        }
    }
}
