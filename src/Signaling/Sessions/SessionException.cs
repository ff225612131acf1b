using Transcribe.Cluster.Bus;
using Transcribe.Cluster.Sfu;

namespace Transcribe.Signaling.Sessions;

/// <summary>A refusal that its client is told.</summary>
/// <param name="code">See <see cref="Transcribe.Cluster.Protocol.HubError"/>.</param>
/// <param name="message">A sentence that says what to do.</param>
internal sealed class SessionException(string code, string message) : Exception(message)
{
    public const string BadRequest = "bad_request";
    public const string TooLarge = "too_large";
    public const string NotGranted = "not_granted";
    public const string RoomFull = "room_full";
    public const string NotFound = "session_not_found";
    public const string SdpInvalid = "sdp_invalid";
    public const string Unavailable = "unavailable";
    public const string RateLimited = "rate_limited";
    public const string Internal = "internal";

    public string Code { get; } = code;

    /// <summary>What a failed request to an SFU node means to the client.</summary>
    public static SessionException From(BusException e) => e.Code switch
    {
        BusException.NoResponder or BusException.Timeout or BusException.Overloaded =>
            new(Unavailable, "The media server does not answer; try again in a moment."),
        BusException.Unavailable =>
            new(Unavailable, "The cluster's bus is away for the moment; the call goes on. Try again in a few seconds."),
        OpenSession.NodeDraining => new(Unavailable, "The media server takes no new sessions; try again in a moment."),
        BusException.Internal => new(Internal, "The media server failed; its log says why. Try again."),
        _ => new(e.Code, e.Message),
    };
}
