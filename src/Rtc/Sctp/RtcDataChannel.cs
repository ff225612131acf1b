#pragma warning disable CA1822 // API skeleton; bodies follow
namespace Transcribe.Rtc.Sctp;

/// <summary>One data channel.</summary>
public sealed class RtcDataChannel
{
    internal RtcDataChannel(string label) => Label = label;
    public string Label { get; }
    public string Protocol { get; } = "";
    /// <summary>Stream id; null until the DTLS role is known.</summary>
    public ushort? Id { get; private set; }
    public bool Ordered { get; } = true;
    public int? MaxRetransmits { get; }
    public TimeSpan? MaxPacketLifetime { get; }
    public bool IsNegotiated { get; }
    public bool IsLocal { get; }
    public DataChannelState State { get; private set; }
    /// <summary>Bytes taken by <see cref="TrySend"/> and not yet sent.</summary>
    public int BufferedAmount { get; }
    public int BufferedAmountLowThreshold { get; set; }
    /// <summary>Anything the owner wants to find again with the channel.</summary>
    public object? Tag { get; set; }
    public bool TrySend(Instant now, ReadOnlySpan<byte> data, bool isText) => false;
    public void Close(Instant now) { }
}
