namespace Transcribe.Rtc.Ice;

/// <summary>
/// What an <see cref="IceAgent"/> tells its host; called synchronously, inside the agent's own calls. From here the host
/// may read the agent and close it; anything else has to wait until the agent's call returns.
/// </summary>
public interface IIceObserver
{
    /// <summary>A STUN datagram to send. The bytes are valid during the call only.</summary>
    void OnSend(in TransportPath path, ReadOnlySpan<byte> datagram);

    void OnStateChanged(IceState state);

    /// <summary>Media goes over another path from now on; null where there is none any more.</summary>
    void OnSelectedPathChanged(TransportPath? path);

    /// <summary>The peer proved that it is at this path: data may be accepted from it.</summary>
    void OnPathValidated(in TransportPath path)
    {
    }

    /// <summary>A validated path is none any more.</summary>
    void OnPathExpired(in TransportPath path)
    {
    }

    /// <summary>After a restart took effect: requests for this username fragment need not reach the agent any more.</summary>
    void OnLocalUfragRetired(string ufrag)
    {
    }
}
