namespace Transcribe.Rtc.Sctp;

/// <summary>States of an association (RFC 9260, section 4).</summary>
public enum SctpState
{
    Closed,
    CookieWait,
    CookieEchoed,
    Established,
    ShutdownPending,
    ShutdownSent,
    ShutdownReceived,
    ShutdownAckSent,
}

/// <summary>What became of a message given to <see cref="SctpAssociation.Send"/>.</summary>
public enum SctpSendStatus
{
    /// <summary>Taken; it is sent now or as soon as the windows allow.</summary>
    Queued,

    /// <summary>The send buffer is full; try again after <see cref="ISctpObserver.OnBufferedAmountLow"/> or later.</summary>
    BufferFull,

    /// <summary>Larger than the peer's or the buffer's limit, or empty (SCTP has no empty messages).</summary>
    BadSize,

    /// <summary>The stream id is beyond what was negotiated.</summary>
    BadStream,

    /// <summary>The stream is being reset.</summary>
    StreamResetting,

    /// <summary>The association is closed or shutting down.</summary>
    Closed,
}

/// <summary>How one message is delivered.</summary>
/// <param name="Unordered">True if it may overtake others of its stream.</param>
/// <param name="MaxRetransmits">Retransmissions after which it is given up (RFC 7496); null is without limit.</param>
/// <param name="Lifetime">Time after which it is given up (RFC 3758); null is without limit.</param>
public readonly record struct SctpDelivery(bool Unordered = false, int? MaxRetransmits = null, TimeSpan? Lifetime = null);

/// <summary>
/// Where an <see cref="SctpAssociation"/> puts its packets and events; called synchronously inside calls to the association.
/// Every method but <see cref="OnSend"/> may call the association again.
/// </summary>
public interface ISctpObserver
{
    /// <summary>One SCTP packet to put into a DTLS record. Valid during the call only; must not call the association.</summary>
    void OnSend(ReadOnlySpan<byte> packet);

    /// <summary>The association is established.</summary>
    void OnConnected(Instant now);

    /// <summary>The peer restarted (RFC 9260, section 5.2.4.1): all streams begin anew, unsent and unacknowledged messages are gone.</summary>
    void OnRestarted(Instant now);

    /// <summary>One whole message; the bytes are valid during the call only.</summary>
    void OnMessage(Instant now, ushort streamId, uint payloadProtocolId, ReadOnlySpan<byte> message);

    /// <summary>The peer reset its outgoing streams, i.e. our incoming ones (RFC 6525). Empty: all of them.</summary>
    void OnIncomingStreamsReset(Instant now, ReadOnlySpan<ushort> streamIds);

    /// <summary>The reset asked for with <see cref="SctpAssociation.ResetStreams"/> was performed, or refused by the peer.</summary>
    void OnOutgoingStreamsReset(Instant now, ReadOnlySpan<ushort> streamIds, bool performed);

    /// <summary>The unsent bytes of the stream fell to its threshold (see <see cref="SctpAssociation.SetBufferedAmountLowThreshold"/>).</summary>
    void OnBufferedAmountLow(Instant now, ushort streamId);

    /// <summary>The association is over: after a shutdown, an abort of either side, or too many retransmissions. Told once.</summary>
    void OnClosed(Instant now, string reason);
}

/// <summary>Counters of one association since it was made.</summary>
public sealed class SctpStatistics
{
    public long PacketsSent { get; internal set; }

    public long PacketsReceived { get; internal set; }

    public long MessagesSent { get; internal set; }

    public long MessagesReceived { get; internal set; }

    /// <summary>DATA chunks sent again.</summary>
    public long Retransmissions { get; internal set; }

    /// <summary>T3-rtx expirations.</summary>
    public long RetransmissionTimeouts { get; internal set; }

    public long FastRetransmits { get; internal set; }

    /// <summary>Messages given up because of their limits on retransmissions or lifetime.</summary>
    public long MessagesAbandoned { get; internal set; }

    public long DroppedBadChecksum { get; internal set; }

    /// <summary>Packets with wrong ports or a wrong verification tag.</summary>
    public long DroppedNotOurs { get; internal set; }

    /// <summary>Packets or chunks that break the format, and chunks that make no sense in the state.</summary>
    public long DroppedMalformed { get; internal set; }

    /// <summary>DATA chunks received twice.</summary>
    public long DroppedDuplicates { get; internal set; }

    /// <summary>DATA chunks dropped because the receive buffer was full or the TSN out of the window.</summary>
    public long DroppedNoRoom { get; internal set; }

    /// <summary>State cookies that were forged or too old.</summary>
    public long DroppedBadCookies { get; internal set; }
}
