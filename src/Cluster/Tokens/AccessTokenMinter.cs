using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;
using Transcribe.Cluster.Rooms;

namespace Transcribe.Cluster.Tokens;

/// <summary>Mints access tokens with the ring's signing key.</summary>
public sealed class AccessTokenMinter(ApiKeyRing keys, TimeProvider time) : IAccessTokenMinter
{
    public static TimeSpan DefaultTimeToLive { get; } = TimeSpan.FromHours(6);

    public static TimeSpan MaxTimeToLive { get; } = TimeSpan.FromDays(30);

    private readonly JsonWebTokenHandler _handler = new() { SetDefaultTimesOnTokenCreation = false };
    private readonly SigningCredentials _credentials =
        new(keys.Signing.ToSecurityKey(), SecurityAlgorithms.HmacSha256);

    public string Mint(string room, string participant, Grants grants, string? name = null, TimeSpan? timeToLive = null)
    {
        if (!RoomNames.IsRoom(room, out string? problem) || !RoomNames.IsParticipant(participant, out problem)
            || !RoomNames.IsDisplayName(name, out problem))
        {
            throw new ArgumentException(problem);
        }

        TimeSpan validity = timeToLive ?? DefaultTimeToLive;
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(validity, TimeSpan.Zero, nameof(timeToLive));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(validity, MaxTimeToLive, nameof(timeToLive));
        DateTimeOffset now = time.GetUtcNow();
        var claims = new Dictionary<string, object>(StringComparer.Ordinal)
        {
            ["sub"] = participant,
            ["room"] = room,
            ["iat"] = now.ToUnixTimeSeconds(),
            ["exp"] = (now + validity).ToUnixTimeSeconds(),
            ["publish"] = grants.Publish,
            ["subscribe"] = grants.Subscribe,
            ["publishData"] = PublishData(grants),
        };
        if (name is not null)
            claims["name"] = name;

        if (grants.Hidden)
            claims["hidden"] = true;

        if (grants.Admin)
            claims["admin"] = true;

        return _handler.CreateToken(new SecurityTokenDescriptor
        {
            Issuer = keys.Signing.Key,
            Claims = claims,
            SigningCredentials = _credentials,
        });
    }

    private static object PublishData(Grants grants)
    {
        if (grants.PublishDataLabels.Count == 0)
            return grants.PublishData;

        return grants.PublishData ? [AccessTokenValidator.AnyLabel, .. grants.PublishDataLabels] : grants.PublishDataLabels.ToArray();
    }
}
