using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Mvc;
using Microsoft.Extensions.DependencyInjection;
using Transcribe.Cluster;

namespace Transcribe.Director.Http;

/// <summary>Problem details for what never reaches an endpoint: unknown paths, wrong methods, broken requests, failures.</summary>
public static class ProblemPages
{
    public static IServiceCollection AddProblemPages(this IServiceCollection services) => services.AddProblemDetails(options =>
        options.CustomizeProblemDetails = context =>
        {
            ProblemDetails problem = context.ProblemDetails;
            problem.Type = "about:blank";
            problem.Extensions.Remove("traceId");
            if (problem.Extensions.ContainsKey("code"))
                return;

            HttpRequest request = context.HttpContext.Request;
            (string code, string detail) = problem.Status switch
            {
                StatusCodes.Status400BadRequest => ("bad_request", "The request is malformed."),
                StatusCodes.Status404NotFound => ("not_found", $"There is nothing at {request.Path}; /docs lists what there is."),
                StatusCodes.Status405MethodNotAllowed =>
                    ("method_not_allowed", $"{request.Method} is not for {request.Path}; allowed: {context.HttpContext.Response.Headers.Allow}."),
                StatusCodes.Status413PayloadTooLarge => ("too_large", "The request body is too long."),
                StatusCodes.Status415UnsupportedMediaType => ("unsupported_media_type", "The Content-Type is not what this takes; /docs says which it is."),
                StatusCodes.Status431RequestHeaderFieldsTooLarge => ("too_large", "The request's headers are too long."),
                >= 500 => ("internal", "The server failed; its log says why. Try again."),
                _ => ("error", "The request cannot be served."),
            };
            Refusals.Count("api", code);
            problem.Extensions["code"] = code;
            problem.Detail ??= detail;
        });

    /// <summary>To be put first in the pipeline.</summary>
    public static IApplicationBuilder UseProblemPages(this IApplicationBuilder app) =>
        app.UseExceptionHandler(new ExceptionHandlerOptions
        {
            StatusCodeSelector = exception => exception is BadHttpRequestException bad ? bad.StatusCode : StatusCodes.Status500InternalServerError,
        })
            .UseStatusCodePages();
}
