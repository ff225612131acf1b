using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Microsoft.Net.Http.Headers;
using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Http;
using Transcribe.Cluster.Protocol;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Cluster.State;
using Transcribe.Cluster.Tokens;
using Transcribe.Signaling.Sessions;

namespace Transcribe.Signaling.Whip;

/// <summary>WHIP (RFC 9725) and WHEP: one offer, one answer, a resource to trickle to and to delete.</summary>
internal sealed partial class WhipHandler(
    SessionManager sessions, WhipStates states, IAccessTokenValidator tokens, SignalingOptions options, ILogger<WhipHandler> logger)
{
    public const string SdpType = "application/sdp";
    public const string FragmentType = "application/trickle-ice-sdpfrag";

    private const string Surface = "whip";

    private readonly ILogger _logger = logger;

    public Task<IResult> PublishAsync(HttpContext http, string room) => AnswerAsync(async () =>
    {
        AccessToken token = Authorize(http, room);
        if (!token.Grants.Publish)
            throw new ApiProblem(StatusCodes.Status403Forbidden, SessionException.NotGranted, "The token does not grant \"publish\"; ask your app for another one.");

        string offer = await ReadAsync(http, SdpType, options.MaxSdpLength);
        PublishedMedia[] tracks = Tracks(offer);
        if (tracks.Length == 0)
            throw new ApiProblem(StatusCodes.Status400BadRequest, SessionException.SdpInvalid, "The offer sends neither audio nor video; offer at least one sendonly m-section.");

        Presence presence = token.Grants.Hidden ? Presence.Hidden : Presence.Visible;
        return await CreateAsync(http, new SessionRequest(token, token.Grants, presence, AutoSubscribe: false), offer, tracks);
    });

    /// <param name="participant">Whom to watch; null for whoever publishes first.</param>
    public Task<IResult> WatchAsync(HttpContext http, string room, string? participant) => AnswerAsync(async () =>
    {
        AccessToken token = Authorize(http, room);
        if (!token.Grants.Subscribe)
            throw new ApiProblem(StatusCodes.Status403Forbidden, SessionException.NotGranted, "The token does not grant \"subscribe\"; ask your app for another one.");

        if (participant is not null && !RoomNames.IsParticipant(participant, out string? problem))
            throw new ApiProblem(StatusCodes.Status400BadRequest, SessionException.BadRequest, problem);

        string offer = await ReadAsync(http, SdpType, options.MaxSdpLength);
        if (!SdpMedia.Read(offer).Any(section => section.Receives))
            throw new ApiProblem(StatusCodes.Status400BadRequest, SessionException.SdpInvalid, "The offer receives neither audio nor video; offer at least one recvonly m-section.");

        var grants = new Grants { Subscribe = true, Hidden = true };
        Presence presence = token.Grants.Hidden ? Presence.Hidden : Presence.Viewer;
        return await CreateAsync(http, new SessionRequest(token, grants, presence, OnlyParticipant: participant ?? "*"), offer, []);
    });

    public Task<IResult> PatchAsync(HttpContext http, string sessionId) => AnswerAsync(async () =>
    {
        (ClientSession session, _) = await FindAsync(http, sessionId);
        string body = await ReadAsync(http, FragmentType, SdpFragment.MaxLength);
        if (!SdpFragment.TryParse(body, out SdpFragment? fragment) || fragment is null)
            throw new ApiProblem(StatusCodes.Status400BadRequest, SessionException.BadRequest, "The body is not an SDP fragment with candidates or ICE credentials (RFC 8840).");

        string match = http.Request.Headers.IfMatch.ToString().Trim();
        if (match.Length == 0)
            throw new ApiProblem(StatusCodes.Status428PreconditionRequired, "precondition_required", "Send If-Match: the ETag of the session to trickle, or * to restart ICE (RFC 9725 §4.3).");

        await session.Gate.WaitAsync(http.RequestAborted);
        try
        {
            // Another request may have restarted ICE while this one waited.
            WhipState state = await states.FindAsync(sessionId, http.RequestAborted) ?? throw NotFound();
            return match == "*"
                ? await RestartAsync(http, session, state, fragment)
                : await TrickleAsync(http, session, state, fragment, match);
        }
        finally
        {
            session.Gate.Release();
        }
    });

    public Task<IResult> DeleteAsync(HttpContext http, string sessionId) => AnswerAsync(async () =>
    {
        (ClientSession session, _) = await FindAsync(http, sessionId);
        await sessions.EndAsync(session, "left");
        return Results.Ok();
    });

    private async Task<IResult> CreateAsync(HttpContext http, SessionRequest request, string offer, PublishedMedia[] tracks)
    {
        ClientSession session = await sessions.OpenHttpAsync(request, http.RequestAborted);
        SessionNegotiated answer;
        var state = new WhipState(offer, tracks, NewETag());
        try
        {
            answer = await sessions.NegotiateAsync(session, offer, tracks, http.RequestAborted);
            await states.WriteAsync(session.Id, state, http.RequestAborted);
        }
        catch
        {
            await sessions.EndAsync(session, "left");
            throw;
        }

        HttpResponse response = http.Response;
        response.Headers.Location = $"{http.Request.PathBase}{WhipEndpoints.SessionPath(session.Id)}";
        response.Headers.ETag = state.ETag;
        response.Headers["Accept-Patch"] = FragmentType;
        foreach (string link in sessions.IceServers(session.Participant).SelectMany(Links))
            response.Headers.Append(HeaderNames.Link, link);

        return Results.Text(answer.Sdp, SdpType, Encoding.UTF8, StatusCodes.Status201Created);
    }

    private async Task<IResult> TrickleAsync(HttpContext http, ClientSession session, WhipState state, SdpFragment fragment, string match)
    {
        if (match != state.ETag)
            throw new ApiProblem(StatusCodes.Status412PreconditionFailed, "precondition_failed", "If-Match is not the session's ETag: ICE was restarted meanwhile. Use the newest ETag.");

        if (fragment.Ufrag is not null && fragment.Ufrag != Ufrag(state))
            throw new ApiProblem(StatusCodes.Status412PreconditionFailed, "precondition_failed", "The ICE credentials are not the session's. To restart ICE, send If-Match: *.");

        foreach (string candidate in fragment.Candidates)
            await sessions.TrickleAsync(session, candidate, http.RequestAborted);

        if (fragment.EndOfCandidates)
            await sessions.TrickleAsync(session, null, http.RequestAborted);

        return Results.NoContent();
    }

    private async Task<IResult> RestartAsync(HttpContext http, ClientSession session, WhipState state, SdpFragment fragment)
    {
        if (fragment.Ufrag is null || fragment.Pwd is null || fragment.Ufrag == Ufrag(state))
            throw new ApiProblem(StatusCodes.Status400BadRequest, SessionException.BadRequest, "If-Match: * restarts ICE; the fragment must then have a new ice-ufrag and ice-pwd.");

        // Nothing but ICE changes, so the offer with new credentials is what the client would offer.
        string offer = SdpMedia.WithIce(state.Offer, fragment.Ufrag, fragment.Pwd);
        SessionNegotiated answer = await sessions.NegotiateAsync(session, offer, state.Tracks, http.RequestAborted);
        var restarted = new WhipState(offer, state.Tracks, NewETag());
        await states.WriteAsync(session.Id, restarted, http.RequestAborted);
        foreach (string candidate in fragment.Candidates)
            await sessions.TrickleAsync(session, candidate, http.RequestAborted);

        http.Response.Headers.ETag = restarted.ETag;
        return Results.Text(SdpFragment.FromAnswer(answer.Sdp), FragmentType, Encoding.UTF8);
    }

    private AccessToken Authorize(HttpContext http, string? room)
    {
        if (room is not null && !RoomNames.IsRoom(room, out string? problem))
            throw new ApiProblem(StatusCodes.Status400BadRequest, SessionException.BadRequest, problem);

        if (tokens.TryValidate(Bearer(http), room, out AccessToken? token, out TokenError? error))
            return token;

        throw Unauthorized(http, error);
    }

    /// <summary>The session, from whichever signalling node has it.</summary>
    private async Task<(ClientSession Session, WhipState State)> FindAsync(HttpContext http, string sessionId)
    {
        bool valid = tokens.TryValidate(Bearer(http), null, out AccessToken? token, out TokenError? error);

        // A session may outlive its token. "Expired" is said of well-signed tokens only, and the session's id is a secret.
        if (!valid && error!.Code != TokenErrors.Expired)
            throw Unauthorized(http, error);

        if (await states.FindAsync(sessionId, http.RequestAborted) is not { } state
            || await sessions.FindHttpAsync(sessionId, http.RequestAborted) is not { Ended: false } session
            || (token is not null && (token.Room != session.Room || token.Participant != session.Participant)))
        {
            throw NotFound();
        }

        return (session, state);
    }

    private static ApiProblem NotFound() =>
        ApiProblem.NotFound("There is no such session (any more); POST a new offer.", SessionException.NotFound);

    private static string? Ufrag(WhipState state) => SdpMedia.FirstAttribute(state.Offer, "ice-ufrag");

    private static ApiProblem Unauthorized(HttpContext http, TokenError error)
    {
        if (error.Code == TokenErrors.WrongRoom)
            return new ApiProblem(StatusCodes.Status403Forbidden, error.Code, error.Message);

        http.Response.Headers.WWWAuthenticate = Bearer(http) is null ? "Bearer" : "Bearer error=\"invalid_token\"";
        return new ApiProblem(StatusCodes.Status401Unauthorized, error.Code, error.Message);
    }

    private static string? Bearer(HttpContext http)
    {
        string header = http.Request.Headers.Authorization.ToString();
        return header.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase) ? header["Bearer ".Length..].Trim() : null;
    }

    private static async Task<string> ReadAsync(HttpContext http, string type, int maxLength)
    {
        string? sent = http.Request.ContentType?.Split(';')[0].Trim();
        if (!string.Equals(sent, type, StringComparison.OrdinalIgnoreCase))
        {
            http.Response.Headers[type == SdpType ? "Accept-Post" : "Accept-Patch"] = type;
            throw new ApiProblem(StatusCodes.Status415UnsupportedMediaType, "unsupported_media_type", $"The Content-Type is \"{sent}\"; send {type}.");
        }

        var tooLong = new ApiProblem(StatusCodes.Status413PayloadTooLarge, SessionException.TooLarge, $"The body is too long; at most {maxLength} bytes are taken.");
        if (http.Request.ContentLength > maxLength)
            throw tooLong;

        byte[] buffer = new byte[maxLength + 1];
        int length = await http.Request.Body.ReadAtLeastAsync(buffer, buffer.Length, throwOnEndOfStream: false, http.RequestAborted);
        if (length > maxLength)
            throw tooLong;

        if (length == 0)
            throw new ApiProblem(StatusCodes.Status400BadRequest, SessionException.BadRequest, $"The body is empty; send {type}.");

        return Encoding.UTF8.GetString(buffer, 0, length);
    }

    /// <summary>The m-sections that the client sends on: the first audio is taken for a microphone, the first video for a camera.</summary>
    private static PublishedMedia[] Tracks(string offer)
    {
        bool microphone = false, camera = false;
        var tracks = new List<PublishedMedia>();
        foreach (SdpMediaSection section in SdpMedia.Read(offer).Where(section => section.Sends))
        {
            TrackSource source = section.Kind == TrackKind.Audio
                ? microphone ? TrackSource.Unknown : TrackSource.Microphone
                : camera ? TrackSource.Unknown : TrackSource.Camera;
            microphone |= section.Kind == TrackKind.Audio;
            camera |= section.Kind == TrackKind.Video;
            tracks.Add(new PublishedMedia(section.Mid, source));
        }

        return [.. tracks];
    }

    /// <summary>RFC 9725 §4.6: <c>&lt;stun:host&gt;; rel="ice-server"</c>.</summary>
    private static IEnumerable<string> Links(IceServer server) => server.Urls.Select(url =>
        server.Username is null
            ? $"<{url}>; rel=\"ice-server\""
            : $"<{url}>; rel=\"ice-server\"; username=\"{server.Username}\"; credential=\"{server.Credential}\"; credential-type=\"password\"");

    private static string NewETag() => $"\"{RandomNumberGenerator.GetHexString(16, lowercase: true)}\"";

    private static ApiProblem Problem(SessionException e) => new(
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

    private async Task<IResult> AnswerAsync(Func<Task<IResult>> act)
    {
        try
        {
            return await act();
        }
        catch (ApiProblem e)
        {
            LogRefused(e.Code);
            return e.ToResult(Surface);
        }
        catch (SessionException e)
        {
            LogRefused(e.Code);
            return Problem(e).ToResult(Surface);
        }
        catch (BusException e)
        {
            LogRefused(e.Code);
            return Problem(SessionException.From(e)).ToResult(Surface);
        }
        catch (ClusterUnavailableException)
        {
            ApiProblem away = ApiProblem.Unavailable();
            LogRefused(away.Code);
            return away.ToResult(Surface);
        }
    }

    [LoggerMessage(2201, LogLevel.Debug, "A WHIP or WHEP request was refused: {Code}")]
    private partial void LogRefused(string code);
}
