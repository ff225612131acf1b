namespace Transcribe.Sfu.Relay;

/// <summary>What a session that is a link between nodes has beyond a client's.</summary>
/// <param name="IsClient">This node opened it and receives on it; else the other node did.</param>
/// <param name="Peer">The other node.</param>
/// <param name="CutAfter">Silence after which the link counts as cut; the same for all links of a node.</param>
internal sealed record RelaySession(bool IsClient, string Peer, TimeSpan CutAfter, IRelaySessionObserver Observer)
{
    /// <summary>See <see cref="RelayOptions.Loses"/>.</summary>
    public Func<string, byte, bool>? Loses { get; init; }
}

/// <summary>What a link's session tells; called on its worker's thread.</summary>
internal interface IRelaySessionObserver
{
    /// <summary>Media can flow, and the data channel is open.</summary>
    void OnReady(string sessionId);

    /// <summary>The other side has been silent for too long.</summary>
    void OnSilent(string sessionId);

    /// <summary>An envelope came.</summary>
    void OnEnvelope(string sessionId, byte[] envelope);

    /// <summary>The session is gone.</summary>
    void OnClosed(string sessionId);
}
