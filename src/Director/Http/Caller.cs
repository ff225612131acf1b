using System.Text;
using Microsoft.AspNetCore.Http;
using Transcribe.Cluster.Tokens;

namespace Transcribe.Director.Http;

/// <summary>Who calls: an app with its API key (HTTP Basic), or the bearer of an access token.</summary>
/// <param name="Token">Null for an app, which may do everything.</param>
internal sealed record Caller(AccessToken? Token)
{
    public bool IsApp => Token is null;

    public bool IsAdmin => Token?.Grants.Admin ?? true;
}

internal sealed class CallerReader(ApiKeyRing keys, IAccessTokenValidator tokens)
{
    private const string Fix = "Send \"Authorization: Basic\" with API key and secret, or \"Authorization: Bearer\" with an access token.";

    /// <param name="room">The room that a token must be for; null for any.</param>
    /// <exception cref="ApiProblem">401 without good credentials, 403 for a token of another room.</exception>
    public Caller Read(HttpContext http, string? room)
    {
        string header = http.Request.Headers.Authorization.ToString();
        if (TryCut(header, "Basic ", out string basic))
            return ReadBasic(http, basic);

        if (TryCut(header, "Bearer ", out string jwt))
            return new Caller(ReadToken(http, jwt, room));

        http.Response.Headers.WWWAuthenticate = "Basic realm=\"transcribe\", Bearer";
        throw Unauthorized("credentials_missing", $"There are no credentials. {Fix}");
    }

    /// <exception cref="ApiProblem">401 without a good access token.</exception>
    public AccessToken ReadBearer(HttpContext http)
    {
        if (TryCut(http.Request.Headers.Authorization.ToString(), "Bearer ", out string jwt))
            return ReadToken(http, jwt, null);

        http.Response.Headers.WWWAuthenticate = "Bearer";
        throw Unauthorized("credentials_missing", "There is no access token. Send \"Authorization: Bearer\" with one.");
    }

    private static bool TryCut(string header, string scheme, out string rest)
    {
        bool found = header.StartsWith(scheme, StringComparison.OrdinalIgnoreCase);
        rest = found ? header[scheme.Length..].Trim() : "";
        return found;
    }

    private static ApiProblem Unauthorized(string code, string message) => new(StatusCodes.Status401Unauthorized, code, message);

    private Caller ReadBasic(HttpContext http, string encoded)
    {
        byte[] buffer = new byte[encoded.Length];
        if (Convert.TryFromBase64String(encoded, buffer, out int length))
        {
            string[] parts = Encoding.UTF8.GetString(buffer, 0, length).Split(':', 2);
            if (parts.Length == 2 && keys.Matches(parts[0], parts[1]))
                return new Caller(Token: null);
        }

        http.Response.Headers.WWWAuthenticate = "Basic realm=\"transcribe\"";
        throw Unauthorized("api_key_invalid", "The API key or its secret is wrong.");
    }

    private AccessToken ReadToken(HttpContext http, string jwt, string? room)
    {
        if (tokens.TryValidate(jwt, room, out AccessToken? token, out TokenError? error))
            return token;

        if (error.Code == TokenErrors.WrongRoom)
            throw ApiProblem.Forbidden(error.Message, error.Code);

        http.Response.Headers.WWWAuthenticate = "Bearer error=\"invalid_token\"";
        throw Unauthorized(error.Code, error.Message);
    }
}
