namespace Transcribe.Rtc.Sctp;

/// <summary>One data channel (W3C RTCDataChannel over RFC 8831). Made by <see cref="DataChannelManager"/>.</summary>
public sealed class RtcDataChannel
{
    private readonly DataChannelManager _manager;

    internal RtcDataChannel(DataChannelManager manager, in DcepOpen open, bool isLocal, bool isNegotiated)
    {
        _manager = manager;
        Opening = open;
        IsLocal = isLocal;
        IsNegotiated = isNegotiated;
    }

    public string Label => Opening.Label;

    public string Protocol => Opening.Protocol;

    /// <summary>SCTP stream id; null until the DTLS role is known.</summary>
    public ushort? Id { get; internal set; }

    public bool Ordered => Opening.Ordered;

    public int? MaxRetransmits => Opening.MaxRetransmits;

    public TimeSpan? MaxPacketLifetime => Opening.MaxPacketLifetime;

    public ushort Priority => Opening.Priority;

    /// <summary>True if both sides made it by agreement, without DCEP.</summary>
    public bool IsNegotiated { get; }

    /// <summary>True if this side made it.</summary>
    public bool IsLocal { get; }

    public DataChannelState State { get; internal set; }

    /// <summary>Bytes taken by <see cref="TrySend"/> that were not sent for the first time yet.</summary>
    public int BufferedAmount => _manager.GetBufferedAmount(this);

    /// <summary>Bytes at which <see cref="IDataChannelObserver.OnBufferedAmountLow"/> is told when the amount falls to it.</summary>
    public int BufferedAmountLowThreshold
    {
        get;
        set
        {
            field = Math.Max(0, value);
            _manager.ApplyLowThreshold(this);
        }
    }

    /// <summary>Anything the owner wants to find again with the channel.</summary>
    public object? Tag { get; set; }

    internal DcepOpen Opening { get; }

    /// <summary>Our messages may not overtake the OPEN until the peer has shown that it knows the channel (RFC 8832, section 6).</summary>
    internal bool PeerKnowsChannel { get; set; }

    internal bool IncomingReset { get; set; }

    internal bool OutgoingReset { get; set; }

    /// <summary>The stream of a channel before this one is still being reset; the next confirmation is not about this channel.</summary>
    internal bool AwaitsFormerReset { get; set; }

    /// <summary>What was sent before the stream could be used.</summary>
    internal Queue<(byte[] Data, bool IsText)>? Early { get; set; }

    internal int EarlyBytes { get; set; }

    /// <summary>
    /// Takes a message. A channel that is still connecting queues it. False, and nothing taken, if the send buffer is full,
    /// the message is larger than the peer takes, or the channel is closing or closed.
    /// </summary>
    public bool TrySend(Instant now, ReadOnlySpan<byte> data, bool isText) => _manager.TrySend(now, this, data, isText);

    /// <summary>Closes the channel both ways after its queued messages were sent (RFC 8831, section 6.7).</summary>
    public void Close(Instant now) => _manager.Close(now, this);
}
