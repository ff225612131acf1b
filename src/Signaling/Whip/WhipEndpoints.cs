using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;

namespace Transcribe.Signaling.Whip;

internal static class WhipEndpoints
{
    private const string Methods = "POST, PATCH, DELETE, OPTIONS";

    public static string SessionPath(string sessionId) => $"/v1/sessions/{sessionId}";

    public static void MapWhip(this IEndpointRouteBuilder endpoints)
    {
        RouteGroupBuilder group = endpoints.MapGroup("/v1").WithTags("WHIP and WHEP").AddEndpointFilter(async (call, next) =>
        {
            AllowAnyOrigin(call.HttpContext.Response);
            return await next(call);
        });
        group.MapPost("/whip/{room}", (HttpContext http, string room, WhipHandler whip) => whip.PublishAsync(http, room))
            .Produces<string>(StatusCodes.Status201Created, WhipHandler.SdpType)
            .WithSummary("Publish with WHIP (RFC 9725)")
            .WithDescription("The body is an SDP offer, the answer an SDP answer with all candidates. Location is the session: PATCH trickles or restarts ICE, DELETE ends it.");
        group.MapPost("/whep/{room}", (HttpContext http, string room, WhipHandler whip) => whip.WatchAsync(http, room, null))
            .Produces<string>(StatusCodes.Status201Created, WhipHandler.SdpType)
            .WithSummary("Watch whoever publishes first, with WHEP");
        group.MapPost("/whep/{room}/{participant}", (HttpContext http, string room, string participant, WhipHandler whip) => whip.WatchAsync(http, room, participant))
            .Produces<string>(StatusCodes.Status201Created, WhipHandler.SdpType)
            .WithSummary("Watch one participant, with WHEP");
        group.MapPatch("/sessions/{session}", (HttpContext http, string session, WhipHandler whip) => whip.PatchAsync(http, session))
            .Produces(StatusCodes.Status204NoContent)
            .Produces<string>(StatusCodes.Status200OK, WhipHandler.FragmentType)
            .WithSummary("Trickle candidates (If-Match: the ETag) or restart ICE (If-Match: *)");
        group.MapDelete("/sessions/{session}", (HttpContext http, string session, WhipHandler whip) => whip.DeleteAsync(http, session))
            .Produces(StatusCodes.Status200OK)
            .WithSummary("End a WHIP or WHEP session");
        foreach (string path in (string[])["/whip/{room}", "/whep/{room}", "/whep/{room}/{participant}", "/sessions/{session}"])
            group.MapMethods(path, [HttpMethods.Options], (HttpContext http) => Preflight(http, path)).ExcludeFromDescription();
    }

    private static IResult Preflight(HttpContext http, string path)
    {
        IHeaderDictionary headers = http.Response.Headers;
        if (path.StartsWith("/sessions", StringComparison.Ordinal))
            headers["Accept-Patch"] = WhipHandler.FragmentType;
        else
            headers["Accept-Post"] = WhipHandler.SdpType;

        headers.Allow = Methods;
        headers.AccessControlAllowMethods = Methods;
        headers.AccessControlAllowHeaders = "Authorization, Content-Type, If-Match";
        headers.AccessControlMaxAge = "86400";
        return Results.NoContent();
    }

    /// <summary>Any page may publish and watch: what counts is the token, and no cookie is ever read.</summary>
    private static void AllowAnyOrigin(HttpResponse response)
    {
        response.Headers.AccessControlAllowOrigin = "*";
        response.Headers.AccessControlExposeHeaders = "Location, ETag, Link, Accept-Patch, Accept-Post, Retry-After, WWW-Authenticate";
    }
}
