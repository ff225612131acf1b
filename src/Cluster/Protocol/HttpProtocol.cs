using System.Text.Json;
using Transcribe.Cluster.Rooms;

namespace Transcribe.Cluster.Protocol;

// Bodies of the Director's HTTP API. See docs/http-api.md.

/// <summary><c>POST /v1/rooms/{room}/tokens</c></summary>
/// <param name="Participant">Identity in the room.</param>
/// <param name="Name">Display name.</param>
/// <param name="PublishData">true (every data channel label but the reserved ones), false, or a list of labels.</param>
/// <param name="Hidden">In no roster and no count.</param>
/// <param name="Admin">May switch transcription and close the room.</param>
/// <param name="TtlSeconds">Validity in seconds, 1 to 2,592,000; 6 hours where left out.</param>
public sealed record TokenRequest(
    string Participant,
    string? Name = null,
    bool Publish = true,
    bool Subscribe = true,
    JsonElement? PublishData = null,
    bool Hidden = false,
    bool Admin = false,
    int? TtlSeconds = null);

public sealed record TokenResponse(string Token, string Room, string Participant, DateTimeOffset ExpiresAt);

/// <summary><c>POST /v1/dev/tokens</c>, with development keys only.</summary>
/// <param name="Participant">Identity; made of the name and random characters where left out.</param>
public sealed record DevelopmentTokenRequest(string Room, string? Name = null, string? Participant = null);

/// <summary>Answer of <c>POST /v1/join</c>: where to go with the token.</summary>
/// <param name="HubUrl">URL of the SignalR hub.</param>
/// <param name="Node">SFU node that the room is on.</param>
/// <param name="HubUrls">Hubs of all signalling nodes, the best (<paramref name="HubUrl"/>) first: where one is lost, go on with the next. Null where there is one only.</param>
public sealed record JoinInfo(
    string Room, string Participant, string HubUrl, string Node, IReadOnlyList<IceServer> IceServers, IReadOnlyList<string>? HubUrls = null);

/// <summary><c>PUT /v1/rooms/{room}/transcription</c></summary>
/// <param name="Engine">"auto", "whisper", "pocketsphinx".</param>
/// <param name="Language">BCP 47 tag ("en", "de-AT"), or "auto".</param>
public sealed record TranscriptionRequest(bool Enabled, string Engine = "auto", string Language = "en");

/// <summary><c>GET /v1/rooms</c></summary>
public sealed record RoomList(IReadOnlyList<RoomSummary> Rooms);
