namespace Transcribe.Cluster.Protocol;

/// <summary>Subjects on which the signalling nodes are spoken to.</summary>
public static class SignalingSubjects
{
    /// <summary><see cref="MoveSessions"/>; every signalling node hears it and acts on its own sessions.</summary>
    public const string Move = "signaling.move";

    /// <summary><see cref="RemoveParticipant"/>; every signalling node hears it and acts on its own sessions.</summary>
    public const string Remove = "signaling.remove";

    /// <summary><see cref="SessionTaken"/>, to the node that had the session.</summary>
    public static string Taken(string node) => $"signaling.{node}.taken";

    /// <summary><see cref="TakeSession"/>, answered with an Ack once the node has the session.</summary>
    public static string Take(string node) => $"signaling.{node}.take";

    /// <summary><see cref="Nodes.Ping"/>, answered by the node itself: nobody ends the sessions of a node that answers, be it announced or not.</summary>
    public static string Alive(string node) => $"signaling.{node}.alive";
}

/// <summary>A client came back to another signalling node, which has its session now: the former one forgets it, and ends nothing.</summary>
public sealed record SessionTaken(string SessionId, string Owner);

/// <summary>Asks a signalling node to go on with a WHIP or WHEP session of the one that asks, which is being drained.</summary>
public sealed record TakeSession(string SessionId);

/// <summary>Moves sessions to other SFU nodes: their participants stay in the room and negotiate anew.</summary>
/// <param name="FromNode">Only sessions on this SFU node; null for all.</param>
/// <param name="Room">Only sessions of this room; null for all.</param>
/// <param name="ToNode">Where to; null lets placement choose.</param>
/// <param name="Reason">Told to the client: "drain", "moved".</param>
public sealed record MoveSessions(string? FromNode, string? Room, string? ToNode, string Reason);

/// <summary>Ends a participant's session as "removed".</summary>
public sealed record RemoveParticipant(string Room, string ParticipantId);
