using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Cluster.Tokens;
using Transcribe.Sfu.Relay;

namespace Transcribe.Sfu.Routing;

/// <summary>Who a session belongs to and what it may do and wants; fixed for its life.</summary>
internal sealed record SfuSessionSettings(string SessionId, string Room, string Participant, Grants Grants)
{
    public bool AutoSubscribe { get; init; } = true;

    /// <summary>Only this publisher's tracks; "*" for whoever published first.</summary>
    public string? OnlyParticipant { get; init; }

    /// <summary>Kinds of media wanted; null for all.</summary>
    public IReadOnlyList<TrackKind>? Kinds { get; init; }

    /// <summary>It was on another node until now.</summary>
    public bool Moved { get; init; }

    /// <summary>What makes it a link between nodes; null for a client's.</summary>
    public RelaySession? Relay { get; init; }

    public static SfuSessionSettings Of(OpenSession request) =>
        new(request.SessionId, request.Room, request.Participant, request.Grants)
        {
            AutoSubscribe = request.AutoSubscribe,
            OnlyParticipant = request.OnlyParticipant,
            Kinds = request.Kinds,
            Moved = request.Moved,
        };
}
