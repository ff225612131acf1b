#pragma warning disable CA1822 // API skeleton; bodies follow
namespace Transcribe.Rtc.Sctp;

/// <summary>The data channels of one peer connection: DCEP (RFC 8832) over one SCTP association (RFC 8831).</summary>
public sealed class DataChannelManager
{
    public DataChannelManager(SctpOptions options, IDataChannelObserver observer) { Observer = observer; Options = options; }
    internal IDataChannelObserver Observer { get; }
    internal SctpOptions Options { get; }
    public bool IsConnected { get; private set; }
    public Instant NextTimeout { get; private set; } = Instant.Never;
    public IReadOnlyCollection<RtcDataChannel> Channels { get; } = [];
    public SctpStatistics Statistics { get; } = new();
    /// <summary>Largest message the peer takes ("a=max-message-size" of its SDP; RFC 8841: 65536 where absent, 0 is without limit).</summary>
    public int RemoteMaxMessageSize { get; set; } = 65536;
    /// <summary>Begins the association; call once DTLS is connected. Both sides of a peer connection call it.</summary>
    public void Start(Instant now, bool isDtlsClient, ushort remotePort = 5000) { }
    public RtcDataChannel Create(Instant now, string label, DataChannelOptions? options = null) => new(label);
    public void Receive(Instant now, ReadOnlySpan<byte> packet) { }
    public void HandleTimeout(Instant now) { }
    /// <summary>Aborts the association; every channel is closed.</summary>
    public void Close(Instant now) { }
}
