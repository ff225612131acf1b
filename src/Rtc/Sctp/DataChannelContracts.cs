namespace Transcribe.Rtc.Sctp;

/// <summary>W3C RTCDataChannelState.</summary>
public enum DataChannelState
{
    Connecting,
    Open,
    Closing,
    Closed,
}

/// <summary>How a data channel is made (RTCDataChannelInit). At most one of the two limits may be set.</summary>
public sealed record DataChannelOptions
{
    public bool Ordered { get; init; } = true;

    /// <summary>Retransmissions after which a message is given up; null is reliable. 0 to 65535.</summary>
    public int? MaxRetransmits { get; init; }

    /// <summary>Time after which a message is given up; null is reliable. Up to 65535 ms.</summary>
    public TimeSpan? MaxPacketLifetime { get; init; }

    /// <summary>Subprotocol, at most 65535 bytes of UTF-8.</summary>
    public string Protocol { get; init; } = "";

    /// <summary>Stream id of a channel both sides create by agreement, without DCEP; null negotiates in band. 0 to 65534.</summary>
    public ushort? NegotiatedId { get; init; }

    /// <summary>Priority told to the peer (RFC 8831, section 6.4): 128 below normal, 256 normal, 512 high, 1024 extra high.</summary>
    public ushort Priority { get; init; } = 256;
}

/// <summary>Where a <see cref="DataChannelManager"/> puts its packets and events; called synchronously inside calls to the manager.</summary>
public interface IDataChannelObserver
{
    /// <summary>One SCTP packet to put into a DTLS record. Valid during the call only; must not call the manager.</summary>
    void OnSctpPacket(ReadOnlySpan<byte> packet);

    /// <summary>A channel of either side can be used. <see cref="RtcDataChannel.IsLocal"/> tells whose it is.</summary>
    void OnDataChannelOpened(Instant now, RtcDataChannel channel);

    /// <summary>One whole message; the bytes are valid during the call only.</summary>
    void OnDataChannelMessage(Instant now, RtcDataChannel channel, ReadOnlySpan<byte> data, bool isText);

    /// <summary>The channel is closed on both sides, or its transport is gone. Told once for every channel that was created.</summary>
    void OnDataChannelClosed(Instant now, RtcDataChannel channel);

    /// <summary>The channel's buffered amount fell to <see cref="RtcDataChannel.BufferedAmountLowThreshold"/>.</summary>
    void OnBufferedAmountLow(Instant now, RtcDataChannel channel)
    {
    }

    /// <summary>The SCTP association is established.</summary>
    void OnSctpConnected(Instant now)
    {
    }

    /// <summary>The SCTP association is over; all channels were closed before this call.</summary>
    void OnSctpClosed(Instant now, string reason)
    {
    }
}
