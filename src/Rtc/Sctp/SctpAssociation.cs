#pragma warning disable CA1822 // API skeleton; bodies follow
namespace Transcribe.Rtc.Sctp;

public sealed class SctpAssociation
{
    public SctpAssociation(SctpOptions options, ISctpObserver observer) { options.Validate(); Observer = observer; }

    internal ISctpObserver Observer { get; }
    public SctpState State { get; private set; }
    public Instant NextTimeout { get; private set; } = Instant.Never;
    public SctpStatistics Statistics { get; } = new();
    public int RemoteMaxMessageSize { get; set; }
    public int BufferedAmount { get; private set; }
    public void Connect(Instant now) { }
    public void Receive(Instant now, ReadOnlySpan<byte> packet) { }
    public void HandleTimeout(Instant now) { }
    public SctpSendStatus Send(Instant now, ushort streamId, uint payloadProtocolId, ReadOnlySpan<byte> message, SctpDelivery delivery = default) => SctpSendStatus.Closed;
    public int GetBufferedAmount(ushort streamId) => 0;
    public void SetBufferedAmountLowThreshold(ushort streamId, int bytes) { }
    public void ResetStreams(Instant now, ReadOnlySpan<ushort> streamIds) { }
    public void Shutdown(Instant now) { }
    public void Abort(Instant now, string reason = "") { }
}
