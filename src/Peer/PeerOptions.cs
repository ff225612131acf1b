using Transcribe.Cluster.Rooms;

namespace Transcribe.Peer;

/// <summary>How a headless participant joins.</summary>
public sealed record PeerOptions
{
    /// <summary>
    /// Origin of the server ("http://127.0.0.1:8080"): the Director's, which is asked by <c>POST /v1/join</c> for the
    /// signalling nodes, or a signalling node's own.
    /// </summary>
    public required Uri ServerUrl { get; init; }

    /// <summary>
    /// Signalling nodes, the best first: origins, or URLs of their hubs. Where one is lost, the client goes on at the next.
    /// Empty, the default, to ask <see cref="ServerUrl"/> for them.
    /// </summary>
    public IReadOnlyList<Uri> SignalingUrls { get; init; } = [];

    /// <summary>
    /// Tells the signalling nodes that live now, the best first; asked before joining and after every round of failures.
    /// Goes before <see cref="SignalingUrls"/>, which stand in where it tells none.
    /// </summary>
    public Func<CancellationToken, ValueTask<IReadOnlyList<Uri>>>? FindSignaling { get; init; }

    /// <summary>Region this client is near to, told to the Director where that is asked; null where unknown.</summary>
    public string? Region { get; init; }

    /// <summary>Access token for the room. Never logged.</summary>
    public required string Token { get; init; }

    /// <summary>Display name; the token's participant id where null.</summary>
    public string? Name { get; init; }

    /// <summary>Kinds of media to receive; audio only by default.</summary>
    public IReadOnlyList<TrackKind> Kinds { get; init; } = [TrackKind.Audio];

    /// <summary>Receive every track of the room without asking. Default true.</summary>
    public bool AutoSubscribe { get; init; } = true;

    /// <summary>Receive transceivers per kind to begin with; more are added when the server asks. Default 4.</summary>
    public int InitialSlots { get; init; } = 4;

    /// <summary>How long joining may take, media included. Default 15 s.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>
    /// How long a lost room is tried to come back to, by other signalling nodes and new sessions, before it is closed.
    /// Zero closes it at once. Default 60 s.
    /// </summary>
    public TimeSpan ReconnectTimeout { get; init; } = TimeSpan.FromSeconds(60);
}

/// <summary>The server refused, or the room could not be reached.</summary>
/// <param name="code">See <see cref="Cluster.Protocol.HubError"/>; "unreachable" where there was no answer.</param>
public sealed class PeerException(string code, string message, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>There was no answer.</summary>
    public const string Unreachable = "unreachable";

    public string Code { get; } = code;
}
