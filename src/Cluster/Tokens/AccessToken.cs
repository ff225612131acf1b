namespace Transcribe.Cluster.Tokens;

/// <summary>
/// What an access token says: an HS256 JWT with the claims <c>iss</c> (API key), <c>sub</c> (participant), <c>exp</c>, <c>nbf</c>,
/// <c>room</c>, <c>name</c> and the grants. Any backend that has the key's secret can mint one.
/// </summary>
/// <param name="ApiKey">The key it is signed with.</param>
/// <param name="Participant">Identity in the room; a second session with the same one replaces the first.</param>
/// <param name="Name">Display name.</param>
public sealed record AccessToken(
    string ApiKey, string Participant, string Room, string? Name, Grants Grants, DateTimeOffset ExpiresAt);

/// <summary>Why a token was refused.</summary>
/// <param name="Code">One of <see cref="TokenErrors"/>.</param>
/// <param name="Message">A sentence that says what to do. It never contains the token.</param>
public sealed record TokenError(string Code, string Message);

public static class TokenErrors
{
    /// <summary>Not a token, not signed by a known key, or claims that make no sense.</summary>
    public const string Invalid = "token_invalid";

    public const string Expired = "token_expired";

    /// <summary>A good token, for another room.</summary>
    public const string WrongRoom = "wrong_room";
}

/// <summary>Checks access tokens. Safe for concurrent use.</summary>
public interface IAccessTokenValidator
{
    /// <param name="room">The room it must be for; null to accept whichever it names.</param>
    /// <param name="token">The token's content where the result is true.</param>
    /// <param name="error">The reason where it is false.</param>
    bool TryValidate(
        string? jwt,
        string? room,
        [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out AccessToken? token,
        [System.Diagnostics.CodeAnalysis.NotNullWhen(false)] out TokenError? error);
}

/// <summary>Makes access tokens.</summary>
public interface IAccessTokenMinter
{
    /// <summary>Signs with the ring's first key.</summary>
    /// <param name="timeToLive">Validity from now; null for the default of 6 hours.</param>
    string Mint(string room, string participant, Grants grants, string? name = null, TimeSpan? timeToLive = null);
}
