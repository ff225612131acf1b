using System.Buffers.Text;
using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;
using Transcribe.Cluster.Rooms;

namespace Transcribe.Cluster.Tokens;

/// <summary>Validates access tokens against the key ring: HS256 and nothing else, signature before content.</summary>
public sealed class AccessTokenValidator : IAccessTokenValidator
{
    /// <summary>A longer token is refused unread.</summary>
    public const int MaxTokenLength = 4096;

    /// <summary>In a list of <c>publishData</c> labels: every label but the reserved ones.</summary>
    public const string AnyLabel = "*";

    private const int MaxLabels = 32;
    private const int MaxLabelLength = 64;

    /// <summary>How far <c>nbf</c> may lie ahead: clocks differ. <c>exp</c> gets no such grace.</summary>
    private static readonly TimeSpan NotBeforeTolerance = TimeSpan.FromSeconds(60);

    private readonly TimeProvider _time;
    private readonly JsonWebTokenHandler _handler = new() { MaximumTokenSizeInBytes = MaxTokenLength };
    private readonly TokenValidationParameters _parameters;

    public AccessTokenValidator(ApiKeyRing keys, TimeProvider time)
    {
        _time = time;
        _parameters = new TokenValidationParameters
        {
            ValidAlgorithms = [SecurityAlgorithms.HmacSha256],
            RequireSignedTokens = true,
            TryAllIssuerSigningKeys = false,
            IssuerSigningKeyResolver = (_, token, _, _) =>
                keys.TryGet(token.Issuer, out ApiKey? key) ? [key.ToSecurityKey()] : [],

            // The issuer is proven by its signature. There is no audience. Lifetime is checked here, by our clock.
            ValidateIssuer = false,
            ValidateAudience = false,
            ValidateLifetime = false,
            RequireExpirationTime = false,
        };
    }

    public bool TryValidate(
        string? jwt, string? room, [NotNullWhen(true)] out AccessToken? token, [NotNullWhen(false)] out TokenError? error)
    {
        token = null;
        error = Read(jwt, out AccessToken? read);
        if (error is not null || read is null)
        {
            error ??= Invalid("it cannot be read");
            return false;
        }

        if (room is not null && read.Room != room)
        {
            error = new(TokenErrors.WrongRoom, $"The token is for room \"{read.Room}\", not \"{room}\"; ask your app for one for this room.");
            return false;
        }

        token = read;
        return true;
    }

    private static TokenError Invalid(string why) =>
        new(TokenErrors.Invalid, $"The access token is refused: {why}. Ask your app for a new one.");

    private TokenError? Read(string? jwt, out AccessToken? token)
    {
        token = null;
        if (string.IsNullOrEmpty(jwt))
            return Invalid("there is none");

        if (jwt.Length > MaxTokenLength)
            return Invalid($"it has more than {MaxTokenLength} characters");

        // Two dots: a signed token. Four would be an encrypted one, whose content nobody has signed.
        if (jwt.Count(c => c == '.') != 2)
            return Invalid("it is not a signed JWT");

        TokenValidationResult result = _handler.ValidateTokenAsync(jwt, _parameters).GetAwaiter().GetResult();
        if (!result.IsValid || result.SecurityToken is not JsonWebToken parsed)
            return Invalid("it is not signed with HS256 by an API key of this server");

        if (parsed.TryGetHeaderValue("crit", out object? _))
            return Invalid("its header demands an extension (\"crit\") that is not supported");

        try
        {
            using JsonDocument payload = JsonDocument.Parse(Base64Url.DecodeFromChars(parsed.EncodedPayload));
            return ReadClaims(payload.RootElement, parsed.Issuer, out token);
        }
        catch (Exception e) when (e is JsonException or FormatException or InvalidOperationException)
        {
            return Invalid("its payload is not well-formed JSON");
        }
    }

    private TokenError? ReadClaims(JsonElement claims, string apiKey, out AccessToken? token)
    {
        token = null;
        if (!TryTime(claims, "exp", out DateTimeOffset? expires) || expires is null)
            return Invalid("it has no expiry (\"exp\", seconds since 1970)");

        DateTimeOffset now = _time.GetUtcNow();
        if (expires <= now)
            return new(TokenErrors.Expired, $"The access token expired at {expires:yyyy-MM-dd HH:mm:ss} UTC; ask your app for a new one.");

        if (!TryTime(claims, "nbf", out DateTimeOffset? notBefore))
            return Invalid("\"nbf\" is not a number of seconds since 1970");

        if (notBefore > now + NotBeforeTolerance)
            return Invalid($"it is not valid before {notBefore:yyyy-MM-dd HH:mm:ss} UTC");

        if (!TryText(claims, "room", out string? room) || !RoomNames.IsRoom(room, out _))
            return Invalid("its \"room\" is missing or not a room name");

        if (!TryText(claims, "sub", out string? participant) || !RoomNames.IsParticipant(participant, out _))
            return Invalid("its \"sub\" (the participant's identity) is missing or not allowed");

        if (!TryText(claims, "name", out string? name) || !RoomNames.IsDisplayName(name, out _))
            return Invalid("its \"name\" is not a name of at most 128 characters");

        if (!TryFlag(claims, "publish", out bool publish) || !TryFlag(claims, "subscribe", out bool subscribe)
            || !TryFlag(claims, "hidden", out bool hidden) || !TryFlag(claims, "admin", out bool admin))
        {
            return Invalid("the grants publish, subscribe, hidden and admin are true or false");
        }

        if (!TryLabels(claims, out bool publishData, out IReadOnlyList<string> labels))
            return Invalid($"\"publishData\" is true, false or a list of at most {MaxLabels} channel labels");

        var grants = new Grants
        {
            Publish = publish,
            Subscribe = subscribe,
            PublishData = publishData,
            PublishDataLabels = labels,
            Hidden = hidden,
            Admin = admin,
        };
        token = new AccessToken(apiKey, participant, room, name, grants, expires.Value);
        return null;
    }

    /// <summary>False for a claim that is there and no NumericDate (RFC 7519 §2); a missing one is null.</summary>
    private static bool TryTime(JsonElement claims, string name, out DateTimeOffset? value)
    {
        value = null;
        if (!claims.TryGetProperty(name, out JsonElement element))
            return true;

        // Up to the year 9999, which DateTimeOffset can say.
        if (element.ValueKind != JsonValueKind.Number || !element.TryGetDouble(out double seconds) || seconds is not (>= 0 and < 253_402_300_799))
            return false;

        value = DateTimeOffset.UnixEpoch.AddSeconds(seconds);
        return true;
    }

    private static bool TryText(JsonElement claims, string name, out string? value)
    {
        value = null;
        if (!claims.TryGetProperty(name, out JsonElement element) || element.ValueKind == JsonValueKind.Null)
            return true;

        if (element.ValueKind != JsonValueKind.String)
            return false;

        try
        {
            value = element.GetString();
            return true;
        }
        catch (InvalidOperationException)
        {
            // A lone surrogate escape ("\ud800") is valid JSON and no text.
            return false;
        }
    }

    private static bool TryFlag(JsonElement claims, string name, out bool value)
    {
        value = false;
        if (!claims.TryGetProperty(name, out JsonElement element))
            return true;

        value = element.ValueKind == JsonValueKind.True;
        return element.ValueKind is JsonValueKind.True or JsonValueKind.False;
    }

    private static bool TryLabels(JsonElement claims, out bool any, out IReadOnlyList<string> labels)
    {
        labels = [];
        if (!claims.TryGetProperty("publishData", out JsonElement element) || element.ValueKind != JsonValueKind.Array)
            return TryFlag(claims, "publishData", out any);

        any = false;
        if (element.GetArrayLength() > MaxLabels)
            return false;

        var read = new List<string>();
        foreach (JsonElement item in element.EnumerateArray())
        {
            if (item.ValueKind != JsonValueKind.String || item.GetString() is not { Length: > 0 and <= MaxLabelLength } label)
                return false;

            if (label == AnyLabel)
                any = true;
            else
                read.Add(label);
        }

        labels = read;
        return true;
    }
}
