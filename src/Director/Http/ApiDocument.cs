using Microsoft.AspNetCore.OpenApi;
using Microsoft.OpenApi;

namespace Transcribe.Director.Http;

/// <summary>What the OpenAPI document says beyond the endpoints.</summary>
internal static class ApiDocument
{
    public static void Configure(OpenApiOptions options)
    {
        options.OpenApiVersion = OpenApiSpecVersion.OpenApi3_1;
        options.AddDocumentTransformer((document, _, _) =>
        {
            document.Info = new OpenApiInfo
            {
                Title = "Transcribe HTTP API",
                Version = "v1",
                Description = "Tokens, rooms, transcription and transcripts, and media by WHIP and WHEP. Errors are RFC 9457 problem details with a \"code\".",
                License = new OpenApiLicense { Name = "MIT", Identifier = "MIT" },
            };
            document.Components ??= new OpenApiComponents();
            document.Components.SecuritySchemes = new Dictionary<string, IOpenApiSecurityScheme>(StringComparer.Ordinal)
            {
                ["apiKey"] = new OpenApiSecurityScheme
                {
                    Type = SecuritySchemeType.Http,
                    Scheme = "basic",
                    Description = "API key and its secret.",
                },
                ["accessToken"] = new OpenApiSecurityScheme
                {
                    Type = SecuritySchemeType.Http,
                    Scheme = "bearer",
                    BearerFormat = "JWT",
                    Description = "An access token of the room (HS256).",
                },
            };
            return Task.CompletedTask;
        });
        options.AddOperationTransformer((operation, context, _) =>
        {
            string path = context.Description.RelativePath ?? "";
            bool operators = path.StartsWith("v1/nodes", StringComparison.Ordinal) || path == "v1/rooms/{room}/move";
            bool basic = operators || path.StartsWith("v1/rooms", StringComparison.Ordinal);
            bool bearer = !operators && path.StartsWith("v1/", StringComparison.Ordinal) && path != "v1/dev/tokens";
            operation.Security = [];
            if (basic)
                operation.Security.Add(new OpenApiSecurityRequirement { [new OpenApiSecuritySchemeReference("apiKey", context.Document)] = [] });

            if (bearer)
                operation.Security.Add(new OpenApiSecurityRequirement { [new OpenApiSecuritySchemeReference("accessToken", context.Document)] = [] });

            // WHIP and WHEP read their body themselves, so that a wrong type is refused with CORS headers.
            if (BodyType(context.Description.HttpMethod, path) is { } type)
            {
                operation.RequestBody = new OpenApiRequestBody
                {
                    Required = true,
                    Content = new Dictionary<string, OpenApiMediaType>(StringComparer.Ordinal)
                    {
                        [type] = new() { Schema = new OpenApiSchema { Type = JsonSchemaType.String } },
                    },
                };
            }

            return Task.CompletedTask;
        });
    }

    private static string? BodyType(string? method, string path) => (method, path) switch
    {
        ("POST", _) when path.StartsWith("v1/whip/", StringComparison.Ordinal) || path.StartsWith("v1/whep/", StringComparison.Ordinal) => "application/sdp",
        ("PATCH", _) when path.StartsWith("v1/sessions/", StringComparison.Ordinal) => "application/trickle-ice-sdpfrag",
        _ => null,
    };
}
