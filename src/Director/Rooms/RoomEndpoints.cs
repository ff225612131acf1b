using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Transcribe.Cluster.Nodes;
using Transcribe.Cluster.Placement;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Tokens;
using Transcribe.Cluster.Transcripts;
using Transcribe.Director.Http;
using Transcribe.Director.Nodes;
using Transcribe.Director.Transcripts;

namespace Transcribe.Director.Rooms;

/// <summary>Tokens, joining, rooms, transcription and transcripts.</summary>
internal sealed class RoomApi(
    DirectorOptions options,
    CallerReader callers,
    ApiKeyRing keys,
    IAccessTokenMinter minter,
    IRoomDirectory rooms,
    ITranscriptStore transcripts,
    INodeSelector nodes,
    HubUrls hubs,
    IIceServers iceServers,
    TimeProvider time)
{
    /// <summary>About as long as a new node takes to be there.</summary>
    private static readonly TimeSpan CapacityRetryAfter = TimeSpan.FromSeconds(5);

    public async Task<IResult> CreateTokenAsync(HttpContext http, string room)
    {
        RequireRoom(room);
        Caller caller = callers.Read(http, room);
        TokenRequest request = await JsonBody.ReadAsync<TokenRequest>(http, options.MaxBodyBytes);
        (bool publishData, IReadOnlyList<string> labels) = ReadLabels(request.PublishData);
        var grants = new Grants
        {
            Publish = request.Publish,
            Subscribe = request.Subscribe,
            PublishData = publishData,
            PublishDataLabels = labels,
            Hidden = request.Hidden,
            Admin = request.Admin,
        };
        if (!caller.IsAdmin)
            throw ApiProblem.Forbidden("The token does not grant \"admin\"; only admins and apps make tokens.");

        if (!caller.IsApp && (grants.Hidden || grants.PublishDataLabels.Any(Grants.ReservedLabels.Contains)))
            throw ApiProblem.Forbidden("An admin cannot grant \"hidden\" or a reserved data label; use the API key.");

        return Results.Ok(Mint(room, request.Participant, request.Name, grants, request.TtlSeconds));
    }

    public async Task<IResult> CreateDevelopmentTokenAsync(HttpContext http)
    {
        if (!keys.IsDevelopment)
            throw ApiProblem.NotFound("Development tokens exist only while the server runs with the random development key. Use POST /v1/rooms/{room}/tokens with your API key.");

        DevelopmentTokenRequest request = await JsonBody.ReadAsync<DevelopmentTokenRequest>(http, options.MaxBodyBytes);
        RequireRoom(request.Room);
        var grants = new Grants { Publish = true, Subscribe = true, PublishData = true, Admin = true };
        string? name = string.IsNullOrWhiteSpace(request.Name) ? null : request.Name.Trim();
        return Results.Ok(Mint(request.Room, request.Participant ?? NewIdentity(name), name, grants, ttlSeconds: null));
    }

    public async Task<IResult> JoinAsync(HttpContext http, string? region)
    {
        AccessToken token = callers.ReadBearer(http);
        if (region is not null && !RoomNames.IsRoom(region, out _))
            throw ApiProblem.BadRequest("\"region\" is not the name of a region; GET /v1/nodes lists them. Leave it out where you do not know it.");

        // First the hub: without one the node would be kept for nothing.
        (string hub, IReadOnlyList<string>? all) = await hubs.ForAsync(http.Request, region);
        var request = new PlacementRequest(token.Room, PlacementRequest.RoleOf(token.Grants), token.Participant, region, Reserve: true);
        NodeInfo? node = await nodes.SelectSfuAsync(request, http.RequestAborted);
        if (node is null)
        {
            throw new ApiProblem(
                StatusCodes.Status503ServiceUnavailable, "no_capacity", "No media server has room for one more; try again in a few seconds, or add nodes.")
            {
                RetryAfter = CapacityRetryAfter,
            };
        }

        return Results.Ok(new JoinInfo(token.Room, token.Participant, hub, node.Id, iceServers.For(token.Participant), all));
    }

    public async Task<IResult> ListAsync(HttpContext http)
    {
        Caller caller = callers.Read(http, room: null);
        if (caller.Token is not { } token)
            return Results.Ok(new RoomList(await rooms.ListAsync(http.RequestAborted)));

        RequireAdmin(caller);
        RoomSummary? own = await rooms.GetSummaryAsync(token.Room, http.RequestAborted);
        return Results.Ok(new RoomList(own is null ? [] : [own]));
    }

    public async Task<IResult> CloseAsync(HttpContext http, string room)
    {
        RequireRoom(room);
        RequireAdmin(callers.Read(http, room));
        return await rooms.CloseAsync(room, "closed", http.RequestAborted)
            ? Results.NoContent()
            : throw ApiProblem.NotFound($"Nobody is in room \"{room}\".");
    }

    public async Task<IResult> GetTranscriptionAsync(HttpContext http, string room)
    {
        RequireRoom(room);
        callers.Read(http, room);
        return Results.Ok(await rooms.GetTranscriptionAsync(room, http.RequestAborted));
    }

    public async Task<IResult> SetTranscriptionAsync(HttpContext http, string room)
    {
        RequireRoom(room);
        RequireAdmin(callers.Read(http, room));
        TranscriptionRequest request = await JsonBody.ReadAsync<TranscriptionRequest>(http, options.MaxBodyBytes);
        if (!options.Engines.Contains(request.Engine, StringComparer.Ordinal))
            throw ApiProblem.BadRequest($"There is no engine \"{Shown(request.Engine)}\"; use one of: {string.Join(", ", options.Engines)}.");

        if (!IsLanguage(request.Language))
            throw ApiProblem.BadRequest($"\"{Shown(request.Language)}\" is not a language tag; use one like \"en\" or \"de-AT\", or \"auto\".");

        return Results.Ok(await rooms.SetTranscriptionAsync(room, request.Enabled, request.Engine, request.Language, http.RequestAborted));
    }

    public async Task<IResult> GetTranscriptAsync(HttpContext http, string room, string? format, string? after)
    {
        RequireRoom(room);
        if (callers.Read(http, room).Token is { Grants: { Subscribe: false, Admin: false } })
            throw ApiProblem.Forbidden("The token grants neither \"subscribe\" nor \"admin\"; ask your app for another one.");

        long afterSequence = 0;
        if (after is not null && (!long.TryParse(after, System.Globalization.NumberStyles.None, null, out afterSequence)))
            throw ApiProblem.BadRequest("\"after\" is not a sequence number.");

        if (format is not (null or "json" or "vtt" or "srt" or "txt"))
            throw ApiProblem.BadRequest($"There is no format \"{Shown(format)}\"; use json, vtt, srt or txt.");

        TranscriptDocument document = TranscriptFormatter.Document(room, await transcripts.ReadAsync(room, afterSequence, cancellationToken: http.RequestAborted));
        return format switch
        {
            "vtt" => Results.Text(TranscriptFormatter.WebVtt(document), "text/vtt", Encoding.UTF8),
            "srt" => Results.Text(TranscriptFormatter.SubRip(document), "application/x-subrip", Encoding.UTF8),
            "txt" => Results.Text(TranscriptFormatter.Plain(document), "text/plain", Encoding.UTF8),
            _ => Results.Ok(document),
        };
    }

    private static void RequireRoom(string room)
    {
        if (!RoomNames.IsRoom(room, out string? problem))
            throw ApiProblem.BadRequest(problem, "room_name_invalid");
    }

    private static void RequireAdmin(Caller caller)
    {
        if (!caller.IsAdmin)
            throw ApiProblem.Forbidden("The token does not grant \"admin\"; ask your app for one that does.");
    }

    private static bool IsLanguage(string tag) =>
        tag == "auto" || (tag.Length <= 35 && tag.Split('-') is [{ Length: 2 or 3 } language, .. var rest] && language.All(char.IsAsciiLetter)
            && rest.All(part => part.Length is >= 1 and <= 8 && part.All(char.IsAsciiLetterOrDigit)));

    private static (bool Any, IReadOnlyList<string> Labels) ReadLabels(JsonElement? publishData)
    {
        switch (publishData?.ValueKind)
        {
            case null or JsonValueKind.Null or JsonValueKind.True:
                return (true, []);
            case JsonValueKind.False:
                return (false, []);
            case JsonValueKind.Array:
                JsonElement[] items = [.. publishData.Value.EnumerateArray()];
                if (items.Length <= 32 && items.All(item => item.ValueKind == JsonValueKind.String && item.GetString() is { Length: > 0 and <= 64 }))
                {
                    string[] labels = [.. items.Select(item => item.GetString()!)];
                    return (labels.Contains(AccessTokenValidator.AnyLabel), [.. labels.Where(label => label != AccessTokenValidator.AnyLabel)]);
                }

                break;
        }

        throw ApiProblem.BadRequest("\"publishData\" is true, false, or a list of at most 32 data channel labels of 1 to 64 characters.");
    }

    /// <summary>An identity that is readable in logs and unlike anybody else's.</summary>
    private static string NewIdentity(string? name)
    {
        string slug = new([.. (name ?? "").ToLowerInvariant().Where(char.IsAsciiLetterOrDigit).Take(24)]);
        return $"{(slug.Length == 0 ? "guest" : slug)}-{System.Security.Cryptography.RandomNumberGenerator.GetHexString(6, lowercase: true)}";
    }

    private static string Shown(string text) => text.Length > 40 ? text[..40] + "…" : text;

    private TokenResponse Mint(string room, string participant, string? name, Grants grants, int? ttlSeconds)
    {
        if (!RoomNames.IsParticipant(participant, out string? problem) || !RoomNames.IsDisplayName(name, out problem))
            throw ApiProblem.BadRequest(problem);

        if (ttlSeconds is < 1 || ttlSeconds > AccessTokenMinter.MaxTimeToLive.TotalSeconds)
            throw ApiProblem.BadRequest($"\"ttlSeconds\" is {ttlSeconds}; use 1 to {AccessTokenMinter.MaxTimeToLive.TotalSeconds:F0}.");

        TimeSpan validity = ttlSeconds is { } seconds ? TimeSpan.FromSeconds(seconds) : AccessTokenMinter.DefaultTimeToLive;
        string token = minter.Mint(room, participant, grants, name, validity);
        var expires = DateTimeOffset.FromUnixTimeSeconds((time.GetUtcNow() + validity).ToUnixTimeSeconds());
        return new TokenResponse(token, room, participant, expires);
    }
}

internal static class RoomEndpoints
{
    public static void MapRooms(this RouteGroupBuilder group)
    {
        group.MapPost("/rooms/{room}/tokens", (HttpContext http, string room, RoomApi api) => api.CreateTokenAsync(http, room))
            .Accepts<TokenRequest>("application/json").Produces<TokenResponse>().Refuses(400, 401, 403, 413, 415)
            .WithTags("Tokens").WithSummary("Make an access token for a room")
            .WithDescription("Authorization: Basic with API key and secret, or Bearer with an admin's access token of the room. A backend can also sign tokens itself: docs/http-api.md.");
        group.MapPost("/dev/tokens", (HttpContext http, RoomApi api) => api.CreateDevelopmentTokenAsync(http))
            .Accepts<DevelopmentTokenRequest>("application/json").Produces<TokenResponse>().Refuses(400, 404, 413, 415)
            .WithTags("Tokens").WithSummary("Make a token without credentials (development keys only)");
        group.MapPost("/join", (HttpContext http, string? region, RoomApi api) => api.JoinAsync(http, region))
            .Produces<JoinInfo>().Refuses(400, 401, 503)
            .WithTags("Rooms").WithSummary("Where to go with an access token: hub, node, ICE servers")
            .WithDescription("region: the one the client is near to. 503 \"no_capacity\", with Retry-After: every media server is full or draining.");
        group.MapGet("/rooms", (HttpContext http, RoomApi api) => api.ListAsync(http))
            .Produces<RoomList>().Refuses(401, 403)
            .WithTags("Rooms").WithSummary("Rooms with somebody in them");
        group.MapDelete("/rooms/{room}", (HttpContext http, string room, RoomApi api) => api.CloseAsync(http, room))
            .Produces(StatusCodes.Status204NoContent).Refuses(400, 401, 403, 404)
            .WithTags("Rooms").WithSummary("Send everybody away and end the room");
        group.MapGet("/rooms/{room}/transcription", (HttpContext http, string room, RoomApi api) => api.GetTranscriptionAsync(http, room))
            .Produces<TranscriptionState>().Refuses(400, 401, 403)
            .WithTags("Transcription").WithSummary("Whether a room is transcribed, and by what");
        group.MapPut("/rooms/{room}/transcription", (HttpContext http, string room, RoomApi api) => api.SetTranscriptionAsync(http, room))
            .Accepts<TranscriptionRequest>("application/json").Produces<TranscriptionState>().Refuses(400, 401, 403, 413, 415)
            .WithTags("Transcription").WithSummary("Switch transcription on or off");
        group.MapGet("/rooms/{room}/transcript", (HttpContext http, string room, string? format, string? after, RoomApi api) => api.GetTranscriptAsync(http, room, format, after))
            .Produces<TranscriptDocument>().Refuses(400, 401, 403)
            .WithTags("Transcription").WithSummary("What was said, as JSON, WebVTT, SubRip or text")
            .WithDescription("format: json (default), vtt, srt, txt. after: only segments after this sequence number.");
    }
}
