using Transcribe.Cluster.Rooms;

namespace Transcribe.Peer;

/// <summary>How a headless participant joins.</summary>
public sealed record PeerOptions
{
    /// <summary>Origin of the signalling node ("http://127.0.0.1:8080").</summary>
    public required Uri ServerUrl { get; init; }

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
}

/// <summary>The server refused, or the room could not be reached.</summary>
/// <param name="code">See <see cref="Cluster.Protocol.HubError"/>; "unreachable" where there was no answer.</param>
public sealed class PeerException(string code, string message, Exception? inner = null) : Exception(message, inner)
{
    public string Code { get; } = code;
}
