using System.Text.Json;
using Microsoft.AspNetCore.Http;
using Transcribe.Cluster;

namespace Transcribe.Director.Http;

/// <summary>Reads JSON bodies; whatever is wrong becomes a problem with a sentence.</summary>
internal static class JsonBody
{
    /// <exception cref="ApiProblem">Wrong type, too long, or not the JSON that is wanted.</exception>
    public static async Task<T> ReadAsync<T>(HttpContext http, int maxBytes)
        where T : class
    {
        if (!http.Request.HasJsonContentType())
        {
            http.Response.Headers["Accept-Post"] = "application/json";
            throw new ApiProblem(StatusCodes.Status415UnsupportedMediaType, "unsupported_media_type", $"The Content-Type is \"{http.Request.ContentType}\"; send application/json.");
        }

        byte[] buffer = new byte[Math.Min(http.Request.ContentLength ?? maxBytes, maxBytes) + 1];
        int length = await http.Request.Body.ReadAtLeastAsync(buffer, buffer.Length, throwOnEndOfStream: false, http.RequestAborted);
        if (length > maxBytes || http.Request.ContentLength > maxBytes)
            throw new ApiProblem(StatusCodes.Status413PayloadTooLarge, "too_large", $"The body is too long; at most {maxBytes} bytes are taken.");

        try
        {
            return JsonSerializer.Deserialize<T>(buffer.AsSpan(0, length), ClusterJson.InputOptions)
                ?? throw ApiProblem.BadRequest("The body is null; send a JSON object.");
        }
        catch (JsonException e)
        {
            string where = e.Path is { Length: > 1 } path ? $" See {path}." : "";
            throw ApiProblem.BadRequest($"The body is not the JSON object that is wanted: {Reason(e)}.{where} The form is in /docs.", "malformed_json");
        }
        catch (InvalidOperationException)
        {
            throw ApiProblem.BadRequest("The body has text that is not Unicode.", "malformed_json");
        }
    }

    private static string Reason(JsonException e)
    {
        if (e.Message.Contains("missing required", StringComparison.Ordinal))
            return "a member that must be there is missing";

        return e.InnerException is JsonException || e.InnerException?.GetType().Name == "JsonReaderException"
            ? $"it is not JSON (line {(e.LineNumber ?? 0) + 1}, byte {e.BytePositionInLine ?? 0})"
            : "a member has the wrong type";
    }
}
