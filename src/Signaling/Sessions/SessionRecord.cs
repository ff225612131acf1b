using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Serialization;
using Transcribe.Cluster.Placement;
using Transcribe.Cluster.Rooms;
using Transcribe.Cluster.Sfu;
using Transcribe.Cluster.Tokens;

namespace Transcribe.Signaling.Sessions;

/// <summary>How a session shows in its room.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<Presence>))]
internal enum Presence
{
    /// <summary>A participant of the roster.</summary>
    [JsonStringEnumMemberName("visible")] Visible,

    /// <summary>Counted as a viewer, in no roster (WHEP).</summary>
    [JsonStringEnumMemberName("viewer")] Viewer,

    /// <summary>No trace at all (gateways).</summary>
    [JsonStringEnumMemberName("hidden")] Hidden,
}

/// <summary>What the cluster must know of a session so that any signalling node can go on with it.</summary>
/// <param name="Http">WHIP or WHEP: nobody hears events, and nothing can be moved.</param>
/// <param name="ResumeKeyHash">SHA-256 of the resume key; the key itself is the client's alone.</param>
/// <param name="Owner">The signalling node that has the session. Only it may change the record; another one takes it over first.</param>
/// <param name="Node">The SFU node that has its media.</param>
/// <param name="OnlyParticipant">See <see cref="OpenSession"/>.</param>
/// <param name="Moved">Why it is on another SFU node, which its client has not negotiated with yet; null where it has.</param>
/// <param name="Ending">Why it is being ended; who finds this finishes it.</param>
internal sealed record SessionRecord(
    string Id, string Room, string Participant, string? Name, Presence Presence, Grants Grants, bool Http, string ResumeKeyHash,
    string Owner, string Node, bool AutoSubscribe = true, IReadOnlyList<TrackKind>? Kinds = null, string? OnlyParticipant = null,
    string? Moved = null, string? Ending = null)
{
    public static string HashOf(string resumeKey) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(resumeKey)));

    public bool Knows(string resumeKey) =>
        CryptographicOperations.FixedTimeEquals(Encoding.ASCII.GetBytes(ResumeKeyHash), Encoding.ASCII.GetBytes(HashOf(resumeKey)));

    /// <summary>What opens it on an SFU node.</summary>
    public OpenSession ToOpen() => new(Id, Room, Participant, Grants, AutoSubscribe, OnlyParticipant, Kinds);

    public PlacementRole PlacementRole => Presence == Presence.Viewer ? PlacementRole.Viewer : PlacementRequest.RoleOf(Grants);
}
