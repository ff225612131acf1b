using System.Text.Json.Serialization;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;

namespace Transcribe.Cluster.Protocol;

/// <summary>The SignalR hub <c>/rtc</c>: names of its methods. JSON protocol, camelCase, enums as strings. See docs/signaling.md.</summary>
public static class HubMethods
{
    public const string Path = "/rtc";

    // client -> server
    public const string Join = "join";
    public const string Negotiate = "negotiate";
    public const string Trickle = "trickle";
    public const string Subscribe = "subscribe";
    public const string SetMuted = "setMuted";
    public const string Resync = "resync";
    public const string Leave = "leave";

    // server -> client
    /// <summary>A <see cref="RoomEvent"/>, in sequence.</summary>
    public const string RoomEvent = "roomEvent";

    /// <summary>A <see cref="SfuSessionEvent"/> of this session.</summary>
    public const string SessionEvent = "sessionEvent";

    /// <summary>
    /// A <see cref="RoomSnapshot"/> that replaces what the client knows of the room: numbers may begin again, also with a smaller one.
    /// </summary>
    public const string RoomReset = "roomReset";

    /// <summary><see cref="ActiveSpeakers"/>; not numbered.</summary>
    public const string Speakers = "speakers";

    /// <summary><see cref="Protocol.GoAway"/>.</summary>
    public const string GoAway = "goAway";

    /// <summary>The hub of a signalling node by the address that it announced; null where clients cannot use that.</summary>
    public static string? UrlOf(string address)
    {
        if (!Uri.TryCreate(address, UriKind.Absolute, out Uri? url) || url.Scheme is not ("http" or "https"))
            return null;

        string origin = address.TrimEnd('/');
        return origin.EndsWith(Path, StringComparison.Ordinal) ? origin : origin + Path;
    }
}

/// <summary>The signalling node is being drained: resume the session at another one, and then close this connection. Media is not touched.</summary>
/// <param name="HubUrls">Where to, the best first.</param>
public sealed record GoAway(IReadOnlyList<string> HubUrls);

/// <param name="Token">Access token. It travels in the message, not in the URL, so that it reaches no access log.</param>
/// <param name="Kinds">Kinds of media this client wants; null for both. A gateway asks for audio only.</param>
/// <param name="Resume">After a lost connection: the session to go on with.</param>
public sealed record JoinRequest(
    string Token, string? Name = null, bool AutoSubscribe = true, IReadOnlyList<TrackKind>? Kinds = null, ResumeSession? Resume = null);

/// <param name="Sequence">Number of the last room event seen; the missed ones follow the reply.</param>
public sealed record ResumeSession(string SessionId, string ResumeKey, long Sequence);

public sealed record IceServer(IReadOnlyList<string> Urls, string? Username = null, string? Credential = null);

/// <param name="ResumeKey">Random secret that <see cref="JoinRequest.Resume"/> must show.</param>
/// <param name="Resumed">True where the media session was kept: no new offer is needed.</param>
public sealed record JoinReply(
    string SessionId, string ResumeKey, string ParticipantId, RoomSnapshot Room, IReadOnlyList<IceServer> IceServers, bool Resumed);

public sealed record NegotiateRequest(string Sdp, IReadOnlyList<PublishedMedia> Tracks);

public sealed record NegotiateReply(
    string Sdp, IReadOnlyList<NegotiatedMedia> Published, IReadOnlyList<MediaAssignment> Assignments);

/// <param name="Candidate">"candidate:…"; null or left out at the end of candidates.</param>
public sealed record TrickleRequest(string? Candidate = null);

public sealed record SubscribeRequest(string TrackId, bool Enabled);

public sealed record SetMutedRequest(string TrackId, bool Muted);

public sealed record ResyncRequest(long AfterSequence);

/// <summary>Either the missed events, or, where those are gone, the room as it is.</summary>
public sealed record ResyncReply(IReadOnlyList<RoomEvent>? Events, RoomSnapshot? Snapshot);

/// <summary>
/// Every hub method answers with this envelope: SignalR's own exceptions carry no machine-readable code.
/// </summary>
public sealed record HubReply<T>(T? Value, HubError? Error)
    where T : class
{
    [JsonIgnore]
    public bool Ok => Error is null;
}

/// <param name="Code">"token_invalid", "token_expired", "not_granted", "room_full", "session_not_found", "sdp_invalid", "bad_request", "unavailable", "internal".</param>
/// <param name="Message">A sentence that says what to do.</param>
public sealed record HubError(string Code, string Message);
