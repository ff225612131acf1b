namespace Transcribe.Cluster.Protocol;

/// <summary>The STUN and TURN servers that clients are told of.</summary>
public interface IIceServers
{
    /// <summary>The servers for one participant; credentials may be made for it.</summary>
    IReadOnlyList<IceServer> For(string participantId);
}

/// <summary>The same servers for everybody. An SFU with a public address needs none.</summary>
public sealed class StaticIceServers(IReadOnlyList<IceServer> servers) : IIceServers
{
    public IReadOnlyList<IceServer> For(string participantId) => servers;
}
